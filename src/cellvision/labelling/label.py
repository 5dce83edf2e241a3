"""Label images from Python, such as in a notebook."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import astuple
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from cellvision import errors
from cellvision.call_errors import names_settings
from cellvision.experiment import Experiment, load_experiment
from cellvision.labelling.database_schema import is_database
from cellvision.labelling.export_answers import COLUMNS
from cellvision.labelling.export_table import export_table as write_table
from cellvision.labelling.import_answers import import_answers
from cellvision.labelling.moved_images import raise_if_moved
from cellvision.labelling.rules import Rules
from cellvision.labelling.session_source import (
    open_answer_file,
    open_session,
    raise_if_no_source,
    raise_if_session_images,
    run_record,
    with_run_images,
)
from cellvision.progress import displayed
from cellvision.recipe_experiment import DEFAULT, as_experiment, without_recipe

if TYPE_CHECKING:
    import pandas as pd
    from pydantic import JsonValue

    from cellvision.labelling.store import Store
    from cellvision.results.moved_images import Place


@names_settings
def label(
    source: Experiment | str | os.PathLike[str],
    out: str | os.PathLike[str] | None = None,
    *,
    classes: Sequence[str] = (),
    run: str | os.PathLike[str] | None = None,
    splits: str | Sequence[str] = (),
    images: int | None = None,
    repeats: float = 0.1,
    practice: int = 0,
    examples: int = 3,
    breaks: int = 50,
    seed: int = 0,
    group: str | None = None,
    recipe: str = DEFAULT,
    settings: Mapping[str, JsonValue] | None = None,
    static: str | os.PathLike[str] | None = None,
    returned: Sequence[str | os.PathLike[str]] = (),
    export_table: str | os.PathLike[str] | None = None,
    port: int | None = None,
    browser: bool = False,
    serve: bool = True,
    allow_network: bool = False,
    run_images: Place = None,
    session_images: Place = None,
) -> pd.DataFrame:
    """Label images blindly on a page of this computer, and return the answers.

    The page is served until it is interrupted (Ctrl-C, or the stop button of a notebook). Every
    answer is saved at once, and the same call resumes.

    Parameters
    ----------
    source
        An experiment, the folder of a run, an experiment file, or a folder of images; or an answer
        file alone, to resume its session.
    out
        SQLite file for the answers. If it exists, the session resumes.
    classes
        Label a folder of unlabelled images, at any depth, with these classes.
    run
        Folder of a run: show the images on which it is most uncertain first, and as its network
        sees them.
    splits
        Name of the split to label, or several; empty for all test sets.
    images
        Size of the random sample to label; None for all images.
    repeats
        Fraction of images shown twice, 0 to 0.5.
    practice
        Number of practice images, whose class is revealed after each answer.
    examples
        Number of example images per class on the help panel.
    breaks
        Suggest a break after this many images; 0 for never.
    seed
        Seed of sample and order.
    group
        For a folder: provenance column that names the groups.
    recipe
        For a folder: name of the recipe that chooses the preprocessing, as for `train`.
    settings
        For a folder or an experiment file: settings that take precedence, in tables as in an
        experiment file, such as ``{"training": {"epochs": 20}}``.
    static
        Write a page to send to this folder, and serve none.
    returned
        Import the answers that such a page saved (CSV or JSON), and serve no page.
    export_table
        CSV file for file and label of each image, as the data set `table` reads them; no page is
        served.
    port
        Port of the page; None for the previous one, or any free one.
    browser
        Open the page in the browser.
    serve
        Whether to serve the page; False only returns the answers so far.
    allow_network
        Read images also from an address that a run's record names and that you never read before.
    run_images
        Where the images of the run (`source` or `run`) are now, if they were moved since its
        training: a folder, a file or an address.
    session_images
        Where the images of an answer file are now, if they were moved since its start.

    Returns
    -------
    pandas.DataFrame
        One row per answer: image, split, group, label, rater, answer (None for "cannot say"),
        seconds, repeat and time.

    Raises
    ------
    errors.InvalidInput
        The answer file belongs to other images or rules, or a value is out of range.

    Examples
    --------
    >>> import cellvision as cv
    >>> answers = cv.label("images", "answers.db", images=50)  # doctest: +SKIP
    """
    import pandas as pd

    if static is not None:
        from cellvision.labelling.static import raise_if_not_empty

        raise_if_not_empty(Path(static))

    rules = Rules(_split_names(splits), images, repeats, practice, examples, breaks, seed)
    named = "" if isinstance(source, Experiment) else os.fspath(source)
    if named and is_database(Path(named)):
        given = (out, run, group, settings or None, classes or None)
        session = open_answer_file(
            Path(named),
            session_images=session_images,
            run_images=run_images,
            omitted=rules == Rules() and all(each is None for each in given),
        )
    else:
        if named:
            raise_if_no_source(named)
        raise_if_session_images(named or "an experiment", session_images)
        if out is None:
            raise errors.CallError("label() needs 'out'", "Name a file for the answers: out=FILE")
        session = open_session(
            named,
            Path(out),
            rules,
            partial(
                _experiment,
                source,
                run,
                group,
                recipe,
                settings,
                run_images,
                allow_network=allow_network,
            ),
            classes=classes,
            run_folder=None if run is None else Path(run),
            allow_network=allow_network,
            run_images=run_images,
        )
    with session as store:
        _import_and_write(store, returned, static, export_table)
        if serve and not returned and static is None and export_table is None:
            from cellvision.labelling.server import open_page

            raise_if_moved(store.plan(), store.path)
            open_page(store, port, browser=browser)
        return pd.DataFrame([astuple(answer) for answer in store.answers()], columns=list(COLUMNS))


def _split_names(splits: str | Sequence[str]) -> tuple[str, ...]:
    return (splits,) if isinstance(splits, str) else tuple(splits)


def _experiment(
    source: Experiment | str | os.PathLike[str],
    run: str | os.PathLike[str] | None,
    group: str | None,
    recipe: str,
    settings: Mapping[str, JsonValue] | None,
    run_images: Place,
    *,
    allow_network: bool,
) -> Experiment:
    """Return the experiment whose images are labelled."""
    if not isinstance(source, Experiment):
        record = run_record(source, allow_network=allow_network)
        if record is not None:
            read = load_experiment(record)
            return with_run_images(read, record, run_images, allow_network=allow_network)
    if run is not None:  # it ranks the images, and brings its own preprocessing
        return without_recipe(source, group, settings)
    return as_experiment(source, recipe, group, settings=settings)


def _import_and_write(
    store: Store,
    returned: Sequence[str | os.PathLike[str]],
    static: str | os.PathLike[str] | None,
    export_table: str | os.PathLike[str] | None,
) -> None:
    """Import returned answers, and write a page and a table of images, if they are requested."""
    for table in returned:
        import_answers(store, Path(table))
    if static is not None or export_table is not None:
        raise_if_moved(store.plan(), store.path)
    if static is not None:
        from cellvision.labelling.static import write_page

        with displayed(None) as display:
            write_page(store, Path(static), partial(display.task, "writing images"))
    if export_table is not None:
        write_table(store, Path(export_table))
