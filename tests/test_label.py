"""Blind labelling: what is asked, what is told, what is kept, and who is let in."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import shutil
import signal
import socket
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from images import noise, write, write_folder
from labelling import Client, Servers, begin, in_thread, serving
from PIL import Image
from tiny import make_folder, make_splits

from cellvision import errors
from cellvision.cli import main
from cellvision.labelling.images import Gallery
from cellvision.labelling.order import shuffled
from cellvision.labelling.store import Store


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """40 images to label of each class, 6 of each to train on, all with their wells."""
    root = tmp_path_factory.mktemp("data") / "images"
    make_splits(root, {"train": {"dark": 6, "light": 6}, "test": {"dark": 40, "light": 40}})
    rows = [
        f"{path.relative_to(root).as_posix()},{path.parts[-3]}-{path.stem}"
        for path in sorted(root.rglob("*.png"))
    ]
    (root / "groups.csv").write_text("file,well\n" + "\n".join(rows) + "\n")
    return root


@pytest.fixture(scope="module")
def begun(images: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of answers to 40 of these images, in which there is none yet."""
    out = tmp_path_factory.mktemp("begun") / "answers.sqlite"
    return begin(images, out, "--set", "dataset.group=well", "--images", "40")


@pytest.fixture
def file(begun: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(begun, tmp_path))


Open = Callable[[Path], Client]


@pytest.fixture
def open_client() -> Iterator[Open]:
    """Serve files, for as long as a test lasts."""
    with ExitStack() as stack:
        yield lambda file: stack.enter_context(in_thread(file))


@pytest.fixture
def client(file: Path, open_client: Open) -> Client:
    return open_client(file)


def label(*words: object) -> int:
    with pytest.raises(SystemExit) as caught:
        main(["label", *map(str, words)])
    assert isinstance(caught.value.code, int)
    return caught.value.code


def rows_of(table: Path) -> list[dict[str, str]]:
    with table.open(newline="", encoding="utf-8") as opened:
        return list(csv.DictReader(opened))


# --- a session ---------------------------------------------------------------------------


def finish(client: Client, state: dict[str, Any], answer: str = "dark") -> list[str]:
    """Give the same answer to all that is left; gives the ids of what was shown."""
    shown = []
    while state["showing"]:
        shown.append(state["showing"])
        words = {"rater": state["key"], "showing": state["showing"], "answer": answer}
        state = client.post("answer", **words, seconds=1.5).json()
    assert state["phase"] == "done"
    return shown


def test_every_test_image_is_asked_once_and_a_tenth_of_them_twice(
    client: Client, file: Path, tmp_path: Path
) -> None:
    state = client.post("begin", name="  Ana  Lee ").json()
    assert (state["phase"], state["done"], state["total"]) == ("test", 0, 44)
    shown = finish(client, state)
    assert len(set(shown)) == 44
    assert label(file, "--export", tmp_path / "answers.csv") == 0
    rows = rows_of(tmp_path / "answers.csv")
    assert list(rows[0]) == [
        *("image", "split", "group", "label", "rater", "answer", "seconds", "repeat", "time"),
    ]
    first = [row for row in rows if row["repeat"] == "1"]
    second = [row["image"] for row in rows if row["repeat"] == "2"]
    assert len(first) == len({row["image"] for row in first}) == 40
    assert len(second) == len(set(second)) == 4
    places = {row["image"]: place for place, row in enumerate(rows) if row["repeat"] == "1"}
    again = {row["image"]: place for place, row in enumerate(rows) if row["repeat"] == "2"}
    assert min(again[image] - places[image] for image in second) > 40 / 3
    assert {row["split"] for row in rows} == {"test"}
    assert {row["rater"] for row in rows} == {"Ana Lee"}
    assert all(row["image"].split("/")[1] == row["label"] for row in rows)
    assert all(row["group"] == f"test-{Path(row['image']).stem}" for row in rows)
    assert {row["answer"] for row in rows} == {"dark"}
    assert {float(row["seconds"]) for row in rows} == {1.5}
    assert all(row["time"].endswith("+00:00") for row in rows)


