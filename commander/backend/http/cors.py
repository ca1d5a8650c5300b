"""
Web pages may use the Secrets Manager device API: the npm SDK has a build for browsers.

Any page, since a request proves itself by a device's signature or a ticket and never by what a
browser adds: credentials stay forbidden, and no other path answers a page.
"""

from __future__ import annotations

from starlette.responses import Response

_REMEMBERED_S = 24 * 3600
_HEADERS = "authorization, content-type, publickeyid, transmissionkey"


def preflight(methods: str) -> Response:
    """The answer to a browser that asks before it sends a page's request."""
    headers = {
        "access-control-allow-methods": methods,
        "access-control-allow-headers": _HEADERS,
        "access-control-max-age": str(_REMEMBERED_S),
    }
    return open_to_pages(Response(status_code=204, headers=headers))


def open_to_pages(response: Response) -> Response:
    """Let the page that asked read an answer, refusals too."""
    response.headers["access-control-allow-origin"] = "*"
    return response
