"""Rules of a labelling session."""

from __future__ import annotations

from dataclasses import dataclass

from cellvision import errors
from cellvision.labelling.order import MAX_REPEATS


@dataclass(frozen=True)
class Rules:
    """Rules that apply to all raters of an answer file.

    Attributes
    ----------
    splits : tuple of str
        Splits to label; empty for all test sets.
    images : int or None
        Size of the random sample to label; None for all images.
    repeats : float
        Fraction of images shown twice, 0 to 0.5.
    practice : int
        Number of practice images, whose class is revealed after each answer.
    examples : int
        Number of example images per class on the help panel.
    breaks : int
        Suggest a break after this many images; 0 for never.
    seed : int
        Seed of the sample and of the first order; later orders use the next seeds.
    """

    splits: tuple[str, ...] = ()
    images: int | None = None
    repeats: float = 0.1
    practice: int = 0
    examples: int = 3
    breaks: int = 50
    seed: int = 0

    def check(self) -> None:
        """Validate all values.

        Raises
        ------
        errors.InvalidInput
            A number is out of range.
        """
        if not 0 <= self.repeats <= MAX_REPEATS:
            raise errors.InvalidInput(
                f"--repeats {self.repeats}: expected a fraction from 0 to {MAX_REPEATS}",
                "For example --repeats 0.1",
            )
        for name, value, least in (
            ("images", self.images, 1),
            ("practice", self.practice, 0),
            ("examples", self.examples, 0),
            ("breaks", self.breaks, 0),
            ("seed", self.seed, 0),
        ):
            if value is not None and value < least:
                raise errors.InvalidInput(
                    f"--{name} {value}: expected a whole number of at least {least}",
                    f"For example --{name} {max(least, 1)}",
                )