def test_the_order_is_drawn_anew_for_every_rater_from_a_seed_that_is_kept(file: Path) -> None:
    store = Store(file)
    orders = []
    for name in ("Ana", "Bo"):
        state = store.begin(name)
        order = []
        while state.showing:
            shown = store.shown(state.showing)
            assert shown is not None
            order.append(shown[0].image)
            state = store.answer(state.key, state.showing, "dark", 1)
        orders.append(order)
    assert orders[0] != orders[1]
    assert orders[0] != sorted(orders[0])
    with sqlite3.connect(file) as db:
        seeds = [seed for (seed,) in db.execute("select seed from orders")]
    db.close()
    assert len(seeds) == len(set(seeds)) == 3  # the page's, and one a rater
    images = [item.image for item in store.plan().items]
    again = shuffled(len(images), 0.1, np.random.default_rng(seeds[1]))
    assert [images[number] for number, _ in again] == orders[0]


def test_a_rater_goes_on_where_it_stopped(client: Client, file: Path, open_client: Open) -> None:
    state = client.post("begin", name="Ana").json()
    for _ in range(3):
        words = {"rater": state["key"], "showing": state["showing"], "answer": "light"}
        state = client.post("answer", **words, seconds=2).json()
    another = open_client(file)
    assert another.post("begin", name="ana").json() == state
    assert another.post("resume", rater=state["key"]).json() == state
    assert another.post("begin", name="Bo").json()["done"] == 0


def test_an_answer_counts_once_however_often_it_is_sent(client: Client, file: Path) -> None:
    begun = client.post("begin", name="Ana").json()
    words = {"rater": begun["key"], "showing": begun["showing"]}
    once = client.post("answer", **words, answer="dark", seconds=2)
    again = client.post("answer", **words, answer="dark", seconds=2)
    assert once.json() == again.json()
    assert once.json()["done"] == 1
    other = client.post("answer", **words, answer="light", seconds=2)
    assert (other.status_code, other.json()["state"]) == (409, once.json())
    ahead = client.post("answer", **{**words, "showing": "s0"}, answer="light", seconds=2)
    assert ahead.status_code == 409
    assert [row.answer for row in Store(file).answers()] == ["dark"]


def test_an_answer_that_is_taken_back_stays_in_the_file_and_does_not_count(
    client: Client, file: Path
) -> None:
    begun = client.post("begin", name="Ana").json()
    words = {"rater": begun["key"], "showing": begun["showing"]}
    client.post("answer", **words, answer="dark", seconds=2)
    assert client.post("undo", rater=begun["key"]).json() == begun
    assert client.post("undo", rater=begun["key"]).json() == begun
    client.post("answer", **words, answer="light", seconds=3)
    assert [row.answer for row in Store(file).answers()] == ["light"]
    with sqlite3.connect(file) as db:
        kept = db.execute("select answer, withdrawn is null from answers").fetchall()
    db.close()
    assert kept == [("dark", 0), ("light", 1)]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("answer", {"answer": "grey", "seconds": 1}),
        ("answer", {"answer": "dark", "seconds": -1}),
        ("answer", {"answer": "dark", "seconds": "long"}),
        ("answer", {"answer": "dark", "seconds": True}),
        ("answer", {"answer": "dark", "seconds": 1e9}),
        ("answer", {"answer": 1, "seconds": 1}),
        ("answer", {"rater": "nobody", "answer": "dark", "seconds": 1}),
        ("begin", {"name": " "}),
        ("begin", {"name": "x" * 81}),
        ("undo", {"rater": "nobody"}),
    ],
)
def test_what_is_no_answer_is_refused(
    client: Client, file: Path, path: str, body: dict[str, Any]
) -> None:
    state = client.post("begin", name="Ana").json()
    told = client.post(path, **{"rater": state["key"], "showing": state["showing"], **body})
    assert told.status_code == 400
    assert told.json()["error"]
    assert Store(file).answers() == []


def test_practice_tells_the_right_answer_and_does_not_count(
    images: Path, tmp_path: Path, open_client: Open
) -> None:
    file = begin(images, tmp_path / "a.sqlite", "--practice", "4", "--images", "10")
    client = open_client(file)
    state = client.post("begin", name="Ana").json()
    assert (state["phase"], state["total"]) == ("practice", 4)
    truths = []
    for _ in range(4):
        words = {"rater": state["key"], "showing": state["showing"], "answer": "dark"}
        state = client.post("answer", **words, seconds=1).json()
        truths.append(state["truth"])
    assert sorted(truths) == ["dark", "dark", "light", "light"]
    assert (state["phase"], state["done"], state["total"]) == ("test", 0, 11)
    assert client.post("undo", rater=state["key"]).json()["phase"] == "test"
    words = {"rater": state["key"], "showing": state["showing"], "answer": "dark"}
    assert "truth" not in client.post("answer", **words, seconds=1).json()
    assert [row.split for row in Store(file).answers()] == ["test"]


