"""Fashion-MNIST and flowers: local copies, and downloads from a server of our own."""

from __future__ import annotations

import gzip
import hashlib
import io
import socket
import struct
import tarfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from cellvision_datasets import fashion_mnist, flowers
from cellvision_datasets.download import RemoteFile, fetch
from PIL import Image

import cellvision as cv
from cellvision import errors


@dataclass
class Server:
    """What a server on this machine has, and the requests it received."""

    address: str
    files: dict[str, bytes] = field(default_factory=dict)
    break_after: list[int] = field(default_factory=list)  # bytes, one entry a broken answer
    ranges: bool = True
    requests: list[tuple[str, str | None]] = field(default_factory=list)

    def remote(self, name: str, content: bytes, *, right: bool = True) -> RemoteFile:
        self.files[f"/{name}"] = content
        digest = hashlib.sha256(content).hexdigest() if right else "0" * 64
        return RemoteFile(f"{self.address}/{name}", digest, len(content))


@pytest.fixture
def server() -> Iterator[Server]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            byte_range = self.headers.get("Range")
            mock_server.requests.append((self.path, byte_range))
            content = mock_server.files.get(self.path)
            if content is None:
                self.send_error(404)
                return
            start = (
                int(byte_range.removeprefix("bytes=").rstrip("-"))
                if byte_range and mock_server.ranges
                else 0
            )
            self.send_response(206 if start else 200)
            if start:
                self.send_header(
                    "Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}"
                )
            self.send_header("Content-Length", str(len(content) - start))
            self.end_headers()
            end = (
                start + mock_server.break_after.pop(0) if mock_server.break_after else len(content)
            )
            self.wfile.write(content[start:end])

        def log_message(self, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        mock_server = Server(f"http://127.0.0.1:{running.server_address[1]}")
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield mock_server
        running.shutdown()


def idx(values: np.ndarray) -> bytes:
    head = struct.pack(f">BBBB{values.ndim}I", 0, 0, 8, values.ndim, *values.shape)
    return gzip.compress(head + values.astype(np.uint8).tobytes(), mtime=0)


def small_fashion_mnist() -> dict[str, bytes]:
    draw = np.random.default_rng(0)
    files = {}
    for name, n in (("train", 20), ("t10k", 10)):
        files[f"{name}-images-idx3-ubyte.gz"] = idx(draw.integers(0, 256, (n, 28, 28)))
        files[f"{name}-labels-idx1-ubyte.gz"] = idx(np.arange(n) % 10)
    return files


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    folder = tmp_path / "copy"
    folder.mkdir()
    for name, content in small_fashion_mnist().items():
        (folder / name).write_bytes(content)
    return folder


# --- Fashion-MNIST -----------------------------------------------------------------------


def test_fashion_mnist_from_a_copy(copy: Path) -> None:
    data = cv.datasets.create("fashion_mnist", path=copy)
    catalog = data.catalog()
    assert list(catalog["split"].value_counts().items()) == [("train", 20), ("test", 10)]
    assert list(catalog["image"][[0, 19, 20]]) == ["train/00000", "train/00019", "test/00000"]
    assert tuple(catalog["label"][:10]) == fashion_mnist.CLASS_NAMES
    raw = gzip.decompress((copy / "t10k-images-idx3-ubyte.gz").read_bytes())[16:]
    third = np.frombuffer(raw, np.uint8).reshape(-1, 28, 28, 1)[3]
    pixels = data.read("test/00003")
    assert np.array_equal(pixels, third)
    assert pixels.dtype == np.uint8
    assert data.decode("test/00003").bit_depth == 8


def test_fingerprints_tell_images_and_files_apart(copy: Path) -> None:
    data = cv.datasets.create("fashion_mnist", path=copy)
    images = list(data.catalog()["image"])
    before = [data.fingerprint(image) for image in images]
    assert len(set(before)) == len(images)
    (copy / "train-images-idx3-ubyte.gz").write_bytes(idx(np.ones((20, 28, 28))))
    assert data.fingerprint("train/00003") != before[3]
    assert data.read("train/00003").max() == 1


@pytest.mark.parametrize("image", ["train/00020", "valid/00000", "train/x", "train", "train/-1"])
def test_an_unknown_image_is_unreadable(copy: Path, image: str) -> None:
    with pytest.raises(errors.UnreadableImage, match="no such image"):
        cv.datasets.create("fashion_mnist", path=copy).read(image)


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("train-images-idx3-ubyte.gz", b"no gzip", "cannot be unpacked"),
        ("train-images-idx3-ubyte.gz", gzip.compress(b"no idx", mtime=0), "no whole idx"),
        ("train-images-idx3-ubyte.gz", idx(np.zeros((2, 2, 2)))[:-9], "cannot be unpacked"),
        ("train-labels-idx1-ubyte.gz", idx(np.zeros(3)), "does not belong"),
        ("train-labels-idx1-ubyte.gz", idx(np.full(20, 10)), "does not belong"),
        ("train-images-idx3-ubyte.gz", idx(np.zeros(20)), "holds no images"),
        ("t10k-labels-idx1-ubyte.gz", None, "there is no t10k-labels"),
    ],
)
def test_a_damaged_copy_is_refused(copy: Path, name: str, content: bytes | None, says: str) -> None:
    (copy / name).unlink()
    if content is not None:
        (copy / name).write_bytes(content)
    with pytest.raises(errors.FolderError, match=says):
        cv.datasets.create("fashion_mnist", path=copy).catalog()


