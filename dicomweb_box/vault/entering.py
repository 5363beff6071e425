"""What a run of de-identification enters into the vault, before anything of it is written anywhere."""

from typing import Final

from dicomweb_box.box import Box
from dicomweb_box.database import Writer
from dicomweb_box.deid.doubt import Doubt
from dicomweb_box.deid.originals import Originals
from dicomweb_box.deid.pseudonyms import Patient
from dicomweb_box.vault import entries
from dicomweb_box.vault.entries import Entry
from dicomweb_box.vault.naming import FORGOTTEN, OPTED_OUT, IdentityService, Named, named
from dicomweb_box.vault.noted import Noted
from dicomweb_box.vault.projects import Project
from dicomweb_box.vault.telling import refuse_telling

_MOST_KEPT: Final = 10_000
_MOST_IDS: Final = 16
_UNIQUE: Final = frozenset(
    (entries.STUDY, entries.SERIES, entries.INSTANCE, entries.FRAME_OF_REFERENCE, entries.ACCESSION)
)
"""Kinds of which a pseudonym stands for one original."""


class Run:
    """One run for one project. Whatever it raises as Doubt holds an instance back, and tells no value."""

    def __init__(self, box: Box, project: Project, service: IdentityService | None = None) -> None:
        self._box, self._project, self._service = box, project, service
        self._patients: dict[Patient, Named] = {}
        self._entered: set[tuple[Patient, Entry]] = set()

    async def begin(self, found: Originals, pattern: str) -> Noted:
        """The pseudonyms of one instance; its patient is entered. `pattern` is the policy's. Raises Doubt."""
        if found.patient.patient_id.count("\\") >= _MOST_IDS:
            raise Doubt("its Patient ID has more values than are looked up")
        pseudonym = (await self._named(found, pattern)).pseudonym
        # Of each instance: another one of the patient may tell another name.
        refuse_telling(self._project, found.identity, pseudonym)
        return Noted(self._project.keys.pseudonyms, pseudonym)

    async def enter(self, found: Originals, noted: Noted) -> None:
        """Enter what was given for the instance; durable when it returns. Raises Doubt."""
        who, keys = found.patient, self._project.keys
        data_key = self._patients[who].data_key
        new = [one for one in noted.given(found) if (who, one) not in self._entered]
        made_at = self._box.clock().isoformat(timespec="seconds")
        patient = keys.whose(who)
        rows = [
            entries.columns(keys, one, patient=patient, data_key=data_key, made_at=made_at) for one in new
        ]

        async def work(w: Writer) -> None:
            # Another process may have forgotten the patient meanwhile, or been told to let nothing of it go.
            if await entries.patient_row(w, self._project.name, patient) is None:
                raise Doubt(FORGOTTEN)
            if await entries.opted_out(w, keys, who):
                raise Doubt(OPTED_OUT)
            for row in rows:
                if row["kind"] in _UNIQUE and await entries.stands_for_another(w, row):
                    raise Doubt("one of its pseudonyms stands for another original already")
                await entries.insert(w, row)

        await self._box.database.write(work)
        self._remember(who, new)

    async def _named(self, of: Originals, pattern: str) -> Named:
        found = self._patients.get(of.patient)
        if found is None:
            found = await named(self._box, self._project, of.identity, pattern, self._service)
            if len(self._patients) >= _MOST_KEPT:
                self._patients.clear()
            self._patients[of.patient] = found
        return found

    def _remember(self, who: Patient, new: list[Entry]) -> None:
        if len(self._entered) >= _MOST_KEPT:
            self._entered.clear()
        self._entered.update((who, one) for one in new if one.kind != entries.INSTANCE)