# --- blindness ---------------------------------------------------------------------------


def test_nothing_that_is_sent_tells_file_class_or_order(client: Client, file: Path) -> None:
    state = client.post("begin", name="Ana").json()
    plan = Store(file).plan()
    sent = [client.get(path) for path in ("", "session", "page.js", "page.css", "served.js")]
    texts = [answer.text for answer in sent] + [json.dumps(state)]
    shown = finish(client, state)
    for showing in shown[:5]:
        for view in ("native", "seen"):
            picture = client.get(f"image/{showing}/{view}.png")
            assert picture.status_code == 200
            assert not {"last-modified", "etag", "content-disposition"} & set(picture.headers)
            with Image.open(io.BytesIO(picture.content)) as opened:
                assert opened.info == {}
    for item in plan.items:
        assert not any(item.image in text or Path(item.image).name in text for text in texts)
    assert all(re.fullmatch(r"s[0-9a-f]{24}", showing) for showing in shown)
    # Alphabetical ids would give the order of the images away, or the class.
    assert sorted(shown) != shown
    assert "label" not in state


def test_the_pictures_are_what_was_acquired_and_what_the_network_sees(tmp_path: Path) -> None:
    root = tmp_path / "images"
    rng = np.random.default_rng(0)
    for split, count in (("train", 2), ("test", 2)):
        for name in ("a", "b"):
            for k in range(count):
                pixels = rng.integers(0, 4000, (20, 30), np.uint16)
                write(root / split / name / f"{k}.tif", pixels)
    file = begin(root, tmp_path / "a.sqlite")
    store = Store(file)
    gallery = Gallery(store.plan())
    for item in store.plan().items:
        pixels = tifffile.imread(root / item.image).astype(float)
        with Image.open(io.BytesIO(gallery.png(item, "native", (0.0, 1.0)))) as picture:
            assert np.array_equal(np.asarray(picture), np.rint(pixels / 4095 * 255))
        with Image.open(io.BytesIO(gallery.png(item, "seen", (0.0, 1.0)))) as picture:
            assert picture.size == (16, 16)
        low, high = 0.25, 0.26  # 41 of 4096 grey levels, each of which can be told
        with Image.open(io.BytesIO(gallery.png(item, "native", (low, high)))) as picture:
            shown = np.asarray(picture)
        inside = (pixels > low * 4095) & (pixels < high * 4095)
        assert len(np.unique(shown[inside])) == len(np.unique(pixels[inside])) > 1
        assert (shown[pixels <= low * 4095] == 0).all()
        assert (shown[pixels >= high * 4095] == 255).all()


@pytest.mark.parametrize("channels", [1, 2, 3, 5])
def test_images_of_any_number_of_channels_are_shown(tmp_path: Path, channels: int) -> None:
    for place in ("train/a", "train/b", "test/a", "test/b"):
        target = tmp_path / "images" / place / "0.tif"
        target.parent.mkdir(parents=True)
        tifffile.imwrite(
            target, noise(hash(place) % 1000, (channels, 9, 9)), photometric="minisblack"
        )
    words = ["--set", f"preprocessing.channels={list(range(channels))}".replace(" ", "")]
    words += ["--set", "split.validation=0"]
    file = begin(tmp_path / "images", tmp_path / "a.sqlite", *words)
    plan = Store(file).plan()
    for view in ("native", "seen"):
        with Image.open(io.BytesIO(Gallery(plan).png(plan.items[0], view))) as picture:
            assert picture.mode == ("L" if channels in (1, 5) else "RGB")
            assert np.asarray(picture).std() > 0


def test_an_image_that_has_changed_is_not_shown(tmp_path: Path, open_client: Open) -> None:
    root = tmp_path / "images"
    make_splits(root, {"train": {"dark": 2, "light": 2}, "test": {"dark": 2, "light": 2}})
    client = open_client(begin(root, tmp_path / "a.sqlite"))
    shown = client.post("begin", name="Ana").json()["showing"]
    assert client.get(f"image/{shown}/seen.png").status_code == 200
    for path in (root / "test").rglob("*.png"):
        write(path, noise(7, (32, 32)))
    changed = open_client(tmp_path / "a.sqlite").get(f"image/{shown}/seen.png")
    assert changed.status_code == 410
    assert "dark" not in changed.text
    assert "light" not in changed.text


