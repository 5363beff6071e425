"""Whatever is asked of whatever there is: the answer is that of a naive matcher, in pages and in parts."""

import random
from collections.abc import Callable
from typing import Any

import orjson
import pytest

from dicomweb_box.accounts.access import ANONYMOUS, EVERYTHING, Scope
from dicomweb_box.archive import labelling
from dicomweb_box.archive.query import count
from dicomweb_box.box import Box
from dicomweb_box.dicom.attributes import Level
from dicomweb_box.dicom.matching import from_parameters
from tests.archive.asking import Pairs, ask, expected, found, uids
from tests.archive.population import (
    DAYS,
    DESCRIPTIONS,
    NAMES,
    Item,
    make_studies,
    store,
)


def some_pattern(rng: random.Random, value: str) -> str:
    start = rng.randrange(len(value))
    end = rng.randint(start + 1, len(value))
    part = value[start:end].split("=")[0] or value[0]
    kind = rng.randrange(6)
    if kind == 0:
        return value.split("=")[0]
    if kind == 1:
        return value[:end].split("=")[0] + "*"
    if kind == 2:
        return f"*{part}*"
    if kind == 3:
        return f"*{value[start:].split('=')[-1]}"
    if kind == 4:
        return "?" + value[1:].split("=")[0]
    return "*".join(value.split("=")[0].split(value[start])) if value[start] not in "=^" else "?*"


def some_range(rng: random.Random, values: list[str]) -> str:
    one, other = sorted(rng.choice(values[1:]) for _ in range(2))
    return rng.choice([one, f"{one}-", f"-{other}", f"{one}-{other}"])


def some_key(rng: random.Random, level: Level, studies: list[Item]) -> tuple[str, str]:
    study = rng.choice(studies)
    series = rng.choice(study.children)
    makers: list[Callable[[], tuple[str, str]]] = [
        lambda: ("PatientName", some_pattern(rng, rng.choice([name for name in NAMES if name]))),
        lambda: (
            "PatientName",
            rng.choice(["山田*", "*太郎", "洪^吉洞", "やまだ^たろう", "*O*", "홍*"]),
        ),
        lambda: ("ReferringPhysicianName", some_pattern(rng, rng.choice([name for name in NAMES if name]))),
        lambda: (
            "PatientID",
            some_pattern(rng, rng.choice(["P1", "P2", "p2", "P10", "X_1"])),
        ),
        lambda: ("StudyDescription", some_pattern(rng, rng.choice([one for one in DESCRIPTIONS if one]))),
        lambda: ("StudyDate", some_range(rng, DAYS)),
        lambda: ("StudyTime", some_range(rng, ["", "10", "1015", "101500", "101500.25", "235959"])),
        lambda: ("PatientBirthDate", some_range(rng, ["", "19700101", "19850630"])),
        lambda: ("AccessionNumber", rng.choice(["A1", "A*", "A?", '""', "A1*"])),
        lambda: ("StudyID", rng.choice(["1", "?", '""'])),
        lambda: ("PatientSex", rng.choice(["F", "M", '""'])),
        lambda: ("ModalitiesInStudy", rng.choice(["CT", "CT,MR", "S*", "MR\\US", "XA"])),
        lambda: ("StudyInstanceUID", ",".join({study.uid, rng.choice(studies).uid})),
        lambda: ("StudyInstanceUID", "\\\\".join([study.uid, rng.choice(studies).uid])),
    ]
    if level != "study":
        makers += [
            lambda: ("Modality", rng.choice(["CT", "CT,SM", '""', "M?"])),
            lambda: ("SeriesNumber", rng.choice(["1", "2", "10", '""'])),
            lambda: ("SeriesInstanceUID", series.uid),
            lambda: ("SeriesDescription", some_pattern(rng, "Head and neck")),
            lambda: ("PerformedProcedureStepStartDate", some_range(rng, DAYS)),
            lambda: ("PerformedProcedureStepStartTime", some_range(rng, ["", "10", "101500"])),
            lambda: (
                "RequestAttributesSequence.ScheduledProcedureStepID",
                rng.choice(["S1", "S*", "S3"]),
            ),
        ]
    if level == "instance":
        makers += [
            lambda: ("SOPClassUID", "1.2.840.10008.5.1.4.1.1.4"),
            lambda: ("SOPInstanceUID", rng.choice(series.children).uid),
            lambda: ("InstanceNumber", rng.choice(["1", "2", '""'])),
        ]
    return rng.choice(makers)()


def some_query(rng: random.Random, level: Level, studies: list[Item]) -> Pairs:
    keys = dict(some_key(rng, level, studies) for _ in range(rng.choice([1, 1, 2, 3])))
    # Two ranges of one moment are one range: a test of its own.
    for date, time in (
        ("StudyDate", "StudyTime"),
        ("PerformedProcedureStepStartDate", "PerformedProcedureStepStartTime"),
    ):
        if date in keys:
            keys.pop(time, None)
    return [*keys.items(), ("emptyvaluematching", "true")]


@pytest.mark.dicom("PS3.4 C.2.2.2")
@pytest.mark.row(11)
@pytest.mark.row(12)
@pytest.mark.row(13)
@pytest.mark.row(18)
async def test_it_finds_what_a_naive_matcher_finds_and_counts_the_same(box: Box) -> None:
    studies = make_studies(seed=1, number=40)
    await store(box, studies)
    rng = random.Random(2)
    hits = 0
    for turn in range(360):
        level: Level = ("study", "series", "instance")[turn % 3]  # type: ignore[assignment]
        pairs = some_query(rng, level, studies)
        wanted = expected(level, studies, pairs)
        got = await found(box, level, pairs)
        assert got == wanted, pairs
        query, _ = from_parameters(level, pairs)
        assert await count(box, query, scope=EVERYTHING, actor=ANONYMOUS) == len(wanted), pairs
        hits += bool(wanted)
    assert hits > 100


