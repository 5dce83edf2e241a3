"""Lines of ``cellvision audit`` about files that were not used."""

from __future__ import annotations

from cellvision.cli.audit import _reasons
from cellvision.data.audit import FileRecord, _skipped


def skipped(*names: str, reason: str) -> list[FileRecord]:
    return [FileRecord(name, "skipped", reason) for name in names]


def test_many_files_with_one_reason_are_one_line() -> None:
    """Seen: twenty lines that end with the same words."""
    unknown = skipped("a.png", "b.png", "c.png", "d.png", reason="its well is unknown")
    others = skipped("x.md", "y.md", reason="not an image: .md")
    assert list(_reasons([*unknown, *others])) == [
        "4 files, such as a.png, b.png, c.png: its well is unknown",
        "x.md: not an image: .md",
        "y.md: not an image: .md",
    ]


def test_files_that_are_all_named_are_no_examples() -> None:
    assert _skipped({"a.md": "not an image: .md"}) == [
        "1 file was skipped: 'a.md' (not an image: .md)."
    ]
    two = {"a.md": "not an image: .md", "b.md": "not an image: .md"}
    assert _skipped(two) == ["2 files were skipped, such as 'a.md' (not an image: .md)."]