def test_fashion_mnist_is_downloaded_once(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CELLVISION_DATA", str(tmp_path))
    remotes = tuple(server.remote(*item) for item in small_fashion_mnist().items())
    monkeypatch.setattr(fashion_mnist, "REMOTE", remotes)
    data = cv.datasets.create("fashion_mnist")
    assert len(data.catalog()) == 30
    assert data.read("train/00001").shape == (28, 28, 1)
    assert len(server.requests) == 4


def test_the_whole_of_fashion_mnist(shared_data: Path) -> None:
    data = cv.datasets.create("fashion_mnist", path=shared_data / "fashion_mnist")
    catalog = data.catalog()
    counts = catalog.groupby(["split", "label"])["image"].count()
    assert set(counts["train"]) == {6000}
    assert set(counts["test"]) == {1000}
    for remote in fashion_mnist.REMOTE:
        content = (shared_data / "fashion_mnist" / remote.name).read_bytes()
        assert (len(content), hashlib.sha256(content).hexdigest()) == (remote.size, remote.sha256)


# --- flowers -----------------------------------------------------------------------------


def photo(value: int) -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.full((6, 8, 3), value, np.uint8)).save(file, "JPEG")
    return file.getvalue()


def archive() -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        contents = {"daisy/1.jpg": photo(1), "roses/2.jpg": photo(2), "LICENSE.txt": b"CC BY"}
        for name, content in contents.items():
            member = tarfile.TarInfo(f"flower_photos/{name}")
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return packed.getvalue()


