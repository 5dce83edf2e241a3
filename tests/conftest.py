"""Fixtures of the core's tests."""

from __future__ import annotations

from prepare_folders import fields  # noqa: F401 - a fixture
