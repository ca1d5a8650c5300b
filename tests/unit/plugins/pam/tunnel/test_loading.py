from __future__ import annotations

import os
from pathlib import Path

import pytest

from commander.errors import InvalidInput, NotAllowed, NotFound
from plugins.pam.tunnel.loading import load_tunnels_file

TEXT = "version: 1\ntunnels:\n  wiki: Wiki\n"


def test_the_file_has_one_name_however_it_is_reached(tmp_path: Path) -> None:
    """A link and the file itself are the same set: `down` finds what `up` opened."""
    file, link = tmp_path / "tunnels.yaml", tmp_path / "link.yaml"
    file.write_text(TEXT)
    link.symlink_to(file)

    assert load_tunnels_file(str(file))[0] == load_tunnels_file(str(link))[0] == file.resolve()
    assert [entry.name for entry in load_tunnels_file(str(link))[1].entries] == ["wiki"]


def test_a_file_that_others_can_change_is_refused(tmp_path: Path) -> None:
    """Whoever writes it decides where my tunnels lead; the group of a shared checkout may."""
    file = tmp_path / "tunnels.yaml"
    file.write_text(TEXT)
    file.chmod(0o666)
    with pytest.raises(NotAllowed, match="other users"):
        load_tunnels_file(str(file))
    file.chmod(0o664)
    load_tunnels_file(str(file))


def test_what_is_no_file(tmp_path: Path) -> None:
    """Missing, a directory, a pipe that would hold us up, a link that leads to itself."""
    with pytest.raises(NotFound):
        load_tunnels_file(str(tmp_path / "none.yaml"))
    with pytest.raises(InvalidInput):
        load_tunnels_file(str(tmp_path))
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InvalidInput, match="plain file"):
        load_tunnels_file(str(tmp_path / "pipe"))
    loop = tmp_path / "loop"
    loop.symlink_to(loop)
    with pytest.raises(InvalidInput):
        load_tunnels_file(str(loop))
    with pytest.raises(InvalidInput):
        load_tunnels_file("a\0b")
