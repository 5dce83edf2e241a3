"""(h) Starting: the import, the help, and a registry with 50 plugins of strangers."""

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
        folder = root / f"strange_{number}-1.0.dist-info"
        folder.mkdir(parents=True, exist_ok=True)
        told = f"Metadata-Version: 2.1\nName: strange-{number}\nVersion: 1.0\n"
        (folder / "METADATA").write_text(told)
        entry = f"[cellvision.architectures]\nstrange_{number} = strange_{number}:Net\n"
        (folder / "entry_points.txt").write_text(entry)
    return root


def measure(bench: Bench) -> Result:
    """Milliseconds of whole processes."""
    plugins = fake_plugins(bench.work / "plugins", 50)
    python = [sys.executable, "-c"]
    crowded = {"PYTHONPATH": f"{process.ROOT}:{plugins}"}
    commands: dict[str, tuple[list[str], dict[str, str]]] = {
        "python, doing nothing": ([*python, "pass"], {}),
        "import cellvision": ([*python, _IMPORT], {}),
        "import cellvision, 50 plugins more": ([*python, _IMPORT], crowded),
        "names of the architectures": ([*python, _NAMES], {}),
        "names of the architectures, 50 plugins more": ([*python, _NAMES], crowded),
        "cellvision --help": ([*process.CELLVISION, "--help"], {}),
    }
    rows = {what: Row(what) for what in commands}
    for _ in range(1 if bench.quick else max(10, bench.repeats)):
        for what, (command, environment) in commands.items():
            rows[what].values.append(1000 * process.run(command, environment).wall_s)
    result = Result(
        "(h) Starting",
        "ms",
        "Whole processes, Python's own start included. The 50 plugins are metadata of "
        "distributions that each offer one architecture.",
        list(rows.values()),
    )
    told = rows["cellvision --help"]
    plain, crowd = rows["import cellvision"], rows["import cellvision, 50 plugins more"]
    result.ratios = [
        Ratio("cellvision --help : 500 ms", [median(told.values) / 500], "≤ 1"),
        Ratio("import cellvision : 200 ms", [median(plain.values) / 200], "≤ 1"),
        Ratio(
            "what 50 plugins add to the import : 20 ms",
            [(median(crowd.values) - median(plain.values)) / 20],
            "≤ 1",
        ),
    ]
    return result
