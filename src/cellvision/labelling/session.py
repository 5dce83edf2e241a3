"""What the page needs to know of a session: classes, keys, examples and display."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from cellvision.labelling.keys import CANNOT_SAY_KEY, assign_keys

if TYPE_CHECKING:
    from cellvision.labelling.plan import ImageToLabel, Plan


def describe_session(
    plan: Plan, examples: Sequence[tuple[str, ImageToLabel]] = ()
) -> dict[str, Any]:
    """Return what raters may know, as plain values.

    It names no image, and reveals no label but those of the examples.

    Parameters
    ----------
    plan
        The plan.
    examples
        Ids and images of the help panel.
    """
    display = plan.display
    absolute = display.seen == display.native
    return {
        "classes": [
            {
                "name": name,
                "key": key,
                "examples": [showing for showing, image in examples if image.label == name],
            }
            for name, key in assign_keys(plan.class_names).items()
        ],
        "cannot_say": CANNOT_SAY_KEY,
        "views": list(plan.views),
        "breaks": plan.rules.breaks,
        "range": list(display.native) if absolute else None,
        "window": list(display.window),
    }
