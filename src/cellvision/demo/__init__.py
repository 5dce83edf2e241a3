"""The whole way on images made here: one problem that can be learned and one that cannot."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cellvision import atomic_io, errors, statistics
from cellvision.data.audit import Audit, audit
from cellvision.data.preprocessing import Preprocessing
from cellvision.experiment import Experiment, Training
from cellvision.interfaces.augmenter import augmenters
from cellvision.interfaces.dataset import datasets
from cellvision.results.run_folder import clear_folder
from cellvision.training.train import train

if TYPE_CHECKING:
    from cellvision.results.run import Run


@dataclass(frozen=True)
class _Problem:
    """One of the two problems."""

    name: str
    strength: float
    title: str
    truth: str


_PROBLEMS = (
    _Problem(
        "easy",
        1.0,
        "Easy: the protein of treated cells forms aggregates",
        "Treated cells differ from control cells; every field has its own brightness and focus.",
    ),
    _Problem(
        "impossible",
        0.0,
        "Impossible: treated cells are like control cells",
        "Nothing differs but each field's brightness and focus, so there is nothing to learn "
        "and only something to remember.",
    ),
)
_EPOCHS = 24
_LEARNING_RATE = 3e-4
"""Low enough that the network also fits what it can only remember."""


def demo(out: str | os.PathLike[str], *, progress: bool | None = None) -> Path:
    """Make two data sets, audit them, train on each and say which one was learned.

    Parameters
    ----------
    out
        A new or empty folder.
    progress
        Whether to show progress on standard error; by default where that is a terminal.

    Returns
    -------
    pathlib.Path
        A page with the results, ``index.html``; the same as Markdown lies beside it.

    Raises
    ------
    errors.FolderError
        The folder holds something.
    """
    folder = Path(out)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise errors.FolderError(
            f"{folder}: there is something here already", "Name another folder: --out DIR"
        )
    clear_folder(folder)
    results: list[dict[str, Any]] = []
    for problem in _PROBLEMS:
        experiment = Experiment(
            dataset=datasets.create(
                "synthetic_cells", path=folder / problem.name / "images", strength=problem.strength
            ),
            augmenters=(augmenters.create("flip"),),
            preprocessing=Preprocessing(channels=(0, 1)),
            training=Training(epochs=_EPOCHS, learning_rate=_LEARNING_RATE),
        )
        found = audit(experiment, progress=progress)
        run = train(experiment, folder / problem.name / "run", progress=progress)
        results.append(
            {
                "title": problem.title,
                "verdict": verdict(run),
                "facts": _facts(problem, found, run),
                "pictures": _pictures(folder, run),
                "report": f"{problem.name}/run/reports/report.html",
            }
        )
    atomic_io.text(folder / "index.md", _page("page.md.j2", results))
    return atomic_io.text(folder / "index.html", _page("page.html.j2", results))


def verdict(run: Run) -> str:
    """Say what the test set shows, in one of the five sentences of `cellvision.statistics.verdict`.

    One run and no controls is the least that there can be a verdict on; the page says so.
    """
    rows = run.predictions[run.predictions["split"] == "test"]
    score = run.scores["test"]
    found = statistics.verdict(
        rows["label"].to_numpy(),
        rows["predicted"].to_numpy(),
        rows["group"].to_numpy(),
        training=run.scores["train"].balanced_accuracy,
    )
    return (
        f"{found.sentence[0].upper()}{found.sentence[1:]}. {score.accuracy:.0%} of {score.n} "
        f"test images from {score.groups} fields are right (95 % interval "
        f"{score.accuracy_low:.0%} to {score.accuracy_high:.0%}); the commonest class makes "
        f"{found.commonest:.0%}; p = {found.test.p:.2g} that labels which say nothing do as well. "
        f"Of the images it was trained on, {run.scores['train'].accuracy:.0%} are right, which "
        "shows nothing."
    )


def _facts(problem: _Problem, found: Audit, run: Run) -> list[str]:
    splits = ", ".join(
        f"{sum(found.counts[split].values())} images of {found.groups[split]} fields for {split}"
        for split in found.counts
    )
    bits = sorted({file.bit_depth for file in found.files if file.bit_depth is not None})
    leaks = f"{len(found.leaks)} leaks" if found.leaks else "no field is in two of them"
    seconds = run.metadata.timings.fit_s
    return [
        problem.truth,
        f"Audit: {splits}; {leaks}. {bits[-1]}-bit TIFFs, intensities up to "
        f"{max(file.high or 0 for file in found.files):g}, so that "
        f"{run.metadata.intensity_scale:g} counts as 1.",
        f"Training: {_EPOCHS} epochs in {seconds:.0f} s "
        f"({run.metadata.timings.train_images_per_s:.0f} images/s, "
        f"{run.metadata.environment.precision}).",
    ]


def _pictures(folder: Path, run: Run) -> list[str]:
    """The pictures of a run, as paths from the demo's folder; the panels first."""
    made = sorted((run.folder / "reports").glob("*.png"))
    order = ("panel", "curves", "sample", "confusion")

    def rank(path: Path) -> int:
        return next((k for k, name in enumerate(order) if path.name.startswith(name)), len(order))

    return [path.relative_to(folder).as_posix() for path in sorted(made, key=rank)]


def _page(template: str, results: list[dict[str, Any]]) -> str:
    import jinja2

    templates = jinja2.Environment(
        loader=jinja2.PackageLoader("cellvision.demo", "."),
        autoescape=jinja2.select_autoescape(["html.j2"]),
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return templates.get_template(template).render(results=results)