def test_flowers_are_downloaded_and_unpacked(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CELLVISION_DATA", str(tmp_path))
    monkeypatch.setattr(flowers, "REMOTE", server.remote("flower_photos.tgz", archive()))
    data = cv.datasets.create("flowers")
    assert list(data.catalog()["image"]) == ["daisy/1.jpg", "roses/2.jpg"]
    assert data.read("daisy/1.jpg").shape == (6, 8, 3)
    assert cv.datasets.create("flowers", mono=True).read("daisy/1.jpg").shape == (6, 8, 1)
    assert [over.file for over in data.skipped_files()] == ["LICENSE.txt"]
    assert len(server.requests) == 1
    visible = [path.name for path in (tmp_path / "flowers").glob("[!.]*")]
    assert visible == ["flower_photos"]


def test_flowers_from_a_copy(tmp_path: Path) -> None:
    for kind in ("tulip", "rose"):
        (tmp_path / kind).mkdir()
        (tmp_path / kind / "1.jpg").write_bytes(photo(9))
    data = cv.datasets.create("flowers", path=tmp_path)
    assert list(data.catalog()["label"]) == ["rose", "tulip"]
    with pytest.raises(errors.FolderError, match="there is no such folder"):
        cv.datasets.create("flowers", path=tmp_path / "absent").catalog()


# --- the download itself -----------------------------------------------------------------

CONTENT = np.random.default_rng(1).bytes(700_000)


def test_interrupted_downloads_resume(server: Server, tmp_path: Path) -> None:
    remote = server.remote("big.bin", CONTENT)
    server.break_after = [300_000, 200_000]
    assert fetch(remote, tmp_path, "hint").read_bytes() == CONTENT
    starts = [byte_range for _, byte_range in server.requests]
    assert starts == [None, "bytes=300000-", "bytes=500000-"]


def test_partial_file_of_an_earlier_process_is_used(server: Server, tmp_path: Path) -> None:
    remote = server.remote("big.bin", CONTENT)
    (tmp_path / "big.bin.part").write_bytes(CONTENT[:1000])
    assert fetch(remote, tmp_path, "hint").read_bytes() == CONTENT
    assert server.requests == [("/big.bin", "bytes=1000-")]
    assert not (tmp_path / "big.bin.part").exists()


def test_a_server_that_cannot_resume_sends_all(server: Server, tmp_path: Path) -> None:
    remote = server.remote("big.bin", CONTENT)
    server.ranges = False
    (tmp_path / "big.bin.part").write_bytes(b"x" * 1000)
    assert fetch(remote, tmp_path, "hint").read_bytes() == CONTENT


def test_a_wrong_checksum_is_refused_and_nothing_stays(server: Server, tmp_path: Path) -> None:
    remote = server.remote("big.bin", CONTENT, right=False)
    with pytest.raises(errors.CellvisionError, match="SHA-256") as caught:
        fetch(remote, tmp_path, "do it by hand")
    assert "do it by hand" in caught.value.hint
    assert list(tmp_path.glob("[!.]*")) == []


def test_damaged_partial_file_is_discarded(server: Server, tmp_path: Path) -> None:
    remote = server.remote("big.bin", CONTENT)
    (tmp_path / "big.bin.part").write_bytes(b"x" * len(CONTENT))
    with pytest.raises(errors.CellvisionError, match="SHA-256"):
        fetch(remote, tmp_path, "hint")
    assert fetch(remote, tmp_path, "hint").read_bytes() == CONTENT


def test_server_that_always_disconnects(server: Server, tmp_path: Path) -> None:
    remote = server.remote("big.bin", CONTENT)
    server.break_after = [5000] + [0] * 10
    with pytest.raises(errors.CellvisionError, match="after 5000 of 700000 bytes"):
        fetch(remote, tmp_path, "hint")
    assert (tmp_path / "big.bin.part").read_bytes() == CONTENT[:5000]
    assert not (tmp_path / "big.bin").exists()


def test_file_missing_on_the_server(server: Server, tmp_path: Path) -> None:
    remote = RemoteFile(f"{server.address}/absent", "0" * 64, 5)
    with pytest.raises(errors.CellvisionError, match="answers 404"):
        fetch(remote, tmp_path, "hint")


@pytest.mark.parametrize("name", ["fashion_mnist", "flowers"])
def test_offline_says_what_to_do(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CELLVISION_DATA", str(tmp_path))
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))  # nobody listens there
        address = f"http://127.0.0.1:{unused.getsockname()[1]}"
        monkeypatch.setattr(flowers, "REMOTE", RemoteFile(f"{address}/f.tgz", "0" * 64, 5))
        monkeypatch.setattr(fashion_mnist, "REMOTE", (RemoteFile(f"{address}/i.gz", "", 5),))
        with pytest.raises(errors.CellvisionError, match="cannot download") as caught:
            cv.datasets.create(name).catalog()
    assert str(tmp_path / name) in caught.value.hint
    assert "dataset.path" in caught.value.hint
    assert "\n" not in caught.value.hint


def test_two_processes_at_once_download_once(server: Server, tmp_path: Path) -> None:
    remote = server.remote("big.bin", CONTENT)
    got: list[bytes] = []
    threads = [
        threading.Thread(target=lambda: got.append(fetch(remote, tmp_path, "").read_bytes()))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert got == [CONTENT] * 4
