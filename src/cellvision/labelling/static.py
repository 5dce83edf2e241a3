"""The page as files that can be sent: one HTML file and images under random names."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import secrets
import shutil
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cellvision import errors
from cellvision.labelling import page
from cellvision.labelling.images import VIEWS, Gallery
from cellvision.labelling.session import session

if TYPE_CHECKING:
    from cellvision.labelling.store import Store

INDEX, IMAGES = "label.html", "images"

_SPARE = 2.0
"""How far the pictures reach beyond the white of the first contrast."""


def write_page(
    store: Store, folder: Path, progress: Callable[[int, int], None] | None = None
) -> Path:
    """Draw an order and write its page; the store keeps what each image is.

    The pictures are 8-bit PNGs, for that is what a browser shows of any. Where images are dark
    they span twice the range of the first contrast rather than all that the camera had, so that
    the page has grey levels to spare. True classes are in the page for practice images only.

    Parameters
    ----------
    store
        The key: it stays here.
    folder
        A new or empty folder, which appears when it is complete.
    progress
        Told how many images are written, of how many.

    Returns
    -------
    pathlib.Path
        The page.

    Raises
    ------
    errors.FolderError
        The folder holds something.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise errors.FolderError(f"{folder}: there is something in it", "Name a new folder")
    plan = store.plan()
    gallery = Gallery(plan)
    name = store.page()
    top = min(_SPARE * plan.display.window[1], 1.0)
    partial = folder.with_name(f".{folder.name}.{uuid.uuid4().hex[:12]}")
    (partial / IMAGES).mkdir(parents=True)
    try:
        shown = []
        showings = store.showings(name)
        for number, (showing, item, practice) in enumerate(showings, 1):
            entry: dict[str, Any] = {"id": showing}
            for view in VIEWS:
                entry[view] = f"{IMAGES}/{secrets.token_hex(12)}.png"
                (partial / entry[view]).write_bytes(gallery.png(item, view, (0.0, top)))
            if practice:
                entry["truth"] = item.label
            shown.append(entry)
            if progress is not None:
                progress(number, len(showings))
        for path in (partial / IMAGES).iterdir():
            os.utime(path, (0, 0))  # the order of writing is that of showing
        told = {**_spanning(session(plan), top), "page": name, "showings": shown}
        (partial / INDEX).write_text(_html(told), encoding="utf-8", newline="\n")
        if folder.exists():
            folder.rmdir()
        partial.rename(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return folder / INDEX


def _spanning(told: dict[str, Any], top: float) -> dict[str, Any]:
    """The session, of pictures that end at a share of the range."""
    span = told["range"]
    if span is not None:
        span = [span[0], span[0] + top * (span[1] - span[0])]
    return {**told, "range": span, "window": [share / top for share in told["window"]]}


def _html(told: dict[str, Any]) -> str:
    script = page.read("static.js") + page.read("page.js")
    style = page.read("page.css")
    policy = (
        f"default-src 'none'; script-src {_hash(script)}; style-src {_hash(style)}; "
        "img-src 'self' file: data:; base-uri 'none'; form-action 'none'"
    )
    # A class may be called </script>.
    data = json.dumps(told, ensure_ascii=False).replace("<", "\\u003c")
    return page.render(static={"policy": policy, "style": style, "script": script, "session": data})


def _hash(text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"
