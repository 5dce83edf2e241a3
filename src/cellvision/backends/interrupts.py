"""Interrupts (Ctrl-C) during imports that swallow them or turn them into other errors."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from types import FrameType

_SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP")
"""Signals whose handlers may raise KeyboardInterrupt."""


@contextmanager
def kept_interrupts() -> Iterator[None]:
    """Let an interrupt of the block end it, whatever the code in the block does with it.

    Modules that are imported by ``try: import ... except: pass`` swallow an interrupt, and native
    modules raise an ImportError instead.

    Raises
    ------
    KeyboardInterrupt
        The block was interrupted.
    """
    interrupts: list[BaseException] = []
    try:
        with ExitStack() as handlers:
            for name in _SIGNALS:
                _remember(name, interrupts, handlers)
            yield
    except Exception:
        if not interrupts:
            raise
    if interrupts:
        raise interrupts[0] from None


def _remember(name: str, interrupts: list[BaseException], handlers: ExitStack) -> None:
    """Add what the handler of a signal raises to a list, until the handlers are restored."""
    number = getattr(signal, name, None)
    handler = None if number is None else signal.getsignal(number)
    if number is None or not callable(handler):
        return

    def remembering(number: int, frame: FrameType | None) -> None:
        try:
            handler(number, frame)
        except BaseException as interrupt:
            interrupts.append(interrupt)
            raise

    with suppress(ValueError):  # only the main thread can set a handler
        signal.signal(number, remembering)
        handlers.callback(signal.signal, number, handler)
