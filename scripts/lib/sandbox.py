"""
Plays the first minute: server, account, gateway, sample targets, records, tunnels, and then a session.

Started by scripts/sandbox, which installs what this needs. The programs are started as a user would start
them, each with a home of its own below .sandbox/.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from tests.support.product import PASSWORD, Product, User  # noqa: E402 (needs the path)
from tests.support.servers.postgres import Postgres  # noqa: E402 (needs the path)
from tests.support.servers.sshd import Sshd  # noqa: E402 (needs the path)

# One folder a run, so that two sandboxes do not take each other apart.
DIRECTORY = Path(os.environ.get("SANDBOX_DIRECTORY") or ROOT / ".sandbox" / str(os.getpid()))
COMMANDS = Path(__file__).parent
SAID = "through the tunnel"


class Failed(Exception):
    """A step of the sandbox did not do what it should."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/sandbox", description=__doc__)
    parser.add_argument("--without-postgres", action="store_true", help="only the SSH target")
    parser.add_argument(
        "--keep", action="store_true", help="leave its files in .sandbox/ for a look"
    )
    options = parser.parse_args()
    # A terminal that goes away, or a stop, ends the sandbox as Ctrl-C does: in order.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
    shutil.rmtree(DIRECTORY, ignore_errors=True)
    try:
        return play(without_postgres=options.without_postgres)
    except KeyboardInterrupt:
        return 130
    except (Failed, AssertionError, subprocess.SubprocessError) as error:
        print(f"sandbox: {error}", file=sys.stderr)
        return 1
    finally:
        if not options.keep:
            shutil.rmtree(DIRECTORY, ignore_errors=True)


def play(*, without_postgres: bool) -> int:
    """Build it all; then the session, or without a terminal the proof."""
    started = time.monotonic()

    def say(text: str) -> None:
        print(f"[{time.monotonic() - started:5.1f} s] {text}", file=sys.stderr, flush=True)

    with contextlib.ExitStack() as stack:
        product = stack.enter_context(Product(DIRECTORY))
        say("starting the server (commander-server start)")
        product.start_server()
        say("making the account (commander setup)")
        user = product.set_up()
        say("starting the gateway (gateway start)")
        product.start_gateway()
        say("starting the sample targets")
        sshd = stack.enter_context(Sshd())
        postgres = None if without_postgres else stack.enter_context(Postgres())
        say("making configuration and records (a batch of commands)")
        user.batch(commands(user, sshd, postgres))
        say("ready")
        if sys.stdin.isatty() and sys.stdout.isatty():
            return session(user, sshd, postgres)
        return proof(user, sshd, postgres)


def commands(user: User, sshd: Sshd, postgres: Postgres | None) -> str:
    """The batch files with the sample targets' addresses set in front."""
    values = {"ssh": f"{sshd.host}:{sshd.port}"}
    text = (COMMANDS / "sandbox.commands").read_text()
    if postgres is not None:
        password_file = user.secret_file("orders-password.txt", postgres.password)
        values |= {
            "postgres": f"{postgres.host}:{postgres.port}",
            "login": postgres.user,
            "password_file": str(password_file),
        }
        text += (COMMANDS / "sandbox_postgres.commands").read_text()
    head = "".join(f"set {name} {shlex.quote(value)}\n" for name, value in values.items())
    return head + text


def session(user: User, sshd: Sshd, postgres: Postgres | None) -> int:
    """Open tunnels, say what to paste in another terminal, and hand over this one."""
    print(user("pam", "tunnel", "start", "Build host", "--background"))
    ssh_port = port_of(user, "Build host")
    lines = [f"ssh -p {ssh_port} {shlex.join(sshd.client_options())} {sshd.user}@127.0.0.1"]
    if postgres is not None:
        print(user("pam", "tunnel", "start", "Orders DB", "--background"))
        url = f"postgresql://{postgres.user}:{postgres.password}@127.0.0.1"
        lines.insert(0, f"psql {url}:{port_of(user, 'Orders DB')}/{postgres.database}")
    print("Paste in another terminal:\n")
    print("\n".join(f"  {line}" for line in lines))
    print("\nHere: pam tunnel list, pam tunnel tail, help. `quit` ends the sandbox.")
    print(f"After 30 minutes without a command: login, password {PASSWORD!r}.\n", flush=True)
    # Ctrl-C is meant for the session, which gets it from the terminal as we do.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    environment = user.home.environment(TERM=os.environ.get("TERM", "xterm"))
    commander = ROOT / ".venv" / "bin" / "commander"
    status = subprocess.run([commander], env=environment, check=False).returncode
    user.run("pam", "tunnel", "stop", "--all")
    return status


def port_of(user: User, record: str) -> str:
    """The local port of a record's tunnel."""
    for tunnel in user.json("pam", "tunnel", "list"):
        if tunnel["record"] == record:
            return str(tunnel["local"]).rpartition(":")[2]
    raise Failed(f"no tunnel to {record} is open")


def proof(user: User, sshd: Sshd, postgres: Postgres | None) -> int:
    """Use the tunnels with the real clients, through `--run`; print what they answered."""
    words = [*sshd.client_options(), "-p"]
    ssh = f'ssh {shlex.join(words)} "$PAM_PORT" {sshd.user}@"$PAM_HOST" echo {SAID}'
    if run_through(user, "Build host", ssh).strip() != SAID:
        raise Failed("ssh through the tunnel gave another answer")
    print(f"ssh: {SAID}")
    if postgres is not None:
        psql = "psql -XAtqc 'select version()'"
        account = {
            "PGUSER": postgres.user,
            "PGPASSWORD": postgres.password,
            "PGDATABASE": postgres.database,
        }
        answer = run_through(user, "Orders DB", psql, account)
        print(f"psql: {answer.strip()}")
        if not answer.startswith("PostgreSQL"):
            raise Failed("psql through the tunnel gave another answer")
    return 0


def run_through(
    user: User, record: str, command: str, environment: Mapping[str, str] | None = None
) -> str:
    """`pam tunnel start RECORD --run COMMAND`; what the command printed."""
    words = ("pam", "tunnel", "start", record, "--run", command)
    done = user.run(*words, environment=environment)
    if done.returncode != 0:
        raise Failed(f"{command}: status {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


if __name__ == "__main__":
    sys.exit(main())
