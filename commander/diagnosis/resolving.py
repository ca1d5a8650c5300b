"""Asking the machine's resolver without being held up by it."""

from __future__ import annotations

import asyncio
import socket
import threading

MAX_ADDRESSES = 16


async def resolve(host: str, port: int) -> list[str]:
    """
    The addresses of a name, in the resolver's order. Raises OSError; give it a deadline.

    The thread that asks is abandoned at the deadline: a resolver that hangs must hold up neither
    the other checks nor the end of the program, as a thread of the loop's own pool would.
    """
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[list[str]] = loop.create_future()

    def settle(result: list[str] | OSError) -> None:
        if answer.done():
            return
        if isinstance(result, OSError):
            answer.set_exception(result)
        else:
            answer.set_result(result)

    def ask() -> None:
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            result: list[str] | OSError = list(dict.fromkeys(str(row[4][0]) for row in found))
        except OSError as error:
            result = error
        except UnicodeError:
            result = socket.gaierror(socket.EAI_NONAME, "the name is no name")
        try:
            loop.call_soon_threadsafe(settle, result)
        except RuntimeError:
            # The loop has ended meanwhile, and nobody waits.
            return

    threading.Thread(target=ask, name=f"resolve {host}", daemon=True).start()
    return (await answer)[:MAX_ADDRESSES]
