"""Serve the page to this computer only.

Anyone who has the address may label, because it holds a token. Requests without the token,
requests under another host name (a foreign page whose name resolves to this computer) and
requests from other pages are refused. Image addresses are random and reveal neither file, class
nor order; nothing else on disk has an address.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import TYPE_CHECKING

from cellvision import errors
from cellvision.labelling.application import application
from cellvision.labelling.images import Gallery
from cellvision.labelling.request_guard import HOST
from cellvision.labelling.store import Store

if TYPE_CHECKING:
    import uvicorn


def serve(store: Store, port: int | None, on_ready: Callable[[str], None]) -> None:
    """Serve the page until interrupted.

    Parameters
    ----------
    store
        The answer file. It remembers port and token, so that an open page continues when the
        server restarts.
    port
        Port to listen on; None for the previous port, or any free one.
    on_ready
        Called with the address.

    Raises
    ------
    errors.InvalidInput
        The port cannot be used.
    """
    token = store.token()
    listening = _listen(store.port(), port)
    bound = listening.getsockname()[1]
    store.set_metadata("port", bound)
    server = create_server(store, token, bound)
    on_ready(f"http://{HOST}:{bound}/{token}/")
    try:
        server.run(sockets=[listening])
    except KeyboardInterrupt:  # the way to stop it
        pass
    finally:
        listening.close()


def open_page(store: Store, port: int | None, *, browser: bool) -> None:
    """Serve the page until interrupted, and print its address.

    Parameters
    ----------
    store, port
        As for `serve`.
    browser
        Whether to open the page in the browser.
    """
    import webbrowser

    def on_ready(address: str) -> None:
        print(f"Open this address in a browser on this computer:\n  {address}", flush=True)
        print(
            f"Answers are saved in {store.path}. Press Ctrl-C to stop; to resume: "
            f"cellvision label {store.path}",
            flush=True,
        )
        if browser:
            webbrowser.open(address)

    serve(store, port, on_ready)


def create_server(store: Store, token: str, port: int) -> uvicorn.Server:
    """Create the server of an answer file, which does not listen yet.

    It leaves the logging of this process alone: uvicorn's own configuration closes every handler
    of the process, and some handlers close the file behind standard error.
    """
    import uvicorn

    from cellvision.labelling.connections import IdleClosingProtocol

    return uvicorn.Server(
        uvicorn.Config(
            application(store, Gallery(store.plan()), token, port),
            http=IdleClosingProtocol,
            ws="none",
            log_config=None,
            log_level="error",
            access_log=False,
            lifespan="off",
            server_header=False,
        )
    )


def _listen(previous: int | None, requested: int | None) -> socket.socket:
    """Listen on the requested port; without one on the previous port, or on any."""
    for port in [requested] if requested is not None else [previous or 0, 0]:
        try:
            return socket.create_server((HOST, port))
        except OSError as error:
            reason = error.strerror or str(error)
        except OverflowError:
            reason = "there is no such port"
    raise errors.InvalidInput(
        f"--port {requested}: {reason}", "Name another port, or omit --port to use any free one"
    )
