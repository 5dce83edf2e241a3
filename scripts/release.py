"""Prepare a release: one version everywhere, its notes, its files, its constraints.

::

    python scripts/release.py version 0.2.0     # write the version wherever it stands
    python scripts/release.py notes             # the section of CHANGELOG.md, for the release
    python scripts/release.py build dist        # wheels and sdists of all distributions, checked
    python scripts/release.py constraints       # constraints.txt, from this environment
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]

_PROJECT = re.compile(r'^(version = ")[^"]+(")$', re.MULTILINE)
_VERSION_LINES = {
    "src/cellvision/__init__.py": re.compile(r'^(__version__ = ")[^"]+(")$', re.MULTILINE),
    "CITATION.cff": re.compile(r"^(version: )\S+()$", re.MULTILINE),
    ".zenodo.json": re.compile(r'^(  "version": ")[^"]+(",?)$', re.MULTILINE),
}


def projects() -> list[Path]:
    """Return the folders of all distributions, the core first."""
    return [ROOT, *sorted(path.parent for path in ROOT.glob("plugins/*/pyproject.toml"))]


def versions() -> dict[str, str]:
    """Return the version in every file that states it."""
    patterns = {f"{p.relative_to(ROOT)}/pyproject.toml": _PROJECT for p in projects()}
    found = {}
    for name, pattern in {**patterns, **_VERSION_LINES}.items():
        match = pattern.search((ROOT / name).read_text(encoding="utf-8"))
        if match is None:
            raise SystemExit(f"{name}: states no version")
        start, end = match.span(1)[1], match.span(2)[0]
        found[name] = match.string[start:end]
    return found


def set_version(version: str) -> None:
    """Write a version into every file that states it."""
    for name in versions():
        path = ROOT / name
        pattern = _VERSION_LINES.get(name, _PROJECT)
        text = path.read_text(encoding="utf-8")
        path.write_text(pattern.sub(rf"\g<1>{version}\g<2>", text, count=1), encoding="utf-8")


def notes(version: str) -> str:
    """Return the changelog's section about a version, without its heading.

    Raises
    ------
    SystemExit
        The changelog has no such section.
    """
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    for section in re.split(r"^## ", text, flags=re.MULTILINE)[1:]:
        heading, _, body = section.partition("\n")
        if version in re.findall(r"\d+\.\d+\.\d+\w*", heading):
            return body.strip() + "\n"
    raise SystemExit(f"CHANGELOG.md has no section about {version}")


def build(folder: Path) -> list[Path]:
    """Build the wheel and sdist of every distribution, and check them as PyPI would."""
    folder = folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    for project in projects():
        command = [sys.executable, "-m", "hatchling", "build", "-d", str(folder)]
        subprocess.run(command, cwd=project, check=True, stdout=subprocess.DEVNULL)
    files = sorted([*folder.glob("*.whl"), *folder.glob("*.tar.gz")])
    subprocess.run([sys.executable, "-m", "twine", "check", "--strict", *files], check=True)
    return files


def constraints() -> str:
    """Return the installed version of everything that the distributions and their extras need."""
    ours = {canonicalize_name(project.name) for project in projects()[1:]} | {"cellvision"}
    pending = sorted(ours)
    pinned: dict[str, str] = {}
    while pending:
        name = pending.pop()
        try:
            distribution = metadata.distribution(name)
        except metadata.PackageNotFoundError:
            continue  # of an extra or another platform
        if name not in ours:
            pinned[name] = distribution.version
        found = _requirements(distribution, all_extras=name in ours)
        pending += [need for need in found if need not in pinned and need not in ours]
    lines = [f"{name}=={version}" for name, version in sorted(pinned.items())]
    python = ".".join(map(str, sys.version_info[:2]))
    head = (
        f"# Versions with which the figures of the documentation were made, on Python {python}.\n"
    )
    return head + "\n".join(lines) + "\n"


def _requirements(distribution: metadata.Distribution, *, all_extras: bool) -> Iterator[str]:
    for line in distribution.requires or ():
        requirement = Requirement(line)
        extra = requirement.marker is not None and "extra" in str(requirement.marker)
        if extra and not all_extras:
            continue
        if extra or requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
            yield canonicalize_name(requirement.name)


def main() -> None:
    """Run one of the commands."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("version").add_argument("version")
    commands.add_parser("notes").add_argument("version", nargs="?")
    commands.add_parser("build").add_argument("folder", type=Path)
    commands.add_parser("constraints")
    arguments = parser.parse_args()
    if arguments.command == "version":
        set_version(arguments.version)
    elif arguments.command == "notes":
        print(notes(arguments.version or versions()["src/cellvision/__init__.py"]), end="")
    elif arguments.command == "build":
        print(f"{len(build(arguments.folder))} files in {arguments.folder}")
    else:
        (ROOT / "constraints.txt").write_text(constraints(), encoding="utf-8")


if __name__ == "__main__":
    main()
