"""The pseudonym of a patient: the one of its entry, or a new one by the project's pattern."""

from dataclasses import dataclass
from typing import Protocol

from dicomweb_box.box import Box, in_thread
from dicomweb_box.database import Reader, Writer
from dicomweb_box.deid.doubt import Doubt
from dicomweb_box.deid.identity import Identity
from dicomweb_box.deid.pseudonyms import Patient
from dicomweb_box.errors import Damaged
from dicomweb_box.vault import entries
from dicomweb_box.vault.data_keys import Forgotten
from dicomweb_box.vault.entries import Entry
from dicomweb_box.vault.patterns import is_plain
from dicomweb_box.vault.projects import Project
from dicomweb_box.vault.telling import refuse_telling

FORGOTTEN = "its patient was forgotten in this project"
OPTED_OUT = "its patient is on the project's opt-out list"
NOT_LISTED = "its patient is not on the project's list"
NO_PSEUDONYM = "the identity service gave for its patient what can be no pseudonym"
TAKEN = "the pseudonym of its patient stands for another one already"


@dataclass(frozen=True, kw_only=True, slots=True)
class Named:
    """A patient that the vault knows."""

    pseudonym: str
    data_key: bytes


class IdentityService(Protocol):
    """Somebody else who knows what patients are to be called."""

    async def pseudonym(self, who: Patient) -> str:
        """What a patient is called; raises Doubt where it cannot be told, or not now."""
        ...


async def named(
    box: Box, project: Project, identity: Identity, pattern: str, service: IdentityService | None = None
) -> Named:
    """The patient's pseudonym, entered now if it is new; `pattern` is the policy's.

    Raises Doubt where nothing of the patient may go out, or a new pseudonym would name it.
    """
    who = identity.patient
    patient = project.keys.whose(who)
    known, out = await box.database.read(lambda r: _looked_up(r, project, who))
    if out:
        raise Doubt(OPTED_OUT)
    if not known and project.listed:
        raise Doubt(NOT_LISTED)
    # First whether it was forgotten: of such a one no service is asked.
    data_key = await found_key(box, project, patient) if not known else await key_of(box, project, patient)
    new = None if known else await _worked_out(project, who, pattern, service)
    if new:
        refuse_telling(project, identity, new)
    if data_key is None:
        data_key = await key_of(box, project, patient, make=True)
    entry = await _entered(box, project, who, new, data_key)
    if not known:
        # Another process may have forgotten it since the key was read: then nobody can read the entry.
        await key_of(box, project, patient)
    return Named(pseudonym=entry.pseudonym, data_key=data_key)


async def _looked_up(r: Reader, project: Project, who: Patient) -> tuple[bool, bool]:
    row = await entries.patient_row(r, project.name, project.keys.whose(who))
    return row is not None, await entries.opted_out(r, project.keys, who)


async def key_of(box: Box, project: Project, patient: str, *, make: bool = False) -> bytes:
    """The key of a patient's entries; raises Doubt where it is forgotten, missing or damaged."""
    found = await found_key(box, project, patient, make=make)
    if found is None:
        raise Doubt("the data key of its patient is not here")
    return found


async def found_key(box: Box, project: Project, patient: str, *, make: bool = False) -> bytes | None:
    """The key; None where there is none. Raises Doubt where it is forgotten or damaged."""
    keys = project.data_keys
    try:
        return await in_thread(box, keys.have if make else keys.find, patient)
    except Forgotten:
        raise Doubt(FORGOTTEN) from None
    except Damaged:
        raise Doubt("the data key of its patient is damaged") from None


async def _entered(box: Box, project: Project, who: Patient, new: str | None, data_key: bytes) -> Entry:
    patient = project.keys.whose(who)
    least = await _last_number(box, project)
    number = 0

    async def work(w: Writer) -> Entry:
        nonlocal number
        number = 0
        # Another process may have been first.
        row = await entries.patient_row(w, project.name, patient)
        if row is not None:
            return entries.read(project.keys, data_key, row)
        if new is None:
            raise Doubt(FORGOTTEN)  # since it was looked up
        pseudonym = new
        if project.pattern is not None and project.pattern.counts:
            pseudonym, number = await _counted(w, project, least)
        entry = Entry(kind=entries.PATIENT, original=who.patient_id, issuer=who.issuer, pseudonym=pseudonym)
        if await taken(w, project, pseudonym):
            raise Doubt(TAKEN)
        made_at = box.clock().isoformat(timespec="seconds")
        row_of = entries.columns(project.keys, entry, patient=patient, data_key=data_key, made_at=made_at)
        await entries.insert(w, row_of)
        return entry

    try:
        entry = await box.database.write(work)
    except Damaged:
        raise Doubt("the entry of its patient in the vault is damaged") from None
    if number:
        # Before it is used anywhere: a database from a backup would give it to another patient.
        await in_thread(box, project.data_keys.note_number, number)
    return entry


async def _last_number(box: Box, project: Project) -> int:
    """The highest number that was given, where patients are counted."""
    if project.pattern is None or not project.pattern.counts:
        return 0
    try:
        return await in_thread(box, project.data_keys.last_number)
    except Damaged:
        raise Doubt("the project's file last-number does not hold a number") from None


async def _worked_out(project: Project, who: Patient, pattern: str, service: IdentityService | None) -> str:
    """A new patient's pseudonym; empty where patients are counted, which is done when it is entered."""
    own = project.pattern
    if own is None:
        return project.keys.pseudonyms.patient(who, pattern)
    if own.counts:
        return ""
    if not own.asks:
        return own.with_token(project.keys.pseudonyms.token("patient", who.whole))
    if service is None:
        raise Doubt("the identity service of the project is not known here")
    pseudonym = own.with_answer(await service.pseudonym(who))
    if not is_plain(pseudonym):
        raise Doubt(NO_PSEUDONYM)
    return pseudonym


async def taken(r: Reader, project: Project, pseudonym: str) -> bool:
    """Whether a pseudonym stands for a patient already, or stood for one that was forgotten."""
    return bool(
        await r.fetch_value(
            "select 1 from pseudonym"
            " where project = :project and kind in ('patient', 'gone') and pseudonym = :pseudonym",
            {"project": project.name, "pseudonym": entries.stands(project.keys, pseudonym)},
        )
    )


async def _counted(w: Writer, project: Project, least: int) -> tuple[str, int]:
    """The next number's pseudonym; one that a list gave to somebody is passed over."""
    assert project.pattern is not None  # noqa: S101  (only patterns count)
    while True:
        number = int(
            await w.fetch_value(
                "update vault set last_number = 1 +"
                " case when last_number < :least then :least else last_number end"
                " where project = :project returning last_number",
                {"project": project.name, "least": least},
            )
        )
        pseudonym = project.pattern.with_number(number)
        if not await taken(w, project, pseudonym):
            return pseudonym, number
