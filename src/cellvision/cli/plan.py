"""``cellvision plan``: how many groups the next experiment needs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from cellvision import errors

if TYPE_CHECKING:
    from cellvision.statistics import Pilot


def run(
    results: Annotated[
        str | None,
        typer.Argument(
            metavar="[RUN_OR_STUDY]",
            help="A pilot: a finished run or study. Without it, give guesses.",
            show_default=False,
        ),
    ] = None,
    accuracy: Annotated[
        float | None,
        typer.Option("--accuracy", min=0, max=1, help="Expected accuracy.", show_default=False),
    ] = None,
    correlation: Annotated[
        float | None,
        typer.Option(
            "--correlation",
            min=0,
            max=1,
            help="Expected correlation of right and wrong within a group: 0 if images of a group "
            "are independent, 1 if a group is all right or all wrong.",
            show_default=False,
        ),
    ] = None,
    images: Annotated[
        float | None,
        typer.Option("--images", min=1, help="Images of each group.", show_default=False),
    ] = None,
    classes: Annotated[
        int | None, typer.Option("--classes", min=2, help="Number of classes.", show_default=False)
    ] = None,
    half_width: Annotated[
        float,
        typer.Option("--half-width", help="Half the width of the 95 % interval of the accuracy."),
    ] = 0.05,
    power: Annotated[
        float,
        typer.Option(
            "--power",
            help='Probability of p <= 0.05, and of "learned" in a cross-validated study.',
        ),
    ] = 0.8,
    experiment: Annotated[
        str | None,
        typer.Option("--experiment", metavar="NAME", help="Experiment of the study."),
    ] = None,
    split: Annotated[
        str | None, typer.Option("--split", metavar="NAME", help="Test set of the pilot.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Say how many groups an interval, a test and the verdict "learned" need.

    The numbers are test groups (wells, donors). They come from a pilot run or study, from guesses,
    or from a pilot of which guesses replace a part.
    """
    pilot, found_classes = _pilot(results, experiment, split, accuracy, correlation, images)
    content = _plan(pilot, classes or found_classes or 2, half_width, power)
    if as_json:
        import json

        print(json.dumps(content, indent=2))
        return
    for line in _lines(content):
        print(line)


def _pilot(
    results: str | None,
    experiment: str | None,
    split: str | None,
    accuracy: float | None,
    correlation: float | None,
    images: float | None,
) -> tuple[Pilot, int | None]:
    """Return the pilot, and its number of classes if it is a run or study."""
    from cellvision.statistics import Pilot

    guesses = {"accuracy": accuracy, "correlation": correlation, "images": images}
    values: dict[str, Any] = {}
    classes = None
    if results is not None:
        from cellvision.results.opening import open_results
        from cellvision.results.pilot import pilot_of
        from cellvision.results.study import Study

        opened = open_results(results)
        pilot = pilot_of(opened, experiment, split)
        values = {name: getattr(pilot, name) for name in guesses}
        # A guess stands for all classes.
        if accuracy is None:
            values["recalls"] = pilot.recalls
        if accuracy is None and correlation is None:
            values["within_classes"] = pilot.within_classes
        run = opened.runs[0] if isinstance(opened, Study) else opened
        classes = len(pilot.recalls or run.class_names)
    values |= {name: value for name, value in guesses.items() if value is not None}
    missing = [name for name in guesses if name not in values]
    if missing:
        raise errors.InvalidInput(
            f"nothing says the {missing[0]}",
            "Name a pilot run or study, or give --accuracy, --correlation and --images, such as "
            "--accuracy 0.8 --correlation 0.2 --images 20",
        )
    return Pilot(**values), classes


def _plan(pilot: Pilot, classes: int, half_width: float, power: float) -> dict[str, Any]:
    from dataclasses import asdict

    from cellvision.statistics import (
        CROSS_VALIDATION_FACTOR,
        groups_for_interval,
        groups_for_test,
    )

    test = groups_for_test(pilot, classes, power=power)
    return {
        "pilot": asdict(pilot),
        "classes": classes,
        "half_width": half_width,
        "groups_for_interval": groups_for_interval(pilot, half_width),
        "groups_for_interval_cross_validated": groups_for_interval(
            pilot, half_width / CROSS_VALIDATION_FACTOR
        ),
        "power": power,
        "groups_per_class_for_test": test.groups_per_class,
        "at_chance": test.at_chance,
        "simulated_power": {str(number): value for number, value in test.power.items()},
        "groups_per_class_cross_validated": test.groups_per_class_cross_validated,
        "simulated_power_cross_validated": {
            str(number): value for number, value in test.power_cross_validated.items()
        },
    }


def _lines(content: dict[str, Any]) -> list[str]:
    pilot = content["pilot"]
    return [
        f"Expected: accuracy {pilot['accuracy']:.2f}, balanced accuracy "
        f"{_balanced_accuracy(pilot):.2f}, correlation within groups {pilot['correlation']:.2f}, "
        f"{pilot['images']:.3g} images per group, {content['classes']} classes.",
        f"For an interval of the accuracy of ±{content['half_width']:g}: about "
        f"{content['groups_for_interval']} test groups, or "
        f"{content['groups_for_interval_cross_validated']} groups in all in a cross-validated "
        "study.",
        *_lines_of_test(content),
        "These are test groups, with a network as good as this one. How accuracy grows with more "
        "training groups: cellvision study --sizes auto",
    ]


def _lines_of_test(content: dict[str, Any]) -> list[str]:
    needed, power = content["groups_per_class_for_test"], content["simulated_power"]
    aim = f'For "learned" on a test set (p <= 0.05) with probability {content["power"]:g}:'
    if content["at_chance"]:
        return [
            f"{aim} no number of groups is enough, because the balanced accuracy of "
            f"{_balanced_accuracy(content['pilot']):.2f} is not above chance "
            f"({1 / content['classes']:.2f})."
        ]
    tried = max(map(int, power))
    folded = content["groups_per_class_cross_validated"]
    lines = [
        f"{aim} {_number(needed, tried)} test groups of each class.",
        f"  Probability of p <= 0.05 by test groups of each class: {_by_groups(power)}",
        'For "learned" in a cross-validated study (p <= 0.05, and the interval above chance): '
        f"{_number(folded, tried)} groups of each class in all.",
    ]
    if content["simulated_power_cross_validated"]:
        reached = _by_groups(content["simulated_power_cross_validated"])
        lines.append(f"  Probability of both by groups of each class: {reached}")
    lines.append(
        "Not planned: whether the network does more than the controls, adjustment for several "
        "experiments or test sets, and batches, within which labels are permuted."
    )
    return lines


def _number(needed: int | None, tried: int) -> str:
    return f"more than {tried}" if needed is None else f"about {needed}"


def _by_groups(power: dict[str, float]) -> str:
    return ", ".join(f"{groups}: {value:.2f}" for groups, value in power.items())


def _balanced_accuracy(pilot: dict[str, Any]) -> float:
    recalls = pilot["recalls"] or [pilot["accuracy"]]
    return float(sum(recalls) / len(recalls))