# --- who is let in -----------------------------------------------------------------------


def test_only_the_page_itself_is_answered(client: Client, file: Path) -> None:
    token = Store(file).fact("token")
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
    told = client.get(path)
    assert told.status_code == 404
    assert "root:" not in told.text
    state = client.post("begin", name="Ana").json()
    assert client.get(f"image/{state['showing']}/truth.png").status_code == 404


def test_the_page_fetches_nothing_from_elsewhere(client: Client, file: Path) -> None:
    for path in ("", "page.js", "page.css", "served.js"):
        told = client.get(path)
        assert not re.search(r"(?:https?:)?//[a-z]", told.text.replace("http://www.w3.org", ""))
        assert not re.search(r"\son\w+=|javascript:|\beval\(|\sstyle=", told.text)
        policy = told.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert told.headers["x-content-type-options"] == "nosniff"
        assert told.headers["referrer-policy"] == "no-referrer"
    assert file.stat().st_mode & 0o077 == 0  # it holds labels and token


# --- nothing is lost ---------------------------------------------------------------------


def test_fifty_killed_servers_lose_no_confirmed_answer(images: Path, tmp_path: Path) -> None:
    file = begin(images, tmp_path / "answers.sqlite", "--repeats", "0.5")
    servers = Servers(file)
    confirmed: dict[str, str] = {}
    addresses = set()
    for number in range(50):
        address, pid = servers.start()
        addresses.add(address)
        client = Client(address)
        state = client.post("begin", name="Ana").json()
        assert state["done"] >= len(confirmed)
        for _ in range(2 if number % 2 else 1):
            answer = ("dark", "light")[number % 3 == 0]
            words = {"rater": state["key"], "showing": state["showing"], "answer": answer}
            told = client.post("answer", **words, seconds=0.5)
            if number % 2 == 0:
                os.kill(pid, signal.SIGKILL)
            assert told.status_code == 200
            confirmed[state["showing"]] = answer
            state = told.json()
        if number % 2:  # killed in the middle of the next answer, which may be kept or not
            half_done(address, state)
            os.kill(pid, signal.SIGKILL)
        client.http.close()
    servers.close()
    assert len(confirmed) == 75
    assert len(addresses) == 1  # so that a page that is open goes on
    with sqlite3.connect(file) as db:
        assert db.execute("pragma integrity_check").fetchone() == ("ok",)
        kept = dict(db.execute("select showing, answer from answers where withdrawn is null"))
        assert len(kept) == db.execute("select count(*) from answers").fetchone()[0]
    db.close()
    assert {showing: kept[showing] for showing in confirmed} == confirmed
    assert len(kept) <= 75 + 25


def half_done(address: str, state: dict[str, Any]) -> None:
    """Send an answer and do not wait for the reply."""
    host = address.split("/")[2]
    words = {"rater": state["key"], "showing": state["showing"], "answer": "dark", "seconds": 1}
    body = json.dumps(words)
    path = "/" + address.split("/", 3)[3] + "answer"
    name, _, port = host.partition(":")
    with socket.create_connection((name, int(port))) as link:
        link.sendall(
            f"POST {path} HTTP/1.1\r\nHost: {host}\r\nOrigin: http://{host}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode()
        )


def test_the_command_serves_until_it_is_interrupted(file: Path) -> None:
    with serving(file) as (address, process):
        client = Client(address)
        assert client.post("begin", name="Ana").json()["total"] == 44
    assert process.returncode == 0


