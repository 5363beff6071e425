"""Search, compared with a naive matcher over the same data sets, and seen through scopes."""

import random
from collections.abc import Callable
from typing import Any

import orjson
import pytest
from pydicom.dataset import Dataset

from dicomweb_box.accounts.access import ANONYMOUS, EVERYTHING, Scope
from dicomweb_box.archive import declared, ingest, labelling, remove
from dicomweb_box.archive.outcomes import Stored
from dicomweb_box.archive.query import Page, count, search
from dicomweb_box.box import Box
from dicomweb_box.dicom.attributes import Level
from dicomweb_box.dicom.matching import from_parameters
from dicomweb_box.errors import BadQuery
from tests.archive.population import (
    DAYS,
    DESCRIPTIONS,
    NAMES,
    Item,
    fold,
    in_order,
    make_studies,
    matches,
    numbered,
    store,
)
from tests.builders import make_dataset, make_instance, new_uid, part10, pieces

Pairs = list[tuple[str, str]]
UID_TAGS = {"study": "0020000D", "series": "0020000E", "instance": "00080018"}


async def ask(box: Box, level: Level, pairs: Pairs, *, scope: Scope = EVERYTHING, **path: str) -> Page:
    query, _ = from_parameters(level, pairs, path)
    return await search(box, query, scope=scope, actor=ANONYMOUS, base="/dicom-web")


def uids(page: Page, level: Level) -> list[str]:
    return [orjson.loads(row)[UID_TAGS[level]]["Value"][0] for row in page.rows]


async def found(box: Box, level: Level, pairs: Pairs, **more: Any) -> list[str]:
    return uids(await ask(box, level, pairs, **more), level)


def expected(
    level: Level, studies: list[Item], pairs: Pairs, visible: Callable[[Item], bool] = lambda series: True
) -> list[str]:
    """UIDs of the level's rows that match every key, in the default order."""
    rows = []
    for study in in_order(studies):
        series_seen = [series for series in study.children if visible(series)]
        held = {series.values["Modality"] for series in series_seen}
        of_study = {**study.values, "StudyInstanceUID": study.uid, "ModalitiesInStudy": sorted(held)}
        if level == "study":
            if series_seen and accepts(pairs, of_study):
                rows.append(study.uid)
            continue
        for series in numbered(series_seen, "SeriesNumber"):
            of_series = {**of_study, **series.values, "SeriesInstanceUID": series.uid}
            of_series["RequestAttributesSequence.ScheduledProcedureStepID"] = series.values["steps"]
            if level == "series":
                if accepts(pairs, of_series):
                    rows.append(series.uid)
                continue
            for instance in numbered(series.children, "InstanceNumber"):
                of_instance = {**of_series, **instance.values, "SOPInstanceUID": instance.uid}
                rows += [instance.uid] * accepts(pairs, of_instance)
    return rows


def accepts(pairs: Pairs, values: dict[str, Any]) -> bool:
    for keyword, asked in pairs:
        if keyword == "emptyvaluematching":
            continue
        value = values[keyword]
        listed = keyword.endswith("UID") or keyword in ("Modality", "ModalitiesInStudy")
        wanted = [one for one in asked.replace("\\", ",").split(",") if one] if listed else [asked]
        if not any(matches(keyword, one, value if isinstance(value, list) else [value]) for one in wanted):
            return False
    return True


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


async def test_it_finds_the_studies_of_a_long_list(box: Box) -> None:
    studies = make_studies(seed=5, number=25)
    await store(box, studies)
    others = [f"1.2.{number}" for number in range(5000)]
    for tag, wanted in (("StudyInstanceUID", studies[3].uid), ("AccessionNumber", "\\".join(others[:99]))):
        text = "\\".join([*others[:300], wanted])

        assert await found(box, "study", [(tag, text)]) == expected("study", studies, [(tag, text)])

    many = [("StudyInstanceUID", ",".join([*others, studies[3].uid, studies[7].uid]))]
    assert sorted(await found(box, "study", many)) == sorted([studies[3].uid, studies[7].uid])


