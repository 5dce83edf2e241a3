"""Servers of ``cellvision label`` for tests, as processes that can be killed.

``python -m labelling FILE`` starts a server for each line on standard input. It has imported
everything by then, so that a start takes a moment.
"""

from __future__ import annotations

import csv
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import httpx
import pytest
from command_line import command
from python_path import TESTS, python_path


def begin(images: Path, out: Path, *words: str) -> Path:
    """Create an answer file and a page without serving it; return the file."""
    from cellvision.cli import main

    page = out.parent / f"{out.stem}-page"
    size = ("--set", "preprocessing.size=[16,16]", "--set", "preprocessing.channels=gray")
    with pytest.raises(SystemExit) as end:
        main(["label", str(images), "--out", str(out), "--static", str(page), *size, *words])
    assert end.value.code == 0
    return out


def _address(lines: IO[str]) -> str:
    for line in lines:
        if line.strip().startswith("http://"):
            return line.strip()
    raise AssertionError("the server printed no address")


@contextmanager
def serving(file: Path, *words: str) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """Run the command; yield the page's address and the process."""
    script = "from cellvision.cli import main; main()"
    process = subprocess.Popen(
        [sys.executable, "-c", script, "label", str(file), *words],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    assert process.stdout is not None
    try:
        yield _address(process.stdout), process
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=20)


class Client:
    """Talks to a server as the page does."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.http = httpx.Client(timeout=20, verify=False)  # quicker, and it is not https
        self.origin = address.partition("//")[0] + "//" + address.split("/")[2]

    def post(self, path: str, **body: Any) -> Any:
        return self.http.post(self.address + path, json=body, headers={"origin": self.origin})

    def get(self, path: str, **headers: str) -> Any:
        return self.http.get(self.address + path, headers=headers)


def make_labelled_images(root: Path, tests: int = 40) -> Path:
    """Write 6 training images of each class and more to label, with their wells."""
    from tiny import make_splits

    make_splits(root, {"train": {"dark": 6, "light": 6}, "test": {"dark": tests, "light": tests}})
    rows = [
        f"{path.relative_to(root).as_posix()},{path.parts[-3]}-{path.stem}"
        for path in sorted(root.rglob("*.png"))
    ]
    (root / "groups.csv").write_text("file,well\n" + "\n".join(rows) + "\n")
    return root


def label(*words: object) -> int:
    """Run ``cellvision label``; return its exit code."""
    return command("label", *words)


def rows_of(table: Path) -> list[dict[str, str]]:
    """Read a CSV table."""
    with table.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@contextmanager
def in_thread(file: Path, port: int = 0) -> Iterator[Client]:
    """Serve a file in this process, which starts faster; yield a client.

    With `port`, the application believes that it is served there.
    """
    from cellvision.labelling.request_guard import HOST
    from cellvision.labelling.server import create_server
    from cellvision.labelling.store import Store

    with Store(file) as store, socket.create_server((HOST, 0)) as listening:
        token = store.metadata("token")
        bound = listening.getsockname()[1]
        server = create_server(store, token, port or bound)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        client = Client(f"http://{HOST}:{bound}/{token}/")
        try:
            yield client
        finally:
            client.http.close()
            server.should_exit = True
            thread.join()


class Servers:
    """Start servers of one file, one at a time."""

    def __init__(self, file: Path) -> None:
        self._parent = subprocess.Popen(
            [sys.executable, "-m", "labelling", str(file)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": python_path(TESTS), "PYTHONUNBUFFERED": "1"},
        )

    def start(self) -> tuple[str, int]:
        """Start the next server; return the page's address and the process id."""
        assert self._parent.stdin is not None
        assert self._parent.stdout is not None
        self._parent.stdin.write("\n")
        self._parent.stdin.flush()
        pid = 0
        for line in self._parent.stdout:
            if line.startswith("process "):
                pid = int(line.split()[1])
                break
        return _address(self._parent.stdout), pid

    def close(self) -> None:
        self._parent.communicate(timeout=20)


def _serve_each(file: Path) -> None:
    from cellvision.cli import main
    from cellvision.cli.app import command

    command()
    with in_thread(file) as client:  # late imports happen now
        assert client.get("").status_code == 200
    for _ in sys.stdin:
        child = os.fork()
        if child == 0:
            print("process", os.getpid(), flush=True)
            main(["label", str(file)])
        os.waitpid(child, 0)


if __name__ == "__main__":
    _serve_each(Path(sys.argv[1]))
