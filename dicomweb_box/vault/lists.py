"""What a project is told of patients by CSV files: their pseudonyms, and of whom nothing may go out.

The first line names the columns: `patient_id`, `issuer` (may be left out) and, where given, `pseudonym`.
"""

import csv
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from dicomweb_box.accounts import audit
from dicomweb_box.accounts.access import Actor
from dicomweb_box.accounts.audit_words import Action
from dicomweb_box.box import Box
from dicomweb_box.database import Reader, Row, Writer
from dicomweb_box.deid.doubt import Doubt
from dicomweb_box.deid.pseudonyms import Patient
from dicomweb_box.errors import BadRequest, Conflict
from dicomweb_box.vault import entries
from dicomweb_box.vault.naming import found_key, key_of, taken
from dicomweb_box.vault.patterns import is_plain
from dicomweb_box.vault.projects import Project
from dicomweb_box.vault.telling import holds_id

_OF_ANOTHER: Final = "the pseudonym stands for another patient already, or did"
_COLUMNS: Final = ("patient_id", "issuer", "pseudonym")


@dataclass(frozen=True, kw_only=True, slots=True)
class Line:
    """One patient of a list."""

    number: int
    """Of the line in the file: what messages name."""
    patient: Patient
    pseudonym: str = ""


def read(path: Path, *, pseudonyms: bool) -> list[Line]:
    """The lines of a list; raises BadRequest, by the number of the line, where it is none."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            return list(_lines(csv.DictReader(file, strict=True), pseudonyms))
    except (UnicodeDecodeError, csv.Error) as error:
        raise BadRequest("The list is not CSV in UTF-8.") from error


async def assign(box: Box, project: Project, lines: list[Line], *, actor: Actor) -> int:
    """Give patients the pseudonyms of a list; how many were new. All or nothing.

    Raises BadRequest, by the number of the line, where a pseudonym holds the Patient ID that it stands for,
    Conflict where a patient has another pseudonym already, was forgotten, or its pseudonym stands for
    somebody else.
    """
    for line in lines:
        if holds_id(line.pseudonym, line.patient):
            raise BadRequest(
                f"Line {line.number} of the list has a pseudonym that is its Patient ID, or holds it."
            )
    await audit.opened(box)
    await _check(box, project, lines)
    keys = [await _key(box, project, line) for line in lines]

    async def work(w: Writer) -> int:
        new = 0
        for line, data_key in zip(lines, keys, strict=True):
            new += await _assigned(w, box, project, line, data_key)
        await _record(w, box, project, actor, "gave pseudonyms", new)
        return new

    return await box.database.write(work)


async def opt_out(box: Box, project: Project, lines: list[Line], *, lift: bool = False, actor: Actor) -> int:
    """Let nothing of these patients go out any more, or again; for how many that is new."""
    await audit.opened(box)
    made_at = box.clock().isoformat(timespec="seconds")
    rows = [
        {
            "project": project.name,
            "patient": entries.opt_out_of(project.keys, line.patient),
            "made_at": made_at,
        }
        for line in lines
    ]
    statement = (
        "delete from vault_opt_out where project = :project and patient = :patient returning 1"
        if lift
        else "insert into vault_opt_out (project, patient, made_at) values (:project, :patient, :made_at)"
        " on conflict (project, patient) do nothing returning 1"
    )

    async def work(w: Writer) -> int:
        new = 0
        for row in rows:
            new += bool(await w.fetch_value(statement, row))
        await _record(w, box, project, actor, "lifted opt-outs" if lift else "opted out", new)
        return new

    return await box.database.write(work)


def _lines(table: "csv.DictReader[str]", pseudonyms: bool) -> Iterable[Line]:
    wanted = _COLUMNS if pseudonyms else _COLUMNS[:2]
    names = set(table.fieldnames or ())
    missing = set(wanted) - names - {"issuer"}
    if missing or names - set(wanted) or len(names) < len(table.fieldnames or ()):
        raise BadRequest(
            f"The first line of the list names the columns {', '.join(wanted)}; issuer may be left out."
        )
    seen: set[Patient] = set()
    for row in table:
        line = _line(table.line_num, row)
        if None in row or None in row.values():
            raise BadRequest(f"Line {line.number} of the list has not as many columns as the first.")
        if not line.patient.patient_id:
            raise BadRequest(f"Line {line.number} of the list names no patient.")
        if pseudonyms and not is_plain(line.pseudonym):
            raise BadRequest(
                f"Line {line.number} of the list has a pseudonym that is none:"
                " it takes up to 64 letters, digits and plain signs."
            )
        if line.patient in seen:
            raise BadRequest(f"Line {line.number} of the list names a patient again.")
        seen.add(line.patient)
        yield line


def _line(number: int, row: dict[str, str]) -> Line:
    patient_id, issuer, pseudonym = ((row.get(name) or "").strip() for name in _COLUMNS)
    return Line(number=number, patient=Patient(patient_id=patient_id, issuer=issuer), pseudonym=pseudonym)


async def _check(box: Box, project: Project, lines: list[Line]) -> None:
    """Raises what would be raised for a line later, before a key is made for any."""
    given: set[str] = set()
    for line in lines:
        try:
            known = await _row(box, project, line)
            key = await (found_key if known is None else key_of)(
                box, project, project.keys.whose(line.patient)
            )
        except Doubt as doubt:
            raise _conflict(line, doubt.reason) from None
        if known is not None and key is not None:
            _check_known(project, line, key, known)
        elif line.pseudonym in given or await box.database.read(partial(_is_taken, project, line)):
            raise _conflict(line, _OF_ANOTHER)
        given.add(line.pseudonym)


async def _is_taken(project: Project, line: Line, r: Reader) -> bool:
    return await taken(r, project, line.pseudonym)


async def _row(box: Box, project: Project, line: Line) -> Row | None:
    patient = project.keys.whose(line.patient)
    return await box.database.read(lambda r: entries.patient_row(r, project.name, patient))


async def _key(box: Box, project: Project, line: Line) -> bytes:
    known = await _row(box, project, line)
    try:
        return await key_of(box, project, project.keys.whose(line.patient), make=known is None)
    except Doubt as doubt:
        raise _conflict(line, doubt.reason) from None


def _check_known(project: Project, line: Line, data_key: bytes, row: Row) -> None:
    if entries.read(project.keys, data_key, row).pseudonym != line.pseudonym:
        raise _conflict(line, "its patient has another pseudonym already")


def _conflict(line: Line, why: str) -> Conflict:
    return Conflict(f"Line {line.number} of the list: {why}.")


async def _assigned(w: Writer, box: Box, project: Project, line: Line, data_key: bytes) -> bool:
    patient = project.keys.whose(line.patient)
    row = await entries.patient_row(w, project.name, patient)
    if row is not None:
        _check_known(project, line, data_key, row)
        return False
    if await taken(w, project, line.pseudonym):
        raise _conflict(line, _OF_ANOTHER)
    entry = entries.Entry(
        kind=entries.PATIENT,
        original=line.patient.patient_id,
        issuer=line.patient.issuer,
        pseudonym=line.pseudonym,
    )
    made_at = box.clock().isoformat(timespec="seconds")
    await entries.insert(
        w, entries.columns(project.keys, entry, patient=patient, data_key=data_key, made_at=made_at)
    )
    return True


async def _record(w: Writer, box: Box, project: Project, actor: Actor, did: str, count: int) -> None:
    about = {"project": project.name, "did": did}
    await audit.record(
        w, box, audit.Entry(actor=actor, action=Action.VAULT_CHANGED, about=about, count=count)
    )
