"""Policies that cannot be carried out for a project with a vault."""

from typing import Final

from dicomweb_box.deid.identity import ACCESSION_NUMBER, PATIENT_ID, PATIENT_NAME, STUDY_ID
from dicomweb_box.deid.policy import Policy
from dicomweb_box.errors import BadSetting

_ENTERED: Final = (PATIENT_ID, PATIENT_NAME, ACCESSION_NUMBER, STUDY_ID)
_LEAVING_NOTHING: Final = frozenset(("remove", "empty"))


def refuse_past_vault(policy: Policy) -> None:
    """Raises BadSetting where a rule gives another pseudonym than the one that the vault remembers."""
    for rule in policy.rules:
        if rule.action not in _LEAVING_NOTHING and any(rule.is_of(tag) for tag in _ENTERED):
            raise BadSetting(
                f"the policy's rule {rule.action} for {rule.shown} writes what the project's vault does not"
                " know: Patient ID, Patient's Name, Accession Number and Study ID become what it remembers"
            )
