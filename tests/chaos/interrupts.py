"""
Signals at seeded moments of a command, and what must not be left behind.

A moment is drawn from the time that the command takes undisturbed, and a little more, so that every
part of it is met: start-up, questions to the server, the tunnel's coming up, its life, its end.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import threading
from collections.abc import Callable
from dataclasses import dataclass

from tests.chaos.world import RECORD, World, leftovers
from tests.support.processes import Child, marked_processes
from tests.support.product import FOLDER, PASSWORD, Product, User
from tests.support.waiting import until

END_S = 30.0
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
# Before our first line runs the interpreter handles Ctrl-C itself, and says so with a trace.
STARTING = (
    "init_import_site", "    import re\n", "    import sys\n", "from commander.launch.shell import main",
)  # fmt: skip
START = ("pam", "tunnel", "start", RECORD, "--new")
Words = Callable[[User, int], list[str]]


@dataclass(frozen=True)
class Interrupted:
    """How a command ended."""

    words: list[str]
    number: signal.Signals
    after_s: float
    status: int
    output: str

    def __str__(self) -> str:
        return f"{self.words} {self.number.name} after {self.after_s:.2f} s: {self.status}\n{self.output}"


COMMANDS: dict[str, tuple[Words, float]] = {
    "record-add": (
        lambda _, n: ["record-add", "-t", f"cut-{n}", "-rt", "login", "--folder", FOLDER],
        1.0,
    ),
    "login": (
        lambda user, _: [
            "login",
            "--password-file",
            str(user.secret_file("password.txt", PASSWORD)),
        ],
        1.5,
    ),
    "foreground": (
        lambda user, n: [*START, "--pid-file", str(user.home.work / f"tunnel-{n}.pid")],
        2.0,
    ),
    "run": (lambda _, n: [*START, "--run", "sleep 1000"], 2.0),
    "background": (lambda _, n: [*START, "--background"], 2.5),
    "batch": (lambda _, n: ["-c", f"pam tunnel start {RECORD} --new; sleep 1000"], 2.0),
}


def interrupt(world: World, name: str, rng: random.Random, number: signal.Signals) -> Interrupted:
    """Start a command and stop it at some moment; checks what may be left, and that all still works."""
    words_of, lasts_s = COMMANDS[name]
    words = words_of(world.user, world.next_number())
    after_s = rng.uniform(0.02, lasts_s)
    child = world.user.start(*words)
    threading.Event().wait(after_s)
    send(child, number)
    ended = Interrupted(words, number, after_s, child.wait(deadline_s=END_S), child.output)
    check_status(ended)
    check_nothing_left(world, ended)
    return ended


def send(child: Child, number: signal.Signals) -> None:
    """Ctrl-C and a closed terminal reach the whole group, SIGTERM the program alone."""
    with contextlib.suppress(ProcessLookupError):
        if number is signal.SIGTERM:
            os.kill(child.pid, number)
        else:
            os.killpg(child.pid, number)


def check_status(ended: Interrupted) -> None:
    """The exit status names the signal, unless the command was done before."""
    if any(sign in ended.output for sign in STARTING):
        return
    assert ended.status in (0, 128 + ended.number, -ended.number), str(ended)
    assert "Traceback" not in ended.output, str(ended)
    assert "internal" not in ended.output, str(ended)


def check_nothing_left(world: World, ended: Interrupted) -> None:
    """No process, port, socket, pid file or half-written file; a background tunnel is whole or gone."""
    if "--background" in ended.words and ended.status == 0:
        world.user("pam", "tunnel", "stop", "--all")
    known = {child.pid for child in world.product.family.children if child.is_running}
    mark = world.product.family.mark

    def strangers() -> dict[int, str]:
        return {p: line for p, line in marked_processes(mark).items() if p not in known}

    with contextlib.suppress(AssertionError):
        until(lambda: not strangers(), "no process left", deadline_s=END_S)
    assert not strangers(), f"left behind {strangers()} by {ended}"
    assert leftovers(world.user) == [], str(ended)


def interrupt_setup(product: Product, rng: random.Random, number: signal.Signals) -> Interrupted:
    """Stop `setup` at some moment; the account is either not made, and can be, or can be used."""
    product.start_server()
    user = product.user("ann@example.org")
    join = user.secret_file("setup-join.txt", product.setup_join)
    password = user.secret_file("password.txt", PASSWORD)
    words = ["setup", user.email, "--join-file", str(join), "--password-file", str(password)]
    after_s = rng.uniform(0.3, 2.5)
    child = user.start(*words)
    threading.Event().wait(after_s)
    send(child, number)
    ended = Interrupted(words, number, after_s, child.wait(deadline_s=END_S), child.output)
    check_status(ended)
    assert leftovers(user) == [], str(ended)
    check_account_is_not_lost(user, words, str(password), ended)
    return ended


def check_account_is_not_lost(
    user: User, words: list[str], password: str, ended: Interrupted
) -> None:
    """What the interrupted command says to do next leads to an account that works."""
    device = user.home.commander / "device.json"
    if device.exists() and user.run("login", "--password-file", password).returncode != 0:
        assert "it is not known whether" in ended.output, str(ended)
        device.unlink()
    if device.exists():
        # The kit is the only other copy of the account secret; here it goes to no file.
        assert "account secret:" in ended.output, str(ended)
    else:
        again = user.run(*words)
        assert again.returncode == 0, f"{again.stderr}\nafter {ended}"
    assert user.run("whoami").returncode == 0
    assert user.run("mkdir", "-sf", "Made after").returncode == 0
