"""Pseudonyms that would tell whose they are: those that somebody chose, a list or an identity service."""

from dicomweb_box.deid.doubt import Doubt
from dicomweb_box.deid.identity import Identity
from dicomweb_box.deid.pseudonyms import Patient
from dicomweb_box.vault.projects import Project

TELLING = "the pseudonym that its patient was given names the patient"
_LEAST_ID = 3


def refuse_telling(project: Project, identity: Identity, pseudonym: str) -> None:
    """Raises Doubt where a pseudonym was chosen, and repeats a name, number or birth date of its patient."""
    chosen = _chosen(project, identity.patient, pseudonym)
    if holds_id(chosen, identity.patient) or identity.named_in(chosen.encode(), identity.charset):
        raise Doubt(TELLING)


def holds_id(pseudonym: str, who: Patient) -> bool:
    """Whether a pseudonym is one of the values of a Patient ID, or holds one that is not short."""
    told = pseudonym.casefold().strip()
    for value in who.patient_id.casefold().split("\\"):
        one = value.strip()
        if one and (one == told or (len(one) >= _LEAST_ID and one in told)):
            return True
    return False


def _chosen(project: Project, who: Patient, pseudonym: str) -> str:
    """What somebody chose of a pseudonym: what is counted or worked out is like a name by chance alone."""
    token, own = project.keys.pseudonyms.token("patient", who.whole), project.pattern
    if own is None:
        return "" if token in pseudonym else pseudonym
    if own.asks:
        return own.filled_in(pseudonym)
    if own.counts:
        return "" if own.filled_in(pseudonym).isdecimal() else pseudonym
    return "" if pseudonym == own.with_token(token) else pseudonym
