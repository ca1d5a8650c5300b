from __future__ import annotations

from ipaddress import ip_network
from pathlib import Path

import pytest

from commander.errors import UsageError
from commander.launch.server_arguments import read_arguments


def test_defaults_are_local_and_in_the_users_home() -> None:
    """A server that nobody configured is reachable from this machine only."""
    options = read_arguments(["start"], {})

    assert options.listen == "127.0.0.1:8443"
    assert options.data == Path.home() / ".commander-server"
    assert (options.public_name, options.forward_proxy) == ([], [])
    assert not options.log_to_stdout
    assert not options.new_setup_string


def test_environment_names_the_data_directory_and_a_flag_wins(tmp_path: Path) -> None:
    """The usual order."""
    environment = {"COMMANDER_SERVER_DATA": "/srv/commander"}

    assert read_arguments(["status"], environment).data == Path("/srv/commander")
    words = ["status", "--data", str(tmp_path)]
    assert read_arguments(words, environment).data == tmp_path


def test_lists_are_collected() -> None:
    """Names and networks may be given several times."""
    words = ["start", "--public-name", "a", "--public-name", "b:1", "--forward-proxy", "10.0.0.0/8"]

    options = read_arguments(words, {})

    assert options.public_name == ["a", "b:1"]
    assert options.forward_proxy == [ip_network("10.0.0.0/8")]


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["nonsense"],
        ["start", "--nonsense"],
        ["start", "--forward-proxy", "everywhere"],
        ["start", "--forward-proxy", "10.0.0.1/8"],
        ["backup"],
        ["restore"],
        ["status", "--format", "xml"],
        ["start", "--data", ""],
    ],
)
def test_other_words_are_usage_errors_with_a_way_out(words: list[str]) -> None:
    """Exit code 2 and a pointer to the help."""
    with pytest.raises(UsageError) as caught:
        read_arguments(words, {})

    assert "--help" in caught.value.hint
