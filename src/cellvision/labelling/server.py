"""The page of a rater, served to this computer only.

Whoever has the address may label: it holds a token. Requests without it, those made under
another host's name (a page elsewhere whose name was pointed at this computer) and those that
come from another page are refused. Images have random names, which say nothing of file, class or
order; nothing else on the disk has an address.
"""

from __future__ import annotations

import json
import logging
import math
import secrets
import socket
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from cellvision import errors
from cellvision.labelling import page
from cellvision.labelling.images import VIEWS, Changed, Gallery
from cellvision.labelling.session import session
from cellvision.labelling.store import Stale, Store

if TYPE_CHECKING:
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response

HOST = "127.0.0.1"

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""Nothing is loaded from elsewhere, nothing is sent elsewhere, and no other page frames this."""

_HEADERS = {
    "content-security-policy": POLICY,
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}
_LONGEST_BODY = 10_000

_log = logging.getLogger(__name__)

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


class Guard:
    """Lets requests pass that come from the page itself, and adds the headers of safety.

    Parameters
    ----------
    app
        Gets what passes.
    token
        The first part of every address.
    port
        On which the page is served.
    """

    def __init__(self, app: Callable[..., Awaitable[None]], token: str, port: int) -> None:
        self._app = app
        self._token = token
        self._hosts = {f"{name}:{port}" for name in (HOST, "localhost")}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on or refuse it."""
        from starlette.responses import PlainTextResponse

        if scope["type"] != "http":  # no web socket, and nothing at start and end
            return

        async def send_safely(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                extra = [(name.encode(), value.encode()) for name, value in _HEADERS.items()]
                message["headers"] = [*message.get("headers", ()), *extra]
            await send(message)

        refusal = self._refusal(scope)
        if refusal is not None:
            status, reason = refusal
            await PlainTextResponse(reason, status)(scope, receive, send_safely)
        else:
            await self._app(scope, receive, send_safely)

    def _refusal(self, scope: Scope) -> tuple[int, str] | None:
        from starlette.datastructures import Headers

        headers = Headers(scope=scope)
        host = headers.get("host", "")
        if host not in self._hosts:
            return 421, "This address is not served here."
        given = str(scope["path"]).split("/")[1]
        if not secrets.compare_digest(given.encode(), self._token.encode()):
            return (
                404,
                "There is nothing here. Use the whole address that cellvision label printed.",
            )
        if scope["method"] not in ("GET", "HEAD"):
            if headers.get("origin") != f"http://{host}":
                return 403, "Only the page itself may send answers."
            if headers.get("content-type", "").partition(";")[0] != "application/json":
                return 415, "Answers are JSON."
            length = headers.get("content-length", "")
            if not length.isdecimal() or int(length) > _LONGEST_BODY:
                return 413, "That is too long for an answer."
        return None


def application(store: Store, gallery: Gallery, token: str, port: int) -> Starlette:
    """Build the web application.

    Parameters
    ----------
    store
        Where answers go.
    gallery
        Where pictures come from.
    token
        The first part of every address.
    port
        On which it will be served.
    """
    from starlette.applications import Starlette
    from starlette.middleware import Middleware
    from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response
    from starlette.routing import Route

    told = session(store.plan())

    # Handlers that are no coroutines run in threads: one that waits for the disk stops no other.
    def index(_: Request) -> Response:
        return HTMLResponse(page.render(static=None))

    def asset(request: Request) -> Response:
        name = request.path_params["name"]
        if name not in page.FILES:
            return PlainTextResponse("There is no such file.", 404)
        return Response(page.read(name), media_type=page.FILES[name])

    def about(_: Request) -> Response:
        return JSONResponse(told)

    def image(request: Request) -> Response:
        shown = store.shown(request.path_params["showing"])
        view = request.path_params["view"]
        if shown is None or view not in VIEWS:
            return PlainTextResponse("There is no such image.", 404)
        try:
            window = _window(request.query_params.get("window", ""))
            picture = gallery.png(shown[0], view, window)
        except Changed as error:
            # The name of the file is for the terminal: it may tell the class.
            _log.warning("%s", error.what)
            return PlainTextResponse("The file of this image is missing or has changed.", 410)
        return Response(
            picture, media_type="image/png", headers={"cache-control": "private, max-age=3600"}
        )

    def answered(work: Callable[[dict[str, Any]], dict[str, Any]]) -> Any:
        async def handler(request: Request) -> Response:
            from starlette.concurrency import run_in_threadpool

            try:
                body = json.loads(await request.body())
                if not isinstance(body, dict):
                    raise TypeError("not an object")
            except (ValueError, TypeError):
                return JSONResponse({"error": "an answer is a JSON object"}, 400)
            try:
                return JSONResponse(await run_in_threadpool(work, body))
            except Stale as error:
                state = await run_in_threadpool(store.state, str(body.get("rater")))
                return JSONResponse({"error": error.what, "state": asdict(state)}, 409)
            except errors.InvalidInput as error:
                return JSONResponse({"error": error.what}, 400)

        return handler

    def begin(body: dict[str, Any]) -> dict[str, Any]:
        return asdict(store.begin(_text(body, "name")))

    def resume(body: dict[str, Any]) -> dict[str, Any]:
        return asdict(store.state(_text(body, "rater")))

    def answer(body: dict[str, Any]) -> dict[str, Any]:
        showing, named = _text(body, "showing"), _text(body, "answer")
        state = store.answer(_text(body, "rater"), showing, named, _number(body, "seconds"))
        return {**asdict(state), **_feedback(store, showing)}

    def undo(body: dict[str, Any]) -> dict[str, Any]:
        return asdict(store.withdraw(_text(body, "rater")))

    def post(name: str, work: Callable[[dict[str, Any]], dict[str, Any]]) -> Route:
        return Route(f"/{{token}}/{name}", answered(work), methods=["POST"])

    return Starlette(
        routes=[
            Route("/{token}/", index),
            Route("/{token}/session", about),
            Route("/{token}/image/{showing}/{view}.png", image),
            *(post(work.__name__, work) for work in (begin, resume, answer, undo)),
            Route("/{token}/{name}", asset),
        ],
        middleware=[Middleware(Guard, token=token, port=port)],
    )


def _feedback(store: Store, showing: str) -> dict[str, Any]:
    """The true class of a practice image, which may be told once it is answered."""
    shown = store.shown(showing)
    return {"truth": shown[0].label} if shown is not None and shown[1] else {}


def _window(text: str) -> tuple[float, float] | None:
    """Read ``LOW,HIGH``; None where it is no window."""
    try:
        low, high = (float(part) for part in text.split(","))
    except ValueError:
        return None
    return (low, high) if math.isfinite(low) and math.isfinite(high) else None


def _text(body: dict[str, Any], name: str) -> str:
    value = body.get(name)
    if not isinstance(value, str):
        raise errors.InvalidInput(f"{name} is missing, or no text", "Send it as text")
    return value


def _number(body: dict[str, Any], name: str) -> float:
    value = body.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise errors.InvalidInput(f"{name} is missing, or no number", "Send it as a number")
    return float(value)


def serve(store: Store, port: int | None, ready: Callable[[str], None]) -> None:
    """Serve the page until interrupted.

    Parameters
    ----------
    store
        Where answers go. It remembers port and token, so that a page that is still open goes on
        when the server is started again.
    port
        Where to listen; None for the port of the last time, or any that is free.
    ready
        Told the address, once it answers.

    Raises
    ------
    errors.InvalidInput
        The port is taken.
    """
    import uvicorn

    listening = _listen(store.fact("port"), port)
    bound = listening.getsockname()[1]
    store.set_fact("port", bound)
    token = store.fact("token")
    app = application(store, Gallery(store.plan()), token, bound)
    config = uvicorn.Config(
        app, log_level="warning", access_log=False, lifespan="off", server_header=False
    )
    ready(f"http://{HOST}:{bound}/{token}/")
    try:
        uvicorn.Server(config).run(sockets=[listening])
    except KeyboardInterrupt:  # the way to end it
        pass
    finally:
        listening.close()


def _listen(last: int | None, asked: int | None) -> socket.socket:
    """Listen on the port that is asked for, else on the last one, else on any."""
    for port in [asked] if asked is not None else [last or 0, 0]:
        try:
            return socket.create_server((HOST, port))
        except OSError as error:
            reason = error.strerror or str(error)
        except OverflowError:
            reason = "there is no such port"
    raise errors.InvalidInput(
        f"--port {asked}: {reason}", "Name another one, or leave it out for any that is free"
    )
