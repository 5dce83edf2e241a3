"""A worker process of a study on this machine: trains the runs that it receives, one at a time.

Tasks arrive as lines of JSON on standard input, and answers leave as lines of JSON on standard
output. The process ends when its input does, so it never outlives the study's process.
"""

from __future__ import annotations

import contextlib
import io
import json
import logging
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from cellvision import errors
from cellvision.backends.startup import own_process
from cellvision.interfaces.control import read_control
from cellvision.results.claimed_folder import claim_folder
from cellvision.studies.dask_worker import load_same_plugins, portable, runner_of
from cellvision.studies.failed_controls import control_errors

Send = Callable[[Mapping[str, Any]], None]
"""Sends an answer to the study's process."""


def main() -> None:
    """Train the runs that arrive on standard input until it ends."""
    # Ctrl-C reaches all processes of a terminal, and the study's process ends its workers.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    own_process()
    send = _take_standard_output()
    logging.basicConfig(level=logging.WARNING, handlers=[_Forwarder(send)])
    tasks: SimpleQueue[Mapping[str, Any] | None] = SimpleQueue()
    training = threading.Event()
    threading.Thread(target=_receive, args=(tasks, training), daemon=True).start()
    while (task := tasks.get()) is not None:
        answer = _answer(task)
        training.clear()
        send(answer)


def _take_standard_output() -> Send:
    """Keep standard output for answers; what plugins print goes to standard error."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)  # lines must survive a kill

    def send(answer: Mapping[str, Any]) -> None:
        answers.write(json.dumps(answer) + "\n")
        answers.flush()

    return send


def _receive(tasks: SimpleQueue[Mapping[str, Any] | None], training: threading.Event) -> None:
    for line in sys.stdin:
        training.set()
        tasks.put(json.loads(line))
    if training.is_set():  # nobody waits for this run any more
        os._exit(1)
    tasks.put(None)


class _Forwarder(logging.Handler):
    """Sends warnings to the study's process, which shows them with the name of the run."""

    def __init__(self, send: Send) -> None:
        super().__init__()
        self._send = send

    def emit(self, record: logging.LogRecord) -> None:
        self._send({"warning": record.getMessage()})


def _answer(task: Mapping[str, Any]) -> Mapping[str, Any]:
    try:
        _train(task)
    except errors.CellvisionError as fault:
        error = portable(fault)
        return {"fault": [type(error).__name__, error.what, error.hint]}
    except Exception as error:  # noqa: BLE001 - whatever a plugin raises, the study reports it
        frame = traceback.extract_tb(error.__traceback__)[-1]
        return {
            "fault": [
                "CellvisionError",
                f"{errors.summarize(error)} ({frame.filename}, line {frame.lineno})",
                "To see the traceback, train in one process: --workers 1 --debug",
            ]
        }
    return {"finished": task["folder"]}


def _train(task: Mapping[str, Any]) -> None:
    load_same_plugins("localhost", task["plugins"])
    folder = claim_folder(Path(task["folder"]))
    with contextlib.nullcontext() if task["control"] is None else control_errors():
        runner = runner_of(task["study"], task["experiment"])
        control = None if task["control"] is None else read_control(task["control"])
        runner.train(task["seed"], control, folder)


if __name__ == "__main__":
    main()
