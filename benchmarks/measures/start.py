"""(h) Start-up: the import, the help, and a registry with 50 third-party plugins."""

from __future__ import annotations

import sys
from pathlib import Path
from statistics import median

from benchmarks import process
from benchmarks.bench import Bench
from benchmarks.result import Ratio, Result, Row

_IMPORT = "import cellvision"
_NET = """import cellvision as cv


class Net(cv.Architecture):
    \"\"\"A network of somebody.\"\"\"
"""
_SOURCE = {0: f"import time\ntime.sleep(2)\n{_NET}", 1: "class Net(:\n"}
"""Of the fake plugins, one takes two seconds to import, and one cannot be."""

_NAMES = "import cellvision as cv; print(len(cv.architectures.names()))"


def fake_plugins(root: Path, count: int) -> Path:
    """Write the metadata of distributions that each offer one architecture."""
    for number in range(count):
        folder = root / f"other_{number}-1.0.dist-info"
        folder.mkdir(parents=True, exist_ok=True)
        text = f"Metadata-Version: 2.1\nName: other-{number}\nVersion: 1.0\n"
        (root / f"other_{number}.py").write_text(_SOURCE.get(number, _NET))
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
        "cellvision --help, 50 more plugins": (
            [*process.CELLVISION, "--help"],
            environment_with_50,
        ),
        "cellvision plugins": ([*process.CELLVISION, "plugins", "--json"], {}),
        "cellvision plugins, 50 more plugins": (
            [*process.CELLVISION, "plugins", "--json"],
            environment_with_50,
        ),
    }
    rows = {label: Row(label) for label in commands}
    for _ in range(1 if bench.quick else max(10, bench.repeats)):
        for label, (command, environment) in commands.items():
            rows[label].values.append(1000 * process.run(command, environment).wall_s)
    result = Result(
        "(h) Start-up",
        "ms",
        "Whole processes, including the start of Python. The 50 plugins are the metadata of "
        "distributions with one architecture each: importing one takes two seconds, one has a "
        "syntax error. Descriptions are cached, so the first list takes longer.",
        list(rows.values()),
    )
    help_row = rows["cellvision --help"]
    plain = rows["import cellvision"]
    result.ratios = [
        Ratio("cellvision --help : 500 ms", [median(help_row.values) / 500], "≤ 1"),
        Ratio("import cellvision : 200 ms", [median(plain.values) / 200], "≤ 1"),
        *(
            Ratio(f"added to {label} by 50 plugins : 20 ms", [_added(rows, label) / 20], "≤ 1")
            for label in ("import cellvision", "cellvision --help", "cellvision plugins")
        ),
    ]
    return result


def _added(rows: dict[str, Row], label: str) -> float:
    """Return the milliseconds that 50 more plugins add."""
    return median(rows[f"{label}, 50 more plugins"].values) - median(rows[label].values)
