from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from commander.errors import UsageError
from commander.plugin.command import OUTPUT_FORMATS, ArgumentKind, Arguments, Command, option
from commander.plugin.parser import asks_for_help, parse_arguments, positional_at, scan_words
from tests.unit.plugin.sample import ADD, LIST, START, commander_commands

STOP, MOVE = (
    next(item for item in commander_commands() if isinstance(item, Command) and item.path == path)
    for path in ("pam tunnel stop", "mv")
)


def start(*words: str) -> Arguments:
    return parse_arguments(START, words)


def test_values_are_read_by_key_and_kind() -> None:
    """Flags, options and positionals arrive typed, in any order."""
    found = start("--new", "Orders DB", "-p", "15432", "--timeout=2m", "-th", "db", "--wait", "no")

    assert found.text("record") == "Orders DB"
    assert found.integer("port") == 15432
    assert found.integer("timeout") == 120
    assert found.text("target_host") == "db"
    assert found.text("wait") == "no"
    assert found.flag("new")
    assert found.format == "table"


def test_what_is_not_given_is_none_false_or_empty() -> None:
    """Absent arguments have their default."""
    found = start("X")

    assert found.integer_or_none("port") is None
    assert found.text_or_none("target_host") is None
    assert found.integer("timeout") == 30
    assert found.texts("tag") == ()
    assert found.texts("command") == ()
    assert not found.flag("new")
    assert not found.was_given("tag")


@pytest.mark.parametrize(
    "words",
    [("-t", "a", "-tb", "X", "--tag=c"), ("X", "-t=a", "--tag", "b", "-t", "c")],
)
def test_options_repeat_in_every_spelling(words: tuple[str, ...]) -> None:
    """`-t a`, `-ta`, `-t=a` and `--tag=a` mean the same."""
    assert start(*words).texts("tag") == ("a", "b", "c")


def test_flags_join_and_long_names_of_one_dash_win() -> None:
    """`-nb` are two flags, `-th` is the flag of that name and not `-t h`."""
    found = start("-nb", "X", "-th", "host")

    assert found.flag("new")
    assert found.flag("background")
    assert found.text("target_host") == "host"


@pytest.mark.parametrize("value", ["-x", "--all", "-", "--", "a=b", "", "-5"])
def test_b008_any_value_passes_behind_an_equals_sign(value: str) -> None:
    """`--flag=VALUE` takes values that look like flags."""
    assert start("X", f"--target-host={value}").text("target_host") == value


@pytest.mark.parametrize("name", ["--all", "-f", "../x", "-h", "--"])
def test_b008_any_name_passes_behind_two_dashes(name: str) -> None:
    """After `--` every word is a positional."""
    assert parse_arguments(STOP, ["--", name]).text("tunnel") == name


def test_two_dashes_start_the_command_to_run() -> None:
    """A REST argument takes every word after `--`, untouched."""
    found = start("X", "--new", "--", "psql", "-h", "x", "--", "-p")

    assert found.texts("command") == ("psql", "-h", "x", "--", "-p")


def test_a_value_that_looks_like_a_flag_is_refused_with_the_way_out() -> None:
    """`--flag -x` is an error that says how to write it."""
    with pytest.raises(UsageError, match="needs a value") as caught:
        start("X", "--target-host", "-x")

    assert "--target-host=VALUE" in caught.value.hint


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "needs RECORD"),
        (("X", "Y"), "no place for 'Y'"),
        (("X", "--prot", "1"), "no flag '--prot'"),
        (("X", "--por", "1"), "no flag '--por'"),
        (("X", "-z"), "no flag '-z'"),
        (("X", "-nz"), "no flag '-nz'"),
        (("X", "--new=yes"), "takes no value"),
        (("X", "--port"), "--port needs a value"),
        (("X", "--wait", "maybe"), "not one of yes, no"),
        (("X", "--background", "--foreground"), "exclude each other"),
        (("X", "--format", "xml"), "not one of table"),
    ],
)
def test_wrong_words_are_usage_errors(words: tuple[str, ...], message: str) -> None:
    """Each mistake names the argument; abbreviations are mistakes too."""
    with pytest.raises(UsageError, match=message) as caught:
        start(*words)

    assert caught.value.hint


