"""The command ``cellvision``: one file per verb, and one rule for exit codes and errors."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import select
import signal
import sys
import traceback
from collections.abc import Sequence
from typing import Any, ClassVar


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit.

    Exit codes: 0 done; 1 the work failed; 2 the input is invalid; 3 refused because of a leak
    between splits; 130 interrupted. Errors go to standard error: one line says what happened,
    the next what to do.

    Parameters
    ----------
    arguments
        Words after the command's name. Default: those of the process.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in words
    trace = "--trace-plugins" in words
    words = [word for word in words if word not in ("--debug", "--trace-plugins")]
    words, files = _without_plugins(words)
    _open_standard_streams()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # for terminals without Unicode
    _interrupts.clear()
    _treat_like_ctrl_c("SIGINT", "SIGTERM", "SIGHUP")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # no start-up messages of TensorFlow
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    # Pydantic looks for its own plugins in every installed distribution, for a tenth of a second.
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    # Figures go to files. A notebook's backend, inherited by its shell commands, fails here.
    os.environ["MPLBACKEND"] = "agg"
    logging.basicConfig(level=logging.WARNING, handlers=[_WarningHandler()])
    _WarningHandler.written.clear()
    code = _run(words, files, debug=debug)
    if trace:
        _print_trace()
    sys.exit(code)


def _open_standard_streams() -> None:
    """Open what a caller has closed, as ``cellvision ... 2>&-`` does.

    The next file that is opened would take the number of a closed stream, and messages of native
    libraries would be written into it.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            opened = os.open(os.devnull, os.O_RDWR)  # takes the lowest free number: this one
            os.set_inheritable(opened, True)
    if sys.stdout is None:
        sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    if sys.stderr is None:
        sys.stderr = open(2, "w", encoding="utf-8", closefd=False)  # noqa: SIM115


def _print_trace() -> None:
    """Print the plugins that were imported in this process, the slowest first."""
    from cellvision.cli.text import printable
    from cellvision.plugin_trace import loads

    slowest_first = sorted(loads(), key=lambda load: -load.seconds)
    total = sum(load.seconds for load in slowest_first)
    print(f"plugins: {len(slowest_first)} imported in {total:.3f} s", file=sys.stderr)
    for load in slowest_first:
        fault = f": {load.fault}" if load.fault else ""
        print(f"  {load.seconds:.3f} s  {printable(load.plugin + fault)}", file=sys.stderr)


