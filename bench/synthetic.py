"""Synthetic studies as rows of an index: no blobs, invented names.

They are made here, or once here and then again and again from their own rows by the database.
"""

import random
import time
from collections import Counter
from collections.abc import Iterator
from datetime import date, timedelta
from functools import cache
from typing import Any

import asyncpg
import orjson

from dicomweb_box.box import Box
from dicomweb_box.database import Writer
from dicomweb_box.dicom import attributes

LAST_DAY = date(2026, 1, 31)
DAYS = 3650
MODALITIES = ["CT"] * 30 + ["MR"] * 25 + ["CR"] * 25 + ["US"] * 15 + ["XA"] * 4 + ["SM"]
SYLLABLES = [a + b for a in "bcdfghjklmnprstvw" for b in ("a", "e", "i", "o", "u", "an", "er", "in", "ol")]
PARTS = ("CHEST", "ABDOMEN", "HEAD", "KNEE", "SPINE")
SOURCES = ("198.51.100.7", "198.51.100.8", "198.51.100.9")
BATCH = 10_000
ROOT = "1.2.826.0.1.3680043.10.1511.7."


@cache
def surname(number: int) -> str:
    """One of 20,000 invented surnames."""
    rng = random.Random(number)
    return "".join(rng.choice(SYLLABLES) for _ in range(rng.choice((2, 3, 3)))).capitalize()


def study_values(number: int) -> dict[str, dict[str, Any]]:
    """The study-level attributes of one study, as DICOM JSON; every third study begins another patient."""
    rng = random.Random(number)
    patient = number // 3
    name = f"{surname(patient * 7919 % 20_000)}^{surname(patient * 104_729 % 5_003)}"
    day = LAST_DAY - timedelta(days=int(rng.random() * DAYS))
    values = {
        "00080020": ("DA", f"{day:%Y%m%d}"),
        "00080030": ("TM", f"{rng.randrange(24):02}{rng.randrange(60):02}{rng.randrange(60):02}"),
        "00080050": ("SH", f"A{number:08}"),
        "00080090": ("PN", {"Alphabetic": f"{surname(rng.randrange(500))}^{surname(rng.randrange(500))}"}),
        "00081030": (
            "LO",
            rng.choice(("Chest", "Abdomen", "Head", "Knee left", "Spine")) + f" {number % 97}",
        ),
        "00100010": ("PN", {"Alphabetic": name}),
        "00100020": ("LO", f"P{patient:07}"),
        "00100030": ("DA", f"{1930 + patient % 90}0{1 + patient % 9}15"),
        "00100040": ("CS", "MF"[patient % 2]),
        "0020000D": ("UI", f"{ROOT}{number}"),
        "00200010": ("SH", f"S{number}"),
    }
    return {tag: {"vr": vr, "Value": [value]} for tag, (vr, value) in values.items()}


