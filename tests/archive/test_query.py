"""Search, compared with a naive matcher over the same data sets, and seen through scopes."""

from typing import Any

import orjson
import pytest
from pydicom.dataset import Dataset

from dicomweb_box.accounts.access import ANONYMOUS, EVERYTHING, Scope
from dicomweb_box.archive import declared, ingest, remove
from dicomweb_box.archive.outcomes import Stored
from dicomweb_box.box import Box
from dicomweb_box.errors import BadQuery
from tests.archive.asking import ask, expected, found, values
from tests.archive.population import (
    fold,
    make_studies,
    store,
)
from tests.builders import make_dataset, make_instance, new_uid, part10, pieces


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
