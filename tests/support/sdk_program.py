"""The server program on a store that holds an application, and one of its devices talking to it."""

from __future__ import annotations

import http.client
import json
import signal
import ssl
from contextlib import closing
from pathlib import Path
from typing import Any

from commander.authority.statements import Right
from commander.ksm.config import DeviceConfig
from commander.ksm.request import PATH_PREFIX, build_request
from tests.support.backend_server import running
from tests.support.sdk_devices import RawDevice, b64, build_world, path_of
from tests.support.server_program import Running

HEAD = b'--cut\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\n'
TAIL = b"\r\n--cut--\r\n"


class Program:
    """The server program on a data directory, and a device that talks to it."""

    def __init__(self, data: Path, config: DeviceConfig, content: dict[str, Any]) -> None:
        self.data = data
        self.config = config
        self.content = content
        self.server = Running(data)

    def again(self) -> None:
        """kill -9, and start anew."""
        self.server.stop(signal.SIGKILL)
        self.server = Running(self.data)

    def connect(self) -> http.client.HTTPSConnection:
        host, port = self.server.address.rsplit(":", 1)
        context = ssl.create_default_context(cafile=str(self.data / "ca.pem"))
        return http.client.HTTPSConnection(host, int(port), context=context, timeout=60)

    def call(self, endpoint: str, **content: Any) -> Any:
        config = self.config
        payload = json.dumps({"clientId": b64(config.client_id), **content}).encode()
        key = config.server_public_key
        assert key is not None
        request = build_request(key, config.server_key_id, config.private_key, payload)
        with closing(self.connect()) as connection:
            connection.request("POST", PATH_PREFIX + endpoint, request.body, request.headers)
            answer = connection.getresponse()
            body = answer.read()
        assert answer.status == 200, body
        return json.loads(request.open_answer(body) or b"null")

    def file(self) -> dict[str, Any]:
        answer = self.call("get_secret", requestedRecords=[self.content["ownerRecordUid"]])
        found: dict[str, Any] = answer["folders"][0]["records"][0]["files"][0]
        return found

    def begin(self, url: str, size: int) -> http.client.HTTPSConnection:
        """An upload's headers and first bytes."""
        connection = self.connect()
        connection.putrequest("POST", path_of(url))
        connection.putheader("Content-Type", "multipart/form-data; boundary=cut")
        connection.putheader("Content-Length", str(len(HEAD) + size + len(TAIL)))
        connection.endheaders(HEAD)
        return connection

    def names(self) -> list[str]:
        files = self.data / "files"
        return [path.name for path in files.iterdir()] if files.exists() else []


async def prepare(data: Path, size: int) -> tuple[DeviceConfig, dict[str, Any]]:
    async with running(data) as server:
        owner = await server.set_up()
        world = await build_world(server, owner, data, rights=(Right.VIEW, Right.EDIT))
        config = await world.config()
        device = RawDevice(world, config.client_id, config.private_key)
        revision = (await device.newest())["revision"]
        return config, device.new_file(revision, size)
