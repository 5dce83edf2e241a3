"""The pages in a real browser: on a desk and a phone, light and dark, and on paper."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from test_audit_page import audited, write_images
from written_results import LEAKS, ODD_NAMES, write_run, write_study

import cellvision as cv
from cellvision.progress import Display
from cellvision.results.reporting import make_reports

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytestmark = pytest.mark.slow

CUT = """() => [...document.querySelectorAll("body *")].filter(element => {
    const right = element.getBoundingClientRect().right;
    return right > window.innerWidth + 1 && !element.closest(".scroll");
}).map(element => `${element.tagName}: ${element.textContent.slice(0, 60)}`)"""
"""Elements that reach beyond the window and cannot be reached by scrolling a box."""

UNMARKED = """() => [...document.querySelectorAll(".scroll.picture")].filter(box => {
    const hint = box.parentElement.querySelector(".hint");
    const marked = hint && getComputedStyle(hint).display !== "none";
    return box.scrollWidth > box.clientWidth + 1 && !marked;
}).length"""
"""Number of figures that can be scrolled and do not say so."""

CONTRAST = """() => {
    const channel = value => value <= 10.31475 ? value / 3294.6 :
        Math.pow((value / 255 + 0.055) / 1.055, 2.4);
    const light = ([r, g, b]) => 0.2126 * channel(r) + 0.7152 * channel(g) + 0.0722 * channel(b);
    const numbers = colour => (colour.match(/[\\d.]+/g) || []).map(Number);
    const behind = element => {
        for (let each = element; each; each = each.parentElement) {
            const colour = numbers(getComputedStyle(each).backgroundColor);
            if (colour.length === 3 || colour[3] > 0.9) return colour.slice(0, 3);
        }
        return [255, 255, 255];
    };
    const faint = [];
    for (const element of document.querySelectorAll("body *")) {
        const own = [...element.childNodes].some(n => n.nodeType === 3 && n.textContent.trim());
        if (!own || !element.getClientRects().length) continue;
        const one = light(numbers(getComputedStyle(element).color));
        const two = light(behind(element));
        const ratio = (Math.max(one, two) + 0.05) / (Math.min(one, two) + 0.05);
        if (ratio < 4.5) faint.push(`${element.tagName} ${ratio.toFixed(1)}`);
    }
    return faint;
}"""
"""Texts whose contrast is below 4.5, the limit of WCAG 2.1 AA."""


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A page of each kind, with odd names, leaks and all reporters that draw."""
    folder = tmp_path_factory.mktemp("pages")
    run = write_run(folder / "run", ODD_NAMES, n=30, wrong=6, leaks=LEAKS)
    study = write_study(folder / "study", {"deep": {}, "a <long> & odd name": {"wrong": 4}}, runs=2)
    names = ("tables", "panel", "confusion", "curves", "mistakes", "boxplot", "summary", "html")
    for results in (run, study):
        make_reports(results, [cv.reporters.create(name) for name in names], Display())
    audited(write_images(folder / "images"), folder / "audit")
    return {name: folder / name / "reports" / "report.html" for name in ("run", "study", "audit")}


@pytest.mark.parametrize("name", ["run", "study", "audit"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_nothing_is_cut_without_a_sign_and_all_text_can_be_read(
    browser: Browser, pages: dict[str, Path], name: str, scheme: Any, width: int
) -> None:
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
    try:
        page = context.new_page()
        page.goto(pages[name].as_uri())
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert page.evaluate(CUT) == []
        assert page.evaluate(UNMARKED) == 0
        assert page.evaluate(CONTRAST) == []
    finally:
        context.close()


@pytest.mark.parametrize("name", ["run", "study", "audit"])
def test_paper_shows_everything(browser: Browser, pages: dict[str, Path], name: str) -> None:
    context = browser.new_context(viewport={"width": 700, "height": 1000}, color_scheme="dark")
    try:
        page = context.new_page()
        page.goto(pages[name].as_uri())
        page.emulate_media(media="print")
        assert page.evaluate(CUT) == []
        assert page.evaluate(CONTRAST) == []
        wide = "[...document.images].filter(i => i.getBoundingClientRect().right > 701).length"
        assert page.evaluate(wide) == 0
    finally:
        context.close()