def test_an_unknown_flag_hints_at_its_neighbour() -> None:
    """The hint names flags that are close to what was typed."""
    with pytest.raises(UsageError) as caught:
        start("X", "--prot", "1")

    assert "--port" in caught.value.hint


@pytest.mark.parametrize(
    "port", ["0", "-1", "65536", "22 ", "٢٢", "1e3", "null", "", "+5", "0x16", "99999999999999999"]
)
def test_b032_ports_are_decimal_numbers_in_range(port: str) -> None:
    """Only 1 to 65535 in ASCII digits is a port."""
    with pytest.raises(UsageError, match="not a port"):
        start("X", f"--port={port}")


@pytest.mark.parametrize(
    ("text", "seconds"), [("90", 90), ("90s", 90), ("15m", 900), ("8h", 28800), ("30d", 2592000)]
)
def test_durations_have_units(text: str, seconds: int) -> None:
    """Durations are seconds or carry their unit."""
    assert start("X", "--timeout", text).integer("timeout") == seconds


@pytest.mark.parametrize("text", ["", "-5", "1.5h", "5 m", "h", "5x", "٣s"])
def test_bad_durations_are_refused(text: str) -> None:
    """Anything else is a usage error that shows the forms."""
    with pytest.raises(UsageError, match="not a duration"):
        start("X", f"--timeout={text}")


@pytest.mark.parametrize("text", ["x", "1.5", "", "٣", "1_000"])
def test_bad_numbers_are_refused(text: str) -> None:
    """Only plain decimal numbers are numbers."""
    with pytest.raises(UsageError, match="not a whole number"):
        start("X", f"--offset={text}")


def test_a_negative_number_is_a_value() -> None:
    """`--offset -5` needs no equals sign, because no flag looks like a number."""
    assert start("X", "--offset", "-5").integer("offset") == -5


def test_words_behind_a_repeated_positional_are_kept_for_it() -> None:
    """`mv SOURCE... TARGET` gives the last word to the target."""
    found = parse_arguments(MOVE, ["a", "b", "c"])

    assert found.texts("source") == ("a", "b")
    assert found.text("target") == "c"
    with pytest.raises(UsageError, match="needs SOURCE"):
        parse_arguments(MOVE, ["a"])


def test_values_of_secrets_are_not_in_errors() -> None:
    """A secret of a wrong kind is refused without being shown."""
    command = Command(
        path="x",
        summary="x",
        example="x",
        handler="a:b",
        arguments=(option("--pin", kind=ArgumentKind.INT, secret=True, help="x"),),
    )
    with pytest.raises(UsageError) as caught:
        parse_arguments(command, ["--pin", "canary"])

    assert "canary" not in caught.value.message + caught.value.hint


def test_format_of_the_call_wins_over_the_default() -> None:
    """`--format` decides, else what the shell was started with."""
    assert parse_arguments(LIST, [], default_format="yaml").format == "yaml"
    assert parse_arguments(LIST, ["--format=csv"], default_format="yaml").format == "csv"


def test_help_is_found_among_wrong_words_but_not_behind_dashes() -> None:
    """-h explains a command whatever else is wrong, and is text after `--`."""
    assert asks_for_help(START, ["--nonsense", "-h"])
    assert not asks_for_help(STOP, ["--", "-h"])
    assert not asks_for_help(START, ["--target-host=-h"])


def test_place_of_a_positional() -> None:
    """The n-th word belongs to the n-th positional, and the last repeats."""
    first, third = positional_at(START, 0), positional_at(ADD, 2)

    assert first is not None
    assert first.key == "record"
    assert third is not None
    assert third.key == "fields"
    assert positional_at(START, 1) is None


@given(st.lists(st.text(alphabet="-=ahnpt1 x", max_size=6), max_size=6))
def test_any_words_are_arguments_or_a_usage_error(words: list[str]) -> None:
    """Nothing but UsageError comes out, and a scan never raises."""
    scan_words(START, words)
    with contextlib.suppress(UsageError):
        assert start(*words).format in OUTPUT_FORMATS
