"""Configuration of the tests of cellvision-nuclei."""

import pytest


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "slow: finds the nuclei of folders")
