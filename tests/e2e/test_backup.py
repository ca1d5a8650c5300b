"""What an operator of the server does: look at it, back it up while it works, restore it elsewhere."""

from __future__ import annotations

import json
import stat
import subprocess
from pathlib import Path

import pytest

from tests.e2e.setting import TARGET, Setting, fetch
from tests.support.processes import Home
from tests.support.product import Product, wait_for_online

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]


def operate(setting: Setting, *words: str | Path) -> subprocess.CompletedProcess[str]:
    """`commander-server WORDS` on the server's machine."""
    product = setting.product
    return product.family.run(["commander-server", *words], Home(product.directory / "server"))


def test_status(setting: Setting) -> None:
    """`commander-server status` says that it runs and what it holds, in JSON too."""
    done = operate(setting, "status", "--data", setting.product.data)
    told = operate(setting, "status", "--data", setting.product.data, "--format", "json")
    missing = operate(setting, "status", "--data", setting.product.directory / "nothing")

    assert done.returncode == 0, done.stderr
    report = json.loads(told.stdout)
    assert report["status"] == "ok"
    # Positions are counted from 0.
    assert report["statements"] == setting.ann.json("whoami")["log_position"] + 1
    assert missing.returncode != 0


def test_backup_and_restore(setting: Setting, tmp_path: Path) -> None:
    """Backed up under an open tunnel and restored elsewhere: clients and gateway go on with it."""
    product, ann = setting.product, setting.ann
    tunnel, port = ann.start_tunnel(TARGET)
    file, elsewhere = tmp_path / "server.backup", tmp_path / "elsewhere"
    saved = operate(setting, "backup", "--data", product.data, file)
    assert fetch(port).stdout == "hello"
    tunnel.interrupt()
    tunnel.wait()
    assert product.server is not None
    product.server.stop()
    gone = operate(setting, "status", "--data", product.data)

    restored = operate(setting, "restore", "--data", elsewhere, file)
    server = product.family.start(
        "restored server",
        ["commander-server", "start", "--data", elsewhere, "--listen", product.address],
        Home(product.directory / "server"),
    )
    server.wait_for_line("listening on")

    assert saved.returncode == 0, saved.stderr
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert gone.returncode == 6, gone.stdout + gone.stderr
    assert restored.returncode == 0, restored.stderr
    wait_for_online(ann)
    ann("record-add", "-t", "After", "-rt", "login", "--folder", "Infrastructure")
    assert {TARGET, "After"} <= {row["title"] for row in ann.json("list")}
    _, port = ann.start_tunnel(TARGET)
    assert fetch(port).stdout == "hello"
    assert "The audit log is whole" in ann("audit", "verify")


def test_a_server_set_back_is_noticed(product: Product, tmp_path: Path) -> None:
    """A server restored from before a change is refused by the client that made the change."""
    home, file = Home(product.directory / "server"), tmp_path / "old.backup"
    server = product.start_server()
    ann = product.set_up()
    saved = product.family.run(["commander-server", "backup", "--data", product.data, file], home)
    ann("mkdir", "-sf", "Newer")
    server.stop()
    restored = product.family.run(
        ["commander-server", "restore", "--data", product.data, "--force", file], home
    )
    product.start_server()

    refused = ann.run("sync-down", "--format", "json")

    assert (saved.returncode, restored.returncode) == (0, 0), restored.stderr
    assert refused.returncode != 0
    assert json.loads(refused.stderr)["error"]["code"] == "log-forked"
