"""The page of ``cellvision label`` in a real browser: keys, reloads, raters, phones, no server."""

from __future__ import annotations

import os
import re
import shutil
import signal
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from labelling import begin, in_thread, label, rows_of, serving
from PIL import Image
from tiny import make_splits, write

from cellvision.cli import main
from cellvision.labelling.store import Store

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.slow


NewPage = Callable[..., "Page"]


@pytest.fixture
def new_page(browser: Browser) -> Iterator[NewPage]:
    """Open a page in a new profile; errors on its console fail the test."""
    complaints: list[str] = []
    contexts = []

    def opened(address: str, **options: Any) -> Page:
        context = browser.new_context(**options)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(20_000)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on(
            "console",
            lambda message: (
                complaints.append(message.text) if message.type in ("error", "warning") else None
            ),
        )
        elsewhere = re.compile(r"^(?!file:|blob:|data:|http://127\.0\.0\.1:)")
        page.on(
            "request",
            lambda request: (
                complaints.append(request.url) if elsewhere.match(request.url) else None
            ),
        )
        page.goto(address)
        return page

    yield opened
    for context in contexts:
        context.close()
    # A server that a test kills leaves connection errors on the console.
    assert [text for text in complaints if "ERR_CONNECTION" not in text] == []


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    counts = {"train": {"dark": 4, "light": 4}, "test": {"dark": 8, "light": 8}}
    return make_splits(tmp_path_factory.mktemp("data") / "images", counts)


@pytest.fixture
def file(images: Path, tmp_path: Path) -> Path:
    words = ["--practice", "2", "--repeats", "0.25", "--breaks", "6"]
    return begin(images, tmp_path / "answers.sqlite", *words)


def ready(page: Page, number: int | None = None, total: int = 20) -> None:
    """Wait until an image (with a number: that image) can be answered."""
    which = "" if number is None else f":has(#count:text-is('Image {number} of {total}'))"
    page.wait_for_selector(f"#work:not([hidden]){which} main:not(.waiting)")


