from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from commander.config.options import Options
from commander.config.options_file import MAX_BYTES, parse_options, set_option
from commander.errors import InvalidInput

FULL = b"""\xef\xbb\xbf# mine
server: pam.example.com:8443
history: off
history_lines: 10
disabled_plugins: [one, two]
editing: vi
vault_name: "Our: Vault"
"""


def test_a_full_file_is_read() -> None:
    """Texts, switches, numbers and lists arrive in their types."""
    assert parse_options(FULL) == Options(
        server="pam.example.com:8443",
        history=False,
        history_lines=10,
        disabled_plugins=("one", "two"),
        editing="vi",
        vault_name="Our: Vault",
    )


@pytest.mark.parametrize("data", [b"", b"# nothing\n", b"---\n", b"{}", b"\n\n"])
def test_an_empty_file_is_the_defaults(data: bytes) -> None:
    """No options, no error."""
    assert parse_options(data) == Options()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"server: a\nsevrer: b\n", "line 2: 'sevrer' is unknown"),
        (b"server: a\nserver: b\n", "line 2: 'server' is set a second time"),
        (b"history: maybe\n", "line 1: history must be true or false"),
        (b"\nhistory_lines: -1\n", "line 2: history_lines must be a number from 0"),
        (b"first_port: 80\n", "line 1: first_port must be a number"),
        (b"format: xml\n", "line 1: format must be one of table"),
        (b"server: [a, b]\n", "line 1: server takes one value"),
        (b"server: {a: b}\n", "line 1: nested"),
        (b"server: &a b\n", "line 1: anchors"),
        (b"server: !!str b\n", "line 1: anchors"),
        (b"a: *b\n", "line 1"),
        (b"- a\n", "line 1: must be"),
        (b"just text\n", "line 1: must be"),
        (b"server: a\n---\nserver: b\n", "line 2: a second document"),
        (b"server: a\n  b: c\n", "line 2"),
        (b"server: 'a\n", "line"),
        (b"server: \xff\n", "not UTF-8 at byte 8"),
        (b"server: a\x00b\n", "control character"),
        (b"x" * (MAX_BYTES + 1), "larger than"),
        (b"disabled_plugins: [" + b"a," * 65 + b"]", "more than 64"),
        (b"[" * 5000, "line 1"),
    ],
)
def test_mistakes_name_their_line(data: bytes, message: str) -> None:
    """Unknown names, bad values and forms we do not read are errors with the line."""
    with pytest.raises(InvalidInput, match=r"config\.yaml") as caught:
        parse_options(data)

    assert message in caught.value.message


def test_every_prefix_is_read_or_refused() -> None:
    """A file cut anywhere is options or InvalidInput."""
    for cut in range(len(FULL)):
        with contextlib.suppress(InvalidInput):
            assert parse_options(FULL[:cut]).vault_name is not None


@given(st.binary(max_size=80))
def test_random_bytes_are_read_or_refused(data: bytes) -> None:
    """Nothing but InvalidInput comes out."""
    with contextlib.suppress(InvalidInput):
        assert parse_options(data).vault_name is not None


@given(
    st.text(
        alphabet=st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp"], max_codepoint=0xFF00),
        max_size=40,
    )
)
def test_an_option_that_is_set_is_read_back(value: str) -> None:
    """Any printable value survives; comments and other options stay."""
    text = set_option(FULL.decode("utf-8-sig"), "vault_name", value)
    text = set_option(text, "user", value)

    found = parse_options(text.encode())
    assert (found.vault_name, found.user, found.history_lines) == (value, value, 10)
    assert text.startswith("# mine\n")


def test_set_option_ends_an_unfinished_last_line() -> None:
    """A file without a last newline gets one before the new option."""
    assert set_option("server: a", "user", "u") == 'server: a\nuser: "u"\n'
