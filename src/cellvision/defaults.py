"""Default plugins: the only names of plugins in the core.

`Registry.default` finds them in the distribution that `known_plugins` lists, even if another
distribution has a plugin of the same name.
"""

from __future__ import annotations

ARCHITECTURE = "deep"
"""Architecture of an experiment that names none."""

DATASET = "folder"
"""Data set of a folder of images."""

RECIPE = "standard"
"""Recipe of a folder of images."""

FOLDS_SPLITTER = "group_k_fold"
"""Splitter of ``--folds K``, which is its setting ``k``."""

LEAVE_OUT_SPLITTER = "leave_one_out"
"""Splitter of ``--leave-out COLUMN``, which is its setting ``column``."""

CONFUSION_FIGURE = "confusion"
PANEL_FIGURE = "panel"
CURVES_FIGURE = "curves"
MISTAKES_FIGURE = "mistakes"
BOX_FIGURE = "boxplot"
SHEET_FIGURE = "sheet"
INTENSITIES_FIGURE = "intensities"
"""Reporters of the methods of ``run.plot``, ``study.plot`` and ``audit.plot``."""

DEMO_DATASET = "synthetic_cells"
DEMO_AUGMENTER = "flip"
DEMO_ARCHITECTURE = "resnet"
"""What the demo trains."""
