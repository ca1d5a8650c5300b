from __future__ import annotations

import json
import signal
import subprocess
import time
from pathlib import Path

import pytest

from commander import __version__
from tests.integration.shell.conftest import COMMANDER, PROBE, ROOT, Run
from tests.support.processes import Home
from tests.support.waiting import DEADLINE_S

pytestmark = pytest.mark.integration


def test_version_is_quick_and_imports_nothing_heavy(run: Run) -> None:
    """`--version` prints one line and loads neither terminal, HTTP nor database libraries."""
    found = run("--version")
    heavy = subprocess.run(
        [COMMANDER[0], "-X", "importtime", "-m", "commander", "--version"],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=False,
    ).stderr

    assert found.stdout.decode() == f"commander {__version__}\n"
    assert found.returncode == 0
    for name in ("prompt_toolkit", "rich", "httpcore", "aiortc", "sqlalchemy", "pluggy"):
        assert f" {name}\n" not in heavy


def test_a_one_shot_imports_no_terminal_library(run: Run) -> None:
    """A command without a terminal loads neither prompt_toolkit nor rich nor the network's."""
    found = subprocess.run(
        [COMMANDER[0], "-X", "importtime", "-m", "commander", "version"],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=False,
    )

    assert found.returncode == 0
    for name in ("prompt_toolkit", "rich", "httpcore", "aiortc", "sqlalchemy", "yaml"):
        assert f" {name}\n" not in found.stderr


@pytest.mark.parametrize(
    ("words", "code", "out", "err"),
    [
        (("echo", "a  b"), 0, "a  b\n", ""),
        (("echo", "${A}; quit"), 0, "${A}; quit\n", ""),
        (("nope",), 2, "", "unknown command 'nope'"),
        (("echo", "--nope"), 2, "", "no flag '--nope'"),
        (("run", "/no/such"), 3, "", "there is no file"),
        (("--nope",), 2, "", "no option '--nope'"),
        (("-c", "echo 1; echo 2"), 0, "1\n2\n", ""),
        (("-c", "echo 1; nope; echo 2"), 2, "1\n", "-c line 1: unknown command"),
        (("-c", "echo 1\nnope"), 2, "1\n", "-c line 2: unknown command"),
        (("--dry-run", "-c", "set A 1; echo ${A}; sleep 1h"), 0, "", ""),
        (("--dry-run", "-c", "echo ${B}"), 2, "", "${B} is not set"),
        (("--keep-going", "-c", "nope\necho 1"), 2, "1\n", "1 of 2 lines failed"),
        (("--home", "relative", "echo"), 2, "", "not an absolute path"),
        ((), 2, "", "needs a terminal"),
    ],
)
def test_exit_codes_and_streams(
    run: Run, words: tuple[str, ...], code: int, out: str, err: str
) -> None:
    """Results are on stdout, errors on stderr, and the status tells them apart."""
    found = run(*words)

    assert found.returncode == code, found.stderr
    assert found.stdout.decode() == out
    assert err in found.stderr.decode()
    assert (found.stderr == b"") is (err == "")


@pytest.mark.parametrize(
    "words", [("--format", "json", "nope"), ("echo", "--nope", "--format", "json"),
              ("--format=json", "--nope")]
)  # fmt: skip
def test_errors_are_json_on_request(run: Run, words: tuple[str, ...]) -> None:
    """`--format json` makes every error one JSON object, also of the command line itself."""
    found = run(*words)

    assert json.loads(found.stderr)["error"]["code"] == "usage"
    assert found.returncode == 2


def test_stdin_is_a_batch(run: Run) -> None:
    """`commander -` reads lines from standard input, with their numbers in errors."""
    found = run("-", stdin=b"\xef\xbb\xbfecho 1\r\n# no\r\nnope\r\necho 2\r\n")

    assert (found.returncode, found.stdout) == (2, b"1\n")
    assert b"standard input line 3: unknown command" in found.stderr


def test_b004_bytes_that_are_no_text(run: Run) -> None:
    """Invalid UTF-8 is refused with its place, on stdin and in words; a C locale is no reason."""
    batch = run("-", stdin=b"echo 1\necho \xff\n", LANG="C", LC_ALL="C")
    word = run(b"echo", b"a\xff", LANG="C", LC_ALL="C")
    fine = run("echo", "é中", LANG="C", LC_ALL="C")

    assert (batch.returncode, batch.stdout) == (2, b"")
    assert b"line 2: not UTF-8 at byte 12" in batch.stderr
    assert word.returncode == 2
    assert b"word 2 is not UTF-8 at byte 1" in word.stderr
    assert fine.stdout.decode() == "é中\n"


@pytest.mark.parametrize("program", [["-O"], ["-OO"]])
def test_b025_optimised_python_is_refused(home: Home, program: list[str]) -> None:
    """python -O removes checks that libraries need: the program does not start."""
    found = subprocess.run(
        [COMMANDER[0], *program, "-m", "commander", "echo", "x"],
        capture_output=True,
        env=home.environment(),
        cwd=ROOT,
        check=False,
    )

    assert found.returncode == 2
    assert found.stdout == b""
    assert b"python -O" in found.stderr


def test_b025_optimisation_by_environment_is_refused(run: Run) -> None:
    """The same for PYTHONOPTIMIZE, and a TLS key log is ignored and told."""
    assert run("echo", "x", PYTHONOPTIMIZE="1").returncode == 2
    logged = run("echo", "x", SSLKEYLOGFILE="/tmp/no-such-key-log")
    assert logged.stdout == b"x\n"
    assert b"SSLKEYLOGFILE is ignored" in logged.stderr


