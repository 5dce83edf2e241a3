"""Orders of presentation: drawing them, and looking up what a random id stands for."""

from __future__ import annotations

import secrets
import sqlite3

import numpy as np

from cellvision.labelling.database_schema import IMAGE_COLUMNS
from cellvision.labelling.order import balanced_sample, shuffled, with_repeats
from cellvision.labelling.plan import ImageToLabel, Plan


def draw_order(connection: sqlite3.Connection, plan: Plan, page: str | None = None) -> int:
    """Draw a new order from its own seed, store it, and return its number.

    Parameters
    ----------
    connection
        In a transaction.
    plan
        The plan. Images ranked by a run keep their rank; others are shuffled.
    page
        Name of the page without a server that this order is for.
    """
    (orders,) = connection.execute("select count(*) from orders").fetchone()
    seed = plan.rules.seed + orders
    rng = np.random.default_rng(seed)
    count = len(plan.images)
    if plan.run is None:
        order = shuffled(count, plan.rules.repeats, rng)
    else:
        order = with_repeats(range(count), plan.rules.repeats, rng)
    labels = [str(image.label) for image in plan.practice]
    practice = balanced_sample(labels, plan.rules.practice, rng)
    rows = [(count + image, 1) for image in practice] + order
    number = connection.execute(
        "insert into orders (seed, page) values (?, ?)", (seed, page)
    ).lastrowid
    connection.executemany(
        "insert into showings (id, order_number, position, image, repeat) values (?, ?, ?, ?, ?)",
        [
            ("s" + secrets.token_hex(12), number, position, image + 1, repeat)
            for position, (image, repeat) in enumerate(rows)
        ],
    )
    assert number is not None
    return number


def image_behind(connection: sqlite3.Connection, key: str) -> tuple[ImageToLabel, str] | None:
    """Look up the image and the role behind the id of a presentation or example."""
    row = connection.execute(
        f"select role, {IMAGE_COLUMNS} from images where number = coalesce("  # noqa: S608
        " (select image from showings where id = ?), (select image from examples where id = ?))",
        (key, key),
    ).fetchone()
    return None if row is None else (ImageToLabel(*row[1:]), row[0])


def page_showings(
    connection: sqlite3.Connection, page: str
) -> list[tuple[str, ImageToLabel, bool]]:
    """Return the presentations of a page in order: id, image, whether it is practice."""
    rows = connection.execute(
        f"select showings.id, role, {IMAGE_COLUMNS} from showings"  # noqa: S608
        " join images on images.number = showings.image"
        " join orders on orders.number = order_number where page = ? order by position",
        (page,),
    ).fetchall()
    return [(key, ImageToLabel(*values), role == "practice") for key, role, *values in rows]


def example_images(connection: sqlite3.Connection) -> list[tuple[str, ImageToLabel]]:
    """Return the example images: id and image, in class order."""
    rows = connection.execute(
        f"select examples.id, {IMAGE_COLUMNS} from examples"  # noqa: S608
        " join images on images.number = examples.image order by images.number"
    ).fetchall()
    return [(key, ImageToLabel(*values)) for key, *values in rows]
