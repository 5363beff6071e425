"""Length and seed of the long proofs: short samples in `make test`, everything in `make soak`."""

import random

import pytest


@pytest.hookimpl(tryfirst=True)  # before the groups are read
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for item in items:
        if "/soak/" in item.path.as_posix():
            item.add_marker(pytest.mark.xdist_group("soak"))
            if config.getoption("--soak"):
                item.add_marker(pytest.mark.timeout(0))


@pytest.fixture
def soak(request: pytest.FixtureRequest) -> bool:
    """Whether the proof is to run at full length."""
    return bool(request.config.getoption("--soak"))


@pytest.fixture
def chance(request: pytest.FixtureRequest) -> random.Random:
    """Randomness from the run's seed, which the head of the report prints."""
    return random.Random(f"{request.config.getoption('--seed')} {request.node.name}")
