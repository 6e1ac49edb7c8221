"""Read a browser's request within limits, and stop working when the browser has gone."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from starlette.requests import ClientDisconnect, Request

from ugicm_console.errors import UploadTooLarge
from ugicm_servicekit.errors import TooSlow

__all__ = ["ClientDisconnect", "body_of", "unless_gone"]

_Result = TypeVar("_Result")

# A browser reads no answer before it has sent its request: what is too much is read to a point and
# dropped, so that it learns why.
_READ_ON = 4


async def body_of(request: Request, *, max_bytes: int, timeout_seconds: float) -> bytes:
    """Return a request's body.

    Raises:
        UploadTooLarge: it has more than ``max_bytes``.
        TooSlow: it did not come within ``timeout_seconds``.
        ClientDisconnect: the browser went away.
    """
    body = bytearray()
    num_bytes = 0
    try:
        async with asyncio.timeout(timeout_seconds):
            async for chunk in request.stream():
                num_bytes += len(chunk)
                if num_bytes <= max_bytes:
                    body += chunk
                elif num_bytes > _READ_ON * max_bytes:
                    break
    except TimeoutError:
        raise TooSlow(f"the request did not arrive within {timeout_seconds:g} s") from None
    if num_bytes > max_bytes:
        declared = request.headers.get("content-length", "")
        got = int(declared) if declared.isdigit() else num_bytes
        raise UploadTooLarge(f"at most {max_bytes} bytes are taken, got {got}")
    return bytes(body)


async def unless_gone(request: Request, work: Coroutine[Any, Any, _Result]) -> _Result:
    """Return what ``work`` comes to; it is cancelled when the browser goes away.

    Args:
        request: whose body has been read, or that has none.
        work: for it.

    Raises:
        ClientDisconnect: the browser went away.
    """
    working = asyncio.ensure_future(work)
    leaving = asyncio.ensure_future(_gone(request))
    try:
        await asyncio.wait((working, leaving), return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise ClientDisconnect
        return working.result()
    finally:
        for task in (working, leaving):
            task.cancel()
        await asyncio.wait((working, leaving))


async def _gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
