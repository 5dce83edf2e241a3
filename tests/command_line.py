"""The command line, run in the process of a test."""

from __future__ import annotations

import pytest


def command(*words: object) -> int:
    """Run ``cellvision`` with some arguments; return its exit code."""
    from cellvision.cli import main

    with pytest.raises(SystemExit) as end:
        main([str(word) for word in words])
    assert isinstance(end.value.code, int)
    return end.value.code