@pytest.mark.parametrize("words", [("flood",), ("flood", "--lines"), ("-c", "flood; echo x")])
def test_b012_a_reader_that_leaves_is_no_trace(home: Home, words: tuple[str, ...]) -> None:
    """`| head` ends the program with 141 and without a word on stderr."""
    with subprocess.Popen(
        [*PROBE, *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=ROOT,
        env=home.environment(),
    ) as child:
        assert child.stdout is not None
        assert child.stderr is not None
        child.stdout.read(10)
        child.stdout.close()
        err = child.stderr.read()

        assert child.wait(DEADLINE_S) == 141
    assert err == b""


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]
)
@pytest.mark.parametrize("batch", [False, True])
def test_b012_signals_end_a_command_in_order(
    home: Home, tmp_path: Path, number: int, code: int, batch: bool
) -> None:
    """The command's cleanup runs, what was opened is closed, and the status names the signal."""
    held, kept = tmp_path / "held", tmp_path / "kept"
    words = ["-c", f"keep {kept}; hold {held}; echo never"] if batch else ["hold", str(held)]
    with subprocess.Popen(
        [*PROBE, *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
        cwd=ROOT,
        env=home.environment(),
    ) as child:
        assert child.stderr is not None
        assert child.stdout is not None
        assert child.stderr.readline() == b"holding\n"
        begun = time.monotonic()
        child.send_signal(number)

        assert child.wait(DEADLINE_S) == code
        assert time.monotonic() - begun < 10
        assert child.stdout.read() == b""
    assert held.read_text() == "ended"
    assert not batch or kept.read_text() == "closed"


def test_what_a_batch_opens_lives_until_it_ends(run: Run, tmp_path: Path) -> None:
    """An opened thing is still open in the next line and closed when the batch is done."""
    kept, seen = tmp_path / "kept", tmp_path / "seen"
    file = tmp_path / "batch"
    file.write_text(f"keep {kept}\nrun {seen}\n")
    seen.symlink_to(kept)

    found = run("run", str(file), program=PROBE)

    assert b"unknown command 'open'" in found.stderr
    assert kept.read_text() == "closed"


def test_b022_two_batches_at_once(home: Home, tmp_path: Path) -> None:
    """The same file run twice at the same time works twice."""
    file = tmp_path / "batch"
    file.write_text("set A 1\necho ${A}\n")
    children = [
        subprocess.Popen(
            [*COMMANDER, "run", str(file)],
            stdout=subprocess.PIPE,
            cwd=ROOT,
            env=home.environment(),
        )
        for _ in range(2)
    ]

    assert [child.communicate(timeout=DEADLINE_S)[0] for child in children] == [b"1\n", b"1\n"]


def test_core_dumps_and_debuggers_are_off(home: Home, tmp_path: Path) -> None:
    """The running program has no core limit above zero and cannot be read by its own user."""
    with subprocess.Popen(
        [*PROBE, "hold", str(tmp_path / "f")],
        stderr=subprocess.PIPE,
        cwd=ROOT,
        env=home.environment(),
    ) as child:
        assert child.stderr is not None
        child.stderr.readline()
        limits = Path(f"/proc/{child.pid}/limits").read_text()
        child.terminate()

    core = next(line for line in limits.splitlines() if line.startswith("Max core file size"))
    assert core.split()[4:6] == ["0", "0"]


def test_b011_closed_standard_streams(home: Home) -> None:
    """With stdin closed, questions fail and commands without questions work."""
    line = " ".join(f"'{word}'" for word in [*PROBE[:2], PROBE[2]])
    for words, code in (("echo x", 0), ("secret /nonexistent/f", 2), ("-", 2)):
        found = subprocess.run(
            ["sh", "-c", f"{line} {words} <&-"],
            capture_output=True,
            cwd=ROOT,
            env=home.environment(),
            timeout=DEADLINE_S,
            check=False,
        )
        assert found.returncode == code, (words, found.stderr)
        assert b"Traceback" not in found.stderr


@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-", "<&- >&- 2>&-"])
def test_b011_closed_outputs(home: Home, closed: str) -> None:
    """What would be printed goes nowhere, and no file of ours takes the stream's number."""
    line = " ".join(f"'{word}'" for word in PROBE)
    found = subprocess.run(
        ["sh", "-c", f"{line} echo x {closed}"],
        capture_output=True,
        cwd=ROOT,
        env=home.environment(),
        timeout=DEADLINE_S,
        check=False,
    )
    assert (found.returncode, found.stderr) == (0, b"")


def test_config_mistakes_are_told_with_their_line(run: Run, home: Home) -> None:
    """A bad config.yaml stops every command with its place; a readable one by others too."""
    home.commander.mkdir(mode=0o700)
    path = home.commander / "config.yaml"
    path.write_text("# x\nsevrer: h\n")
    path.chmod(0o600)
    found = run("echo", "x")
    assert found.returncode == 2
    assert b"config.yaml line 2: 'sevrer' is unknown" in found.stderr

    path.write_text("format: json\n")
    assert run("echo", "x").stdout == b'{\n  "text": "x"\n}\n'
    path.chmod(0o644)
    assert b"chmod 600" in run("echo", "x").stderr
