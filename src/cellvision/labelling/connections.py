"""HTTP connections that close when idle, also before their first complete request."""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

IDLE_SECONDS = 15.0
"""Time after which a connection without a request in progress is closed. After the same time again,
it is closed even if its client has not fetched all of its response."""


class IdleClosingProtocol(H11Protocol):
    """uvicorn's HTTP/1.1, with a limit on the time that a request's header may take.

    uvicorn closes connections that are silent after a response, but neither those that never
    send a request nor those that send one byte by byte.
    """

    _idle_since: float = 0.0
    _idle_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        """Start to watch the connection."""
        super().connection_made(transport)
        self._idle_since = self.loop.time()
        self._idle_timer = self.loop.call_later(IDLE_SECONDS, self._close_if_idle)

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop to watch the connection."""
        if self._idle_timer is not None:
            self._idle_timer.cancel()
        super().connection_lost(exc)

    def on_response_complete(self) -> None:
        """Count idle time from here."""
        self._idle_since = self.loop.time()
        super().on_response_complete()

    def _close_if_idle(self) -> None:
        if self.transport.is_closing():
            self.transport.abort()
            return
        busy = self.cycle is not None and not self.cycle.response_complete
        idle = 0.0 if busy else self.loop.time() - self._idle_since
        if idle >= IDLE_SECONDS:
            self.transport.close()
            idle = 0.0
        self._idle_timer = self.loop.call_later(IDLE_SECONDS - idle, self._close_if_idle)