def test_a_port_that_is_taken_is_told(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        assert label(file, "--port", taken.getsockname()[1]) == 2
    assert "--port" in capsys.readouterr().err


# --- without a server --------------------------------------------------------------------


def test_a_page_to_send_tells_nothing_and_its_answers_come_back(
    images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = begin(images, tmp_path / "key.sqlite", "--practice", "2", "--images", "20")
    page = tmp_path / "key-page"
    assert sorted(path.name for path in page.iterdir()) == ["images", "label.html"]
    pictures = list((page / "images").iterdir())
    assert len(pictures) == 2 * (2 + 22)  # both views of each showing, also of repeated ones
    assert all(re.fullmatch(r"[0-9a-f]{24}\.png", path.name) for path in pictures)
    assert len({path.stat().st_mtime for path in pictures}) == 1
    text = (page / "label.html").read_text()
    assert not any(item.image in text for item in Store(file).plan().items)
    found = re.search(r'id="session">(.*?)</script>', text, re.S)
    assert found is not None
    told = json.loads(found[1])
    assert sum("truth" in showing for showing in told["showings"]) == 2
    rows = [
        [told["page"], "Cé", showing["id"], "dark", "1,5", "2026-01-01T00:00:00Z"]
        for showing in told["showings"]
    ]
    table = tmp_path / "returned.csv"
    head = ["page", "rater", "showing", "answer", "seconds", "time"]
    lines = [";".join(f'"{cell}"' for cell in row) for row in [head, *rows]]
    table.write_text("\ufeff" + "\r\n".join(lines), encoding="utf-8")
    for _ in range(2):  # twice is as good as once
        assert label(file, "--returned", table, "--export", tmp_path / "out.csv") == 0
    answers = rows_of(tmp_path / "out.csv")
    assert len(answers) == 22
    assert {row["rater"] for row in answers} == {"Cé"}
    assert {row["seconds"] for row in answers} == {"1.5"}
    assert len({row["image"] for row in answers}) == 20
    capsys.readouterr()
    for change, reason in (
        (("dark", "light"), "before"),
        ((told["page"], "p0"), "was not made from"),
        (("dark", "grey"), "no class"),
        (("1,5", "long"), "row 2"),
        ((told["showings"][0]["id"], "s0"), "not on that page"),
        (("showing", "shown"), "no column 'showing'"),
    ):
        bad = tmp_path / "bad.csv"
        bad.write_text(table.read_text(encoding="utf-8").replace(*change), encoding="utf-8")
        assert label(file, "--returned", bad) == 2
        assert reason in capsys.readouterr().err
    assert len(Store(file).answers()) == 22


# --- the command -------------------------------------------------------------------------


def test_what_cannot_be_labelled_is_told(
    images: Path, file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    new = tmp_path / "new.sqlite"
    many = write_folder(
        tmp_path / "many", {f"{s}/c{k}": 1 for k in range(35) for s in ("train", "test")}
    )
    (tmp_path / "text.sqlite").write_text("SQLite it is not")
    group = ("--set", "dataset.group=well")
    size = ("--set", "preprocessing.size=[16,16]", "--set", "preprocessing.channels=gray")
    sqlite3.connect(tmp_path / "other.sqlite").execute("create table t (c)").connection.close()
    for words, reason in (
        ([images], "--out is missing"),
        ([tmp_path / "nowhere", "--out", new], "no such folder"),
        ([images, "--out", new, "--split", "plate2"], "no split 'plate2'"),
        ([images, "--out", new, "--repeats", "0.7"], "--repeats 0.7"),
        ([images, "--out", new, "--images", "0"], "--images 0"),
        ([images, "--out", new, "--split", "train", "--practice", "3"], "practice"),
        ([many, "--out", new, "--set", "split.validation=0"], "35 classes"),
        ([images, "--out", tmp_path / "text.sqlite"], "no file of answers"),
        ([tmp_path / "other.sqlite"], "not written by"),
        ([images, "--out", file, *size], "other images"),
        ([images, "--out", file, *size, *group, "--images", "7"], "images"),
        ([file, "--breaks", "7"], "settled when it was begun"),
        ([file, "--export", tmp_path / "a.csv"], "nobody has answered"),
        ([file, "--static", images], "something in it"),
        ([file, "--returned", tmp_path / "no.csv"], "No such file"),
    ):
        assert label(*words) == 2, words
        assert reason in capsys.readouterr().err, words
    assert not new.exists()


def test_a_run_can_be_named_and_its_own_split_is_labelled(tmp_path: Path) -> None:
    images = make_folder(tmp_path / "images", count=12, wells=6)
    asked = {"dataset": {"type": "folder", "path": str(images), "group": "well"}}
    run = tmp_path / "run"
    run.mkdir()
    (run / "run.json").write_text(json.dumps({"schema": 1, "experiment": asked}))
    plan = Store(begin(run, tmp_path / "a.sqlite")).plan()
    wells = {item.group for item in plan.items}
    assert {item.split for item in plan.items} == {"test"}
    assert 0 < len(wells) < 12
    with pytest.raises(errors.FolderError):
        Store(tmp_path / "no.sqlite")
