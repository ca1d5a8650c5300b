from __future__ import annotations

import pytest

from plugins.pam.tunnel.local_names import certificate_line, explain_name, resolve_here

NAME, ADDRESS = "orders-db.localhost", "127.80.1.2"


def told(resolved: tuple[str, ...], *, is_beside: bool) -> str:
    lines = explain_name(NAME, ADDRESS, 8080, resolved=resolved, is_beside=is_beside)
    return "\n".join(text for _, text in lines)


def test_a_name_in_the_hosts_file_leads_to_the_address() -> None:
    """For programs that ask the C library; browsers and curl do not ask it."""
    text = told((ADDRESS,), is_beside=True)
    assert "orders-db.localhost:8080 leads here" in text
    assert "127.0.0.1, where this tunnel is too" in text
    assert "127.0.0.1" not in told((ADDRESS,), is_beside=False)


def test_without_a_resolver_only_browsers_and_curl_know_the_name() -> None:
    """And the line for /etc/hosts is given, since nothing else helps the rest."""
    text = told((), is_beside=True)
    assert "works in browsers and curl" in text
    assert "/etc/hosts: 127.80.1.2 orders-db.localhost" in text


def test_a_resolver_that_knows_localhost_names_helps_all() -> None:
    """systemd-resolved and nss-myhostname answer 127.0.0.1 and ::1."""
    text = told(("::1", "127.0.0.1"), is_beside=True)
    assert "browsers, curl and programs of this machine" in text
    assert "/etc/hosts" not in text


def test_a_name_that_leads_to_another_program_is_not_recommended() -> None:
    """The port of 127.0.0.1 was taken: the name would reach whoever has it."""
    text = told(("127.0.0.1",), is_beside=False)
    assert "another program has port 8080: use 127.80.1.2" in text


@pytest.mark.parametrize(
    ("target", "program", "line"),
    [
        ("db.corp:5432", "psql", 'psql "host=db.corp hostaddr=127.80.1.2 port=5432 sslmode=verify-full"'),
        ("web.corp:443", "curl", "curl --connect-to web.corp:443:127.80.1.2:443 https://web.corp:443/"),
        ("host.corp:22", "ssh", "ssh -o HostKeyAlias=host.corp -p 22 127.80.1.2"),
        ("ldap.corp:636", "", "add to /etc/hosts: 127.80.1.2 ldap.corp"),
    ],
)  # fmt: skip
def test_the_targets_own_certificate_can_be_checked(target: str, program: str, line: str) -> None:
    """The client connects to us and still asks for the target's name."""
    port = int(target.rpartition(":")[2])
    assert certificate_line(target, ADDRESS, port, program) == (f"As {target.split(':')[0]}", line)


def test_a_target_without_a_name_has_no_certificate_line() -> None:
    """An address needs no detour."""
    assert certificate_line("10.0.0.5:5432", ADDRESS, 5432, "psql") is None
    assert certificate_line("[fd00::5]:5432", ADDRESS, 5432, "psql") is None


async def test_this_machine_is_asked_what_the_name_is() -> None:
    """An unknown name is no error."""
    assert await resolve_here("localhost") != ()
    assert await resolve_here("no-such-name.invalid") == ()
