"""New Python processes for checks whose result must not depend on this one."""

from __future__ import annotations

import atexit
import contextlib
import functools
import importlib
import json
import os
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

_FAST_COMPILATION = "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true"
"""Programs compiled for a check run a few times only: compile fast rather than well."""


class ProcessFault(Exception):
    """A function raised in another process, or the process died."""


class Process:
    """A new Python process that calls functions, one after another.

    Arguments and results travel as JSON. The process uses this one's ``sys.path`` at the time of
    each call and shares nothing else with it.

    Parameters
    ----------
    backend
        Keras backend of the process. None: as in the environment.

    Examples
    --------
    >>> with Process() as process:
    ...     process.call(json_module_of, name="cellvision")  # doctest: +SKIP
    """

    def __init__(self, backend: str | None = None) -> None:
        environment = {"TF_CPP_MIN_LOG_LEVEL": "3", "XLA_FLAGS": _FAST_COMPILATION, **os.environ}
        if backend is not None:
            environment["KERAS_BACKEND"] = backend
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed by close()
        self._process = subprocess.Popen(
            # -P: the current folder holds no modules, unless this process's path says so
            [sys.executable, "-P", "-c", "from cellvision.testing.process import serve; serve()"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            env={**environment, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            encoding="utf-8",
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def alive(self) -> bool:
        """Whether the process still runs."""
        return self._process.poll() is None

    def call(self, function: Callable[..., Any], /, **arguments: Any) -> Any:
        """Call a function of a module there; its arguments and its result are plain values.

        Raises
        ------
        ProcessFault
            The function raised, or the process died. The message is the last line of the
            traceback.
        """
        return self.start(function, **arguments)()

    def start(self, function: Callable[..., Any], /, **arguments: Any) -> Callable[[], Any]:
        """Start a call; the returned function waits for its result."""
        request = {
            "function": f"{function.__module__}:{function.__qualname__}",
            "arguments": arguments,
            "path": sys.path,
        }
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise ProcessFault(self._exit_message()) from None
        return self._result

    def _result(self) -> Any:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise ProcessFault(self._exit_message())
        answer = json.loads(line)
        if "fault" in answer:
            raise ProcessFault(answer["fault"]) from ProcessFault("\n" + answer["traceback"])
        return answer["result"]

    def _exit_message(self) -> str:
        code = self._process.wait()
        self._errors.seek(0)
        lines = self._errors.read().decode(errors="replace").strip().splitlines()
        return f"the process ended with code {code}" + (f": {lines[-1]}" if lines else "")

    def close(self) -> None:
        """End the process."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()
        self._errors.close()


def shared(purpose: str, backend: str | None = None) -> Process:
    """Return the process kept for a purpose: importing keras takes seconds.

    It is new at the first call, and after it has died.
    """
    process = _kept(purpose, backend)
    if not process.alive:
        _kept.cache_clear()
        process = _kept(purpose, backend)
    return process


@functools.cache
def _kept(purpose: str, backend: str | None) -> Process:
    del purpose  # a key
    process = Process(backend)
    atexit.register(process.close)
    return process


def serve() -> None:
    """Answer calls until standard input closes; what the new process runs."""
    # Keep what libraries print out of the answers.
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    for line in sys.stdin:
        request = json.loads(line)
        _use_path(request["path"])
        try:
            answer = {"result": resolve(request["function"])(**request["arguments"])}
        except BaseException as error:  # noqa: BLE001 - plugin code may raise anything, SystemExit too
            last = " ".join(traceback.format_exception_only(error)[-1].split())
            answer = {"fault": last, "traceback": traceback.format_exc()}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


def _use_path(path: list[str]) -> None:
    """Set ``sys.path``, and forget modules of folders that are no longer on it."""
    gone = [folder for folder in sys.path if folder and folder not in path]
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if file is not None and any(Path(file).is_relative_to(folder) for folder in gone):
            del sys.modules[name]
    sys.path[:] = path
    importlib.invalidate_caches()


def resolve(reference: str) -> Any:
    """Import the object that ``package.module:name`` or ``path/to/file.py:name`` refers to."""
    module, _, attribute = reference.rpartition(":")
    if module.endswith(".py"):
        from cellvision.local_plugins import load_plugins

        file = load_plugins(module)
        value: Any = sys.modules[file.module]
    else:
        value = importlib.import_module(module)
    for part in attribute.split("."):
        value = getattr(value, part)
    return value


def open_files() -> int:
    """Return the number of open files of this process; 0 if the system does not say."""
    descriptors = Path("/proc/self/fd")
    return len(list(descriptors.iterdir())) if descriptors.is_dir() else 0
