"""Blind labelling: sessions, blindness, durability and the command."""

from __future__ import annotations

import contextlib
import io
import json
import os
import random
import re
import shutil
import signal
import socket
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import tifffile
from images import noise, write, write_folder
from labelling import (
    Client,
    Servers,
    begin,
    in_thread,
    label,
    make_labelled_images,
    rows_of,
    serving,
)
from PIL import Image
from tiny import make_folder, make_splits

import cellvision as cv
from cellvision import errors
from cellvision.labelling.images import Gallery
from cellvision.labelling.order import shuffled
from cellvision.labelling.plan import plan_from_json
from cellvision.labelling.store import Store


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_labelled_images(tmp_path_factory.mktemp("data") / "images")


@pytest.fixture(scope="module")
def begun(images: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An answer file of 40 of these images, without answers."""
    out = tmp_path_factory.mktemp("begun") / "answers.sqlite"
    return begin(images, out, "--set", "dataset.group=well", "--images", "40")


@pytest.fixture
def file(begun: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(begun, tmp_path))


Open = Callable[[Path], Client]


@pytest.fixture
def open_client() -> Iterator[Open]:
    """Serve answer files for the duration of a test."""
    with ExitStack() as stack:
        yield lambda file: stack.enter_context(in_thread(file))


@pytest.fixture
def client(file: Path, open_client: Open) -> Client:
    return open_client(file)


# --- a session ---------------------------------------------------------------------------


def finish(client: Client, state: dict[str, Any], answer: str = "dark") -> list[str]:
    """Give the same answer to all remaining images; return their ids."""
    shown = []
    while state["showing"]:
        shown.append(state["showing"])
        words = {"rater": state["key"], "showing": state["showing"], "answer": answer}
        state = client.post("answer", **words, seconds=1.5).json()
    assert state["phase"] == "done"
    return shown


def test_each_test_image_is_shown_once_and_a_tenth_of_them_twice(
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
    positions = {
        row["image"]: position for position, row in enumerate(rows) if row["repeat"] == "1"
    }
    again = {row["image"]: position for position, row in enumerate(rows) if row["repeat"] == "2"}
    assert min(again[image] - positions[image] for image in second) > 40 / 3
    assert {row["split"] for row in rows} == {"test"}
    assert {row["rater"] for row in rows} == {"Ana Lee"}
    assert all(row["image"].split("/")[1] == row["label"] for row in rows)
    assert all(row["group"] == f"test-{Path(row['image']).stem}" for row in rows)
    assert {row["answer"] for row in rows} == {"dark"}
    assert {float(row["seconds"]) for row in rows} == {1.5}
    assert all(row["time"].endswith("+00:00") for row in rows)


def test_each_rater_gets_a_new_order_from_a_stored_seed(file: Path) -> None:
    store = Store(file)
    orders = []
    for name in ("Ana", "Bo"):
        state = store.begin(name)
        order = []
        while state.showing:
            shown = store.image_behind(state.showing)
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
    images = [image.image for image in store.plan().images]
    again = shuffled(len(images), 0.1, np.random.default_rng(seeds[1]))
    assert [images[number] for number, _ in again] == orders[0]


def test_a_rater_resumes(client: Client, file: Path, open_client: Open) -> None:
    state = client.post("begin", name="Ana").json()
    for _ in range(3):
        words = {"rater": state["key"], "showing": state["showing"], "answer": "light"}
        state = client.post("answer", **words, seconds=2).json()
    another = open_client(file)
    assert another.post("begin", name="ana").json() == state
    assert another.post("resume", rater=state["key"]).json() == state
    assert another.post("begin", name="Bo").json()["done"] == 0


def test_a_repeated_answer_counts_once(client: Client, file: Path) -> None:
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


def test_an_undone_answer_stays_in_the_file_and_does_not_count(client: Client, file: Path) -> None:
    begun = client.post("begin", name="Ana").json()
    words = {"rater": begun["key"], "showing": begun["showing"]}
    client.post("answer", **words, answer="dark", seconds=2)
    assert client.post("undo", rater=begun["key"]).json() == begun
    assert client.post("undo", rater=begun["key"]).json() == begun
    client.post("answer", **words, answer="light", seconds=3)
    assert [row.answer for row in Store(file).answers()] == ["light"]
    with sqlite3.connect(file) as db:
        rows = db.execute("select answer, withdrawn is null from answers").fetchall()
    db.close()
    assert rows == [("dark", 0), ("light", 1)]


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
def test_invalid_answers_are_refused(
    client: Client, file: Path, path: str, body: dict[str, Any]
) -> None:
    state = client.post("begin", name="Ana").json()
    reply = client.post(path, **{"rater": state["key"], "showing": state["showing"], **body})
    assert reply.status_code == 400
    assert reply.json()["error"]
    assert Store(file).answers() == []


def test_practice_reveals_the_class_and_does_not_count(
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


def test_cannot_say_is_an_answer_without_a_class(
    client: Client, file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    session = client.get("session").json()
    assert session["cannot_say"] not in {entry["key"] for entry in session["classes"]}
    state = client.post("begin", name="Ana").json()
    words = {"rater": state["key"], "showing": state["showing"], "seconds": 1}
    assert client.post("answer", **words).status_code == 400  # a missing answer is none
    state = client.post("answer", **words, answer=None).json()
    assert state["done"] == 1
    assert client.post("answer", **words, answer="dark").status_code == 409
    client.post("answer", **{**words, "showing": state["showing"]}, answer="dark")
    assert label(file, "--export", tmp_path / "a.csv") == 0
    assert [row["answer"] for row in rows_of(tmp_path / "a.csv")] == ["", "dark"]
    assert '2 answers, 1 of them "cannot say"' in capsys.readouterr().out


def test_the_help_panel_shows_training_images_of_each_class(client: Client, file: Path) -> None:
    classes = client.get("session").json()["classes"]
    assert [len(entry["examples"]) for entry in classes] == [3, 3]
    with Store(file) as store:
        for entry in classes:
            for key in entry["examples"]:
                shown = store.image_behind(key)
                assert shown is not None
                assert (shown[0].split, shown[0].label) == ("train", entry["name"])
                assert client.get(f"image/{key}/native.png").status_code == 200
    state = client.post("begin", name="Ana").json()
    words = {"rater": state["key"], "showing": classes[0]["examples"][0], "answer": "dark"}
    assert client.post("answer", **words, seconds=1).status_code == 409  # not to be labelled


def test_examples_can_be_omitted_and_never_come_from_the_split_to_label(
    images: Path, tmp_path: Path
) -> None:
    for number, words in enumerate((["--examples", "0"], ["--split", "train"])):
        with Store(begin(images, tmp_path / f"{number}.sqlite", *words)) as store:
            assert store.examples() == []


# --- blindness ---------------------------------------------------------------------------


def test_replies_reveal_neither_file_nor_class_nor_order(client: Client, file: Path) -> None:
    state = client.post("begin", name="Ana").json()
    plan = Store(file).plan()
    sent = [
        client.get(path) for path in ("", "session", "page.js", "page.css", "served.js", "view.js")
    ]
    texts = [answer.text for answer in sent] + [json.dumps(state)]
    shown = finish(client, state)
    for showing in shown[:5]:
        for view in ("native", "seen"):
            picture = client.get(f"image/{showing}/{view}.png")
            assert picture.status_code == 200
            assert not {"last-modified", "etag", "content-disposition"} & set(picture.headers)
            with Image.open(io.BytesIO(picture.content)) as opened:
                assert opened.info == {}
    for item in plan.images:
        assert not any(item.image in text or Path(item.image).name in text for text in texts)
    assert all(re.fullmatch(r"s[0-9a-f]{24}", showing) for showing in shown)
    # Alphabetical ids would give the order of the images away, or the class.
    assert sorted(shown) != shown
    assert "label" not in state


def test_pictures_keep_the_grey_levels_of_the_full_bit_depth(
    tmp_path: Path,
) -> None:
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
    for item in store.plan().images:
        pixels = tifffile.imread(root / item.image).astype(float)
        with Image.open(io.BytesIO(gallery.png(item, "native", (0.0, 1.0)))) as picture:
            assert np.array_equal(np.asarray(picture), np.rint(pixels / 4095 * 255))
        with Image.open(io.BytesIO(gallery.png(item, "seen", (0.0, 1.0)))) as picture:
            assert picture.size == (16, 16)
        low, high = 0.25, 0.26  # 41 of 4096 grey levels, all distinguishable
        with Image.open(io.BytesIO(gallery.png(item, "native", (low, high)))) as picture:
            shown = np.asarray(picture)
        inside = (pixels > low * 4095) & (pixels < high * 4095)
        assert len(np.unique(shown[inside])) == len(np.unique(pixels[inside])) > 1
        assert (shown[pixels <= low * 4095] == 0).all()
        assert (shown[pixels >= high * 4095] == 255).all()


@pytest.mark.parametrize("channels", [1, 2, 3, 5])
def test_images_with_any_number_of_channels_are_shown(tmp_path: Path, channels: int) -> None:
    for seed, folder in enumerate(("train/a", "train/b", "test/a", "test/b")):
        target = tmp_path / "images" / folder / "0.tif"
        target.parent.mkdir(parents=True)
        tifffile.imwrite(target, noise(seed, (channels, 9, 9)), photometric="minisblack")
    words = ["--set", f"preprocessing.channels={list(range(channels))}".replace(" ", "")]
    words += ["--set", "split.validation=0"]
    file = begin(tmp_path / "images", tmp_path / "a.sqlite", *words)
    plan = Store(file).plan()
    for view in ("native", "seen"):
        with Image.open(io.BytesIO(Gallery(plan).png(plan.images[0], view))) as picture:
            assert picture.mode == ("L" if channels == 1 else "RGB")
            assert np.asarray(picture).std() > 0


def test_as_acquired_shows_all_channels_whatever_the_network_gets(tmp_path: Path) -> None:
    for number, folder in enumerate(("train/a", "train/b", "test/a", "test/b")):
        pixels = np.zeros((4, 9, 9), np.uint8)
        pixels[:, 0, 0] = number + 1  # no two images alike
        for channel in range(4):
            pixels[channel, 4, 2 * channel] = 255
        (tmp_path / "images" / folder).mkdir(parents=True)
        tifffile.imwrite(tmp_path / "images" / folder / "0.tif", pixels, photometric="minisblack")
    words = ["--set", "preprocessing.channels=[2]", "--set", "split.validation=0"]
    file = begin(
        tmp_path / "images", tmp_path / "a.sqlite", *words, "--set", "preprocessing.size=[9,9]"
    )
    with Store(file) as store:
        plan = store.plan()
    views = {}
    for view in ("native", "seen"):
        with Image.open(io.BytesIO(Gallery(plan).png(plan.images[0], view, (0, 1)))) as picture:
            views[view] = np.asarray(picture)
    assert views["native"].shape == (9, 9, 3)
    colours = [tuple(views["native"][4, 2 * channel]) for channel in range(4)]
    assert len(set(colours)) == 4
    assert all(max(colour) > 100 for colour in colours)
    assert views["seen"].shape == (9, 9)
    assert [int(views["seen"][4, 2 * channel]) for channel in range(4)] == [0, 0, 255, 0]


def test_a_changed_image_is_not_shown(tmp_path: Path, open_client: Open) -> None:
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


# --- nothing is lost ---------------------------------------------------------------------


KILLS = int(os.environ.get("CELLVISION_KILLS", "5"))
SEED = int(os.environ.get("CELLVISION_KILL_SEED", "0"))
"""How often the server is killed, and the seed of the moments; 40 were run by hand."""


def test_a_server_killed_at_random_moments_loses_no_confirmed_answer(
    images: Path, tmp_path: Path
) -> None:
    file = begin(images, tmp_path / "answers.sqlite", "--repeats", "0.5")
    servers = Servers(file)
    rng = random.Random(SEED)
    confirmed: dict[str, str] = {}
    addresses = set()
    for number in range(KILLS):
        address, pid = servers.start()
        addresses.add(address)
        killer = threading.Timer(rng.uniform(0.0, 0.4), os.kill, (pid, signal.SIGKILL))
        client = Client(address)
        with contextlib.suppress(httpx.TransportError):  # the server dies in the middle
            # A new rater whenever one is done, so that there is always something to answer.
            state = client.post("begin", name=f"Ana {number}").json()
            killer.start()
            while True:
                if state["showing"] is None:
                    state = client.post("begin", name=f"Ana {number} {len(confirmed)}").json()
                answer = rng.choice(("dark", "light"))
                words = {"rater": state["key"], "showing": state["showing"], "answer": answer}
                reply = client.post("answer", **words, seconds=0.5)
                assert reply.status_code == 200
                confirmed[state["showing"]] = answer
                state = reply.json()
        killer.join()
        client.http.close()
    servers.close()
    assert len(addresses) == 1  # so that an open page continues
    assert len(confirmed) >= KILLS
    with Store(file) as store:
        recorded = store.answers()
    with sqlite3.connect(file) as db:
        assert db.execute("pragma integrity_check").fetchone() == ("ok",)
        stored = dict(db.execute("select showing, answer from answers where withdrawn is null"))
    db.close()
    assert {showing: stored[showing] for showing in confirmed} == confirmed
    assert len(confirmed) <= len(recorded) == len(stored) <= len(confirmed) + KILLS


def test_the_command_serves_until_it_is_interrupted(file: Path) -> None:
    with serving(file) as (address, process):
        client = Client(address)
        assert client.post("begin", name="Ana").json()["total"] == 44
    assert process.returncode == 0


def test_a_port_in_use_is_reported(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        assert label(file, "--port", taken.getsockname()[1]) == 2
    assert "--port" in capsys.readouterr().err


# --- the command -------------------------------------------------------------------------


def test_invalid_commands_are_refused(
    images: Path, file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    new = tmp_path / "new.sqlite"
    many = write_folder(
        tmp_path / "many", {f"{s}/c{k}": 1 for k in range(35) for s in ("train", "test")}
    )
    (tmp_path / "text.sqlite").write_text("SQLite it is not")
    group = ("--set", "dataset.group=well")
    size = ("--set", "preprocessing.size=[16,16]", "--set", "preprocessing.channels=gray")
    other = tmp_path / "other.sqlite"
    with contextlib.closing(sqlite3.connect(other)) as connection:
        connection.execute("create table t (c)")
    content = other.read_bytes()
    for words, reason in (
        ([images], "--out is missing"),
        ([tmp_path / "nowhere", "--out", new], "no such file or folder"),
        ([images, "--out", new, "--split", "plate2"], "no split 'plate2'"),
        ([images, "--out", new, "--repeats", "0.7"], "--repeats 0.7"),
        ([images, "--out", new, "--images", "0"], "--images 0"),
        ([images, "--out", new, "--split", "train", "--practice", "3"], "practice"),
        ([many, "--out", new, "--set", "split.validation=0"], "35 classes"),
        ([images, "--out", tmp_path / "text.sqlite"], "not an answer file"),
        ([other], "not written by"),
        ([images, "--out", other], "not written by"),
        ([images, "--out", file, *size], "other images"),
        ([images, "--out", file, *size, *group, "--images", "7"], "images"),
        ([file, "--breaks", "7"], "fixed at its start"),
        ([file, "--export", tmp_path / "a.csv"], "there is no answer yet"),
        ([file, "--static", images], "not empty"),
        ([file, "--returned", tmp_path / "no.csv"], "No such file"),
    ):
        assert label(*words) == 2, words
        assert reason in capsys.readouterr().err, words
    assert not new.exists()
    assert other.read_bytes() == content
    assert not list(file.parent.glob(f"{file.name}-*"))  # SQLite's log of an open file


@pytest.mark.parametrize("splits", ["test", ["test"]])
def test_a_split_is_named_by_itself_or_in_a_list(
    images: Path, tmp_path: Path, splits: str | list[str]
) -> None:
    out = tmp_path / "answers.sqlite"
    cv.label(images, out, splits=splits, group="well", serve=False)
    assert {image.split for image in Store(out).plan().images} == {"test"}


def test_a_run_folder_stands_for_its_own_split(tmp_path: Path) -> None:
    images = make_folder(tmp_path / "images", count=12, wells=6)
    experiment = {"dataset": {"type": "folder", "path": str(images), "group": "well"}}
    run = tmp_path / "run"
    run.mkdir()
    (run / "run.json").write_text(json.dumps({"schema": 1, "experiment": experiment}))
    plan = Store(begin(run, tmp_path / "a.sqlite")).plan()
    wells = {image.group for image in plan.images}
    assert {image.split for image in plan.images} == {"test"}
    assert 0 < len(wells) < 12
    with pytest.raises(errors.FolderError):
        Store(tmp_path / "no.sqlite")


def test_an_answer_file_names_the_distributions_of_its_plugins(file: Path) -> None:

    with contextlib.closing(sqlite3.connect(file)) as connection:
        ((text,),) = connection.execute("select value from metadata where name = 'plan'")
    content = json.loads(text)
    assert content["plugins"]["cellvision.datasets:folder"].startswith("cellvision-datasets==")
    none: dict[Any, Any] = {"label": (), "practice": (), "example": ()}
    assert Gallery(plan_from_json(content, none))
    del content["plugins"]  # as earlier versions wrote it
    assert plan_from_json(content, none).plugins == {}
    assert Gallery(plan_from_json(content, none))
    content["plugins"] = {"cellvision.datasets:folder": "from-elsewhere==1.0"}
    with pytest.raises(errors.UnknownPlugin, match="from-elsewhere"):
        Gallery(plan_from_json(content, none))
