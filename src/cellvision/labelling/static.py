"""Write the page as files to send: one HTML file, and images under random names."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cellvision import atomic_io, errors
from cellvision.labelling import page
from cellvision.labelling.images import Gallery
from cellvision.labelling.session import describe_session
from cellvision.locks import folder_lock

if TYPE_CHECKING:
    from cellvision.labelling.plan import ImageToLabel
    from cellvision.labelling.store import Store

INDEX, IMAGES = "label.html", "images"

_HEADROOM = 2.0
"""Pictures reach this many times beyond the initial white level."""


def raise_if_not_empty(folder: Path) -> None:
    """Refuse a folder in which a page cannot be written.

    Raises
    ------
    errors.FolderError
        It is not empty; the first file is named.
    """
    if folder.exists() and not folder.is_dir():
        raise errors.FolderError(f"{folder}: this is a file", "Name a new folder")
    first = min((path.name for path in folder.iterdir()), default=None) if folder.exists() else None
    if first is not None:
        raise errors.FolderError(
            f"{folder}: the folder is not empty: it holds {first!r}", "Name a new folder"
        )


def write_page(
    store: Store, folder: Path, progress: Callable[[int, int], None] | None = None
) -> Path:
    """Draw an order and write a page for it; only the answer file knows what each image is.

    Pictures are 8-bit PNGs, since browsers display no more. If images are dark, pictures span
    twice the initial contrast rather than the camera's full range, to leave grey levels to
    spare. The page holds the true classes of practice and example images only.

    Parameters
    ----------
    store
        The answer file, which stays here.
    folder
        A new or empty folder; it appears once it is complete.
    progress
        Called with the number of images written and their total.

    Returns
    -------
    pathlib.Path
        The page.

    Raises
    ------
    errors.FolderError
        The folder is not empty, or another process writes to it.
    """
    with folder_lock(folder, "label --static"):
        raise_if_not_empty(folder)
        _write_files(store, folder, progress)
    return folder / INDEX


def _write_files(store: Store, folder: Path, progress: Callable[[int, int], None] | None) -> None:
    with atomic_io.folder(folder) as partial:
        (partial / IMAGES).mkdir()
        session = _write_images(store, partial, progress)
        for path in (partial / IMAGES).iterdir():
            os.utime(path, (0, 0))  # times of writing would reveal the order
        (partial / INDEX).write_text(_html(session), encoding="utf-8", newline="\n")


def _write_images(
    store: Store, folder: Path, progress: Callable[[int, int], None] | None
) -> dict[str, Any]:
    """Write all pictures of a new page and return its session."""
    plan = store.plan()
    gallery = Gallery(plan)
    name = store.add_page()
    top = min(_HEADROOM * plan.display.window[1], 1.0)

    def write(image: ImageToLabel, view: str) -> str:
        file = f"{IMAGES}/{secrets.token_hex(12)}.png"
        (folder / file).write_bytes(gallery.png(image, view, (0.0, top)))
        return file

    examples = store.examples()
    showings = []
    presentations = store.page_showings(name)
    for number, (showing, image, practice) in enumerate(presentations, 1):
        entry: dict[str, Any] = {"id": showing, **{view: write(image, view) for view in plan.views}}
        if practice:
            entry["truth"] = image.label
        showings.append(entry)
        if progress is not None:
            progress(number, len(presentations))
    return {
        **_rescaled(describe_session(plan, examples), top),
        "page": name,
        "showings": showings,
        "examples": [{"id": key, "native": write(image, "native")} for key, image in examples],
    }


def _rescaled(session: dict[str, Any], top: float) -> dict[str, Any]:
    """Rescale the contrast of a session to pictures that end at a fraction of the range."""
    span = session["range"]
    if span is not None:
        span = [span[0], span[0] + top * (span[1] - span[0])]
    return {**session, "range": span, "window": [level / top for level in session["window"]]}


def _html(session: dict[str, Any]) -> str:
    script = "".join(map(page.read, ("static.js", "view.js", "page.js")))
    style = page.read("page.css")
    policy = (
        f"default-src 'none'; script-src {_hash(script)}; style-src {_hash(style)}; "
        "img-src 'self' file: data:; base-uri 'none'; form-action 'none'"
    )
    # A class may be called </script>.
    data = json.dumps(session, ensure_ascii=False).replace("<", "\\u003c")
    return page.render(static={"policy": policy, "style": style, "script": script, "session": data})


def _hash(text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"