def _without_plugins(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """Split off the files of ``--plugin FILE``, which works in any position."""
    rest: list[str] = []
    files: list[str] = []
    following = iter(words)
    for word in following:
        if word == "--":
            return [*rest, word, *following], files
        name, equals, value = word.partition("=")
        if name != "--plugin":
            rest.append(word)
        else:
            files.append(value if equals else next(following, ""))
    return rest, files


_interrupts: list[str] = []
"""Signals that have interrupted this command. Some libraries replace KeyboardInterrupt by another
error, such as an ImportError while they are loaded."""


def _treat_like_ctrl_c(*names: str) -> None:
    """Lose nothing when a batch system ends a job (SIGTERM), or a connection breaks (SIGHUP).

    Ctrl-C itself (SIGINT) is also handled here, so that it is remembered.
    """
    for name in names:
        number = getattr(signal, name, None)
        # nohup has a process ignore SIGHUP.
        if number is None or signal.getsignal(number) is signal.SIG_IGN:
            continue
        with contextlib.suppress(ValueError):  # only the main thread can set a handler
            signal.signal(number, _terminate)


def _terminate(number: int, frame: object) -> None:  # noqa: ARG001
    name = signal.Signals(number).name
    if name == "SIGHUP":  # the terminal is gone, and printing to it would fail
        nowhere = os.open(os.devnull, os.O_WRONLY)
        for stream in filter(os.isatty, (1, 2)):
            os.dup2(nowhere, stream)
        os.close(nowhere)
    _interrupts.append(name)
    raise KeyboardInterrupt("" if name == "SIGINT" else f"ended by {name}")


class _WarningHandler(logging.Handler):
    """Writes ``warning: ...`` to standard error, with names from outside made printable.

    A command writes a message once: settings, for instance, are read by the recipe and again by
    the training. Standard error is looked up for each message: a caller may replace it and close
    the old one.
    """

    written: ClassVar[set[str]] = set()

    def emit(self, record: logging.LogRecord) -> None:
        try:
            line = self.format(record)
            if line not in self.written:
                print(line, file=sys.stderr, flush=True)
                self.written.add(line)
        except Exception:  # noqa: BLE001 - as every handler of logging does
            self.handleError(record)

    def format(self, record: logging.LogRecord) -> str:
        from cellvision.cli.text import printable_lines

        return f"warning: {printable_lines(record.getMessage())}"


def _run(words: list[str], files: Sequence[str], *, debug: bool) -> int:
    import typer

    from cellvision import errors
    from cellvision.backends.startup import own_process
    from cellvision.cli.app import command
    from cellvision.cli.faults import complain

    own_process()
    try:
        _load_plugins(files)
        # Not the command's own main(), which has other exit codes and messages.
        built = command()
        with built.make_context("cellvision", list(words), obj={"debug": debug}) as context:
            built.invoke(context)
        sys.stdout.flush()
    except typer.Exit as end:
        return int(end.exit_code)
    except errors.CellvisionError as error:
        if debug:
            traceback.print_exc()
        complain(error.what, error.hint)
        return error.exit_code
    except (KeyboardInterrupt, typer.Abort) as interrupt:
        complain("interrupted", str(interrupt))
        return 130
    except BrokenPipeError:
        return _discard_output()
    except SystemExit as error:
        if _is_of_a_plugin(error, words):
            return _report_unexpected(error)
        raise
    except Exception as error:  # noqa: BLE001 - whatever happens, print one line and a hint
        if isinstance(error, _usage_error()):
            return _report_usage(error, words)
        if debug:
            traceback.print_exc()
        if _interrupts:
            complain("interrupted", "")
            return 130
        if isinstance(error, MemoryError):
            complain(
                "out of memory", "Use smaller images (preprocessing.size), fewer images or workers."
            )
            return 1
        return _report_unexpected(error)
    return 0


def _discard_output() -> int:
    """Discard output whose reader has gone; return the exit code.

    Results are printed when the work is done, as in ``cellvision plugins | head``: 0. Progress is
    printed before, as in ``cellvision train ... 2>&1 | head``: 1, because the work is not done.
    """
    code = 0
    if hasattr(select, "poll"):
        poll = select.poll()
        poll.register(sys.stderr.fileno(), 0)  # errors are reported without being asked for
        code = int(any(event & select.POLLERR for _, event in poll.poll(0)))
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr)[: 1 + code]:
        os.dup2(nowhere, stream.fileno())
    os.close(nowhere)
    return code


def _load_plugins(files: Sequence[str]) -> None:
    from cellvision import errors

    for file in files:
        if not file:
            raise errors.ExperimentError("--plugin needs a file", "For example: --plugin my_net.py")
        from cellvision.local_plugins import load_plugins

        # Standard output may be a document: what the file prints is not a part of it.
        with contextlib.redirect_stdout(sys.stderr):
            load_plugins(file)


def _usage_error() -> type[Exception]:
    """Return the class of usage errors: Click's, or that of the copy of Click inside Typer."""
    import typer

    return next(kind for kind in typer.BadParameter.__mro__ if kind.__name__ == "UsageError")


def _report_usage(error: Any, words: Sequence[str]) -> int:
    from cellvision.cli.faults import complain
    from cellvision.cli.usage import hint_for

    if type(error).__name__ == "NoArgsIsHelpError":
        print(error.ctx.get_help())
        return 0
    verb = error.ctx.command_path if error.ctx is not None else "cellvision"
    # Typer checks values by pydantic, which puts its own kind of error before the message.
    complain(error.format_message().replace("Value error, ", ""), hint_for(error, verb, words))
    return 2


def _is_of_a_plugin(error: SystemExit, words: Sequence[str]) -> bool:
    """Whether a plugin ends the process, which only a verb may do."""
    from cellvision.cli.faults import plugin_fault
    from cellvision.cli.verbs import builtin_verbs

    verb = next((word for word in words if not word.startswith("-")), "")
    return verb in builtin_verbs() and plugin_fault(error) is not None


def _report_unexpected(error: Exception | SystemExit) -> int:
    from cellvision import errors
    from cellvision.cli.faults import BUG, complain, plugin_fault

    fault = plugin_fault(error)
    if fault is not None:
        complain(
            f"{fault.plugin} failed: {errors.summarize(error)} ({fault.file}, line {fault.line})",
            "Report it to the plugin's author; --debug shows the traceback.",
        )
    elif isinstance(error, OSError) and error.strerror:
        path = f"{error.filename}: " if error.filename else ""
        complain(f"{path}{error.strerror}", "Check its permissions and the free disk space.")
    else:
        complain(errors.summarize(error), BUG)
    return 1
