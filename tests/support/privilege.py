"""Running what needs root: as it is for root, through sudo for a user who may."""

from __future__ import annotations

import os
import shutil


def privileged(*command: str) -> list[str]:
    """
    The command as root; sudo asks no password, so it fails at once where it is not allowed.

    Raises AssertionError for a user on a machine without sudo.
    """
    if os.geteuid() == 0:
        return list(command)
    assert shutil.which("sudo"), f"{command[0]} needs root: run the tests as root, or install sudo"
    return ["sudo", "-n", *command]


def as_user(user: str, *command: str) -> list[str]:
    """The command as another user when we are root; as ourselves otherwise."""
    if os.geteuid() != 0:
        return list(command)
    return ["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups", *command]
