"""Options of the whole suite; and in continuous integration nothing is skipped for want of a program."""

import os
import random
from collections.abc import Generator

import pytest

# A reason that says this is about the machine; what else a test may be skipped for is the caller's choice.
NOT_INSTALLED = "not installed"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--soak", action="store_true", help="the long proofs at full length, not their short samples"
    )
    parser.addoption(
        "--seed", type=int, default=None, help="seed of the proofs that draw random moments and sizes"
    )
    parser.addoption(
        "--base-url", default=None, help="DICOMweb service that conformance/ asks, instead of starting one"
    )
    parser.addoption(
        "--write-conformance",
        action="store_true",
        help="write the result of conformance/ to docs/conformance.md",
    )


def pytest_configure(config: pytest.Config) -> None:
    # Drawn once, before parallel workers start: they are handed the options and so draw alike.
    if config.option.seed is None:
        config.option.seed = random.SystemRandom().randrange(1_000_000)


def pytest_report_header(config: pytest.Config) -> str:
    return f"seed of the proofs under load: {config.option.seed} (--seed)"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Where CI is set, a test left out because a program is not installed counts as failed."""
    report = yield
    if report.skipped and os.environ.get("CI") == "true" and isinstance(report.longrepr, tuple):
        reason = report.longrepr[2]
        if NOT_INSTALLED in reason:
            report.outcome = "failed"
            report.longrepr = f"{item.nodeid}: {reason} (in CI a missing program is a failure)"
    return report
