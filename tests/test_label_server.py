"""The label server: who is admitted, hostile requests, many raters, and failing files."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import os
import re
import shutil
import socket
import sqlite3
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from labelling import Client, begin, in_thread, label, make_labelled_images

from cellvision import errors
from cellvision.labelling import connections, page
from cellvision.labelling.store import Store


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An answer file without answers."""
    root = tmp_path_factory.mktemp("begun")
    return begin(make_labelled_images(root / "images", 10), root / "answers.sqlite")


@pytest.fixture
def file(begun: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(begun, tmp_path))


@pytest.fixture
def client(file: Path) -> Iterator[Client]:
    with in_thread(file) as opened:
        yield opened


def send(client: Client, request: bytes, seconds: float = 20) -> bytes:
    """Send bytes as they are; return what comes back until the server closes or is silent."""
    host, _, port = client.origin.partition("//")[2].partition(":")
    received = b""
    with socket.create_connection((host, int(port)), timeout=seconds) as link:
        try:
            link.sendall(request)
            while chunk := link.recv(65536):
                received += chunk
        except OSError:
            pass
    return received


def header(client: Client, path: str, *lines: str) -> str:
    """The head of a POST as the page sends it, without a length."""
    host = client.origin.partition("//")[2]
    token = client.address.split("/", 3)[3]
    fixed = (f"Host: {host}", f"Origin: {client.origin}", "Content-Type: application/json")
    return "\r\n".join([f"POST /{token}{path} HTTP/1.1", *fixed, *lines]) + "\r\n\r\n"


# --- who is admitted ---------------------------------------------------------------------


def test_only_the_page_itself_is_admitted(client: Client, file: Path) -> None:
    token = Store(file).metadata("token")
    assert len(token) >= 24
    http = client.http
    port = client.origin.rpartition(":")[2]
    for path in ("", "wrong/", f"{token[:-1]}/", f"{token}x/session", "wrong/session", "image/a/b"):
        assert http.get(f"{client.origin}/{path}").status_code == 404
    for host in (f"evil.example:{port}", "127.0.0.1:1", "127.0.0.1", f"127.0.0.1.evil:{port}"):
        assert client.get("", host=host).status_code == 421
    assert client.get("", host=f"localhost:{port}").status_code == 200
    body = {"name": "Eve"}
    for origin in ("http://evil.example", "null", f"https://127.0.0.1:{port}", None):
        headers = {} if origin is None else {"origin": origin}
        refused = http.post(client.address + "begin", json=body, headers=headers)
        assert refused.status_code == 403
    form = http.post(client.address + "begin", data=body, headers={"origin": client.origin})
    assert form.status_code == 415
    assert client.post("begin", name="x" * 20_000).status_code == 413
    assert Store(file).raters() == []


@pytest.mark.parametrize(
    "path",
    [
        "../../etc/passwd",
        "%2e%2e/%2e%2e/etc/passwd",
        "..%2f..%2fetc%2fpasswd",
        "page.html.j2",
        "__init__.py",
        "static.js",
        "image/..%2f..%2fetc/passwd.png",
        "image/s0/native.png",
        "image/test%2fdark%2fs0.png/native.png",
        "answers.sqlite",
    ],
)
def test_no_other_file_has_an_address(client: Client, path: str) -> None:
    reply = client.get(path)
    assert reply.status_code == 404
    assert "root:" not in reply.text
    state = client.post("begin", name="Ana").json()
    assert client.get(f"image/{state['showing']}/truth.png").status_code == 404


def test_the_page_loads_nothing_from_elsewhere(client: Client, file: Path) -> None:
    for path in ("", "page.js", "page.css", "served.js", "view.js"):
        reply = client.get(path)
        assert not re.search(r"(?:https?:)?//[a-z]", reply.text.replace("http://www.w3.org", ""))
        assert not re.search(r"\son\w+=|javascript:|\beval\(|\sstyle=", reply.text)
        policy = reply.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert reply.headers["x-content-type-options"] == "nosniff"
        assert reply.headers["referrer-policy"] == "no-referrer"
    assert file.stat().st_mode & 0o077 == 0  # it holds labels and the token


