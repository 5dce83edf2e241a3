"""An entry for the DOME Registry, version 2.0.0 of its schema, filled in from a run or study."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from importlib.resources import files
from math import prod
from typing import Any

from cellvision import About
from cellvision_reporters.standards.model_facts import parameter_count, regularization_names
from cellvision_reporters.standards.subject import Subject

TITLE = "DOME recommendations, entry for the DOME Registry"
VERSION = "2.0.0"

ABOUT = (
    *("title", "authors", "journal", "year", "doi"),
    *("data_public", "data_license", "data_availability", "data_source", "data_reused"),
    *("network_is_new", "model_rationale", "code_public", "code_license"),
    *("model_public", "model_license", "predictions_public", "compared_with_published"),
)
"""Fields of `About` that the entry needs."""

_MAY_BE_EMPTY = (
    "optimization.algorithm.unpubRsn",
    "optimization.features.trnOnlySel",
    "optimization.meta.metaMeths",
    "optimization.meta.metaIndep",
    "optimization.regularisation.regTechs",
)
"""Fields that have no answer if what they depend on is false."""

_METRICS = [
    *("balanced accuracy", "accuracy", "accuracy of groups", "precision", "recall", "F1"),
    *("area under the ROC curve", "area under the precision-recall curve", "calibration error"),
]

Facts = Mapping[str, str]


def dome_schema() -> dict[str, Any]:
    """Return the JSON schema of an entry: names and types of the registry's schema."""
    path = files("cellvision_reporters.standards") / "data" / "dome.schema.json"
    schema: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return schema


def dome_entry(subject: Subject, facts: Facts, about: About) -> dict[str, Any]:
    """Return the entry; what is not known is null or empty.

    Raises
    ------
    jsonschema.ValidationError
        The entry does not fit the schema, which would be a bug.
    """
    import jsonschema  # type: ignore[import-untyped]

    entry = {
        "x-dome-schema-version": VERSION,
        "publication": {
            "title": about.title or "",
            "authors": ", ".join(about.authors),
            "journal": about.journal or "",
            "year": about.year or "",
            "doi": about.doi or "",
        },
        "data": _data(subject, facts, about),
        "optimization": _optimization(subject, facts, about),
        "model": _model(subject, facts, about),
        "evaluation": _evaluation(subject, facts, about),
    }
    jsonschema.validate(entry, dome_schema())
    return entry


def unanswered(about: About) -> list[str]:
    """Return the fields of `About` that the entry needs and that are not filled in."""
    return [name for name in ABOUT if getattr(about, name) in (None, "", ())]


def empty_fields(entry: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    """Yield the fields of an entry that are null or empty, such as ``data.provenance.numDP``."""
    for name, value in entry.items():
        path = prefix + name
        if isinstance(value, Mapping):
            yield from empty_fields(value, f"{path}.")
        elif value in (None, "", []) and path not in _MAY_BE_EMPTY:
            yield path


def _data(subject: Subject, facts: Facts, about: About) -> dict[str, Any]:
    images = _images_by_split(subject)
    return {
        "availability": {
            "isPub": about.data_public,
            "licence": about.data_license or "",
            "enfMeth": about.data_availability or "",
        },
        "provenance": {
            "source": _text(about.data_source, facts["dataset"]),
            "numDP": sum(images),
            "prevUse": about.data_reused,
        },
        "redundancy": {
            "splitMeth": (
                "Provenance of images (groups), identical decoded pixels, and a search for "
                "near-duplicates across splits"
            ),
            "isIndep": _is_independent(subject),
            "enfMeth": facts["redundancy"],
            "distCmp": (
                "Identity of decoded pixels; distance of reduced images in eight orientations, "
                "relative to other images"
            ),
        },
        "splits": {
            "numSplits": len(images),
            "dpPerSplit": images,
            "otherSplits": "None",
            "splitDist": facts["splits"],
        },
    }


def _is_independent(subject: Subject) -> bool | None:
    """Whether training and test sets are independent; None if groups or copies are in doubt."""
    if subject.run.leaks:
        return False
    audit = subject.audit
    doubtful = subject.run.unit_column is None or (audit is not None and audit.near_duplicates)
    return None if doubtful else True


def _images_by_split(subject: Subject) -> list[int]:
    """Count the images of each split, or those that each fold tests."""
    from cellvision import Study

    experiment, results = subject.experiment, subject.results
    if experiment is not None and experiment.fold_runs and isinstance(results, Study):
        table = results.out_of_fold
        own = table[table["experiment"] == experiment.name]
        return [int(count) for count in own.groupby("fold").size()]
    return [sum(by_class.values()) for by_class in subject.run.counts.values()]


def _optimization(subject: Subject, facts: Facts, about: About) -> dict[str, Any]:
    run = subject.networks[0]
    parameters = parameter_count(subject)
    training = sum(run.counts.get(run.training_split or "", {}).values())
    regularizers = regularization_names(subject)
    return {
        "algorithm": {
            "algName": facts["model"],
            "isNewAlg": about.network_is_new,
            "unpubRsn": "",
        },
        "config": {"cfgAvail": about.code_public, "lic": about.code_license or ""},
        "encoding": {"encMeth": _text(facts["preprocessing"], facts["augmentation"])},
        "features": {
            "numF": prod(run.preprocessing.input_shape),
            "featSel": False,
            "trnOnlySel": None,
        },
        "fit": {
            "pGtN": None if parameters is None else parameters > training,
            "noOverFit": _text(facts["performance"], facts["verdict"]),
            "noUnderFit": facts["fitting"],
        },
        "meta": {"isMeta": False, "metaMeths": [], "metaIndep": None},
        "parameters": {
            "numP": parameters,
            "pSelMeth": _text(about.model_rationale, facts["selection"]),
        },
        "regularisation": {"hasReg": bool(regularizers), "regTechs": regularizers},
    }


def _model(subject: Subject, facts: Facts, about: About) -> dict[str, Any]:
    explained = any(
        entry.reporter.rpartition(":")[2] == "attention" for entry in subject.results.reports
    )
    return {
        "availability": {
            "srcAvail": about.code_public,
            "exeAvail": about.model_public,
            "lic": about.model_license or "",
        },
        "duration": {"runTime": facts["duration"]},
        "interpretability": {
            "interpType": "post-hoc explainable" if explained else "black box",
            "transpEx": facts["interpretability"],
        },
        "output": {"outType": facts["output"]},
    }


def _evaluation(subject: Subject, facts: Facts, about: About) -> dict[str, Any]:
    everything = (about.data_public, about.code_public, about.model_public)
    return {
        "method": {"evalMeth": facts["evaluation"]},
        "availability": {"rawAvail": about.predictions_public, "lic": about.data_license or ""},
        "comparison": {
            "cmpPub": about.compared_with_published,
            "cmpBase": bool(subject.verdicts),
        },
        "confidance": {
            "hasCI": bool(subject.run.test_splits),
            "isStatSig": bool(subject.verdicts),
        },
        "measure": {
            "metrics": _METRICS if subject.run.test_splits else [],
            "isRep": None if None in everything else all(everything),
        },
    }


def _text(*parts: str | None) -> str:
    return " ".join(part for part in parts if part)
