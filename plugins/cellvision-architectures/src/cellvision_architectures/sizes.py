"""Check that an image is large enough for a network, before Keras is imported."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from cellvision import errors


@dataclass(frozen=True)
class Window:
    """A layer whose window slides over its input without padding, so that the output is smaller.

    Attributes
    ----------
    layer : str
        The layer's name in the model.
    size : int
        Side of its square window, in pixels of its input.
    stride : int
        Pixels by which the window moves.
    """

    layer: str
    size: int
    stride: int

    def after(self, side: int) -> int:
        """Output size of this layer; 0 if the window does not fit into the input."""
        return max(0, (side - self.size) // self.stride + 1)

    def before(self, side: int) -> int:
        """Smallest input size for which the output size is at least `side`."""
        return (side - 1) * self.stride + self.size


def halving(layers: Sequence[int]) -> list[Window]:
    """The 2×2 max poolings after the convolutions with these numbers."""
    return [Window(f"pool_{number}", 2, 2) for number in layers]


def smallest(windows: Sequence[Window]) -> int:
    """Smallest height and width of which at least one pixel is left after all windows."""
    side = 1
    for window in reversed(windows):
        side = window.before(side)
    return side


def check(
    network: str, input_shape: tuple[int, int, int], classes: int, windows: Sequence[Window] = ()
) -> None:
    """Refuse an input that a network cannot take.

    Parameters
    ----------
    network
        The network's name, for the message.
    input_shape
        Height, width and channels.
    classes
        Number of classes.
    windows
        Its shrinking layers, first to last.

    Raises
    ------
    errors.ArchitectureError
        The image vanishes at one of the layers, it has no pixels, or there are fewer than two
        classes.
    """
    if classes < 2:
        raise errors.ArchitectureError(
            f"{network}: {classes} class(es) given; there is nothing to tell apart",
            "Give images of at least two classes",
        )
    height, width, channels = input_shape
    if min(input_shape) < 1:
        raise errors.ArchitectureError(
            f"{network}: no image is {height}×{width} with {channels} channels",
            "Height, width and channels are at least 1",
        )
    rows, columns = height, width
    for window in windows:
        if not (window.after(rows) and window.after(columns)):
            least = smallest(windows)
            raise errors.ArchitectureError(
                f"{network}: an image of {height}×{width} pixels vanishes at layer "
                f"{window.layer!r}, whose {window.size}×{window.size} window is given "
                f"{rows}×{columns}",
                f"Height and width of at least {least} work: "
                f'--set preprocessing.size="[{least},{least}]", or take an architecture for small '
                "images, such as resnet",
            )
        rows, columns = window.after(rows), window.after(columns)
