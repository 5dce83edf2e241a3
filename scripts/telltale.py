"""Find wording that docs/style.md replaces: ``python scripts/telltale.py [PATH]...``.

Prints one line per match, and exits with code 1 if there is any. A line that must quote such
wording ends with a comment that contains "telltale: allow".
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = ("src", "plugins", "docs", "tests", "benchmarks", "scripts")
FILES = ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md", "conftest.py")
SUFFIXES = (".py", ".pyi", ".md", ".j2", ".html", ".css", ".js", ".toml")
NOT_PROSE = ("docs/style.md", "docs/_build", "scripts/telltale.py")
ALLOWED = "telltale: allow"

REPLACEMENTS = {
    r"\bgone on with\b|\bgo(?:es)? on with\b": "resume",
    r"\bso many of\b": "the number",
    r"\b(?:is|are|was|were) told\b(?! apart)|\btold of\b": "say who receives what",
    r"\bbelongs? into\b": "belongs in",
    r"\bmend(?:s|ed|ing)?\b": "fix",
    r"\bpassed over\b": "skipped",
    r"\bwhoever\b": "name the person or part",
    r"\bbroken off\b": "interrupted",
    r"\btaken for\b": "treated as",
    r"\bhas not the\b|\bhave not the\b": "lacks",
    r"\bin silence\b": "silently, or without a warning",
    r"\bof its own\b|\bof their own\b": "its own, or separate",
    r"\bwhere there is (?:one|none|no)\b": "if there is one",
    r"\bstrangers?\b(?=['’]?s? (?:plugin|code|module|class|network|layer))": "third-party",
    r"\bthis should not happen\b": "This is a bug.",
    r"\bis at work\b": "is running",
    r"\bthe units? that\b": "group",
}
"""Wording to find, and what to write."""

_PATTERN = re.compile("|".join(f"({wording})" for wording in REPLACEMENTS), re.IGNORECASE)


def matches(paths: list[Path]) -> Iterator[tuple[Path, int, str, str]]:
    """Yield file, line number, wording and replacement of every match."""
    advice = list(REPLACEMENTS.values())
    for path in paths:
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
            if ALLOWED in line:
                continue
            for match in _PATTERN.finditer(line):
                assert match.lastindex is not None
                yield path, number, match.group(), advice[match.lastindex - 1]


def prose(roots: list[Path]) -> list[Path]:
    """Return the text files in folders, except generated ones and those that quote wording."""
    files = [
        file
        for root in roots
        for file in ([root] if root.is_file() else sorted(root.rglob("*")))
        if file.is_file() and file.suffix in SUFFIXES
    ]
    return [
        file
        for file in files
        if not any(part in file.as_posix() for part in (*NOT_PROSE, "/build/", ".egg-info"))
    ]


def main() -> int:
    """Check the named paths, by default the whole project."""
    named = [Path(name) for name in sys.argv[1:]]
    default = [ROOT / name for name in (*FOLDERS, *FILES) if (ROOT / name).exists()]
    count = 0
    for path, number, wording, advice in matches(prose(named or default)):
        shown = path.relative_to(ROOT) if path.is_relative_to(ROOT) else path
        print(f"{shown}:{number}: {wording!r}: {advice}")
        count += 1
    print(f"{count} match(es)" if count else "no telltale wording", file=sys.stderr)
    return 1 if count else 0


if __name__ == "__main__":
    sys.exit(main())
