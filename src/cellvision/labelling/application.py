"""The web application behind the page."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from cellvision import errors
from cellvision.labelling import page
from cellvision.labelling.answers import StaleAnswerError
from cellvision.labelling.images import Gallery, ImageChangedError
from cellvision.labelling.request_body import number_of, parse_body, text_of
from cellvision.labelling.request_guard import RequestGuard
from cellvision.labelling.session import describe_session
from cellvision.labelling.store import Store
from cellvision.labelling.validation import InvalidAnswerError

if TYPE_CHECKING:
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response

_log = logging.getLogger(__name__)


def application(store: Store, gallery: Gallery, token: str, port: int) -> Starlette:
    """Build the web application.

    Parameters
    ----------
    store
        The answer file.
    gallery
        Renders the pictures.
    token
        First part of every path.
    port
        Port on which the page is served.
    """
    from starlette.applications import Starlette
    from starlette.middleware import Middleware
    from starlette.routing import Route

    handlers = _Handlers(store, gallery)
    posts = {
        "begin": handlers.begin,
        "resume": handlers.resume,
        "answer": handlers.answer,
        "undo": handlers.undo,
    }
    return Starlette(
        routes=[
            Route("/{token}/", handlers.index),
            Route("/{token}/session", handlers.session),
            Route("/{token}/image/{showing}/{view}.png", handlers.image),
            *(
                Route(f"/{{token}}/{name}", _post(handler), methods=["POST"])
                for name, handler in posts.items()
            ),
            Route("/{token}/{name}", handlers.asset),
        ],
        middleware=[Middleware(RequestGuard, token=token, port=port)],
    )


class _Handlers:
    """Request handlers. None is a coroutine: each runs in a thread and blocks no other."""

    def __init__(self, store: Store, gallery: Gallery) -> None:
        self._store = store
        self._gallery = gallery
        self._plan = store.plan()
        self._session = describe_session(self._plan, store.examples())

    def index(self, _: Request) -> Response:
        from starlette.responses import HTMLResponse

        return HTMLResponse(page.render(static=None))

    def asset(self, request: Request) -> Response:
        from starlette.responses import PlainTextResponse, Response

        name = request.path_params["name"]
        if name not in page.FILES:
            return PlainTextResponse("There is no such file.", 404)
        return Response(page.read(name), media_type=page.FILES[name])

    def session(self, _: Request) -> Response:
        from starlette.responses import JSONResponse

        return JSONResponse(self._session)

    def image(self, request: Request) -> Response:
        from starlette.responses import PlainTextResponse, Response

        view = request.path_params["view"]
        window = _parse_window(request.query_params.get("window", ""))
        try:
            entry = self._store.image_behind(request.path_params["showing"])
            if entry is None or view not in self._plan.views:
                return PlainTextResponse("There is no such image.", 404)
            picture = self._gallery.png(entry[0], view, window)
        except ImageChangedError as error:
            # The file name is for the terminal: it may reveal the class.
            _log.warning("%s", error.what)
            return PlainTextResponse("The file of this image is missing or has changed.", 410)
        except errors.CellvisionError as error:
            _log.error("%s", error)
            return PlainTextResponse("The image cannot be read.", 503)
        headers = {"cache-control": "private, max-age=3600"}
        return Response(picture, media_type="image/png", headers=headers)

    def begin(self, body: dict[str, Any]) -> dict[str, Any]:
        return asdict(self._store.begin(text_of(body, "name")))

    def resume(self, body: dict[str, Any]) -> dict[str, Any]:
        return asdict(self._store.progress(text_of(body, "rater")))

    def answer(self, body: dict[str, Any]) -> dict[str, Any]:
        rater, showing = text_of(body, "rater"), text_of(body, "showing")
        cannot_say = "answer" in body and body["answer"] is None
        answer = None if cannot_say else text_of(body, "answer")
        try:
            progress = self._store.answer(rater, showing, answer, number_of(body, "seconds"))
        except StaleAnswerError as error:
            return {"error": error.what, "state": asdict(self._store.progress(rater))}
        return {**asdict(progress), **self._truth(showing)}

    def undo(self, body: dict[str, Any]) -> dict[str, Any]:
        return asdict(self._store.withdraw(text_of(body, "rater")))

    def _truth(self, showing: str) -> dict[str, Any]:
        """The true class, which practice reveals after the answer."""
        entry = self._store.image_behind(showing)
        return {"truth": entry[0].label} if entry is not None and entry[1] == "practice" else {}


def _post(handler: Callable[[dict[str, Any]], dict[str, Any]]) -> Any:
    """Wrap a handler of JSON objects; its errors become replies that reveal no path."""

    def reply(body: bytes) -> tuple[dict[str, Any], int]:
        try:
            result = handler(parse_body(body))
        except InvalidAnswerError as error:
            return {"error": error.what}, 400
        except errors.CellvisionError as error:
            _log.error("%s", error)
            return {"error": "the answer file cannot be written; see the terminal"}, 503
        return result, 409 if "error" in result else 200

    async def endpoint(request: Request) -> Response:
        from starlette.concurrency import run_in_threadpool
        from starlette.responses import JSONResponse

        return JSONResponse(*await run_in_threadpool(reply, await request.body()))

    return endpoint


def _parse_window(text: str) -> tuple[float, float] | None:
    """Parse ``LOW,HIGH``, clipped to 0 to 1; None if it is not a window."""
    try:
        low, high = (float(part) for part in text.split(","))
    except ValueError:
        return None
    if not (math.isfinite(low) and math.isfinite(high)):
        return None
    return min(max(low, 0.0), 1.0), min(max(high, 0.0), 1.0)