@pytest.mark.dicom("PS3.18 8.3.4.4")
@pytest.mark.row(30)
@pytest.mark.row(32)
async def test_pages_joined_are_the_whole_in_every_order(box: Box) -> None:
    studies = make_studies(seed=3, number=40)
    await store(box, studies)
    rng = random.Random(4)
    orders = [
        "",
        "StudyDate",
        "-StudyDate",
        "PatientName",
        "-PatientID,StudyTime",
        "-NumberOfStudyRelatedInstances",
    ]
    lower = [*orders, "SeriesNumber", "-Modality,SeriesNumber"]
    for turn in range(36):
        level: Level = ("study", "series", "instance")[turn % 3]  # type: ignore[assignment]
        order = rng.choice(orders if level == "study" else lower)
        pairs = some_query(rng, level, studies) if turn % 2 else []
        pairs += [("orderby", order)] if order else []
        whole = await found(box, level, pairs)
        size = rng.choice([1, 3, 7]) if len(whole) < 30 else 20
        pages: list[str] = []
        for offset in range(0, len(whole) + size, size):
            page = await ask(box, level, [*pairs, ("limit", str(size)), ("offset", str(offset))])
            assert page.more == (offset + size < len(whole))
            pages += uids(page, level)
        assert pages == whole
        assert len(set(whole)) == len(whole)
        assert sorted(whole) == sorted(expected(level, studies, [p for p in pairs if p[0] != "orderby"]))


@pytest.mark.row(36)
async def test_a_scope_shows_nothing_and_counts_nothing_outside_it(box: Box) -> None:
    studies = make_studies(seed=6, number=30)
    await store(box, studies)
    rng = random.Random(7)
    few = frozenset(study.uid for study in rng.sample(studies, 12))
    scopes: list[tuple[Scope, frozenset[str] | None, str | None]] = [
        (Scope(sources=frozenset(["a"])), None, "a"),
        (Scope(studies=few), few, None),
        (Scope(studies=few, sources=frozenset(["b"])), few, "b"),
        (Scope(studies=frozenset()), frozenset(), None),
    ]
    for scope, named, source in scopes:
        inside = [study for study in studies if named is None or study.uid in named]

        def visible(series: Item, source: str | None = source) -> bool:
            return source is None or series.source == source

        for turn in range(45):
            level: Level = ("study", "series", "instance")[turn % 3]  # type: ignore[assignment]
            pairs = some_query(rng, level, studies) if turn > 5 else []
            wanted = expected(level, inside, pairs, visible)
            page = await ask(box, level, pairs, scope=scope)
            assert uids(page, level) == wanted, (scope, pairs)
            query, _ = from_parameters(level, pairs)
            assert await count(box, query, scope=scope, actor=ANONYMOUS) == len(wanted)
            by_uid = {study.uid: [one for one in study.children if visible(one)] for study in inside}
            for row in map(orjson.loads, page.rows):
                assert_counts(row, by_uid[row["0020000D"]["Value"][0]])
        size_ordered = await found(box, "study", [("orderby", "-NumberOfStudyRelatedInstances")], scope=scope)
        assert sorted(size_ordered) == sorted(expected("study", inside, [], visible))


@pytest.mark.row(36)
@pytest.mark.parametrize("few", [3000, 0])
async def test_a_scope_of_labels_shows_and_counts_what_has_one_of_each_set(
    box: Box, few: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dicomweb_box.archive.scope_labels.FEW", few)
    studies = make_studies(seed=9, number=25)
    await store(box, studies)
    rng = random.Random(10)
    held: dict[str, set[str]] = {}
    for name in ("Straße", "two"):
        for study in rng.sample(studies, 8):
            series = rng.choice([None, *study.children])
            held.setdefault(name.casefold(), set()).add(series.uid if series else study.uid)
            target = (study.uid, series.uid if series else "")
            await labelling.change(box, [target], add=[name], scope=Scope(), actor=ANONYMOUS)
    sets: list[tuple[frozenset[str], ...]] = [
        (frozenset(["STRASSE"]),),
        (frozenset(["straße", "Two", "nobody's"]),),
        (frozenset(["strasse"]), frozenset(["two"])),
        (frozenset(["nobody's"]),),
        (frozenset(["strasse"]), frozenset()),
    ]
    for asked in sets:
        scope = Scope(labels=asked)
        seen = {
            series.uid
            for study in studies
            for series in study.children
            if all(
                any({study.uid, series.uid} & held.get(name.casefold(), set()) for name in one)
                for one in asked
            )
        }
        for turn in range(24):
            level: Level = ("study", "series", "instance")[turn % 3]  # type: ignore[assignment]
            pairs = some_query(rng, level, studies) if turn > 5 else []
            wanted = expected(level, studies, pairs, lambda series: series.uid in seen)  # noqa: B023
            page = await ask(box, level, pairs, scope=scope)
            assert uids(page, level) == wanted, (scope, pairs)
            query, _ = from_parameters(level, pairs)
            assert await count(box, query, scope=scope, actor=ANONYMOUS) == len(wanted)
            for row in map(orjson.loads, page.rows):
                study = next(one for one in studies if one.uid == row["0020000D"]["Value"][0])
                assert_counts(row, [series for series in study.children if series.uid in seen])


def assert_counts(row: dict[str, Any], seen: list[Item]) -> None:
    modalities = sorted({series.values["Modality"] for series in seen} - {""})
    assert row.get("00080061", {"Value": []})["Value"] == modalities
    assert row["00201206"]["Value"] == [len(seen)]
    assert row["00201208"]["Value"] == [sum(len(series.children) for series in seen)]
