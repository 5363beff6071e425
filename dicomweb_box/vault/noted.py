"""Pseudonyms that remember what they gave for one instance: the vault holds what the data carry."""

from collections.abc import Iterator

from dicomweb_box.deid.originals import Originals
from dicomweb_box.deid.policy import Dates
from dicomweb_box.deid.pseudonyms import Keyed, Patient
from dicomweb_box.vault import entries
from dicomweb_box.vault.entries import Entry


class Noted:
    """What a project's key gives, with the pseudonym that the project gave the patient."""

    def __init__(self, keyed: Keyed, pseudonym: str) -> None:
        self._keyed, self.pseudonym = keyed, pseudonym
        self._uids: dict[str, str] = {}
        self._tokens: dict[tuple[str, str], str] = {}

    def uid(self, original: str) -> str:
        """See `Pseudonyms`."""
        return self._uids.setdefault(original, self._keyed.uid(original))

    def token(self, kind: str, original: str) -> str:
        """See `Pseudonyms`."""
        return self._tokens.setdefault((kind, original), self._keyed.token(kind, original))

    def patient(self, patient: Patient, pattern: str) -> str:
        """See `Pseudonyms`; the policy's pattern has been heeded, or the project has one of its own."""
        del patient, pattern
        return self.pseudonym

    def days(self, patient: Patient, dates: Dates) -> int:
        """See `Pseudonyms`."""
        return self._keyed.days(patient, dates)

    def given(self, found: Originals) -> Iterator[Entry]:
        """What is to be entered, beside the patient."""
        if found.name:
            yield Entry(kind=entries.NAME, original=found.name, pseudonym=self.pseudonym)
        for kind, uid in (
            (entries.STUDY, found.study_uid),
            (entries.SERIES, found.series_uid),
            (entries.INSTANCE, found.instance_uid),
            (entries.FRAME_OF_REFERENCE, found.frame_of_reference_uid),
        ):
            if uid:
                # One that a policy keeps is entered too: it stands for itself.
                yield Entry(kind=kind, original=uid, pseudonym=self._uids.get(uid, uid))
        for (kind, original), token in self._tokens.items():
            if kind == "accession":
                # The engine hands on the bytes as they are.
                text = found.identity.charset.decode(original.encode("latin-1")).strip(" \0")
                yield Entry(kind=entries.ACCESSION, original=text, pseudonym=token)
            elif kind == "study" and found.study_id:
                yield Entry(kind=entries.STUDY_ID, original=found.study_id, pseudonym=token)