@pytest.mark.parametrize("value", ["Secret\0sson", "\\".join(f"a{number}*" for number in range(600))])
async def test_values_that_cannot_be_searched_for_are_refused_untold(box: Box, value: str) -> None:
    with pytest.raises(BadQuery, match=r"\APatientName [^a]*[a-zA-Z0-9 ]+\.\Z") as refused:
        await found(box, "study", [("PatientName", value)])

    assert "sson" not in str(refused.value)


async def test_it_orders_by_what_is_asked_for(box: Box) -> None:
    studies = make_studies(seed=5, number=25)
    await store(box, studies)

    by_name = await found(box, "study", [("orderby", "PatientName,-StudyDate")])

    of = {study.uid: study.values for study in studies}
    keys = [(fold(of[uid]["PatientName"]), of[uid]["StudyDate"]) for uid in by_name]
    assert keys == sorted(sorted(keys, key=lambda key: key[1], reverse=True), key=lambda key: key[0])


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


def values(page: Page, tag: str) -> list[Any]:
    return [orjson.loads(row).get(tag, {}).get("Value") for row in page.rows]


async def one_study(box: Box, **attributes: Any) -> str:
    """Store a study of one instance and return its UID."""
    uid = new_uid()
    received = await ingest.receive(box, pieces(make_instance(study=uid, **attributes)))
    assert isinstance(await ingest.store(box, received, source="test", actor=ANONYMOUS), Stored)
    return uid


