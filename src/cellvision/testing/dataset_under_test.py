"""What the checks of a data set examine."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from cellvision.interfaces.dataset import Dataset, datasets
from cellvision.testing.component import ComponentChecks
from cellvision.testing.result import CheckFailed

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from cellvision.data.catalog import Catalog

_SAMPLED = 16
"""Number of images that most checks read."""


class DatasetUnderTest(ComponentChecks):
    """What the checks of a data set examine; see `DatasetChecks`."""

    registry: ClassVar = datasets

    @property
    def dataset(self) -> Dataset:
        """The example."""
        component = self.component
        assert isinstance(component, Dataset)
        return component

    @property
    def table(self) -> pd.DataFrame:
        """Catalog of the example, as the plugin returns it."""
        dataset = self.dataset
        return self.once("catalog()", "test_lists_its_images", lambda: _listed(dataset))

    @property
    def catalog(self) -> Catalog:
        """The same after cellvision's own validation."""
        from cellvision.data.catalog import Catalog

        assert self.table is not None
        dataset = self.dataset
        return self.once("the catalog", "test_catalog_keeps_the_rules", lambda: Catalog.of(dataset))

    @property
    def some(self) -> list[str]:
        """A sample of images from the whole catalog."""
        images = [str(image) for image in self.table["image"]]
        return images[:: max(1, len(images) // _SAMPLED)][:_SAMPLED]

    @property
    def pixels(self) -> dict[str, np.ndarray]:
        """Pixels that `read` returns for these."""
        dataset, some = self.dataset, self.some
        return self.once(
            "read()",
            "test_reads_its_images",
            lambda: {image: dataset.read(image) for image in some},
        )


def _listed(dataset: Dataset) -> pd.DataFrame:
    """Return the catalog if it is a table with the columns that every check needs."""
    import pandas as pd

    table: object = dataset.catalog()
    if not isinstance(table, pd.DataFrame):
        raise CheckFailed(
            f"catalog() returned {type(table).__name__}",
            "Return a pandas.DataFrame with one row per image.",
        )
    for column in ("image", "label"):
        if column not in table.columns:
            raise CheckFailed(
                f"the catalog has no column {column!r}",
                "Return at least the columns image and label.",
            )
    return table
