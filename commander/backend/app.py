"""The ASGI application of the backend, with room for the router's routes."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.routing import BaseRoute, Route, Router
from starlette.types import ASGIApp

from commander.backend.core import Core
from commander.backend.http.body import BodyReader
from commander.backend.http.devices import DEVICE_PATH, DeviceEndpoint
from commander.backend.http.door import Door, Network
from commander.backend.http.files import FILE_PATH, FileEndpoint
from commander.backend.http.native import CALLS, NativeEndpoint
from commander.backend.http.paced import AnswerBudget
from commander.backend.http.public import Health, Info
from commander.wire.calls import HEALTH_PATH, INFO_PATH, PREFIX


def build_app(
    core: Core, extra_routes: Sequence[BaseRoute] = (), *, proxies: Sequence[Network] = ()
) -> ASGIApp:
    """
    Build the application; `proxies` are the networks whose X-Forwarded-For counts.

    The peer's true address is in `scope["client"]`, for extra routes as well.
    """
    bodies = BodyReader()
    answers = AnswerBudget()
    native = NativeEndpoint(core, bodies, answers)
    routes: list[BaseRoute] = [
        Route(HEALTH_PATH, Health(core).answer, methods=["GET"]),
        Route(INFO_PATH, Info(core).answer, methods=["GET"]),
        # First, since a route is found by trying one after the other and devices ask most often.
        Route(
            DEVICE_PATH, DeviceEndpoint(core, bodies, answers).answer, methods=["POST", "OPTIONS"]
        ),
        Route(FILE_PATH, FileEndpoint(core).answer, methods=["GET", "POST", "OPTIONS"]),
        *(Route(PREFIX + path, native.answer, methods=["POST"]) for path in CALLS),
        *extra_routes,
    ]
    # A bare router: whatever goes wrong inside is for the door to number, and for nothing before it.
    return Door(Router(routes, redirect_slashes=False), proxies=proxies)
