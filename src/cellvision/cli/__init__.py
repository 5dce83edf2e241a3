"""The command ``cellvision``: one file a verb, and the rules for exit codes and errors."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import signal
import sys
import traceback
from collections.abc import Sequence
from typing import Any


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit.

    Exit codes: 0 done; 1 the work failed; 2 the input is invalid; 3 refused because of a leak
    between splits; 130 interrupted. Errors are a line of what and a line of how to mend it, on
    standard error.

    Parameters
    ----------
    arguments
        What follows the command's name; by default the process's own.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in words
    words = [word for word in words if word != "--debug"]
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a terminal that lacks a letter
    # A batch system ends a job with SIGTERM: it is treated like Ctrl-C, so that nothing is lost.
    with contextlib.suppress(ValueError):  # only the main thread can set a handler
        signal.signal(signal.SIGTERM, _terminate)
    # TensorFlow's start-up messages tell a biologist nothing.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    logging.basicConfig(level=logging.WARNING, format="warning: %(message)s")
    sys.exit(_run(words, debug=debug))


def _terminate(number: int, frame: object) -> None:  # noqa: ARG001
    raise KeyboardInterrupt("ended by SIGTERM")


def _run(words: list[str], *, debug: bool) -> int:
    import typer

    from cellvision import errors
    from cellvision.cli.app import command

    try:
        # Not the command's own main(), which has exit codes and messages of its own.
        built = command()
        with built.make_context("cellvision", words) as context:
            built.invoke(context)
        sys.stdout.flush()
    except typer.Exit as done:
        return int(done.exit_code)
    except errors.CellvisionError as error:
        if debug:
            traceback.print_exc()
        _complain(error.what, error.hint)
        return error.exit_code
    except (KeyboardInterrupt, typer.Abort) as interrupt:
        _complain("interrupted", str(interrupt))
        return 130
    except BrokenPipeError:
        # Whoever read our output has had enough, as `cellvision plugins | head` does.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:  # noqa: BLE001 - a person is told in one line, whatever it is
        if isinstance(error, _usage_error()):
            return _about_usage(error)
        if debug:
            traceback.print_exc()
        if isinstance(error, OSError) and error.strerror:
            place = f"{error.filename}: " if error.filename else ""
            _complain(
                f"{place}{error.strerror}", "Check that place: its permissions, and its free room"
            )
            return 1
        _complain(
            errors.summarize(error),
            "This is a bug. Run again with --debug and report the traceback.",
        )
        return 1
    return 0


def _usage_error() -> type[Exception]:
    """The class of errors of usage: Click's, or that of the copy of Click inside Typer."""
    import typer

    return next(kind for kind in typer.BadParameter.__mro__ if kind.__name__ == "UsageError")


def _about_usage(error: Any) -> int:
    if type(error).__name__ == "NoArgsIsHelpError":  # the help that was asked for is printed
        return 0
    verb = error.ctx.command_path if error.ctx is not None else "cellvision"
    _complain(error.format_message(), f"{verb} --help tells how it is used")
    return 2


def _complain(what: str, hint: str) -> None:
    print(f"error: {what}", file=sys.stderr)
    if hint:
        print(f"  {hint}", file=sys.stderr)
