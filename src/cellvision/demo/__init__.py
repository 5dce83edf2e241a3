"""The whole workflow on synthetic images: a problem that can be learned and one that cannot."""

from __future__ import annotations

import os
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cellvision import atomic_io, defaults, errors, statistics
from cellvision.data.audit import Audit, audit
from cellvision.data.preprocessing import Preprocessing
from cellvision.experiment import Experiment
from cellvision.interfaces.architecture import architectures
from cellvision.interfaces.augmenter import augmenters
from cellvision.interfaces.dataset import datasets
from cellvision.results.claimed_folder import clear_folder
from cellvision.training.train import train
from cellvision.training_settings import Training

if TYPE_CHECKING:
    from cellvision.interfaces.artifact import ArtifactKind
    from cellvision.results.run import Run


@dataclass(frozen=True)
class _Problem:
    """A synthetic classification problem."""

    name: str
    strength: float
    title: str
    truth: str


_PROBLEMS = (
    _Problem(
        "easy",
        1.0,
        "Easy: the protein of treated cells forms aggregates",
        "Treated cells differ from control cells. Brightness and focus vary between fields.",
    ),
    _Problem(
        "impossible",
        0.0,
        "Impossible: treated cells do not differ from control cells",
        "Only brightness and focus vary, between fields: a network can memorise fields and learn "
        "nothing.",
    ),
)
_SIDE = 128
_EPOCHS = 12
"""Enough for the network to fit even what it can only memorise."""


def demo(out: str | os.PathLike[str], *, progress: bool | None = None) -> Path:
    """Create two data sets, audit them, train on each and report which one was learned.

    Parameters
    ----------
    out
        New or empty folder.
    progress
        Show progress on standard error. None: if that is a terminal.

    Returns
    -------
    pathlib.Path
        Page with the results, ``index.html``; ``index.md`` beside it has the same content.

    Raises
    ------
    errors.FolderError
        The folder is not empty.
    """
    folder = Path(out)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise errors.FolderError(f"{folder} is not empty", "Choose a new folder: --out DIR")
    clear_folder(folder)
    results: list[dict[str, Any]] = []
    for problem in _PROBLEMS:
        experiment = Experiment(
            dataset=datasets.create(
                datasets.default(defaults.DEMO_DATASET),
                path=folder / problem.name / "images",
                strength=problem.strength,
            ),
            augmenters=(augmenters.create(augmenters.default(defaults.DEMO_AUGMENTER)),),
            architecture=architectures.create(architectures.default(defaults.DEMO_ARCHITECTURE)),
            preprocessing=Preprocessing(size=(_SIDE, _SIDE), channels=(0, 1)),
            training=Training(epochs=_EPOCHS, learning_rate=0.002),
        )
        report = audit(experiment, progress=progress)
        run = train(experiment, folder / problem.name / "run", progress=progress)
        headline, evidence = verdict(run)
        results.append(
            {
                "title": problem.title,
                "headline": headline,
                "evidence": evidence,
                "command": study_command(run),
                "facts": _facts(problem, report, run),
                "figures": _artifacts(folder, run, "figure"),
                "pages": _artifacts(folder, run, "page"),
            }
        )
    atomic_io.text(folder / "index.md", _page("page.md.j2", results))
    return atomic_io.text(folder / "index.html", _page("page.html.j2", results))


def verdict(run: Run) -> tuple[str, str]:
    """Return what the test set shows: the rule's sentence, and what it rests on."""
    rows = run.predictions[run.predictions["split"] == "test"]
    score = run.scores["test"]
    result = statistics.verdict(
        rows["label"].to_numpy(),
        rows["predicted"].to_numpy(),
        rows["group"].to_numpy(),
        training=run.scores["train"].balanced_accuracy,
    )
    headline = f"{result.sentence[0].upper()}{result.sentence[1:]}."
    evidence = (
        f"{statistics.SINGLE_RUN} "
        f"{_percent(score.accuracy)} of {score.n} images from {score.groups} fields are right "
        f"(95\u00a0% interval {_percent(score.accuracy_low)} to {_percent(score.accuracy_high)}); "
        f"balanced accuracy {_percent(score.balanced_accuracy)}; always predicting the "
        f"most common class: {_percent(result.commonest)}; permutation test: "
        f"p\u00a0=\u00a0{result.test.p:.2g}. The accuracy on training images, "
        f"{_percent(run.scores['train'].accuracy)}, is no evidence of learning."
    )
    return headline, evidence


def study_command(run: Run) -> str:
    """Return the command that repeats a run from several seeds, beside controls."""
    folder = run.folder.resolve()
    words = ["cellvision", "study", str(folder / "run.json"), "--runs", "5", "--controls"]
    return shlex.join([*words, "--out", str(folder.with_name("study"))])


def _percent(fraction: float) -> str:
    return f"{100 * fraction:.0f}\u00a0%"


def _facts(problem: _Problem, report: Audit, run: Run) -> list[str]:
    splits = ", ".join(
        f"{split} {sum(report.counts[split].values())} images of {report.groups[split]} fields"
        for split in report.counts
    )
    bits = sorted({file.bit_depth for file in report.files if file.bit_depth is not None})
    leaks = f"{len(report.leaks)} leaks" if report.leaks else "no field is in two splits"
    seconds = run.metadata.timings.fit_s
    return [
        problem.truth,
        f"Audit: {splits}; {leaks}. {bits[-1]}-bit TIFFs, intensities up to "
        f"{max(file.high or 0 for file in report.files):g}; "
        f"{run.metadata.intensity_scale:g} becomes 1.",
        f"Training: {_EPOCHS} epochs in {seconds:.0f} s "
        f"({run.metadata.timings.train_images_per_s:.0f} images/s, "
        f"{run.metadata.environment.precision}).",
    ]


def _artifacts(folder: Path, run: Run, kind: ArtifactKind) -> list[dict[str, Any]]:
    """Return what the run's report shows of one kind, in its order."""
    return [
        {
            "path": artifact.path.relative_to(folder).as_posix(),
            "title": artifact.title,
            "caption": artifact.caption,
            "width": _width(artifact.path),
        }
        for artifact in run.artifacts
        if artifact.kind == kind
    ]


def _width(path: Path) -> int:
    """Return the width of a PNG image in pixels; 0 for any other file."""
    with path.open("rb") as file:
        head = file.read(20)
    return int.from_bytes(head[16:20], "big") if head.startswith(b"\x89PNG") else 0


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
