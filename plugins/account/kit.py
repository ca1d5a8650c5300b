"""The emergency kit: what a person prints and locks away; pure text."""

from __future__ import annotations

from dataclasses import dataclass, field

from commander.crypto.encoding import to_base64url
from commander.crypto.signing import SigningKey
from commander.vault.accounts import AccountSecret
from commander.vault.device import DeviceFile
from commander.wire.join import Join, write_join
from commander.wire.known_server import KnownServer

RULE = "-" * 72


@dataclass(frozen=True)
class Kit:
    """What the kit says; `root` is the enterprise root's private half, with the first account only."""

    server: str
    email: str
    login_string: str
    account_secret: str = field(repr=False)
    root: str = field(default="", repr=False)

    def text(self) -> str:
        """The page to print."""
        lines = [
            RULE,
            "COMMANDER EMERGENCY KIT: print it, lock it away, then remove the file",
            RULE,
            f"server:          {self.server}",
            f"account:         {self.email}",
            f"account secret:  {self.account_secret}",
            f"login string:    {self.login_string}",
        ]
        if self.root:
            lines.append(f"enterprise root: {self.root}")
        lines += [
            "",
            "Log in on a new machine with this page and the password:",
            f"  commander login {self.email} --account-secret-file THIS-FILE",
            "The password is not written here. Nobody can recover the account without both.",
            RULE,
        ]
        return "\n".join(lines)


def make_kit(device: DeviceFile, secret: AccountSecret, root: SigningKey | None, ca: bytes) -> Kit:
    """The kit of an account; `ca` is the fingerprint of the server's CA, or empty."""
    return Kit(
        server=device.server.address,
        email=device.email,
        login_string=login_string(device.server, device.root, ca),
        account_secret=secret.text,
        root=f"R1-{to_base64url(root.raw())}" if root else "",
    )


def login_string(server: KnownServer, root: bytes, ca: bytes) -> str:
    """What pins server and enterprise on a new machine; nothing in it is secret."""
    return write_join(Join("login", server.address, b"", root, ca))
