"""
A small Secrets Manager server over TLS for official SDKs, built from `commander.ksm` alone.

It knows one device and one application with one folder and one record. It answers `get_secret`
as the protocol demands: binds a device once, repeats the answer for the same key, refuses others.
"""

from __future__ import annotations

import json
import ssl
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Self

import trustme

from commander.crypto import aead
from commander.errors import CommanderError, NotFound, SealBroken
from commander.ids import new_uid
from commander.ksm import errors, request
from commander.ksm.keys import P256PrivateKey, P256PublicKey
from commander.ksm.payloads import Folder, GetSecretRequest, GetSecretResponse, Record
from commander.ksm.token import OneTimeToken

KEY_ID = 4001
RECORD_JSON = {
    "title": "Orders DB",
    "type": "login",
    "fields": [
        {"type": "login", "value": ["orders"]},
        {"type": "password", "value": ["pass wörd"]},
    ],
    "custom": [],
}


class DeviceApi:
    """The server; `requests` are those that were opened and verified."""

    def __init__(self, folder: Path) -> None:
        self.key = P256PrivateKey.generate()
        self.owner = P256PrivateKey.generate()
        self.token = OneTimeToken.generate()
        self.app_key, self.folder_key, self.record_key = (aead.new_key() for _ in range(3))
        self.folder_uid, self.record_uid = new_uid(), new_uid()
        self.requests: list[GetSecretRequest] = []
        self.ca_file = folder / "ca.pem"
        self._bound: P256PublicKey | None = None
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.socket = self._tls().wrap_socket(self._server.socket, server_side=True)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))

    @property
    def hostname(self) -> str:
        """Name and port as SDKs take them."""
        return f"localhost:{self._server.server_port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def answer(self, path: str, headers: dict[str, str], body: bytes) -> tuple[int, bytes]:
        """Status and body for one request."""
        try:
            opened = request.open_request(headers, body, [self.key])
            asked = GetSecretRequest.parse(opened.payload)
            self._check(path, opened, asked)
        except CommanderError as error:
            refusal = errors.answer_for(error, server_key_id=KEY_ID)
            return refusal.status, refusal.body()
        self.requests.append(asked)
        return 200, opened.seal_answer(self._secrets(asked).to_payload())

    def _check(self, path: str, opened: request.OpenedRequest, asked: GetSecretRequest) -> None:
        if path != request.PATH_PREFIX + "get_secret" or asked.client_id != self.token.client_id:
            raise NotFound("unknown client")
        key = asked.public_key or self._bound
        if key is None or (self._bound is not None and key != self._bound):
            raise SealBroken
        opened.verify_signature(key)
        self._bound = key

    def _secrets(self, asked: GetSecretRequest) -> GetSecretResponse:
        record = Record(
            self.record_uid,
            aead.seal(self.folder_key, self.record_key),
            aead.seal(self.record_key, json.dumps(RECORD_JSON).encode().ljust(512)),
            revision=1,
            is_editable=False,
        )
        wanted = not asked.records or self.record_uid in asked.records
        folder_key = aead.seal(self.app_key, self.folder_key)
        binds = asked.public_key is not None
        return GetSecretResponse.make(
            folders=[Folder(self.folder_uid, folder_key, False, [record] if wanted else [])],
            records=[],
            app_data=aead.seal(self.app_key, b'{"title": "Orders", "type": "app"}   '),
            encrypted_app_key=self.token.seal_app_key(self.app_key) if binds else None,
            app_owner_public_key=self.owner.public.raw if binds else None,
        )

    def _tls(self) -> ssl.SSLContext:
        authority = trustme.CA()
        authority.cert_pem.write_to_path(self.ca_file)
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        authority.issue_cert("localhost").configure_cert(context)
        return context

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        answer = self.answer

        class Handler(BaseHTTPRequestHandler):
            timeout = 30

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                status, content = answer(self.path, dict(self.headers.items()), body)
                self.send_response(status)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, format: str, *args: object) -> None:
                """Say nothing: the test looks at `requests`."""

        return Handler
