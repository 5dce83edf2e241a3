"""The checks of a splitter."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from cellvision import errors
from cellvision.data.fold_assignment import checked_folds
from cellvision.data.split import Split
from cellvision.interfaces.splitter import Splitter, splitters
from cellvision.plurals import counted
from cellvision.testing.component import ComponentChecks, conformance_check
from cellvision.testing.result import CheckFailed

if TYPE_CHECKING:
    import pandas as pd

_SPLITS = {"train", "validation", "test", ""}


def example_table(groups: int = 24, images: int = 4) -> pd.DataFrame:
    """Return a catalog as splitters receive it: two classes, six plates, wells on plates.

    The first and the seventh well share an image, so that they are one block: the column
    ``block`` has integers, as in a training.

    Parameters
    ----------
    groups
        Number of groups (wells).
    images
        Number of images of each group.
    """
    import pandas as pd

    rows = [
        {
            "image": f"w{group:02}/{number}.tif",
            "label": ("control", "treated")[group % 2],
            "group": f"w{group:02}",
            "batch": f"plate {group % 6}",
            "plate": f"plate {group % 6}",
            "well": f"w{group:02}",
            "date": f"2024-03-{1 + group % 6:02}",
        }
        for group in range(groups)
        for number in range(images)
    ]
    table = pd.DataFrame(rows)
    copies = {f"w{group:02}/0.tif": "copied pixels" for group in (0, 6)}
    return table.assign(block=Split.linked_groups(table, copies))


class SplitterChecks(ComponentChecks):
    """The checks of a splitter, to subclass in a plugin's tests.

    Examples
    --------
    >>> from cellvision.testing import SplitterChecks
    >>> class TestGroupKFold(SplitterChecks):
    ...     name = "group_k_fold"
    """

    registry: ClassVar = splitters

    @property
    def splitter(self) -> Splitter:
        """The example."""
        component = self.component
        assert isinstance(component, Splitter)
        return component

    @property
    def folds(self) -> list[list[str]]:
        """The folds of `example_table`."""
        splitter, table = self.splitter, example_table()

        def divide() -> list[list[str]]:
            try:
                folds = checked_folds(splitter, table)
            except errors.PluginContractError as error:
                raise CheckFailed(error.what, error.hint) from error
            except errors.SplitError as error:
                columns = ", ".join(map(str, table))
                raise CheckFailed(
                    f"folds(): {errors.summarize(error)}",
                    f"The check divides example_table(), with the columns {columns}: check with "
                    "settings that can divide it.",
                ) from error
            for number, fold in enumerate(folds, start=1):
                if len(fold) != len(table):
                    raise CheckFailed(
                        f"fold {number} has {len(fold)} splits for {len(table)} images",
                        "Return one split for each row of the catalog, in its order.",
                    )
            return folds

        return self.once("folds()", "test_divides_a_catalog", divide)

    @property
    def whole_folds(self) -> list[list[str]]:
        """The folds of `example_table`, if they divide no block."""
        folds, table = self.folds, example_table()

        def require_whole() -> list[list[str]]:
            for number, fold in enumerate(folds, start=1):
                counts = table.assign(split=fold).groupby("block")["split"].nunique()
                divided = [str(block) for block in counts[counts > 1].index]
                if divided:
                    blocks = counted(len(divided), "block")
                    raise CheckFailed(
                        f"fold {number} divides {blocks}, first: {divided[:1]}",
                        "Assign splits to blocks, then to their images.",
                    )
            return folds

        return self.once("keeping blocks whole", "test_keeps_blocks_whole", require_whole)

    @conformance_check
    def test_divides_a_catalog(self) -> None:
        """`folds` returns at least one fold, with one split per image."""
        self.require(self.folds, "there are no folds", "")

    @conformance_check
    def test_names_of_splits(self) -> None:
        """Splits are train, validation, test, or empty; every fold trains and tests."""
        for number, fold in enumerate(self.folds, start=1):
            unknown = set(fold) - _SPLITS
            self.require(
                not unknown,
                f"fold {number} has the splits {', '.join(map(repr, sorted(unknown)))}",
                "Use train, validation, test, and an empty string for images left out.",
            )
            self.require(
                {"train", "test"} <= set(fold),
                f"fold {number} has no training or no test images",
                "Raise errors.SplitError if a catalog cannot be divided.",
            )

    @conformance_check
    def test_keeps_blocks_whole(self) -> None:
        """All images of a block are in the same split of a fold."""
        self.require(self.whole_folds, "there are no folds", "")

    @conformance_check
    def test_leaves_out_what_it_says(self) -> None:
        """No value of `left_out_column` is in training and test images of one fold."""
        folds, table = self.whole_folds, example_table()
        column = self.splitter.left_out_column
        self.require(
            column in table.columns,
            f"left_out_column is {column!r}, which the catalog lacks",
            "Name a column of the catalog, 'group' if folds hold out groups.",
        )
        for number, fold in enumerate(folds, start=1):
            by_split = {
                split: set(table[column][[name == split for name in fold]])
                for split in ("train", "test")
            }
            shared = sorted(map(str, by_split["train"] & by_split["test"]))
            self.require(
                not shared,
                f"fold {number} trains and tests on {column} {shared[:1]}",
                "left_out_column names what folds hold out; by default groups.",
            )

    @conformance_check
    def test_divides_the_same_way_again(self) -> None:
        """The same catalog gives the same folds."""
        before = self.folds
        again = [list(fold) for fold in self.splitter.folds(example_table())]
        self.require(
            again == before,
            "folds() returns other folds the second time",
            "Sort what a set gives, and draw from a generator with a seed.",
        )

    @conformance_check
    def test_leaves_the_catalog_alone(self) -> None:
        """`folds` does not change the table that it receives."""
        assert self.folds
        table = example_table()
        before = table.copy()
        self.splitter.folds(table)
        self.require(table.equals(before), "it changes the catalog", "Work on a copy.")

    @conformance_check
    def test_refuses_what_cannot_be_divided(self) -> None:
        """For a single group it raises SplitError with a hint."""
        assert self.whole_folds
        try:
            folds = self.splitter.folds(example_table(groups=1))
        except errors.SplitError as error:
            self.require(error.hint, f"the error has no hint: {error.what}", "Say what to do.")
        except Exception as error:
            raise CheckFailed(
                f"for a single group: {errors.summarize(error)}",
                "raise errors.SplitError(what, hint)",
            ) from error
        else:
            self.require(
                False,
                f"it divides a single group into {counted(len(folds), 'fold')}",
                "Raise errors.SplitError if there are too few groups to train and test.",
            )
