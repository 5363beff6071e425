"""Who stands behind a pseudonym, and what stands for somebody: each read has a reason and is recorded."""

import re
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from unicodedata import normalize

from dicomweb_box.accounts import audit
from dicomweb_box.accounts.access import Actor
from dicomweb_box.accounts.audit_words import Action, Outcome
from dicomweb_box.box import Box
from dicomweb_box.database import Row, chunks, in_list
from dicomweb_box.deid.pseudonyms import Patient
from dicomweb_box.errors import BadRequest
from dicomweb_box.vault import entries
from dicomweb_box.vault.entries import COLUMNS, KINDS
from dicomweb_box.vault.projects import Project
from dicomweb_box.vault.reading import Known, Reader

_LONGEST_REASON: Final = 200
_LEAST_TELLING: Final = 3
_WORD: Final = re.compile(r"\w+")
_AT_ONCE: Final = 500
HANDLE: Final = 16
"""Digits of a patient's index in the audit: always the same, and nothing without the project's key."""
_KINDS: Final = "(" + ", ".join(f"'{kind}'" for kind in KINDS) + ")"


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """What was found."""

    known: tuple[Known, ...]
    lost: int
    """Entries that cannot be read, though their patients were not forgotten: keys are missing or damaged."""


async def find(
    box: Box, project: Project, value: str, *, prefix: bool = False, actor: Actor, reason: str
) -> Answer:
    """Entries whose original or pseudonym is the value, or begins with it; names whatever the case.

    It is recorded before anybody hears of it, without the value. Raises BadRequest without a reason, or where
    the reason names whom it is about.
    """
    checked(reason)
    if not value.strip():
        raise BadRequest("Say what to look for.")
    reader = Reader(box, project)
    if prefix:
        found = [one async for one in reader.every() if _begins(one, value)]
    else:
        found = await reader.told(await _exactly(box, project, value))
    patients = {project.keys.whose(Patient(patient_id=one.patient_id, issuer=one.issuer)) for one in found}
    refuse_naming(reason, value, await naming_entries(box, project, patients))
    about = {
        "project": project.name,
        "reason": reason,
        "how": "prefix" if prefix else "exact",
        "patients": sorted(patient[:HANDLE] for patient in patients),
    }
    await _record(box, actor, about, count=len(found))
    return Answer(known=tuple(found), lost=reader.lost)


async def export(box: Box, project: Project, *, actor: Actor, reason: str) -> "Export":
    """Everything of a project; recorded when it returns. Raises BadRequest without a reason.

    It is about nobody, so the reason is not searched for names.
    """
    checked(reason)
    count = await box.database.fetch_value(
        "select count(*) from pseudonym where project = :project and kind <> 'gone'",
        {"project": project.name},
    )
    await _record(box, actor, {"project": project.name, "reason": reason, "how": "export"}, count=int(count))
    return Export(box, project)


class Export:
    """Entries of a project one by one; then `lost` says how many could not be read."""

    def __init__(self, box: Box, project: Project) -> None:
        self._reader = Reader(box, project)

    def __aiter__(self) -> AsyncIterator[Known]:
        return self._reader.every()

    @property
    def lost(self) -> int:
        """See `Answer`."""
        return self._reader.lost


def checked(reason: str) -> str:
    """The reason; raises BadRequest where there is none."""
    if not reason.strip():
        raise BadRequest("The vault is read with a reason only.")
    if len(reason) > _LONGEST_REASON:
        raise BadRequest(f"A reason has at most {_LONGEST_REASON} characters.")
    return reason


async def _exactly(box: Box, project: Project, value: str) -> Sequence[Row]:
    words, params = in_list("word", [entries.word(project.keys, kind, value) for kind in KINDS])
    # Two questions, each with an index of its own.
    return await box.database.fetch_all(
        f"select {COLUMNS} from pseudonym where project = :project and kind in {_KINDS} and word in {words}"
        f" union select {COLUMNS} from pseudonym where project = :project and kind in {_KINDS}"
        " and pseudonym = :pseudonym"
        " order by kind, made_at, word, pseudonym, patient",
        {"project": project.name, "pseudonym": entries.stands(project.keys, value), **params},
    )


async def naming_entries(box: Box, project: Project, patients: Iterable[str]) -> list[Known]:
    """The Patient IDs and names of these patients, as far as they can be read."""
    reader = Reader(box, project)
    found: list[Known] = []
    for some in chunks(sorted(patients), _AT_ONCE):
        named, params = in_list("patient", some)
        rows = await box.database.fetch_all(
            f"select {COLUMNS} from pseudonym where project = :project and kind in ('patient', 'name')"
            f" and patient in {named}",
            {"project": project.name, **params},
        )
        found += await reader.told(rows)
    return found


def _begins(one: Known, value: str) -> bool:
    if one.kind == entries.NAME:
        return one.original.casefold().startswith(value.casefold()) or one.pseudonym.startswith(value)
    return one.original.startswith(value) or one.pseudonym.startswith(value)


def refuse_naming(reason: str, value: str, found: Iterable[Known]) -> None:
    """Refuse to write into the audit whom it is about: what was asked for, or who is meant by that."""
    told = normalize("NFC", reason.casefold())
    whole = {value, *(one.original for one in found)}
    parts = {part for one in found for part in _WORD.findall(normalize("NFC", one.original.casefold()))}
    telling = {normalize("NFC", one.casefold()) for one in whole if len(one) >= _LEAST_TELLING}
    # Scripts that do not part words have short names.
    telling |= {part for part in parts if not part.isascii() and len(part) > 1}
    words = {part for part in parts if len(part) >= _LEAST_TELLING} | {value.casefold()}
    if any(one in told for one in telling) or words & set(_WORD.findall(told)):
        raise BadRequest("The reason names whom it is about, and it is recorded: say why, not who.")


async def _record(box: Box, actor: Actor, about: Mapping[str, audit.Value], *, count: int) -> None:
    outcome: Outcome = "success" if count else "not found"
    await audit.recorded(
        box, audit.Entry(actor=actor, action=Action.VAULT, outcome=outcome, about=about, count=count)
    )
