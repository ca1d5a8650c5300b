"""Secrets Manager through the whole product: the vault writes, the official SDK changes, the vault shows who."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.product import Product
from tests.support.transcript import PAGE, form_of, in_page, make_transcript

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]


def test_the_transcript_of_the_docs_is_true(tmp_path: Path) -> None:
    """The page's commands run, the official Python SDK changes the record, and it is said who did."""
    with Product(tmp_path) as product:
        product.start_server()
        transcript = make_transcript(product.set_up())

    assert "client build of application CI" in transcript
    assert "changed by the SDK" in transcript
    assert form_of(transcript) == form_of(in_page(PAGE.read_text()))


def test_files_through_the_whole_product(tmp_path: Path) -> None:
    """A large file goes up and comes back the same, in little memory; then it is taken away."""
    with Product(tmp_path) as product:
        product.start_server()
        ann = product.set_up()
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
