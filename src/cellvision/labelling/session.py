"""What the page is told of a session: the classes and their keys, and how images are shown."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cellvision.labelling.keys import keys_of

if TYPE_CHECKING:
    from cellvision.labelling.plan import Plan


def session(plan: Plan) -> dict[str, Any]:
    """Give what a rater may know, as plain values; no image is named and no label told."""
    display = plan.display
    absolute = display.seen == display.native
    return {
        "classes": [{"name": name, "key": key} for name, key in keys_of(plan.class_names).items()],
        "breaks": plan.rules.breaks,
        "range": list(display.native) if absolute else None,
        "window": list(display.window),
    }
