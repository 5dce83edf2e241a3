"""Images in a figure: they stand upright at the right place, and so do their frame and texts."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from cellvision_reporters.figures import CaptionedFigure

import cellvision as cv
from cellvision.testing import SyntheticImages

RED, BLUE, GREY, WHITE = (255, 0, 0), (0, 0, 255), (232, 232, 232), (255, 255, 255)
DPI = 100


@pytest.fixture
def figure() -> CaptionedFigure:
    return CaptionedFigure(cv.audit(SyntheticImages()), 4.0, 3.0, "Title", ["Caption."])


def rendered(figure: CaptionedFigure) -> Any:
    """Return a function that gives the colour at inches from the left and top of the content."""
    canvas = figure.finish()
    canvas.set_dpi(DPI)
    canvas.canvas.draw()
    pixels = np.asarray(canvas.canvas.buffer_rgba())[..., :3]
    start = figure._content[2]
    return lambda x, y: tuple(pixels[round((start + y) * DPI), round(x * DPI)])


def test_images_stand_upright_at_their_place(figure: CaptionedFigure) -> None:
    picture = np.zeros((10, 20, 3))
    picture[:5, :, 0] = 1  # red above, blue below
    picture[5:, :, 2] = 1
    placed = figure.add_image(1.0, 0.5, 2.0, 2.0, picture)
    assert placed.box == pytest.approx((1.0, 1.0, 2.0, 1.0))
    assert len(figure.canvas.axes) == 1
    at = rendered(figure)
    assert [at(2, 1.25), at(2, 1.75)] == [RED, BLUE]
    assert [at(2, 0.7), at(2, 2.3)] == [GREY, GREY]
    assert [at(0.9, 1.5), at(3.1, 1.5)] == [WHITE, WHITE]


def test_pixels_of_an_image_are_found_in_the_figure(figure: CaptionedFigure) -> None:
    placed = figure.add_image(0.5, 0.5, 2.0, 1.0, np.zeros((10, 20, 3)))
    to_inches = placed.pixels - placed.axes.transData
    np.testing.assert_allclose(to_inches.transform([(-0.5, -0.5)]), [(0.5, 0.5)], atol=1e-9)
    np.testing.assert_allclose(to_inches.transform([(19.5, 9.5)]), [(2.5, 1.5)], atol=1e-9)


def test_outlines_surround_what_a_mask_selects(figure: CaptionedFigure) -> None:
    mask = np.zeros((20, 20), bool)
    mask[5:10, 5:10] = True
    placed = figure.add_image(1.0, 1.0, 1.0, 1.0, np.zeros((20, 20, 3)))
    placed.outline(mask, "red")
    (contour,) = placed.axes.collections
    (path,) = contour.get_paths()
    np.testing.assert_allclose(path.vertices.min(axis=0), [1.25, 1.25], atol=1e-6)
    np.testing.assert_allclose(path.vertices.max(axis=0), [1.5, 1.5], atol=1e-6)
