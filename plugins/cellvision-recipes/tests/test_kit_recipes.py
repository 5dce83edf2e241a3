"""Every recipe passes the conformance kit."""

from __future__ import annotations

import cellvision as cv
from cellvision.testing import RecipeChecks


class TestStandard(RecipeChecks):
    name = "standard"


class TestPage(RecipeChecks):
    name = "page"


class TestQuick(RecipeChecks):
    name = "quick"


def test_every_recipe_is_checked() -> None:
    checked = {
        value.name
        for value in list(globals().values())
        if isinstance(value, type) and issubclass(value, RecipeChecks)
    }
    installed = {
        info.name for info in cv.recipes.plugins() if info.distribution == "cellvision-recipes"
    }
    assert installed
    assert installed <= checked
