"""Entries of a project as they are told, unsealed; whoever reads them has recorded it (`lookup`)."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Final

from dicomweb_box.box import Box, in_thread
from dicomweb_box.database import Row, in_list
from dicomweb_box.errors import Damaged
from dicomweb_box.vault import entries
from dicomweb_box.vault.data_keys import Forgotten
from dicomweb_box.vault.entries import COLUMNS
from dicomweb_box.vault.projects import Project

_AT_ONCE: Final = 500
_PLACE: Final = ("kind", "word", "pseudonym", "patient")


@dataclass(frozen=True, kw_only=True, slots=True)
class Known:
    """One entry as it is told."""

    kind: str
    original: str
    pseudonym: str
    patient_id: str
    issuer: str
    patient_pseudonym: str
    made_at: str


class Reader:
    """Reads the entries of one project, each with the key of its patient."""

    def __init__(self, box: Box, project: Project) -> None:
        self._box, self._project = box, project
        self._keys: dict[str, bytes | None] = {}
        self._patients: dict[str, entries.Entry | None] = {}
        self.lost = 0
        """Entries that cannot be read, though nobody forgot their patients: keys are missing or damaged."""

    async def told(self, rows: Sequence[Row]) -> list[Known]:
        """The entries that can be read."""
        await self._meet({str(row["patient"]) for row in rows} - self._patients.keys())
        return await in_thread(self._box, self._read_all, rows)

    async def every(self) -> AsyncIterator[Known]:
        """All entries of the project."""
        place = dict.fromkeys(_PLACE, "")
        while True:
            rows = await self._box.database.fetch_all(
                f"select {COLUMNS} from pseudonym where project = :project and kind <> 'gone'"
                " and (kind, word, pseudonym, patient) > (:kind, :word, :pseudonym, :patient)"
                f" order by kind, word, pseudonym, patient limit {_AT_ONCE}",
                {"project": self._project.name, **place},
            )
            for one in await self.told(rows):
                yield one
            if len(rows) < _AT_ONCE:
                return
            place = {name: str(rows[-1][name]) for name in _PLACE}

    async def _meet(self, patients: set[str]) -> None:
        """Read who these patients are."""
        named, params = in_list("patient", sorted(patients))
        rows = await self._box.database.fetch_all(
            f"select {COLUMNS} from pseudonym where project = :project and kind = 'patient'"
            f" and patient in {named}",
            {"project": self._project.name, **params},
        )
        self._patients.update(dict.fromkeys(patients))
        await in_thread(self._box, self._meet_now, rows)

    def _meet_now(self, rows: Sequence[Row]) -> None:
        for row in rows:
            self._patients[str(row["patient"])] = self._entry(row)

    def _read_all(self, rows: Sequence[Row]) -> list[Known]:
        found = []
        for row in rows:
            entry, patient = self._entry(row, tell=True), self._patients[str(row["patient"])]
            if entry is not None:
                found.append(_known(entry, patient, str(row["made_at"])))
        return found

    def _entry(self, row: Row, *, tell: bool = False) -> entries.Entry | None:
        try:
            key = self._key(str(row["patient"]))
            if key is not None:
                return entries.read(self._project.keys, key, row)
        except Forgotten:
            return None
        except Damaged:
            pass
        self.lost += tell
        return None

    def _key(self, patient: str) -> bytes | None:
        if patient not in self._keys:
            self._keys[patient] = self._project.data_keys.find(patient)
        return self._keys[patient]


def _known(entry: entries.Entry, patient: entries.Entry | None, made_at: str) -> Known:
    return Known(
        kind=entry.kind,
        original=entry.original,
        pseudonym=entry.pseudonym,
        patient_id=patient.original if patient else "",
        issuer=patient.issuer if patient else "",
        patient_pseudonym=patient.pseudonym if patient else "",
        made_at=made_at,
    )