async def test_a_deep_page_found_by_the_histogram_is_the_page_that_counting_finds(
    box: Box, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dicomweb_box.archive.search_days._DEEP", 1)
    studies = make_studies(seed=8, number=40)
    await store(box, studies)

    for days in ([], [("StudyDate", "20250101-")], [("StudyDate", "-20250102")], [("StudyDate", "20250103")]):
        whole = expected("study", studies, days)
        for offset in range(1, len(whole) + 2):
            page = [("limit", "3"), ("offset", str(offset))]
            assert await found(box, "study", [*days, *page]) == whole[offset : offset + 3]


async def test_a_name_finds_the_newest_first_over_all_years_as_names_and_dates_change(box: Box) -> None:
    days = ["", "19991231", "20200105", "20240630", "20240701", "20250101", "20250401"]
    name = {"PatientName": "Keller^Ada=山田^花=ケラー", "SpecificCharacterSet": "ISO_IR 192"}
    uids = {day: await one_study(box, StudyDate=day, **name) for day in days}
    await one_study(box, PatientName="Kellner^Bo", StudyDate="20240702")

    async def named(*pairs: tuple[str, str]) -> list[str]:
        rows = await found(box, "study", list(pairs))
        return [day for uid in rows for day, known in uids.items() if known == uid]

    newest = sorted(days, reverse=True)
    for asked in ("kelle*", "*lle*", "山田*", "*ラー", "Keller^Ada", "kell*da", "keller^?da"):
        assert await named(("PatientName", asked)) == newest
        assert await named(("PatientName", asked), ("limit", "2"), ("offset", "2")) == newest[2:4]
    assert await named(("PatientName", "*eller*"), ("StudyDate", "20240615-20250101")) == newest[1:4]
    assert await named(("PatientName", "*eller*"), ("StudyDate", "-20200105")) == ["20200105", "19991231"]

    moved = make_dataset(study=uids["19991231"], PatientName="Keller^Ada", StudyDate="20260101")
    for day in ("19991231", "20250101"):
        await remove.remove(box, uids[day], scope=EVERYTHING, actor=ANONYMOUS)
    received = await ingest.receive(box, pieces(part10(moved)))
    await ingest.store(box, received, source="test", actor=ANONYMOUS)
    assert await named(("PatientName", "*eller*"), ("limit", "3")) == ["19991231", "20250401", "20240701"]


async def test_pages_of_modalities_are_in_order_and_hold_no_study_twice_as_times_change(box: Box) -> None:
    async def add(uid: str, modality: str, time: str, **more: str) -> None:
        values = {"StudyDate": "20250101", "StudyTime": time, "Modality": modality, **more}
        received = await ingest.receive(box, pieces(part10(make_dataset(study=uid, **values))))
        assert isinstance(await ingest.store(box, received, source="test", actor=ANONYMOUS), Stored)

    uids = [new_uid() for _ in range(6)]
    for number, uid in enumerate(uids):
        await add(uid, "CT" if number % 2 else "MR", f"1{number}0000")
        await add(uid, "SR", f"1{number}0000")
    newest = [*reversed(uids)]
    either = ("ModalitiesInStudy", "CT,SR,MR")
    assert await found(box, "study", [("ModalitiesInStudy", "CT")]) == newest[::2]
    assert await found(box, "study", [either]) == newest
    assert await found(box, "study", [either, ("limit", "2"), ("offset", "3")]) == newest[3:5]
    assert await found(box, "study", [either, ("StudyDate", "20250102-")]) == []
    afternoon = [("StudyDate", "20250101"), ("StudyTime", "130000-")]
    assert await found(box, "study", [either, *afternoon]) == newest[:3]

    # Most of its instances say another time now.
    for _ in range(3):
        await add(uids[0], "SR", "230000")
    assert await found(box, "study", [either, ("limit", "2")]) == [uids[0], uids[5]]
    assert await found(box, "study", [("ModalitiesInStudy", "MR"), ("limit", "2")]) == [uids[0], uids[4]]


@pytest.mark.row(22)
@pytest.mark.row(23)
async def test_fuzzy_matching_finds_names_by_word_beginning_sound_and_without_accents(box: Box) -> None:
    names = {name: await one_study(box, PatientName=name, SpecificCharacterSet="ISO_IR 192") for name in (
        "Meyer^Anna", "Maier^Anna", "Müller^Jörg", "Schmidt^Jo", "Smith^John", "Yamada^Tarou=山田^太郎",
    )}  # fmt: skip

    async def fuzzy(text: str) -> set[str]:
        rows = await found(box, "study", [("PatientName", text), ("fuzzymatching", "true"), ("limit", "50")])
        return {name for name, uid in names.items() if uid in rows}

    assert await fuzzy("mayer") == {"Meyer^Anna", "Maier^Anna"}
    assert await fuzzy("anna meyer") == {"Meyer^Anna", "Maier^Anna"}
    assert await fuzzy("muller") == {"Müller^Jörg"}
    assert await fuzzy("jo") >= {"Schmidt^Jo", "Smith^John", "Müller^Jörg"}
    assert await fuzzy("山") == {"Yamada^Tarou=山田^太郎"}
    assert await fuzzy("*MÜLL*") == {"Müller^Jörg"}
    assert await fuzzy("nobody") == set()


@pytest.mark.dicom("PS3.4 C.2.2.2.5.3")
@pytest.mark.row(17)
async def test_a_date_and_a_time_range_are_one_range(box: Box) -> None:
    early = await one_study(box, StudyDate="20250101", StudyTime="080000")
    late = await one_study(box, StudyDate="20250101", StudyTime="200000")
    between = await one_study(box, StudyDate="20250102", StudyTime="030000")
    end = await one_study(box, StudyDate="20250103", StudyTime="120030")
    after = await one_study(box, StudyDate="20250103", StudyTime="130000")
    no_time = await one_study(box, StudyDate="20250102", StudyTime=None)
    await one_study(box, StudyDate=None, StudyTime="120000")

    whole = await found(box, "study", [("StudyDate", "20250101-20250103"), ("StudyTime", "1200-1200")])
    begun = await found(box, "study", [("StudyDate", "20250101-"), ("StudyTime", "1200-")])
    apart = await found(box, "study", [("StudyDate", "20250101-20250103"), ("StudyTime", "12")])

    assert set(whole) == {late, between, end, no_time}
    assert set(begun) == {late, between, end, after, no_time}
    assert apart == [end]
    assert early not in begun


@pytest.mark.dicom("PS3.18 10.6.3.3")
@pytest.mark.row(26)
@pytest.mark.row(28)
async def test_default_attributes_are_always_there_and_empty_where_unknown(box: Box) -> None:
    study = await one_study(
        box, PatientName=None, StudyDate=None, AccessionNumber=None, Modality=None, SeriesNumber=None
    )

    row = orjson.loads((await ask(box, "study", [("StudyInstanceUID", study)])).rows[0])
    series = orjson.loads((await ask(box, "series", [], study=study)).rows[0])
    instance = orjson.loads((await ask(box, "instance", [], study=study)).rows[0])

    assert row["00100010"] == {"vr": "PN"}
    assert row["00080020"] == {"vr": "DA"}
    assert row["00080050"] == {"vr": "SH"}
    assert "00080061" not in row, "OHIF loses its list over this attribute without a value"
    assert row["00080056"]["Value"] == ["ONLINE"]
    assert row["00081190"]["Value"] == [f"/dicom-web/studies/{study}"]
    assert series["00080060"] == {"vr": "CS"}
    assert series["00200011"] == {"vr": "IS"}
    assert series["0020000D"]["Value"] == [study]
    assert instance["00083002"]["Value"] == ["1.2.840.10008.1.2.1"]
    for answer in (row, series, instance):
        assert list(answer) == sorted(answer), "PS3.18 F.2.2: attributes in tag order"


@pytest.mark.row(24)
@pytest.mark.row(25)
@pytest.mark.row(29)
async def test_includefield_adds_what_the_level_holds_and_says_what_it_does_not(box: Box) -> None:
    request = Dataset()
    request.ScheduledProcedureStepID, request.RequestedProcedureID = "S1", "R1"
    study = await one_study(
        box,
        PatientWeight="70.5",
        ProtocolName="Head",
        ImageComments="fine",
        RequestAttributesSequence=[request],
    )
    only = ("StudyInstanceUID", study)

    plain = await ask(box, "study", [only])
    more = await ask(
        box, "study", [only, ("includefield", "PatientWeight,00080060"), ("includefield", "ImageComments")]
    )
    of_series = await ask(box, "series", [("includefield", "all")], study=study)
    of_instance = await ask(box, "instance", [("includefield", "all")], study=study)
    nested = await ask(
        box, "instance", [("includefield", "RequestAttributesSequence.RequestedProcedureID")], study=study
    )

    assert values(plain, "00101030") == [None]
    assert values(more, "00101030") == [[70.5]]
    assert values(more, "00080061") == [["CT"]]
    assert more.warnings == ("includefield=00204000 is not returned at this level.",)
    assert values(of_series, "00181030") == [["Head"]]
    assert values(of_instance, "00204000") == [["fine"]]
    assert values(of_instance, "7FE00010") == [None]
    assert values(nested, "00400275") == [[{"00401001": {"vr": "SH", "Value": ["R1"]}}]]


@pytest.mark.row(29)
async def test_series_and_instances_of_the_whole_archive_bring_their_parents_along(box: Box) -> None:
    await one_study(box, PatientID="P7", SeriesDescription="Axial")

    series = orjson.loads((await ask(box, "series", [("PatientID", "P7")])).rows[0])
    instance = orjson.loads((await ask(box, "instance", [("PatientID", "P7")])).rows[0])

    assert series["00100020"]["Value"] == ["P7"]
    assert series["00201206"]["Value"] == [1]
    assert series["00081190"]["Value"][0].endswith(f"/series/{series['0020000E']['Value'][0]}")
    assert instance["00100020"]["Value"] == ["P7"]
    assert instance["0008103E"]["Value"] == ["Axial"]
    assert instance["00081190"]["Value"][0].endswith(f"/instances/{instance['00080018']['Value'][0]}")


@pytest.mark.row(14)
@pytest.mark.row(15)
@pytest.mark.row(16)
async def test_any_attribute_of_an_instance_matches_within_its_study(box: Box) -> None:
    item = Dataset()
    item.CodeValue = "T-1"
    private = {"study": new_uid(), "instance": new_uid()}
    dataset = make_dataset(**private, ImageComments="blurred", EchoTime="1.50", AnatomicRegionSequence=[item])
    dataset.private_block(0x0009, "ACME 1.0", create=True).add_new(0x01, "LO", "secret")
    received = await ingest.receive(box, pieces(part10(dataset)))
    await ingest.store(box, received, source="test", actor=ANONYMOUS)
    await one_study(box)

    for pairs in (
        [("ImageComments", "blur*")],
        [("EchoTime", "1.5")],
        [("AnatomicRegionSequence.CodeValue", "T-1")],
        [("00091001", "secret"), ("00090010", "ACME 1.0")],
        [("0009xx01:ACME 1.0", "secret")],
        [("emptyvaluematching", "true"), ("LossyImageCompression", '""')],
    ):
        assert await found(box, "instance", pairs, study=private["study"]) == [private["instance"]], pairs
    for pairs in ([("ImageComments", "x")], [("0009xx01:OTHER", "secret")], [("EchoTime", "15")]):
        assert await found(box, "instance", pairs, study=private["study"]) == []


@pytest.mark.row(14)
@pytest.mark.row(38)
async def test_what_is_not_indexed_is_left_out_with_a_warning_or_refused_when_strict(box: Box) -> None:
    await one_study(box, ImageComments="fine")

    page = await ask(box, "study", [("ImageComments", "other")])

    assert len(page.rows) == 1
    assert page.warnings == ("ImageComments is not indexed for search at this level and is ignored.",)
    with pytest.raises(BadQuery, match="ImageComments"):
        await ask(box, "study", [("ImageComments", "other"), ("strict", "1")])


@pytest.mark.row(14)
async def test_a_declared_attribute_is_filled_and_then_searched_over_the_whole_archive(box: Box) -> None:
    before = await one_study(box, ImageComments="Fine", OperatorsName="Doe^Jane")
    await declared.declare(box, "ImageComments")
    await declared.declare(box, "OperatorsName")
    assert (await ask(box, "study", [("ImageComments", "Fine")])).warnings

    while await declared.fill(box):
        pass
    after = await one_study(box, ImageComments="Fine", OperatorsName="Roe^Rob")
    other = await one_study(box, ImageComments="blurred")

    assert [attribute.ready for attribute in await declared.declared(box)] == [True, True]
    assert set(await found(box, "study", [("ImageComments", "Fi*")])) == {before, after}
    assert await found(box, "study", [("OperatorsName", "DOE*"), ("ImageComments", "Fine")]) == [before]
    assert len(await found(box, "instance", [("ImageComments", "Fine")])) == 2
    pairs = [("OperatorsName", '""'), ("emptyvaluematching", "true")]
    assert await found(box, "study", pairs) == [other]
    scope = Scope(studies=frozenset([after]))
    assert await found(box, "study", [("ImageComments", "Fine")], scope=scope) == [after]


@pytest.mark.row(31)
async def test_studies_come_in_pages_of_the_limit_and_series_of_a_study_all_at_once(make_box: Any) -> None:
    async with make_box(query_limit=2) as box:
        study = new_uid()
        for _ in range(4):
            await one_study(box)
            received = await ingest.receive(box, pieces(make_instance(study=study)))
            await ingest.store(box, received, source="test", actor=ANONYMOUS)

        page = await ask(box, "study", [])
        empty = await ask(box, "study", [("limit", "0")])
        series = await ask(box, "series", [], study=study)

    assert (len(page.rows), page.more) == (2, True)
    assert (len(empty.rows), empty.more) == (0, True)
    assert (len(series.rows), series.more) == (4, False)
