"""The official npm SDK, unmodified, against the real server over TLS: everything it can do."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from commander.wire.calls import COMMIT, INFO_PATH, PREFIX
from tests.support.sdk_devices import SdkWorld

pytestmark = pytest.mark.integration
ROOT = Path(__file__).resolve().parents[3]
SCENARIOS = Path(__file__).with_name("npm_sdk.js")
BROWSER = Path(__file__).with_name("npm_browser.mjs")
DEADLINE_S = 120


@pytest.fixture(scope="session")
def sdk() -> str:
    """The SDK as the npm registry gives it, in a folder outside the tree."""
    found = subprocess.run(
        [ROOT / "scripts/lib/npm_sdk"], capture_output=True, text=True, timeout=300, check=False
    )
    assert found.returncode == 0, found.stderr
    return found.stdout.strip()


async def run(sdk: str, world: SdkWorld, scenario: str, **arguments: Any) -> Any:
    """One scenario of npm_sdk.js in a Node process of its own."""
    return await node(world, [str(SCENARIOS), sdk, scenario], arguments)


async def node(world: SdkWorld, words: list[str], arguments: dict[str, Any]) -> Any:
    """What a program prints as JSON."""
    environment = {**os.environ, "NODE_EXTRA_CA_CERTS": str(world.ca_file)}
    child = await asyncio.create_subprocess_exec(
        "node", *words, cwd=world.ca_file.parent, env=environment,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    async with asyncio.timeout(DEADLINE_S):
        out, errors = await child.communicate(json.dumps(arguments).encode())
    assert child.returncode == 0, errors.decode()
    return json.loads(out)


async def config(world: SdkWorld) -> str:
    """A configuration as `client add --config-init json` gives it."""
    return (await world.config()).to_json()


async def test_is_the_published_package(sdk: str) -> None:
    """Not older than the first that takes a server key from its configuration."""
    package = json.loads((Path(sdk) / "package.json").read_text())

    assert package["name"] == "@keeper-security/secrets-manager-core"
    assert [int(part) for part in package["version"].split(".")] >= [17, 5, 0]


async def test_binds_with_a_token_and_opens_again_from_its_file(
    sdk: str, world: SdkWorld, tmp_path: Path
) -> None:
    """The file it wrote is enough for the next run; the token is used up."""
    first, second, again = await run(
        sdk, world, "bind", token=(await world.token()).text, hostname=world.hostname,
        serverKey=world.server_key, serverKeyId=str(world.server.core.identity.ksm_key_id),
        file=str(tmp_path / "ksm.json"),
    )  # fmt: skip

    assert first == second == "Orders DB"
    assert "access_denied" in again


async def test_reads_filters_and_uses_notation(sdk: str, world: SdkWorld) -> None:
    """By record, by folder, by title, by notation; unknown names give nothing."""
    found = await run(
        sdk, world, "read", config=await config(world), record=world.record, folder=world.folder
    )

    assert found == {
        "app": "Orders", "all": [world.record], "byFolder": [world.record], "nothing": 0,
        "links": [], "byTitle": world.record, "password": "pass wörd", "login": "orders",
    }  # fmt: skip


async def test_updates_a_record_and_meets_a_faster_writer(sdk: str, world: SdkWorld) -> None:
    """Two writers: the slower one is told, reads again and loses nothing."""
    password, login, stale = await run(
        sdk, world, "update", config=await config(world), record=world.record
    )

    assert (password, login) == ("changed", "late")
    assert "out_of_sync" in stale


async def test_transactions_commit_and_roll_back(sdk: str, world: SdkWorld) -> None:
    """Nobody reads what is staged; its end decides."""
    seen, refused = await run(
        sdk, world, "transaction", config=await config(world), record=world.record
    )

    assert seen == ["pass wörd", "pass wörd", "third"]
    assert "waits to be completed" in refused


async def test_creates_and_deletes_records(sdk: str, world: SdkWorld) -> None:
    """In a shared folder and in a sub-folder."""
    found = await run(sdk, world, "records", config=await config(world), folder=world.folder)

    assert found == {
        "title": "New", "inFolder": True, "codes": ["ok", "record_uid_not_found"], "gone": True,
    }  # fmt: skip
    assert await world.titles() >= {"Within", "Inner"}


async def test_makes_renames_nests_and_deletes_folders(sdk: str, world: SdkWorld) -> None:
    """A full folder goes by force only."""
    found = await run(sdk, world, "folders", config=await config(world), folder=world.folder)

    assert found == {
        "before": ["Databases"], "made": ["Databases", "Innermost", "Outer"],
        "after": ["Databases"], "full": "bad_request", "forced": "ok",
    }  # fmt: skip
    assert (await world.titles()).isdisjoint({"Outer", "Inner", "Innermost"})


async def test_uploads_and_downloads_files(sdk: str, world: SdkWorld) -> None:
    """What comes back is what went in; a removed file is gone."""
    found = await run(sdk, world, "files", config=await config(world), record=world.record)

    assert found == {"uid": True, "name": "c.bin", "same": True, "left": 0}
    assert "Orders DB" in await world.titles()


async def test_reads_from_its_cache_when_the_server_is_down(sdk: str, world: SdkWorld) -> None:
    """The SDK's own cache holds the last answer."""
    titles = await run(sdk, world, "cache", config=await config(world), hostname=world.hostname)

    assert titles == ["Orders DB"]


async def test_view_only_application_is_refused_every_write(sdk: str, world: SdkWorld) -> None:
    """With a reason."""
    await world.vault.applications.share_folder(world.application, world.folder)

    editable, *refusals, code = await run(
        sdk, world, "writes", config=await config(world), record=world.record, folder=world.folder
    )

    assert not editable
    assert all("access_denied" in text for text in refusals)
    assert code == "access_denied"


async def test_browser_build_works_from_a_page_of_another_origin(sdk: str, world: SdkWorld) -> None:
    """Reads, writes, carries files, as far as a browser's rules let it; nothing but the device API answers a page."""
    arguments = {"config": await config(world), "record": world.record}

    found = await node(world, [str(BROWSER), sdk], arguments)

    assert found == {
        "password": "from a page", "same": True, "refused": True,
        "asked": ["authorization", "content-type", "publickeyid", "transmissionkey"],
    }  # fmt: skip
    client = world.server.http()
    for path in (INFO_PATH, COMMIT.path, PREFIX + "nothing"):
        answer = await client.options(path, headers={"origin": "https://page.example"})
        assert answer.status_code in (404, 405)
        assert "access-control-allow-origin" not in answer.headers
    await client.aclose()
