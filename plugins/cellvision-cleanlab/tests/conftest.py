"""Configuration of the tests of cellvision-cleanlab."""

import pytest


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "slow: trains a network")