def test_requests_for_no_path_are_refused_as_others_are(client: Client) -> None:
    host = client.origin.partition("//")[2]
    for line in ("OPTIONS *", "GET http://example.org/", "OPTIONS /"):
        reply = send(client, f"{line} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
        assert reply.startswith(b"HTTP/1.1 404"), line
        assert b"content-security-policy" in reply


def test_port_80_is_served_without_being_named(file: Path) -> None:
    with in_thread(file, port=80) as client:
        for host, origin in (
            ("127.0.0.1", "http://127.0.0.1"),
            ("localhost", "http://localhost"),
            ("127.0.0.1:80", "http://127.0.0.1"),
            ("LOCALHOST", "http://localhost:80"),
        ):
            assert client.get("", host=host).status_code == 200
            headers = {"host": host, "origin": origin}
            reply = client.http.post(client.address + "begin", json={"name": "A"}, headers=headers)
            assert reply.status_code == 200, host
        assert client.get("", host="127.0.0.1:8080").status_code == 421
        headers = {"host": "127.0.0.1", "origin": "http://localhost"}
        reply = client.http.post(client.address + "begin", json={"name": "A"}, headers=headers)
        assert reply.status_code == 403


# --- hostile requests --------------------------------------------------------------------

HOSTILE = {
    "deep": "[" * 9000,
    "deep object": '{"name":' * 1000,
    "number": '{"name": ' + "9" * 400 + "}",
    "surrogate": '{"name": "\\ud800"}',
    "surrogate rater": '{"rater": "\\udfff", "showing": "\\ud800", "answer": "dark", "seconds": 1}',
    "nul": '{"name": "a\\u0000b"}',
    "escape": '{"name": "\\u001b[2J"}',
    "bidi": '{"name": "\\u202eevil"}',
    "formula": '{"name": "=1+1"}',
    "list": "[]",
    "text": '"name"',
    "nothing": "",
    "not UTF-8": '{"name": "\xff"}',
}


@pytest.mark.exhaustive
@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("path", ["begin", "resume", "answer", "undo"])
def test_hostile_bodies_get_400(client: Client, file: Path, name: str, path: str) -> None:
    headers = {"origin": client.origin, "content-type": "application/json"}
    body = HOSTILE[name].encode("latin-1")
    reply = client.http.post(client.address + path, content=body, headers=headers)
    assert reply.status_code == 400
    assert reply.json()["error"]
    assert client.post("begin", name="Ana").json()["done"] == 0


@pytest.mark.parametrize("value", ["9" * 400, "-" + "9" * 400, "1e400", "NaN", "-1", '"1"', "true"])
def test_seconds_that_are_no_time_get_400(client: Client, file: Path, value: str) -> None:
    state = client.post("begin", name="Ana").json()
    words = json.dumps({"rater": state["key"], "showing": state["showing"], "answer": "dark"})
    headers = {"origin": client.origin, "content-type": "application/json"}
    body = words[:-1] + f', "seconds": {value}}}'
    reply = client.http.post(client.address + "answer", content=body, headers=headers)
    assert reply.status_code == 400
    with Store(file) as store:
        assert store.answers() == []


def test_a_window_beyond_the_range_shows_the_image(client: Client) -> None:
    showing = client.post("begin", name="Ana").json()["showing"]
    for window in ("-1e300,1e300", "nan,1", "0,1e400", "0.5,0.5", "a,b", "1,2,3", ""):
        reply = client.get(f"image/{showing}/native.png?window={window}")
        assert reply.status_code == 200
        assert reply.content.startswith(b"\x89PNG")


def test_chunked_bodies_obey_the_limit_while_they_arrive(client: Client) -> None:
    head = header(client, "begin", "Transfer-Encoding: chunked").encode()
    small = json.dumps({"name": "Ana"}).encode()
    request = head + b"%x\r\n%b\r\n0\r\n\r\n" % (len(small), small)
    assert send(client, request.replace(b"\r\nHost", b"\r\nConnection: close\r\nHost")).startswith(
        b"HTTP/1.1 200"
    )
    # The body has no end: a server that waited for it would not answer.
    endless = send(client, head + b"2710\r\n" + b" " * 10_000 + b"\r\n1\r\n \r\n", seconds=10)
    assert endless.startswith(b"HTTP/1.1 413")
    token = client.address.split("/", 3)[3]
    host = client.origin.partition("//")[2]
    get = f"GET /{token} HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
    assert send(client, get + b"4e20\r\n" + b" " * 20_000, seconds=10).startswith(b"HTTP/1.1 413")


def test_a_length_beyond_the_limit_is_refused_before_the_body(client: Client) -> None:
    for length in ("10001", "200000000"):
        reply = send(client, header(client, "begin", f"Content-Length: {length}").encode())
        assert reply.startswith(b"HTTP/1.1 413")


def test_idle_connections_are_closed(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "IDLE_SECONDS", 0.5)
    with in_thread(file) as client:
        for request in (b"", b"GET / HT", header(client, "begin", "Content-Le").encode()[:-5]):
            start = time.monotonic()
            assert send(client, request) == b""
            assert time.monotonic() - start < 10
        assert client.get("").status_code == 200


def test_a_response_that_nobody_fetches_is_dropped(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "IDLE_SECONDS", 0.3)
    monkeypatch.setattr(page, "read", lambda _: "x" * 2**24)
    with in_thread(file) as client:
        host, _, port = client.origin.partition("//")[2].partition(":")
        path = client.address.split("/", 3)[3] + "page.js"
        with socket.create_connection((host, int(port)), timeout=20) as link:
            link.sendall(f"GET /{path} HTTP/1.1\r\nHost: {host}:{port}\r\n\r\n".encode())
            time.sleep(3.0)  # costs no processor time
            received = 0
            with contextlib.suppress(ConnectionError):
                while chunk := link.recv(2**20):
                    received += len(chunk)
        assert received < 2**24


def test_malformed_heads_are_refused(client: Client) -> None:
    host = client.origin.partition("//")[2]
    path = "/" + client.address.split("/", 3)[3]
    for head, status in (
        (f"GET {path} HTTP/1.0", 421),  # names no host
        (f"GET {path} HTTP/1.1\r\nHost: {host}\r\nHost: evil.example", 400),
        (f"GET {path} HTTP/1.1\r\nHost: {host}\r\nX: {'x' * 200_000}", 400),
        (f"GET {path}{'x' * 200_000} HTTP/1.1\r\nHost: {host}", 400),
        (f"GET {path} HTTP/1.1\r\nHost: {host}\r\nContent-Length: -1", 400),
        (f"GET {path} HTTP/1.1\r\nHost: {host}\r\nContent-Length: {'9' * 5000}", 400),
        (f"GET {path} HTTP/1.1\r\nHost: {host}\r\nX: a\0b", 400),
        (f"TRACE {path} HTTP/1.1\r\nHost: {host}", 403),
        ("\x16\x03\x01\x02", 400),  # begins like TLS
    ):
        reply = send(client, f"{head}\r\n\r\n".encode("latin-1"), seconds=0.3)
        assert reply.startswith(f"HTTP/1.1 {status}".encode()), head[:120]
    assert client.get("").status_code == 200


def test_web_sockets_are_not_served(client: Client) -> None:
    host = client.origin.partition("//")[2]
    token = client.address.split("/", 3)[3]
    lines = [f"Host: {host}", "Connection: Upgrade", "Upgrade: websocket"]
    lines += ["Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="]
    for path, status in (("/", b"404"), (f"/{token}no", b"404"), (f"/{token}session", b"200")):
        request = "\r\n".join([f"GET {path} HTTP/1.1", *lines]) + "\r\n\r\n"
        assert send(client, request.encode(), seconds=0.3).startswith(b"HTTP/1.1 " + status)


def test_the_server_leaves_the_logging_of_its_process_alone(file: Path) -> None:
    """Some handlers, such as TensorFlow's, close the file behind standard error with them."""

    class Closing(logging.StreamHandler[io.StringIO]):
        def close(self) -> None:
            self.stream.close()
            super().close()

    handler = Closing(io.StringIO())
    with in_thread(file) as client:
        assert client.get("").status_code == 200
    assert not handler.stream.closed
    assert logging.getLogger("uvicorn").handlers == []


# --- the file ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("token", '"guess"'),
        ("token", "null"),
        ("token", "not JSON"),
        ("plan", "[]"),
        ("plan", '{"rules": {}}'),
        ("plan", "[" * 50_000),
    ],
)
def test_a_file_of_somebody_else_is_checked(
    file: Path, name: str, value: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with contextlib.closing(sqlite3.connect(file)) as database:
        database.execute("update metadata set value = ? where name = ?", (value, name))
        database.commit()
    assert label(file) == 2
    assert f"damaged, or another program wrote it ({name})" in capsys.readouterr().err


def test_errors_of_the_file_reach_the_terminal_and_not_the_rater(
    client: Client, file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    state = client.post("begin", name="Ana").json()
    file.rename(file.with_name("elsewhere.sqlite"))  # a write would go to a file without a name
    words = {"rater": state["key"], "showing": state["showing"], "answer": "dark", "seconds": 1}
    for path, body in (("answer", words), ("begin", {"name": "Bo"}), ("undo", words)):
        reply = client.post(path, **body)
        assert reply.status_code == 503  # the page keeps trying
        assert "sqlite" not in reply.text
        assert str(file.parent) not in reply.text
    assert "removed or replaced" in caplog.text
    assert str(file) in caplog.text
    file.with_name("elsewhere.sqlite").rename(file)
    assert client.post("answer", **words).json()["done"] == 1


def test_a_damaged_file_is_not_described_to_the_rater(client: Client, file: Path) -> None:
    state = client.post("begin", name="Ana").json()
    file.write_bytes(file.read_bytes()[:4096] + b"\xff" * 40_000)
    words = {"rater": state["key"], "showing": state["showing"], "answer": "dark", "seconds": 1}
    reply = client.post("answer", **words)
    assert reply.status_code in (200, 503)  # SQLite may have the pages in memory
    assert "malformed" not in reply.text
    assert str(file.parent) not in reply.text


@contextlib.contextmanager
def full_disk(most: int) -> Iterator[None]:
    """Let no file grow beyond some bytes, as on a disk without space."""
    resource = pytest.importorskip("resource", reason="limits need POSIX")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk_is_named_when_the_file_is_made(file: Path, tmp_path: Path) -> None:
    with Store(file) as store:
        plan = store.plan()
    new = tmp_path / "new.sqlite"
    with full_disk(8192), pytest.raises(errors.CellvisionError) as caught:
        Store.create(new, plan)
    assert str(new.parent) in caught.value.what
    assert "cannot be written" in caught.value.what
    assert "disk space" in caught.value.hint
    assert [path.name for path in tmp_path.iterdir()] == [file.name]
    with Store.create(new, plan) as store:
        assert store.plan() == plan


def test_a_full_disk_loses_no_answer(client: Client, file: Path) -> None:
    state = client.post("begin", name="Ana").json()
    words = {"rater": state["key"], "showing": state["showing"], "answer": "dark", "seconds": 1}
    with full_disk(8192):
        assert client.post("answer", **words).status_code == 503  # the page keeps trying
    assert client.post("answer", **words).json()["done"] == 1


RATERS = int(os.environ.get("CELLVISION_LABEL_RATERS", "12"))
"""Clients that answer at once; 200 were run by hand."""


def test_many_raters_at_once_never_find_the_file_locked(client: Client, file: Path) -> None:
    stop = threading.Event()

    def look() -> None:  # another program that reads and writes the same file
        while not stop.is_set():
            with Store(file) as store:
                store.raters()
                store.set_metadata("note", time.time())

    def rate(number: int) -> list[int]:
        with httpx.Client(timeout=60) as http:
            opened = Client(client.address)
            opened.http = http
            state = opened.post("begin", name=f"Rater {number}").json()
            statuses = []
            for _ in range(3):
                words: dict[str, Any] = {"rater": state["key"], "showing": state["showing"]}
                reply = opened.post("answer", **words, answer="dark", seconds=1)
                statuses.append(reply.status_code)
                state = reply.json()
            return statuses

    looker = threading.Thread(target=look)
    looker.start()
    with ThreadPoolExecutor(RATERS) as pool:
        statuses = [status for answers in pool.map(rate, range(RATERS)) for status in answers]
    stop.set()
    looker.join()
    assert statuses == [200] * 3 * RATERS
    with Store(file) as store:
        assert len(store.answers()) == 3 * RATERS


def test_the_file_alone_holds_every_confirmed_answer(client: Client, file: Path) -> None:
    state = client.post("begin", name="Ana").json()
    words = {"rater": state["key"], "showing": state["showing"], "answer": "dark"}
    client.post("answer", **words, seconds=1)
    copy = Path(shutil.copy(file, file.with_name("copy.sqlite")))
    with Store(copy) as store:
        assert [row.answer for row in store.answers()] == ["dark"]
    assert not copy.with_name("copy.sqlite-wal").exists()
