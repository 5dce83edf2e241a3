"""(h) Start-up: the import, the help, and a registry with 50 third-party plugins."""

from __future__ import annotations

import sys
from pathlib import Path
from statistics import median

from benchmarks import process
from benchmarks.bench import Bench
from benchmarks.result import Ratio, Result, Row

_IMPORT = "import cellvision"
_NAMES = "import cellvision as cv; print(len(cv.architectures.names()))"


def fake_plugins(root: Path, count: int) -> Path:
    """Write the metadata of distributions that each offer one architecture."""
    for number in range(count):
        folder = root / f"other_{number}-1.0.dist-info"
        folder.mkdir(parents=True, exist_ok=True)
        text = f"Metadata-Version: 2.1\nName: other-{number}\nVersion: 1.0\n"
        (folder / "METADATA").write_text(text)
        entry_points = f"[cellvision.architectures]\nother_{number} = other_{number}:Net\n"
        (folder / "entry_points.txt").write_text(entry_points)
    return root


def measure(bench: Bench) -> Result:
    """Measure the milliseconds of whole processes."""
    plugins = fake_plugins(bench.work / "plugins", 50)
    python = [sys.executable, "-c"]
    environment_with_50 = {"PYTHONPATH": f"{process.ROOT}:{plugins}"}
    commands: dict[str, tuple[list[str], dict[str, str]]] = {
        "python, doing nothing": ([*python, "pass"], {}),
        "import cellvision": ([*python, _IMPORT], {}),
        "import cellvision, 50 more plugins": ([*python, _IMPORT], environment_with_50),
        "names of the architectures": ([*python, _NAMES], {}),
        "names of the architectures, 50 more plugins": ([*python, _NAMES], environment_with_50),
        "cellvision --help": ([*process.CELLVISION, "--help"], {}),
    }
    rows = {label: Row(label) for label in commands}
    for _ in range(1 if bench.quick else max(10, bench.repeats)):
        for label, (command, environment) in commands.items():
            rows[label].values.append(1000 * process.run(command, environment).wall_s)
    result = Result(
        "(h) Start-up",
        "ms",
        "Whole processes, including the start of Python. The 50 plugins are the metadata of "
        "distributions with one architecture each.",
        list(rows.values()),
    )
    help_row = rows["cellvision --help"]
    plain, with_50 = rows["import cellvision"], rows["import cellvision, 50 more plugins"]
    result.ratios = [
        Ratio("cellvision --help : 500 ms", [median(help_row.values) / 500], "≤ 1"),
        Ratio("import cellvision : 200 ms", [median(plain.values) / 200], "≤ 1"),
        Ratio(
            "added to the import by 50 plugins : 20 ms",
            [(median(with_50.values) - median(plain.values)) / 20],
            "≤ 1",
        ),
    ]
    return result