def brightness(page: Page, view: str = "native") -> float:
    """Measure the brightness of the picture on the screen, 0 to 255."""
    import io

    with Image.open(io.BytesIO(page.locator(f"#{view}").screenshot())) as picture:
        pixels = np.asarray(picture.convert("L"), float)
    return float(np.median(pixels[pixels.shape[0] // 3 : -pixels.shape[0] // 3]))


def enter(page: Page, name: str, practice: bool = True) -> None:
    page.wait_for_selector("#start:not([hidden])")
    page.keyboard.type(name)
    page.keyboard.press("Enter")
    if practice:
        page.wait_for_selector("#pause:not([hidden])")
        page.keyboard.press("Enter")


def test_a_session_with_the_keyboard_alone(new_page: NewPage, file: Path) -> None:
    with in_thread(file) as client:
        page = new_page(client.address)
        enter(page, "Ana Ünal")
        feedback = []
        for _ in range(2):  # practice, with the right answer after each
            ready(page)
            page.keyboard.press("1")
            feedback.append(page.inner_text("#feedback:not([hidden]) b"))
            page.keyboard.press("Enter")
        assert sorted(feedback) == ["✓ Correct: dark", "✗ It is light, not dark"]
        page.wait_for_selector("#pause-title:text('real images')")
        page.keyboard.press("Enter")
        rests = 0
        for number in range(20):
            ready(page, number + 1)
            page.keyboard.press("2" if brightness(page) > 90 else "1")
            if number == 2:  # a slip, and the way back
                ready(page, 4)
                page.keyboard.press("u")
                ready(page, 3)
                page.keyboard.press("2" if brightness(page) > 90 else "1")
            if number == 9:  # in the middle
                ready(page, 11)
                page.reload()
            if number in (5, 11, 17):
                page.wait_for_selector("#pause:not([hidden])")
                rests += page.inner_text("#pause-title") == f"{number + 1} of 20 done"
                page.keyboard.press("2")  # is not for the next image
                page.keyboard.press("Enter")
        page.wait_for_selector("#end:not([hidden])")
        assert rests == 3
        page.keyboard.press("Backspace")
        ready(page, 20)
        page.keyboard.press("2" if brightness(page) > 90 else "1")
        page.wait_for_selector("#end:not([hidden])")
    answers = Store(file).answers()
    assert len(answers) == 20
    assert [row.answer for row in answers] == [row.label for row in answers]
    assert {row.rater for row in answers} == {"Ana Ünal"}
    assert all(0 < row.seconds < 60 for row in answers)


def test_contrast_zoom_and_help_from_the_keyboard(new_page: NewPage, file: Path) -> None:
    with in_thread(file) as client:
        page = new_page(client.address)
        enter(page, "Ana")
        ready(page)
        before = brightness(page)
        seen = brightness(page, "seen")
        address = page.get_attribute("#native", "src")
        for _ in range(10):
            page.keyboard.press(".")
        page.wait_for_selector("#high-value:text('204')")
        page.wait_for_selector("#native[src$='0.800']")
        assert brightness(page) > before * 1.1
        assert brightness(page, "seen") > seen * 1.1
        page.focus("#low")
        page.keyboard.press("ArrowRight")  # the slider's own key
        assert page.inner_text("#zoom-value") == "1×"
        page.keyboard.press("+")
        page.keyboard.press("+")
        assert page.inner_text("#zoom-value") == "2.3×"
        page.focus("#high")
        page.keyboard.press("0")
        page.wait_for_selector(f"#native[src='{address}']")
        assert page.inner_text("#zoom-value") == "1×"
        page.mouse.move(300, 300)
        page.mouse.wheel(0, -100)
        page.wait_for_selector("#zoom-value:text('1.3×')")
        page.keyboard.press("?")
        assert page.is_visible("#help-panel")
        page.keyboard.press("1")  # is no answer while the list is open
        page.keyboard.press("Escape")
        page.keyboard.press("?")
        page.keyboard.press("Enter")  # closes it, too
        page.wait_for_selector("#help-panel", state="hidden")
        assert page.inner_text("#count") == "Practice 1 of 2"
        page.keyboard.down("1")
        page.keyboard.down("1")  # held down
        page.keyboard.up("1")
        page.wait_for_selector("#feedback:not([hidden])")
        assert [state.done for state in Store(file).raters()] == [1]


def test_two_raters_at_once(new_page: NewPage, images: Path, tmp_path: Path) -> None:
    file = begin(images, tmp_path / "answers.sqlite", "--repeats", "0")
    with in_thread(file) as client:
        pages = [new_page(client.address) for _ in range(2)]
        for page, name in zip(pages, ("Ana", "Bo"), strict=True):
            enter(page, name, practice=False)
        for number in range(16):
            for page, key in zip(pages, "12", strict=True):
                ready(page, number + 1, 16)
                page.keyboard.press(key)
        for page in pages:
            page.wait_for_selector("#end:not([hidden])")
        # A third profile of the same name sees that all is done.
        third = new_page(client.address)
        enter(third, "bo", practice=False)
        third.wait_for_selector("#end:not([hidden])")
    by_rater: dict[str, list[Any]] = {"Ana": [], "Bo": []}
    for row in Store(file).answers():
        by_rater[row.rater].append(row)
    assert {row.answer for row in by_rater["Ana"]} == {"dark"}
    assert {row.answer for row in by_rater["Bo"]} == {"light"}
    orders = [[row.image for row in rows] for rows in by_rater.values()]
    assert sorted(orders[0]) == sorted(orders[1])
    assert orders[0] != orders[1]


def test_a_page_continues_by_itself_after_its_server_was_killed(
    new_page: NewPage, file: Path
) -> None:
    with serving(file) as (address, process):
        page = new_page(address)
        enter(page, "Ana")
        ready(page)
        page.keyboard.press("1")
        page.wait_for_selector("#feedback:not([hidden])")
        process.send_signal(signal.SIGKILL)
        process.wait()
        page.keyboard.press("Enter")
        ready(page)  # its image was fetched ahead
        page.keyboard.press("1")
        page.wait_for_selector("#notice:text('Not saved yet')")
        assert [state.done for state in Store(file).raters()] == [1]
        with serving(file) as (again, _):
            assert again == address
            page.wait_for_selector("#feedback:not([hidden])")
            assert not page.is_visible("#notice")
            assert [state.total for state in Store(file).raters()] == [20]  # practice is over


@pytest.fixture
def in_memory(tmp_path: Path) -> Iterator[Path]:
    """A folder in memory if the system has one."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else tmp_path) as folder:
        yield Path(folder)


IMAGES = int(os.environ.get("CELLVISION_LABEL_IMAGES", "60"))
"""Length of the session without a pause; 1000 were run by hand."""


def test_a_long_session_at_full_speed(new_page: NewPage, tmp_path: Path, in_memory: Path) -> None:
    root = tmp_path / "images"
    for split, count in (("train", 2), ("test", IMAGES // 2)):
        for number, name in enumerate(("dark", "light")):
            for k in range(count):
                image = np.full((8, 8), 40 + 120 * number, np.uint8)
                image[0, 0], image[0, 1], image[0, 2] = k % 256, k // 256, split == "test"
                write(root / split / name / f"{k}.png", image)
    file = in_memory / "answers.sqlite"
    begin(root, file, "--repeats", "0", "--breaks", "0")
    with in_thread(file) as client:
        page = new_page(client.address, viewport={"width": 400, "height": 300})
        page.set_default_timeout(240_000)
        enter(page, "Ana", practice=False)
        ready(page, 1, IMAGES)
        # Press keys in the page, as fast as it accepts them: a trip to the browser for each
        # would take far longer.
        page.evaluate(
            """() => {
              const main = document.querySelector("main");
              const press = () => {
                if (main.classList.contains("waiting")) return;
                setTimeout(() => document.body.dispatchEvent(
                  new KeyboardEvent("keydown", { key: "1", bubbles: true })));
              };
              new MutationObserver(press).observe(main, { attributeFilter: ["class"] });
              press();
            }"""
        )
        page.wait_for_selector("#end:not([hidden])")
        assert f"{IMAGES} images" in page.inner_text("#end-text")
    answers = Store(file).answers()
    assert len({row.image for row in answers}) == len(answers) == IMAGES


def test_cannot_say_and_examples(new_page: NewPage, images: Path, tmp_path: Path) -> None:
    file = begin(images, tmp_path / "answers.sqlite", "--repeats", "0")
    with in_thread(file) as client:
        page = new_page(client.address)
        enter(page, "Ana", practice=False)
        ready(page, 1, 16)
        page.keyboard.press("?")
        images_shown = page.locator("#examples img")
        images_shown.evaluate_all("(images) => Promise.all(images.map((i) => i.decode()))")
        assert images_shown.count() == 6
        assert page.locator("#examples figcaption").all_inner_texts() == ["dark", "light"]
        assert page.locator("#examples").is_visible()
        page.keyboard.press("x")  # no answer while the help is open
        page.keyboard.press("Escape")
        page.keyboard.press("x")
        ready(page, 2, 16)
        assert page.inner_text("#status") == "Image 1: cannot say, saved."
        page.click("#classes button.cannot-say")
        ready(page, 3, 16)
    assert [row.answer for row in Store(file).answers()] == [None, None]


def test_unlabelled_images_have_one_view(new_page: NewPage, tmp_path: Path) -> None:
    for level in (50, 100, 150):
        write(tmp_path / "images" / f"{level}.png", np.full((8, 8), level, np.uint8))
    file = tmp_path / "answers.sqlite"
    words = ["--classes", "a,b", "--repeats", "0", "--out", file, "--static", tmp_path / "sent"]
    assert label(tmp_path / "images", *words) == 0
    with in_thread(file) as client:
        for address in (client.address, (tmp_path / "sent" / "label.html").as_uri()):
            page = new_page(address)
            enter(page, "Ana", practice=False)
            ready(page, 1, 3)
            assert page.is_visible("#native")
            assert not page.is_visible("#seen")
            page.keyboard.press("?")
            assert not page.is_visible("#examples")
            page.keyboard.press("Escape")
            for number in range(3):
                ready(page, number + 1, 3)
                page.keyboard.press("x" if number else "1")
            page.wait_for_selector("#end:not([hidden])")
        assert [row.answer for row in Store(file).answers()] == ["a", None, None]
        with page.expect_download() as download:
            page.click("#end .save")
        download.value.save_as(tmp_path / "returned.csv")
        rows = rows_of(tmp_path / "returned.csv")
        assert [row["answer"] for row in rows] == ["a", "", ""]


def test_a_page_without_a_server_checks_names_as_the_server_does(
    new_page: NewPage, images: Path, tmp_path: Path
) -> None:
    begin(images, tmp_path / "key.sqlite")
    page = new_page((tmp_path / "key-page" / "label.html").as_uri())
    for name in ("=1+1", "@a", "-a", "a\u202eb"):
        page.fill("#name", name)
        page.keyboard.press("Enter")
        page.wait_for_selector("#notice:not([hidden])")
        assert page.is_visible("#start")
        page.fill("#name", "")
    page.fill("#name", "O'Brien")
    page.keyboard.press("Enter")
    page.wait_for_selector("#work:not([hidden])")
    assert not page.is_visible("#notice")


def test_a_phone_sized_window(new_page: NewPage, file: Path, tmp_path: Path) -> None:
    phone = {"viewport": {"width": 360, "height": 640}, "has_touch": True, "is_mobile": True}
    with in_thread(file) as client:
        page = new_page(client.address, **phone)
        page.tap("#name")
        page.keyboard.type("Ana")
        page.tap("#name-form button")
        page.tap("#continue")
        ready(page)
        for choice in ("#native", "#seen", "#undo", "#help", "#low", "#zoom-in", "#classes"):
            box = page.locator(choice).bounding_box()
            assert box is not None
            assert box["x"] >= 0
            assert box["x"] + box["width"] <= 360, choice
            assert box["y"] + box["height"] <= 640, choice
        for button in page.locator("#classes button").all():
            box = button.bounding_box()
            assert box is not None
            assert box["height"] >= 44  # a finger's width
        for view in ("#native", "#seen"):
            frame = page.locator(f".frame:has({view})").bounding_box()
            assert frame is not None
            assert min(frame["width"], frame["height"]) > 150
        assert page.evaluate_handle("document.scrollingElement.scrollHeight").json_value() <= 640
        page.tap("#zoom-in")
        assert page.inner_text("#zoom-value") == "1.5×"
        page.tap("#classes button >> nth=1")
        page.tap("#feedback button")
        ready(page)
        page.tap("#classes button >> nth=0")
        page.tap("#feedback button")
        page.tap("#continue")
        ready(page)
        page.tap("#classes button >> nth=0")
        ready(page, 2)
        page.tap("#undo")
        ready(page, 1)


def test_a_sent_page_works_without_a_server(
    new_page: NewPage, images: Path, tmp_path: Path
) -> None:
    words = ["--practice", "1", "--repeats", "0.25", "--breaks", "7"]
    file = begin(images, tmp_path / "key.sqlite", *words)
    sent = Path(shutil.copytree(tmp_path / "key-page", tmp_path / "sent"))
    page = new_page((sent / "label.html").as_uri(), accept_downloads=True)
    enter(page, 'Dr. "B"')
    ready(page)
    page.keyboard.press("1")
    page.wait_for_selector("#feedback:not([hidden])")
    page.keyboard.press("Enter")
    page.wait_for_selector("#pause:not([hidden])")
    page.keyboard.press("Enter")
    ready(page)
    before = brightness(page)
    for _ in range(10):
        page.keyboard.press(".")
    assert brightness(page) > before * 1.1
    page.keyboard.press("0")
    for number in range(20):
        ready(page, number + 1)
        page.keyboard.press("2" if brightness(page) > 90 else "1")
        if number in (6, 13):
            page.wait_for_selector("#pause:not([hidden])")
            page.keyboard.press("Enter")
        if number == 3:
            ready(page, 5)
            page.keyboard.press("u")
            ready(page, 4)
            page.keyboard.press("2" if brightness(page) > 90 else "1")
            ready(page, 5)
            page.reload()
    page.wait_for_selector("#end:not([hidden])")
    with page.expect_download() as download:
        page.click("#end .save")
    assert download.value.suggested_filename == "answers-Dr-B-.csv"
    assert "Saved as answers-Dr-B-.csv" in page.inner_text("#end-text")
    download.value.save_as(tmp_path / "returned.csv")
    with pytest.raises(SystemExit) as end:
        main(["label", str(file), "--returned", str(tmp_path / "returned.csv")])
    assert end.value.code == 0
    answers = Store(file).answers()
    assert [row.answer for row in answers] == [row.label for row in answers]
    assert len(answers) == 20
    assert {row.rater for row in answers} == {'Dr. "B"'}
    with sqlite3.connect(file) as db:
        assert db.execute("select count(*) from answers").fetchone() == (21,)
    db.close()
