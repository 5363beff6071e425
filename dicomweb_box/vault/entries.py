"""The rows of the vault: an original, what stands in its place, and whose it is."""

from dataclasses import dataclass
from typing import Final

from dicomweb_box.database import Reader, Row, Writer
from dicomweb_box.deid.pseudonyms import Patient
from dicomweb_box.vault.sealing import ProjectKeys, seal, unseal

PATIENT, NAME, STUDY, SERIES, INSTANCE = "patient", "name", "study", "series", "instance"
FRAME_OF_REFERENCE, ACCESSION, STUDY_ID = "frame of reference", "accession", "study id"
KINDS: Final = (PATIENT, NAME, STUDY, SERIES, INSTANCE, FRAME_OF_REFERENCE, ACCESSION, STUDY_ID)

GONE: Final = "gone"
"""A pseudonym whose patient was forgotten: of nobody, and for nobody else."""

COLUMNS: Final = "kind, word, pseudonym, patient, sealed, made_at"


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """One original of a patient and its pseudonym."""

    kind: str
    original: str
    pseudonym: str
    issuer: str = ""
    """Of a Patient ID."""


def word(keys: ProjectKeys, kind: str, original: str) -> str:
    """The index by which an original is found; a name whatever the case."""
    return keys.index(kind, original.casefold() if kind == NAME else original)


def stands(keys: ProjectKeys, pseudonym: str) -> str:
    """The index by which a pseudonym is found, whatever its kind."""
    return keys.index("pseudonym", pseudonym)


def columns(
    keys: ProjectKeys, entry: Entry, *, patient: str, data_key: bytes, made_at: str
) -> dict[str, object]:
    """The entry as a row, sealed."""
    of, by = word(keys, entry.kind, entry.original), stands(keys, entry.pseudonym)
    content = {"original": entry.original, "pseudonym": entry.pseudonym, "issuer": entry.issuer}
    bound = _bound(keys.project, entry.kind, of, by, patient)
    return {
        "project": keys.project,
        "kind": entry.kind,
        "word": of,
        "pseudonym": by,
        "patient": patient,
        "sealed": seal(data_key, bound, content),
        "made_at": made_at,
    }


def read(keys: ProjectKeys, data_key: bytes, row: Row) -> Entry:
    """The entry of a row of COLUMNS; raises Damaged where it is not what was sealed there."""
    kind = str(row["kind"])
    bound = _bound(keys.project, kind, str(row["word"]), str(row["pseudonym"]), str(row["patient"]))
    content = unseal(data_key, bound, bytes(row["sealed"]))
    return Entry(
        kind=kind,
        original=content["original"],
        pseudonym=content["pseudonym"],
        issuer=content["issuer"],
    )


async def patient_row(r: Reader, project: str, patient: str) -> Row | None:
    """The row of a patient; None where there is none."""
    return await r.fetch_one(
        f"select {COLUMNS} from pseudonym"
        " where project = :project and patient = :patient and kind = 'patient'",
        {"project": project, "patient": patient},
    )


async def insert(w: Writer, row: dict[str, object]) -> None:
    """Add a row, where it is not there already."""
    await w.execute(
        "insert into pseudonym (project, kind, word, pseudonym, patient, sealed, made_at)"
        " values (:project, :kind, :word, :pseudonym, :patient, :sealed, :made_at)"
        " on conflict (project, kind, word, pseudonym, patient) do nothing",
        row,
    )


async def stands_for_another(r: Reader, row: dict[str, object]) -> bool:
    """Whether the pseudonym of a row stands for another original of its kind, too."""
    return bool(
        await r.fetch_value(
            "select 1 from pseudonym where project = :project and kind = :kind and pseudonym = :pseudonym"
            " and word <> :word",
            {name: row[name] for name in ("project", "kind", "pseudonym", "word")},
        )
    )


async def retire(w: Writer, project: str, patient: str, made_at: str) -> None:
    """Keep the pseudonym of a patient that is forgotten from being given again."""
    row = await patient_row(w, project, patient)
    if row is not None:
        gone = {"project": project, "kind": GONE, "word": "", "pseudonym": row["pseudonym"]}
        await insert(w, {**gone, "patient": "", "sealed": b"", "made_at": made_at})


def opt_out_of(keys: ProjectKeys, who: Patient) -> str:
    """What an opt-out is known by: of whoever has the ID, or of one patient, found by the ID as well."""
    by_id = word(keys, PATIENT, who.patient_id)
    return f"{by_id}.{keys.whose(who)}" if who.issuer else by_id


async def opted_out(r: Reader, keys: ProjectKeys, who: Patient) -> bool:
    """Whether nothing of a patient may go out: one of its IDs is listed for its issuer, or whoever that is.

    Of whom nobody says who issued the ID, in doubt it is anybody's.
    """
    for one in {who.patient_id, *(part.strip() for part in who.patient_id.split("\\"))}:
        by_id = word(keys, PATIENT, one)
        of = opt_out_of(keys, Patient(patient_id=one, issuer=who.issuer))
        if await r.fetch_value(
            "select 1 from vault_opt_out where project = :project and"
            " (patient in (:id, :of) or (:anybody = 1 and patient >= :first and patient < :past)) limit 1",
            {
                "project": keys.project,
                "id": by_id,
                "of": of,
                "anybody": int(not who.issuer),
                "first": f"{by_id}.",
                "past": f"{by_id}/",  # what comes after the full stop
            },
        ):
            return True
    return False


def _bound(*parts: str) -> str:
    return "|".join(parts)
