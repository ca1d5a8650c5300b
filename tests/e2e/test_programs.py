"""`exec` and `inject` with the real program: one-shot, in a batch, in a session, on signals."""

from __future__ import annotations

import base64
import signal
from collections.abc import Iterator

import pytest

from tests.e2e.test_session import Terminal
from tests.support.product import Product, User
from tests.support.waiting import until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]
SECRET = "s3cret-of-the-database"
NOTATION = r"keeper://Orders \/ DB/field/password"


@pytest.fixture(scope="module")
def product(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Product]:
    with Product(tmp_path_factory.mktemp("product")) as product:
        product.start_server()
        yield product


@pytest.fixture(scope="module")
def ann(product: Product) -> User:
    ann = product.set_up()
    ann("record-add", "-t", "Orders / DB", "-rt", "login", "login=app", "--field-stdin", "password",
        stdin=SECRET)  # fmt: skip
    return ann


def test_a_program_gets_secrets_and_its_code_is_ours(ann: User) -> None:
    """Standard input and both outputs are the program's; nothing secret is in them when masked."""
    script = 'cat; printf "%s" "$P" | base64; echo "$P" >&2; exit 7'
    flags = ("exec", "--env", f"P={NOTATION}")

    plain = ann.run(*flags, "--", "sh", "-c", script, stdin="typed\n")
    masked = ann.run(*flags, "--mask", "--", "sh", "-c", script, stdin="typed\n")

    encoded = base64.b64encode(SECRET.encode()).decode()
    assert (plain.returncode, masked.returncode) == (7, 7)
    assert (plain.stdout, plain.stderr) == (f"typed\n{encoded}\n", f"{SECRET}\n")
    assert masked.stdout.startswith("typed\n********")
    assert masked.stderr == "********\n"


def test_notation_in_the_environment_and_in_a_batch(ann: User) -> None:
    """A variable that was there counts too; a batch stops at a program that fails."""
    done = ann.run(
        "-c",
        "exec -- sh -c 'echo $P'; exec -- sh -c 'exit 3'; echo never",
        environment={"P": NOTATION},
    )

    assert (done.returncode, done.stdout) == (3, f"{SECRET}\n")


def test_nothing_runs_without_its_secret(ann: User) -> None:
    """Exit code 3, as JSON when asked for, and no program."""
    done = ann.run("exec", "--env", "P=keeper://none/title", "--", "echo", "started")

    assert (done.returncode, done.stdout) == (3, "")
    assert "P: no record 'none'" in done.stderr


def test_a_template_is_filled(ann: User) -> None:
    """From standard input to standard output, byte for byte; into a file."""
    assert ann("inject", "-", stdin=f"\ta: {{{{ {NOTATION} }}}}\r\n") == f"\ta: {SECRET}\n"
    ann("inject", "-", "-o", "app.conf", stdin=f"{{{{{NOTATION}|json}}}}")
    assert (ann.home.work / "app.conf").read_text() == SECRET


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_program(ann: User, number: signal.Signals) -> None:
    """The program may clean up; the code is 128 + n, or its own when it had the signal."""
    out = ann.home.work / f"ended-{number}"
    script = f"trap 'echo x > {out}; exit 9' TERM INT; echo ready; while :; do sleep 0.1; done"
    child = ann.start("exec", "--mask", "--", "sh", "-c", script)
    child.wait_for_line("ready")

    (child.interrupt if number is signal.SIGINT else child.terminate)()

    assert child.wait() == (9 if number is signal.SIGINT else 128 + number)
    until(out.exists, "the program cleaned up")


def test_a_session_runs_programs(ann: User, product: Product) -> None:
    """On the terminal, with completion of flags; Ctrl-C ends the program, not the session."""
    terminal = Terminal(ann, product.family.mark)
    terminal.prompt()
    terminal.child.send("exec --env-f\t")
    terminal.expect("ile")
    terminal.child.send("\x15")
    terminal.type(f"exec --mask --env 'P={NOTATION}' -- sh -c 'echo \"<$P>\"; sleep 600'")
    terminal.expect(r"<\*\*\*\*\*\*\*\*>")
    terminal.child.sendintr()
    terminal.prompt()

    assert terminal.leave() == 0