def rows(first: int, last: int, per_series: int) -> Iterator[tuple[str, dict[str, Any]]]:
    """Table and row of everything that the studies of these numbers are."""
    stamp = {"stored_at": "2026-01-31T00:00:00", "changed_at": "2026-01-31T00:00:00"}
    for number in range(first, last):
        values = study_values(number)
        modality = random.Random(number * 31).choice(MODALITIES)
        uid = values["0020000D"]["Value"][0]
        study = {
            "id": number + 1,
            "study_uid": uid,
            **attributes.index_columns("study", values.get),
            "attributes": orjson.dumps(values).decode(),
            "answer": attributes.answer("study", values.get),
            "modalities": modality,
            "series_count": 1,
            "instance_count": per_series,
            "size": per_series * (100_000 + number * 7919 % 900_001),
            **stamp,
        }
        yield "study", study
        yield (
            "study_modality",
            {
                "study_id": number + 1,
                "modality": modality,
                "realm": "main",
                **{name: study[name] for name in ("study_date", "study_time", "study_uid")},
                "series_count": 1,
            },
        )
        series = {
            "00080060": {"vr": "CS", "Value": [modality]},
            "0020000E": {"vr": "UI", "Value": [f"{uid}.1"]},
            "00200011": {"vr": "IS", "Value": [1]},
            "00180015": {"vr": "CS", "Value": [PARTS[number % 1009 % len(PARTS)]]},
        }
        yield (
            "series",
            {
                "id": number + 1,
                "study_id": number + 1,
                "series_uid": f"{uid}.1",
                **attributes.index_columns("series", series.get),
                "attributes": orjson.dumps(series).decode(),
                "answer": attributes.answer("series", series.get),
                "instance_count": per_series,
                **stamp,
            },
        )
        source = {"source": SOURCES[number % 1009 % 7 // 3], "instance_count": per_series}
        yield "series_source", {"series_id": number + 1, **source}
        for instance in range(per_series):
            yield "instance", instance_row(number, uid, instance)


def instance_row(number: int, study_uid: str, instance: int) -> dict[str, Any]:
    """An instance row whose blob does not exist."""
    return {
        "instance_uid": f"{study_uid}.1.{instance}",
        "study_id": number + 1,
        "series_id": number + 1,
        "sop_class_uid": "1.2.840.10008.5.1.4.1.1.2",
        "transfer_syntax_uid": "1.2.840.10008.1.2.1",
        "instance_number": instance + 1,
        "rows": 512,
        "columns": 512,
        "bits_allocated": 16,
        "blob_key": f"{number}/{instance}",
        "size": 530_000,
        "sha256": b"",
        "dataset_offset": 300,
        "dataset_digest": b"",
        "metadata": b"",
        "metadata_dictionary": 0,
        "source": "bench",
        "stored_at": "2026-01-31T00:00:00",
    }


async def fill(box: Box, studies: int, per_series: int, copies: int) -> None:
    """Insert what is missing up to so many studies; text indexes are made afterwards.

    Of several copies one is made here, and the others from its rows by the database.
    """
    held = await box.database.fetch_value("select count(*) from study")
    if held >= studies:
        return
    indexes = await _drop_text_indexes(box)
    began = time.monotonic()
    # Whole patients.
    made = studies if copies == 1 else studies // copies // 3 * 3
    for first in range(held, made, BATCH):
        last = min(first + BATCH, made)
        await box.database.write(lambda w, a=first, b=last: _insert(w, rows(a, b, per_series)))
        print(f"\r{last:,} studies, {last / (time.monotonic() - began):,.0f}/s", end="", flush=True)
    print()
    await copy(box, made, copies)
    for sql in indexes:
        await box.database.write(lambda w, sql=sql: w.execute(sql))
    if box.database.dialect == "postgresql":
        # No transaction may hold it: marks pages as seen by all, as the server does by itself in time.
        connection = await asyncpg.connect(box.settings.database_url)
        await connection.execute("vacuum analyze")
        await connection.close()


async def _drop_text_indexes(box: Box) -> list[str]:
    """Drop what keeps the substring index, and return what makes it anew: in one go it takes minutes less."""
    if box.database.dialect == "sqlite":
        triggers = await box.database.fetch_all(
            "select name, sql from sqlite_master where type = 'trigger' and tbl_name = 'study'"
        )
        for row in triggers:
            await box.database.write(lambda w, name=row["name"]: w.execute(f"drop trigger {name}"))
        return [_TEXT, _WORDS, *(row["sql"] for row in triggers)]
    found = await box.database.fetch_all(
        "select indexname, indexdef from pg_indexes"
        " where tablename in ('study', 'study_brief', 'study_words')"
        " and indexdef like '%USING gin%'"
    )
    for row in found:
        await box.database.write(lambda w, name=row["indexname"]: w.execute(f"drop index {name}"))
    return [row["indexdef"] for row in found]


_COLUMNS = (
    "patient_name, patient_id, accession_number, study_description, referring_physician_name,"
    " patient_name_sounds, referring_physician_name_sounds"
)
_TEXT = (
    f"insert into study_text (rowid, {_COLUMNS})"
    " select ((99999999 - cast(study_date as integer)) << 32) | id as number, '=' || patient_name,"
    " patient_id, accession_number, study_description, '=' || referring_physician_name, patient_name_sounds,"
    " referring_physician_name_sounds from study"
    " order by number"
)


_WORDS = "insert into study_words (rowid, words) select id, words from study order by id"


async def _insert(w: Writer, made: Iterator[tuple[str, dict[str, Any]]]) -> None:
    tables: dict[str, list[dict[str, Any]]] = {}
    for table, row in made:
        tables.setdefault(table, []).append(row)
    for table, held in tables.items():
        names = ", ".join(f'"{name}"' for name in held[0])
        values = ", ".join(f":{name}" for name in held[0])
        await w.execute_many(f"insert into {table} ({names}) values ({values})", held)
    days = Counter(row["study_date"] for row in tables["study"])
    await w.execute_many(
        "insert into study_day (realm, study_date, study_count) values ('main', :day, :count)"
        " on conflict (realm, study_date) do update"
        " set study_count = study_day.study_count + excluded.study_count",
        [{"day": day, "count": number} for day, number in days.items()],
    )


_TABLES = ("study", "study_modality", "series", "series_source", "instance")


async def copy(box: Box, studies: int, copies: int) -> None:
    """Insert as many studies again for each further copy: of other patients, on the same days."""
    for number in range(1, copies):
        for table in _TABLES:
            await box.database.write(lambda w, t=table, n=number: _copy(w, t, studies, n * studies))
        print(f"\r{(number + 1) * studies:,} studies", end="", flush=True)
    if copies > 1:
        print()
        times = f"update study_day set study_count = study_count * {copies}"
        await box.database.write(lambda w: w.execute(times))


_KEYS = {"study": "id", "series_source": "series_id"}


async def _copy(w: Writer, table: str, studies: int, more: int) -> None:
    row = await w.fetch_one(f"select * from {table} limit 1")
    assert row is not None
    changes = _changes(w.dialect, table, more)
    columns = [column for column in row.keys() if (table, column) != ("instance", "id")]  # noqa: SIM118
    names = ", ".join(f'"{column}"' for column in columns)
    values = ", ".join(changes.get(column, f'"{column}"') for column in columns)
    key = _KEYS.get(table, "study_id")
    await w.execute(f"insert into {table} ({names}) select {values} from {table} where {key} <= {studies}")


def _words(dialect: str, patient_id: str, accession_number: str) -> str:
    line = "chr(10)" if dialect == "postgresql" else "char(10)"
    folded = ("replace(patient_name, '^', ' ')", f"lower({patient_id})", f"lower({accession_number})")
    return f" || {line} || ".join((*folded, "lower(study_description)", "''", "''"))


def _changes(dialect: str, table: str, more: int) -> dict[str, str]:
    """What the columns of a copied row become, as `rows` would make them of a number greater by so many."""

    def padded(number: str, width: int) -> str:
        text = f"'{'0' * width}' || ({number})"
        return f"right({text}, {width})" if dialect == "postgresql" else f"substr({text}, -{width})"

    if table == "series_source":
        return {"series_id": f"series_id + {more}"}
    key = _KEYS.get(table, "study_id")
    number, copied = f"({key} - 1)", f"({key} - 1 + {more})"
    words = {
        "study_uid": (f"'{ROOT}' || {number}", f"'{ROOT}' || {copied}"),
        "accession_number": (f"'A' || {padded(number, 8)}", f"'A' || {padded(copied, 8)}"),
        "patient_id": (f"'P' || {padded(f'{number} / 3', 7)}", f"'P' || {padded(f'{copied} / 3', 7)}"),
        "study_id": (f"'S' || {number}", f"'S' || {copied}"),
    }
    uid = words["study_uid"][1]
    if table == "study":
        return {
            "id": f"id + {more}",
            "words": _words(dialect, words["patient_id"][1], words["accession_number"][1]),
            **{column: new for column, (_, new) in words.items()},
            "attributes": _replaced("attributes", list(words.values())),
            "answer": _replaced("answer", list(words.values())),
        }
    series = (f"{words['study_uid'][0]} || '.1'", f"{uid} || '.1'")
    return {
        "id": f"id + {more}",
        "study_id": f"study_id + {more}",
        "series_id": f"series_id + {more}",
        "series_uid": series[1],
        "study_uid": uid,
        "attributes": _replaced("attributes", [series]),
        "answer": _replaced("answer", [series]),
        "instance_uid": f"{uid} || '.1.' || (instance_number - 1)",
        "blob_key": f"{copied} || '/' || (instance_number - 1)",
    }


def _replaced(column: str, words: list[tuple[str, str]]) -> str:
    """A JSON text with some of its values replaced."""
    text = column
    for old, new in words:
        text = f"""replace({text}, '"' || {old} || '"', '"' || {new} || '"')"""
    return text
