"""What a browser is told before a page may speak to the device API."""

from __future__ import annotations

from starlette.responses import Response

from commander.backend.http.cors import open_to_pages, preflight


def test_preflight_names_what_the_sdk_sends_and_no_more() -> None:
    """`Authorization` must be named: a star does not cover it. Credentials are never allowed."""
    answer = preflight("POST")

    assert answer.status_code == 204
    assert dict(answer.headers) == {
        "access-control-allow-origin": "*",
        "access-control-allow-methods": "POST",
        "access-control-allow-headers": "authorization, content-type, publickeyid, transmissionkey",
        "access-control-max-age": "86400",
    }


def test_answer_is_opened_as_it_is() -> None:
    """One header more, refusals too."""
    answer = open_to_pages(Response(b"no", 403, {"x-other": "1"}))

    assert (answer.status_code, answer.body) == (403, b"no")
    assert answer.headers["access-control-allow-origin"] == "*"
    assert answer.headers["x-other"] == "1"
    assert "access-control-allow-credentials" not in answer.headers
