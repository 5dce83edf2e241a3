"""Which known distribution provides what, for hints where it is not installed."""

from __future__ import annotations

KNOWN_DISTRIBUTIONS: dict[str, dict[str, tuple[str, ...]]] = {
    "cellvision.datasets": {
        "cellvision-datasets": ("fashion_mnist", "flowers", "folder", "synthetic_cells", "table"),
        "cellvision-bioio": ("bioio",),
        "cellvision-cleanlab": ("one_fold",),
    },
    "cellvision.augmenters": {
        "cellvision-augmenters": (
            "brightness",
            "cutmix",
            "dihedral",
            "elastic",
            "erase",
            "flip",
            "mixup",
            "rotation",
            "shift",
            "translation",
            "zoom",
        ),
    },
    "cellvision.architectures": {
        "cellvision-architectures": (
            "alexnet",
            "deep",
            "deep_functional",
            "encoder",
            "fmnist_alexnet",
            "fmnist_deep",
            "perceptron",
            "pretrained",
            "resnet",
            "scattering",
        ),
    },
    "cellvision.recipes": {
        "cellvision-recipes": ("page", "quick", "standard"),
    },
    "cellvision.splitters": {
        "cellvision-splitters": ("group_k_fold", "leave_one_out", "temporal"),
    },
    "cellvision.controls": {
        "cellvision-controls": (
            "background",
            "batch",
            "frozen_encoder",
            "intensity",
            "permuted_groups",
            "permuted_images",
            "texture",
        ),
    },
    "cellvision.exporters": {
        "cellvision-exporters": (
            "bioimageio",
            "litert",
            "model_card",
            "onnx",
            "openvino",
            "saved_model",
        ),
    },
    "cellvision.reporters": {
        "cellvision-reporters": (
            "attention",
            "boxplot",
            "confusion",
            "controls",
            "curves",
            "diagram",
            "expert",
            "html",
            "intensities",
            "learning",
            "metrics",
            "mistakes",
            "panel",
            "plate_map",
            "probabilities",
            "robustness",
            "sample",
            "sheet",
            "standards",
            "summary",
            "tables",
            "training_size",
        ),
        "cellvision-cleanlab": ("suspicious_labels",),
        "cellvision-tracking": ("mlflow", "tensorboard"),
    },
}
"""Entry-point group to distribution to the names that it provides."""

KNOWN_VERBS: dict[str, str] = {"nuclei": "cellvision-nuclei"}
"""Verb to the distribution that provides it."""

MICROSCOPE_FORMATS = {".nd2": "nd2", ".czi": "czi", ".lif": "lif"}
"""Suffixes of microscopes' own formats, and the extra of cellvision-bioio that reads each."""


def how_to_read(suffix: str) -> str:
    """Return how to read files of one of `MICROSCOPE_FORMATS`."""
    return (
        f'Install the plugin bioio: python -m pip install "cellvision-bioio'
        f'[{MICROSCOPE_FORMATS[suffix]}]"; then give the folder above the class folders with '
        "--set dataset.type=bioio"
    )
