"""Admit requests of the page itself, and refuse all others before the application sees them."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

HOST = "127.0.0.1"

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""The page loads nothing from elsewhere, sends nothing elsewhere, and cannot be framed."""

MAX_BODY = 10_000
"""Longest request body, in bytes."""

BODY_SECONDS = 20.0
"""Time within which a request body must arrive."""

_HEADERS = {
    "content-security-policy": POLICY,
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}
_HTTP_PORT = 80
_TOO_LONG = (413, "The request is too long for an answer.")

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


class RequestGuard:
    """ASGI middleware that checks host, token, origin and length of each request.

    Parameters
    ----------
    app
        The application to protect.
    token
        First part of every path.
    port
        Port on which the page is served.
    """

    def __init__(self, app: Callable[..., Awaitable[None]], token: str, port: int) -> None:
        self._app = app
        self._token = token
        names = (HOST, "localhost")
        self._hosts = {f"{name}:{port}" for name in names}
        if port == _HTTP_PORT:  # clients omit it
            self._hosts.update(names)

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
        from starlette.responses import PlainTextResponse

        if scope["type"] != "http":  # neither web sockets nor lifespan events
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                extra = [(name.encode(), value.encode()) for name, value in _HEADERS.items()]
                message["headers"] = [*message.get("headers", ()), *extra]
            await send(message)

        refusal = self._refusal(scope)
        if refusal is None:
            try:
                body = await asyncio.wait_for(_read_body(receive), BODY_SECONDS)
            except TimeoutError:
                refusal = (408, "The request did not arrive in time.")
            else:
                refusal = _TOO_LONG if body is None else None
        if refusal is None:
            await self._app(scope, _replay(body or b"", receive), send_with_headers)
        else:
            status, reason = refusal
            # The rest of a body stays unread, so the connection cannot be used again.
            response = PlainTextResponse(reason, status, headers={"connection": "close"})
            await response(scope, receive, send_with_headers)

    def _refusal(self, scope: Message) -> tuple[int, str] | None:
        from starlette.datastructures import Headers

        headers = Headers(scope=scope)
        host = headers.get("host", "").lower()
        if host not in self._hosts:
            return 421, "This address is not served here."
        first = str(scope["path"]).removeprefix("/").partition("/")[0]  # the path may be "*"
        if not secrets.compare_digest(first.encode(errors="replace"), self._token.encode()):
            return 404, "There is nothing here. Use the full address cellvision label printed."
        if scope["method"] in ("GET", "HEAD"):
            return None
        if _without_port(headers.get("origin", "").lower()) != _without_port(f"http://{host}"):
            return 403, "Only the page itself may send answers."
        if headers.get("content-type", "").partition(";")[0] != "application/json":
            return 415, "Answers are JSON."
        length = headers.get("content-length", "0")
        if not length.isdecimal() or int(length) > MAX_BODY:
            return _TOO_LONG
        return None


def _without_port(origin: str) -> str:
    """An origin without port 80, which browsers omit."""
    return origin.removesuffix(f":{_HTTP_PORT}")


async def _read_body(receive: Receive) -> bytes | None:
    """Read a request body; None if it is longer than allowed, whatever its header declares."""
    body = b""
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return body
        chunk: bytes = message.get("body", b"")
        body += chunk
        if len(body) > MAX_BODY:
            return None
        if not message.get("more_body", False):
            return body


def _replay(body: bytes, receive: Receive) -> Receive:
    """Give the application a body that was read already."""
    pending = [body]

    async def receive_body() -> Message:
        if pending:
            return {"type": "http.request", "body": pending.pop(), "more_body": False}
        return await receive()

    return receive_body
