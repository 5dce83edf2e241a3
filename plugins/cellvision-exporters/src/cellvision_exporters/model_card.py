"""A model card: what a network was trained on, how well it does, and what is unknown about it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import cellvision as cv
from cellvision import errors, io

if TYPE_CHECKING:
    from pydantic import JsonValue


class ModelCard(cv.Exporter):
    """Model card: a Markdown page for people who did not train the network."""

    suffix: ClassVar[str] = ".md"
    contains_network: ClassVar[bool] = False

    intended_use: str = ""
    """What the network is meant for, in a sentence or two; the card says so if it is missing."""

    contact: str = ""
    """Whom to ask."""

    def export(self, run: cv.Run, folder: Path) -> Path:
        """Write ``model.md``; see `cellvision.Exporter.export`."""
        text = card(run, self.intended_use, self.contact)
        return io.write_text(folder / "model.md", text)

    def verify(self, run: cv.Run, folder: Path) -> dict[str, JsonValue]:
        """Check that the card states every class and score; see `cellvision.Exporter.verify`."""
        text = (folder / "model.md").read_text(encoding="utf-8")
        stated = [*map(io.escape_markdown, run.class_names)]
        stated += [f"{score.accuracy:.3f}" for score in run.scores.values()]
        missing = [value for value in stated if value not in text]
        if missing:
            raise errors.ConversionError(
                f"the model card does not state {missing[0]!r}", "Report it to the plugin's author."
            )
        return {"classes": len(run.class_names), "scores": len(run.scores)}


def card(run: cv.Run, intended_use: str = "", contact: str = "") -> str:
    """Return the model card of a run as Markdown.

    Parameters
    ----------
    run
        The run.
    intended_use
        What the network is meant for.
    contact
        Whom to ask.
    """
    sections = (
        ("", _summary(run)),
        ("Intended use", _use(intended_use, contact)),
        ("Classes", _classes(run)),
        ("Input", _input(run)),
        ("Evaluation", _evaluation(run)),
        ("Training", _training(run)),
        ("Limitations", _limitations(run)),
    )
    parts = [f"# Model card: {' or '.join(map(io.escape_markdown, run.class_names))}"]
    for title, lines in sections:
        parts += [f"## {title}"] if title else []
        parts.append("\n".join(lines))
    return "\n\n".join(parts) + "\n"


def _summary(run: cv.Run) -> Iterator[str]:
    metadata = run.metadata
    architecture: Any = metadata.experiment["architecture"]
    name = architecture["type"] if isinstance(architecture, Mapping) else architecture
    yield (
        f"A network of the architecture {io.escape_markdown(name)}, trained by cellvision "
        f"{metadata.environment.cellvision} with seed {run.seed}, that tells "
        f"{len(run.class_names)} classes of microscopy images apart."
    )
    if run.control is not None:
        yield f"\n**This is a control ({io.escape_markdown(run.control)}), not a network to use.**"


def _use(intended_use: str, contact: str) -> Iterator[str]:
    yield (
        io.escape_markdown(intended_use)
        if intended_use
        else "Not stated by the people who trained it."
    )
    if contact:
        yield f"\nContact: {io.escape_markdown(contact)}"


def _classes(run: cv.Run) -> Iterator[str]:
    splits = list(run.counts)
    yield f"| class | {' | '.join(map(io.escape_markdown, splits))} |"
    yield f"| --- |{' ---: |' * len(splits)}"
    for name in run.class_names:
        counts = " | ".join(str(run.counts[split].get(name, 0)) for split in splits)
        yield f"| {io.escape_markdown(name)} | {counts} |"
    yield "\nNumbers of images. The network answers one of these classes for any image."


def _input(run: cv.Run) -> Iterator[str]:
    height, width, channels = run.preprocessing.input_shape
    zero, one = run.intensity_range
    noun = "channel" if channels == 1 else "channels"
    yield f"- Size: {height} × {width} pixels, {channels} {noun}."
    chosen = run.preprocessing.channels
    listed = chosen if isinstance(chosen, str) else ", ".join(map(str, chosen))
    yield f"- Channels of the file: {io.escape_markdown(listed)}."
    yield (
        f"- Intensities as in the file, not scaled: {zero:g} counts as 0 and {one:g} as 1. "
        "Images of another bit depth or exposure need another network."
    )


def _evaluation(run: cv.Run) -> Iterator[str]:
    group = run.unit_column or "images, because groups are unknown"
    yield "| split | accuracy | 95 % interval | balanced accuracy | images | groups |"
    yield "| --- | ---: | ---: | ---: | ---: | ---: |"
    for split, score in run.scores.items():
        groups = "unknown" if score.groups is None else score.groups
        yield (
            f"| {io.escape_markdown(split)} | {score.accuracy:.3f} | {score.accuracy_low:.3f} to "
            f"{score.accuracy_high:.3f} | {score.balanced_accuracy:.3f} | {score.n} | {groups} |"
        )
    yield (
        f"\nIndependent units: {io.escape_markdown(group)}. Test sets say how well it classifies "
        "new images."
    )


def _training(run: cv.Run) -> Iterator[str]:
    metadata = run.metadata
    environment = metadata.environment
    if metadata.solved:
        yield "- Solved exactly; epochs, batch size and optimizer have no effect."
    else:
        yield f"- Epochs: {len(run.history)}{' (interrupted)' if run.interrupted else ''}."
    yield (
        f"- Computed in {environment.precision} by Keras {environment.keras} on "
        f"{environment.backend} {environment.backend_version}."
    )
    for name, requirement in sorted(metadata.plugins.items()):
        yield f"- {io.escape_markdown(name.removeprefix('cellvision.'))}: `{requirement}`"


def _limitations(run: cv.Run) -> Iterator[str]:
    yield "- One training is an anecdote: a study says how much accuracies vary between trainings."
    yield "- No simpler explanation (brightness, background, batch) is excluded by this card."
    if run.group_column is None:
        yield "- Groups are unknown, so intervals are too narrow if images depend on one another."
    if not run.test_splits:
        yield "- There is no test set: accuracies are of images that training has seen."
    for warning in run.warnings:
        yield f"- {io.escape_markdown(warning)}"
