"""Secrets Manager through the whole product: the vault writes, the official SDK changes, the vault shows who."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.support.product import Product, User
from tests.support.transcript import PAGE, form_of, in_page, make_transcript

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]

BIND_AND_WRITE = """
import sys
from keeper_secrets_manager_core import SecretsManager
from keeper_secrets_manager_core.storage import FileKeyValueStorage
token, host, key_id, key = sys.argv[1:5] if len(sys.argv) > 4 else (None, None, None, None)
more = {"token": token, "hostname": host, "server_public_key": key, "server_public_key_id": key_id} if token else {}
secrets = SecretsManager(config=FileKeyValueStorage("client-config.json"), **more)
record = secrets.get_secret_by_title("By token")
record.field("password", record.field("password", single=True) + "+")
secrets.save(record)
"""


@pytest.fixture(scope="module")
def product(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Product]:
    with Product(tmp_path_factory.mktemp("product")) as product:
        product.start_server()
        yield product


@pytest.fixture(scope="module")
def ann(product: Product) -> User:
    return product.set_up()


def written(ann: User) -> tuple[str, str]:
    """Author and password of the record that the token's client writes."""
    shown = ann.json("get", "By token", "--unmask")
    (password,) = [field for field in shown["fields"] if field["type"] == "password"]
    return shown["author"], password["value"][0]


def test_the_transcript_of_the_docs_is_true(ann: User) -> None:
    """The page's commands run, the official Python SDK changes the record, and it is said who did."""
    transcript = make_transcript(ann)

    assert "client build of application CI" in transcript
    assert "changed by the SDK" in transcript
    assert form_of(transcript) == form_of(in_page(PAGE.read_text()))


def test_a_client_by_token_is_unconfirmed_until_it_is_confirmed(ann: User) -> None:
    """What it wrote is shown as such; its own configuration file proves it; removed, it is refused."""
    ann("mkdir", "-sf", "Tokens")
    ann("record-add", "-t", "By token", "-rt", "login", "--folder", "Tokens", "--field-stdin",
        "password", stdin="1")  # fmt: skip
    ann("secrets-manager", "app", "create", "Bots")
    ann("secrets-manager", "share", "add", "--app", "Bots", "--secret", "Tokens", "--editable")
    made = ann.json("secrets-manager", "client", "add", "--app", "Bots", "--name", "bot")
    ann("secrets-manager", "server", "--ca-output", "tokens-ca.pem")
    words = [
        made["clients"][0]["token"], made["hostname"], made["server_public_key_id"],
        made["server_public_key"],
    ]  # fmt: skip

    def run_sdk(*arguments: str) -> int:
        return subprocess.run(
            [sys.executable, "-c", BIND_AND_WRITE, *arguments],
            cwd=ann.home.work,
            env=ann.home.environment(REQUESTS_CA_BUNDLE="tokens-ca.pem"),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=120,
            check=False,
        ).returncode

    assert run_sdk(*words) == 0
    (row,) = ann.json("secrets-manager", "client", "list", "--app", "Bots")
    assert row["status"] == "unconfirmed"
    assert written(ann) == ("client bot of application Bots (unconfirmed)", "1+")
    confirm = ("secrets-manager", "client", "confirm", "--app", "Bots", "-i", "bot")
    ann(*confirm, "--fingerprint", "0000-" * 7 + "0000", status=1)
    ann(*confirm, status=2)
    ann(*confirm, "--config-file", "client-config.json")

    assert run_sdk() == 0
    assert written(ann) == ("client bot of application Bots", "1++")
    ann("secrets-manager", "client", "remove", "--app", "Bots", "-i", "bot", "-f")
    assert run_sdk() != 0


def test_files_through_the_whole_product(ann: User, product: Product) -> None:
    """A large file goes up and comes back the same; then it is taken away, and its bytes with it."""
    content = bytes(range(256)) * (64 * 1024)
    (ann.home.work / "big.bin").write_bytes(content)
    ann("record-add", "-t", "Orders", "-rt", "login", "file=@big.bin")

    assert ann.json("get", "Orders")["attachments"][0]["size"] == len(content)
    ann("download-attachment", "Orders", "-o", "back.bin")
    assert (ann.home.work / "back.bin").read_bytes() == content
    ann("download-attachment", "Orders", "-o", "back.bin", status=7)
    ann("record-update", "-r", "Orders", "--remove-file", "big.bin")
    ann("download-attachment", "Orders", status=3)
    assert list((product.data / "files").iterdir()) == []
