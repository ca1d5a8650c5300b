"""
A session of commands and a program with an official SDK, written as a transcript for the docs.

docs/secrets-manager.md holds one that was made this way; a scenario makes it again and compares, so that the page stays true. UIDs,
times and the like differ each time and are compared by their form.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.support.product import Product, User

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "secrets-manager.md"
BEGIN, END = (
    "<!-- transcript: made by scripts/sdk_transcript.py -->\n",
    "<!-- end of transcript -->\n",
)
PROGRAM = """\
from keeper_secrets_manager_core import SecretsManager
from keeper_secrets_manager_core.storage import InMemoryKeyValueStorage

config = InMemoryKeyValueStorage(open("ksm-config").read().strip())
secrets = SecretsManager(config=config)
record = secrets.get_secret_by_title("Orders DB")
print("login as", record.field("login", single=True))
record.field("password", "changed by the SDK")
secrets.save(record)
"""
COMMANDS = (
    "commander mkdir -sf Deploy",
    'commander record-add -t "Orders DB" -rt login --folder Deploy login=app "password=\\$GEN:rand,20"',
    "commander secrets-manager app create CI",
    "commander secrets-manager share add --app CI --secret Deploy --editable",
    "commander secrets-manager client add --app CI --name build --config-init b64 --output ksm-config",
    "commander secrets-manager server --ca-output ca.pem --format yaml",
    "REQUESTS_CA_BUNDLE=ca.pem python rotate.py",
    'commander get "Orders DB" --unmask',
    'commander record-history "Orders DB"',
)
_FORMS = (
    (re.compile(r"(?<![A-Za-z0-9_-])[A-Za-z0-9_-]{22}(?![A-Za-z0-9_-])"), "UID" + " " * 19),
    (re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ"), "TIME"),
    (re.compile(r"(server_public_key: )\S+"), r"\1KEY"),
    (re.compile(r"(server_public_key_id: )\S+"), r"\1ID"),
    (re.compile(r"127\.0\.0\.1:\d+"), "HOST"),
)


def make_transcript(ann: User) -> str:
    """Run the commands as a user's shell would, in her directory."""
    work = ann.home.work
    (work / "rotate.py").write_text(PROGRAM)
    lines = ["$ cat rotate.py", *PROGRAM.splitlines()]
    binary = Path(sys.executable).parent
    environment = ann.home.environment()
    environment["PATH"] = f"{binary}:{environment.get('PATH', '')}"
    for command in COMMANDS:
        done = subprocess.run(
            ["/bin/sh", "-c", command],
            cwd=work,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, f"{command}: {done.stdout}"
        lines += [f"$ {command}", *done.stdout.rstrip("\n").splitlines()]
    return "".join(f"    {line}".rstrip() + "\n" for line in lines)


def form_of(transcript: str) -> str:
    """A transcript without what differs each time."""
    for pattern, form in _FORMS:
        transcript = pattern.sub(form, transcript)
    return transcript


def in_page(page: str) -> str:
    """The transcript that a page holds."""
    return page.partition(BEGIN)[2].partition(END)[0].strip("\n") + "\n"


def write_page() -> None:
    """Make the transcript anew with a product of its own, and put it into the page."""
    with tempfile.TemporaryDirectory() as directory, Product(Path(directory)) as product:
        product.start_server()
        transcript = make_transcript(product.set_up())
    before, _, rest = PAGE.read_text().partition(BEGIN)
    PAGE.write_text(f"{before}{BEGIN}\n{transcript}\n{END}{rest.partition(END)[2]}")
