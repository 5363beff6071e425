"""What tests of redaction share."""

from pathlib import Path

import pytest

from dicomweb_box.deid.policy import Policy
from tests.deid.drawn import RULES, rules


@pytest.fixture
def policy(tmp_path: Path) -> Policy:
    """One that redacts by a rule for an Acme of this size."""
    return Policy(name="basic", pixels="redact", pixel_rules=rules(tmp_path, RULES))
