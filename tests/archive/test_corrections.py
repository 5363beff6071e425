"""Corrections: what searches, metadata and objects say while they are in force, and after they are undone."""

import io
import random
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx
import orjson
import pydicom
import pytest
from pydicom.data import get_charset_files, get_testdata_file
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

from dicomweb_box.accounts.access import ANONYMOUS, EVERYTHING, SYSTEM, Scope
from dicomweb_box.archive import corrections, declared
from dicomweb_box.archive.ingest import receive, store
from dicomweb_box.archive.outcomes import Stored
from dicomweb_box.archive.query import search
from dicomweb_box.archive.reindex import reindex
from dicomweb_box.archive.reject import Target, Why, reject
from dicomweb_box.archive.remove import remove
from dicomweb_box.archive.restore import restore
from dicomweb_box.box import Box
from dicomweb_box.dicom.correctable import ATTRIBUTES, BY_KEYWORD, NoValue, element_of, typed
from dicomweb_box.dicom.matching import from_parameters
from dicomweb_box.errors import BadRequest, Conflict, NotFound
from tests.builders import make_dataset, make_instance, new_uid, part10, pieces
from tests.dicomweb.doors import client_of

WHO: dict[str, Any] = {"scope": EVERYTHING, "actor": ANONYMOUS}
AS_STORED = {"Accept": "application/dicom; transfer-syntax=*"}


async def keep(box: Box, data: bytes, source: str = "test") -> Stored:
    outcome = await store(box, await receive(box, pieces(data)), source=source, actor=SYSTEM)
    assert isinstance(outcome, Stored)
    return outcome


def meant(**values: str) -> dict[str, Any]:
    return {BY_KEYWORD[name].tag: element_of(BY_KEYWORD[name], text) for name, text in values.items()}


async def correct(box: Box, study: str, **values: str) -> str:
    return await corrections.correct(box, [study], meant(**values), reason="wrong patient", **WHO)


async def found(box: Box, level: Any = "study", **keys: str) -> list[Mapping[str, Any]]:
    query, _ = from_parameters(level, [("limit", "100"), *keys.items()], {})
    return [orjson.loads(row) for row in (await search(box, query, **WHO)).rows]


async def state(box: Box) -> list[Any]:
    tables = {
        "study": "*",
        "series": "series_uid, attributes, answer, instance_count, size",
        "study_day": "study_date, study_count",
        "study_modality": "modality, study_date, series_count",
        "study_vote": "tag, value, instance_count, first_instance_uid",
        "attribute_value": "attribute_id, value",
    }
    rows = []
    for table, names in tables.items():
        for row in await box.database.fetch_all(f"select {names} from {table}"):
            one = {name: row[name] for name in row.keys()}  # noqa: SIM118
            for moving in ("id", "revision", "stored_at", "changed_at"):
                one.pop(moving, None)
            if one.get("study_count") != 0:
                rows.append((table, sorted(map(str, one.items()))))
    return sorted(rows)


async def given(client: httpx.AsyncClient, kept: Stored, accept: str | None = None) -> pydicom.Dataset:
    path = f"/studies/{kept.study_uid}/series/{kept.series_uid}/instances/{kept.instance_uid}"
    answer = await client.get(path, headers={"Accept": accept} if accept else AS_STORED)
    assert answer.status_code == 200, answer.text
    return pydicom.dcmread(io.BytesIO(answer.content))


async def metadata(client: httpx.AsyncClient, kept: Stored, level: str = "instance") -> Mapping[str, Any]:
    path = f"/studies/{kept.study_uid}"
    path += f"/series/{kept.series_uid}" if level != "study" else ""
    path += f"/instances/{kept.instance_uid}" if level == "instance" else ""
    answer = await client.get(f"{path}/metadata")
    assert answer.status_code == 200
    return answer.json()[0]


async def test_searches_find_the_corrected_value_and_not_the_former(box: Box) -> None:
    kept = await keep(box, make_instance(PatientName="Doe^Jane", PatientID="P1", StudyDate="20260105"))
    before, told = await state(box), await found(box)

    act = await correct(box, kept.study_uid, PatientName="Roe^Rita", PatientID="P2", StudyDate="20250101")

    for level in ("study", "series", "instance"):
        assert len(await found(box, level, PatientID="P2", PatientName="roe*")) == 1
        assert await found(box, level, PatientID="P1") == []
        assert await found(box, level, PatientName="*Jane*") == []
    assert await found(box, StudyDate="20260101-20260131") == []
    (study,) = await found(box, StudyDate="20250101", fuzzymatching="true", PatientName="Roe")
    assert study["00100010"]["Value"] == [{"Alphabetic": "Roe^Rita"}]

    await corrections.undo(box, act, **WHO)
    assert (await state(box), await found(box)) == (before, told)


async def test_metadata_and_objects_say_the_corrected_value_and_the_former_one(box: Box) -> None:
    data = make_instance(PatientName="Doe^Jane", PatientBirthDate=None)
    kept = await keep(box, data, source="modality 1")
    async with client_of(box) as client:
        was = [await metadata(client, kept, level) for level in ("study", "series", "instance")]
        act = await correct(
            box, kept.study_uid, PatientName="Roe^Rita", PatientBirthDate="1980-02-03", PatientSex=""
        )

        dataset = await given(client, kept)
        assert str(dataset.PatientName) == "Roe^Rita"
        assert dataset.PatientBirthDate == "19800203"
        assert dataset.PatientSex == ""
        assert dataset.PixelData == bytes(range(32))
        (item,) = dataset.OriginalAttributesSequence
        assert item.ReasonForTheAttributeModification == "CORRECT"
        assert item.ModifyingSystem == "DICOMWEB_BOX"
        assert item.SourceOfPreviousValues == "modality 1"
        assert item.AttributeModificationDateTime[:8] == f"{box.clock():%Y%m%d}"
        (former,) = item.ModifiedAttributesSequence
        assert (str(former.PatientName), former.PatientSex) == ("Doe^Jane", "F")
        assert former.PatientBirthDate == ""
        for level in ("study", "series", "instance"):
            told = await metadata(client, kept, level)
            assert told["00100010"]["Value"] == [{"Alphabetic": "Roe^Rita"}]
            assert told["00100040"] == {"vr": "CS"}
            assert told["04000561"]["Value"][0]["04000550"]["Value"][0]["00100040"]["Value"] == ["F"]

        await corrections.undo(box, act, **WHO)
        path = f"/studies/{kept.study_uid}/series/{kept.series_uid}/instances/{kept.instance_uid}"
        assert (await client.get(path, headers=AS_STORED)).content == data
        assert [await metadata(client, kept, level) for level in ("study", "series", "instance")] == was


async def test_entity_tags_follow_the_correction_but_for_frames(box: Box) -> None:
    kept = await keep(box, make_instance())
    path = f"/studies/{kept.study_uid}/series/{kept.series_uid}/instances/{kept.instance_uid}"
    whole = ("", "/metadata", "/rendered?annotation=patient")
    async with client_of(box) as client:

        async def tags() -> dict[str, str]:
            asked = (*whole, "/frames/1", "/frames/1/rendered")
            return {one: (await client.get(path + one)).headers["etag"] for one in asked}

        before = await tags()
        await correct(box, kept.study_uid, PatientName="Roe^Rita")
        after = await tags()

    assert {one for one in before if before[one] != after[one]} == set(whole)


FILES = (
    "CT_small.dcm",
    "MR_small_implicit.dcm",
    "MR_small_bigendian.dcm",
    "image_dfl.dcm",
    "SC_rgb_rle_2frame.dcm",
    "JPEG2000.dcm",
    "SC_rgb_jpeg_dcmtk.dcm",
    "reportsi.dcm",
    "rtplan.dcm",
)


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("value", ["Roe^Rita", "Yamada^Tarou=山田^太郎=やまだ^たろう"])
@pytest.mark.dicom("PS3.3 C.12.1.1.9")
async def test_each_encoding_is_given_with_all_else_as_it_was(box: Box, name: str, value: str) -> None:
    path = get_testdata_file(name, download=False)
    assert isinstance(path, str)
    data = Path(path).read_bytes()
    original = pydicom.dcmread(io.BytesIO(data))
    kept = await keep(box, data)
    await correct(box, kept.study_uid, PatientName=value, AccessionNumber="A 99")

    async with client_of(box) as client:
        dataset = await given(client, kept)
        told = await metadata(client, kept)
        assert str(dataset.PatientName) == value
        assert told["00080050"]["Value"] == ["A 99"]
        syntax = original.file_meta.TransferSyntaxUID
        encapsulated = syntax.is_encapsulated
        assert dataset.file_meta.TransferSyntaxUID == (syntax if encapsulated else ExplicitVRLittleEndian)
        same_but(dataset, original, ("PatientName", "AccessionNumber"))
        if "PixelData" in original and not encapsulated:
            assert np_equal(dataset, original)
        if "PixelData" in original and encapsulated:
            assert dataset.PixelData == original.PixelData
            decoded = await given(
                client, kept, f"application/dicom; transfer-syntax={ExplicitVRLittleEndian}"
            )
            assert str(decoded.PatientName) == value


def np_equal(one: pydicom.Dataset, other: pydicom.Dataset) -> bool:
    return bool((one.pixel_array == other.pixel_array).all())


def same_but(dataset: pydicom.Dataset, original: pydicom.Dataset, corrected: tuple[str, ...]) -> None:
    """Every element but the corrected ones has the value it had."""
    for element in original:
        if element.keyword in (*corrected, "PixelData", "SpecificCharacterSet") or element.tag.element == 0:
            continue
        if element.VR in ("OB", "OW", "OB or OW", "UN", "SQ"):
            assert element.tag in dataset
            if element.VR == "SQ":
                for inner, outer in zip(dataset[element.tag].value, element.value, strict=True):
                    same_but(inner, outer, ())
            continue
        assert dataset[element.tag].value == element.value, element.tag


@pytest.mark.parametrize("path", sorted(get_charset_files("*.dcm")))
async def test_every_character_set_takes_a_name_in_any_script(box: Box, path: str) -> None:
    original = pydicom.dcmread(io.BytesIO(Path(path).read_bytes()))
    for uid in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"):
        setattr(original, uid, new_uid())
    buffer = io.BytesIO()
    original.save_as(buffer)
    kept = await keep(box, buffer.getvalue())
    was = str(original.get("PatientName", ""))
    async with client_of(box) as client:
        told = await metadata(client, kept)
        await correct(box, kept.study_uid, PatientName="Ωmega^Зоя=山田", StudyDescription="größer")

        dataset = await given(client, kept)

        assert dataset.SpecificCharacterSet == "ISO_IR 192"
        assert str(dataset.PatientName) == "Ωmega^Зоя=山田"
        (former,) = dataset.OriginalAttributesSequence[-1].ModifiedAttributesSequence
        expected = told.get("00100010", {}).get("Value", [{}])[0]
        assert str(former.PatientName) == "=".join(expected.values()) or was == ""
        other = pydicom.dcmread(io.BytesIO(buffer.getvalue()))
        other.decode()
        dataset.decode()
        for element in other:
            if element.VR in ("LO", "SH", "ST", "LT") and element.keyword != "StudyDescription":
                assert str(dataset[element.tag].value).strip() == str(element.value).strip()


async def test_items_that_were_there_stay_before_the_new_one(box: Box) -> None:
    ds = make_dataset()
    item = pydicom.Dataset()
    item.ModifyingSystem = "ELSEWHERE"
    ds.OriginalAttributesSequence = [item]
    kept = await keep(box, part10(ds, transfer_syntax=ImplicitVRLittleEndian))
    await correct(box, kept.study_uid, PatientName="Roe^Rita")
    await correct(box, kept.study_uid, PatientID="P9")

    async with client_of(box) as client:
        dataset = await given(client, kept)
        told = await metadata(client, kept)

    systems = [one.ModifyingSystem for one in dataset.OriginalAttributesSequence]
    assert systems == ["ELSEWHERE", "DICOMWEB_BOX", "DICOMWEB_BOX"]
    assert [one["04000563"]["Value"][0] for one in told["04000561"]["Value"]] == systems


async def test_zip_wado_uri_transcoded_and_multipart_follow(box: Box) -> None:
    kept = await keep(box, make_instance())
    await correct(box, kept.study_uid, PatientID="P9")
    uri = f"studyUID={kept.study_uid}&seriesUID={kept.series_uid}&objectUID={kept.instance_uid}"

    async with client_of(box) as client:
        lossless = await given(client, kept, "application/dicom; transfer-syntax=1.2.840.10008.1.2.4.80")
        zipped = await client.get(
            f"/studies/{kept.study_uid}", params={"accept": "application/zip", "dicomdir": "true"}
        )
        whole = await client.get(f"/studies/{kept.study_uid}")
        wado = await client.get(f"http://localhost/wado?requestType=WADO&{uri}&contentType=application/dicom")
        tagged = await client.get(
            f"/studies/{kept.study_uid}/metadata",
            headers={"Accept": 'multipart/related; type="application/dicom+xml"'},
        )

    assert lossless.PatientID == pydicom.dcmread(io.BytesIO(wado.content)).PatientID == "P9"
    archive = zipfile.ZipFile(io.BytesIO(zipped.content))
    files = {name: pydicom.dcmread(io.BytesIO(archive.read(name))) for name in archive.namelist()}
    directory = files.pop("DICOMDIR")
    assert directory.DirectoryRecordSequence[0].PatientID == "P9"
    assert [one.PatientID for one in files.values()] == ["P9"]
    assert b"P9" in whole.content
    assert "P9" in tagged.text


async def test_a_downloaded_selection_follows(box: Box) -> None:
    kept = await keep(box, make_instance())
    await correct(box, kept.study_uid, PatientID="P9")

    async with client_of(box) as client:
        answer = await client.get(f"http://localhost/download?study={kept.study_uid}")

    archive = zipfile.ZipFile(io.BytesIO(answer.content))
    (name,) = (one for one in archive.namelist() if one.endswith(".dcm"))
    assert pydicom.dcmread(io.BytesIO(archive.read(name))).PatientID == "P9"


async def test_late_instances_are_corrected_too_and_votes_are_of_what_arrived(box: Box) -> None:
    study = new_uid()
    first = await keep(box, make_instance(study=study, PatientID="P1"))
    act = await correct(box, study, PatientID="P9")
    await keep(box, make_instance(study=study, PatientID="P1", StudyDescription="Other"))
    await keep(box, make_instance(study=study, PatientID="P1", StudyDescription="Other"))

    (told,) = await found(box)
    assert told["00100020"]["Value"] == ["P9"]
    assert told["00081030"]["Value"] == ["Other"]
    async with client_of(box) as client:
        assert {
            one["00100020"]["Value"][0] for one in (await client.get(f"/studies/{study}/metadata")).json()
        } == {"P9"}
    await remove(box, study, first.series_uid, **WHO)
    assert len(await found(box, PatientID="P9")) == 1
    await corrections.undo(box, act, **WHO)
    assert len(await found(box, PatientID="P1")) == 1


async def test_the_latest_correction_in_force_counts_whatever_is_undone(box: Box) -> None:
    kept = await keep(box, make_instance(PatientID="P1"))
    first = await correct(box, kept.study_uid, PatientID="P2")
    second = await correct(box, kept.study_uid, PatientID="P3")

    await corrections.undo(box, first, **WHO)
    assert len(await found(box, PatientID="P3")) == 1
    await corrections.undo(box, second, **WHO)
    assert len(await found(box, PatientID="P1")) == 1
    with pytest.raises(Conflict):
        await corrections.undo(box, second, **WHO)
    history = await corrections.of_study(box, kept.study_uid, **WHO)
    assert [(one.reason, one.undone_by) for one in history] == [("wrong patient", "anonymous")] * 2
    assert [row[0] for row in await box.database.fetch_all("select kind from change order by id")] == [
        "stored",
        "corrected",
        "corrected",
        "uncorrected",
        "uncorrected",
    ]


@pytest.mark.parametrize("seed", range(6))
async def test_any_order_of_acts_gives_the_state_of_the_final_set(box: Box, seed: int) -> None:
    chance = random.Random(seed)
    study = new_uid()
    await declared.declare(box, "PatientComments")
    while await declared.fill(box):
        pass
    objects = [
        make_instance(study=study, series=f"{study}.{n % 2}", PatientID=f"P{n % 3}", PatientComments=f"c{n}")
        for n in range(5)
    ]
    uids = [pydicom.dcmread(io.BytesIO(data)).SOPInstanceUID for data in objects]
    in_force: list[str] = []
    away: dict[str, str] = {}
    await keep(box, objects[0])
    for _ in range(14):
        what = chance.choice(("correct", "undo", "reject", "restore", "arrive", "reindex"))
        if what == "correct" and await found(box):
            field = chance.choice(("PatientID", "StudyDescription", "StudyDate", "PatientComments"))
            text = f"2026010{chance.randint(1, 9)}"
            try:
                in_force.append(await correct(box, study, **{field: text}))
            except BadRequest:
                continue
        elif what == "undo" and in_force:
            await corrections.undo(box, in_force.pop(chance.randrange(len(in_force))), **WHO)
        elif what == "reject":
            uid = chance.choice(uids)
            series = f"{study}.{uids.index(uid) % 2}"
            try:
                target = Target(study_uid=study, series_uid=series, instance_uid=uid)
                away[(await reject(box, target, Why(reason="113001"), **WHO)).id] = uid
            except NotFound:
                continue
        elif what == "restore" and away:
            act = chance.choice(list(away))
            del away[act]
            await restore(box, act, **WHO)
        elif what == "arrive":
            await store(box, await receive(box, pieces(chance.choice(objects))), source="test", actor=SYSTEM)
        elif what == "reindex" and chance.random() < 0.4:
            await reindex(box)
            while await declared.fill(box):
                pass
    for act in list(away):
        await restore(box, act, **WHO)
    for data in objects:
        await keep(box, data)
    ended = await state(box)

    # The same set from the beginning: everything arrived, nothing was ever rejected.
    await reindex(box)
    while await declared.fill(box):
        pass
    assert await state(box) == ended
    for act in in_force:
        await corrections.undo(box, act, **WHO)
    await remove(box, study, **WHO)
    for data in objects:
        await keep(box, data)
    plain = await state(box)
    await remove(box, study, **WHO)
    for data in reversed(objects):
        await keep(box, data)
    assert await state(box) == plain


async def test_corrections_outlive_a_rebuilt_index_and_a_rejection(box: Box) -> None:
    kept = await keep(box, make_instance(PatientID="P1"))
    await correct(box, kept.study_uid, PatientID="P9")
    before = await state(box)

    await reindex(box)
    assert await state(box) == before

    act = await reject(box, Target(study_uid=kept.study_uid), Why(reason="113001"), **WHO)
    await restore(box, act.id, **WHO)
    assert await state(box) == before


async def test_nothing_of_a_correction_outlives_the_erased_study(box: Box) -> None:
    kept = await keep(box, make_instance(PatientID="P1"))
    await correct(box, kept.study_uid, PatientID="P9")

    await remove(box, kept.study_uid, **WHO)

    assert await box.database.fetch_value("select count(*) from corrected_value") == 0
    assert await box.database.fetch_value("select count(*) from correction") == 0


async def test_declared_attributes_and_scanned_keys_follow(box: Box) -> None:
    kept = await keep(box, make_instance(PatientComments="before"))
    await declared.declare(box, "PatientComments")
    while await declared.fill(box):
        pass
    act = await correct(box, kept.study_uid, PatientComments="after", OtherPatientIDs="X1\\X2")

    query, _ = from_parameters("instance", [("OtherPatientIDs", "X2")], {"study": kept.study_uid})
    assert len((await search(box, query, **WHO)).rows) == 1
    assert len(await found(box, "instance", PatientComments="after")) == 1
    assert await found(box, "instance", PatientComments="before") == []
    (told,) = await found(box, "instance", PatientComments="after", includefield="all")
    assert told["00101000"]["Value"] == ["X1", "X2"]

    await corrections.undo(box, act, **WHO)
    assert len(await found(box, "instance", PatientComments="before")) == 1


async def test_all_studies_of_the_patient_are_corrected_together(box: Box) -> None:
    for _ in range(3):
        kept = await keep(box, make_instance(PatientID="P1", PatientName="Doe^Jane"))
    other = await keep(box, make_instance(PatientID="P2"))
    told = await corrections.subject(box, kept.study_uid, **WHO)
    assert len(told.of_patient) == 3
    assert other.study_uid not in told.of_patient

    act = await corrections.correct(box, told.of_patient, meant(PatientID="P7"), reason="merged", **WHO)
    assert len(await found(box, PatientID="P7")) == 3
    await corrections.undo(box, act, **WHO)
    assert len(await found(box, PatientID="P1")) == 3


async def test_what_cannot_be_meant_is_refused(box: Box) -> None:
    kept = await keep(box, make_instance(PatientID="P1"))
    nobody: dict[str, Any] = {"scope": Scope(sources=frozenset({"north"})), "actor": ANONYMOUS}
    good = meant(PatientID="P9")
    cases: list[tuple[Any, Any, str, Any, type[Exception]]] = [
        ([kept.study_uid], good, " ", WHO, BadRequest),
        ([kept.study_uid], {"0020000D": {"vr": "UI", "Value": ["1.2"]}}, "why", WHO, BadRequest),
        ([kept.study_uid], meant(PatientID="P1"), "why", WHO, BadRequest),
        (["1.2.3"], good, "why", WHO, NotFound),
        ([kept.study_uid], good, "why", nobody, NotFound),
        ([], good, "why", WHO, Conflict),
    ]
    for studies, values, reason, who, error in cases:
        with pytest.raises(error):
            await corrections.correct(box, studies, values, reason=reason, **who)
    act = await correct(box, kept.study_uid, PatientID="P9")
    for one in (corrections.undo(box, act, **nobody), corrections.subject(box, kept.study_uid, **nobody)):
        with pytest.raises(NotFound):
            await one
    assert await corrections.listed(box, **nobody) == ([], "")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("PatientBirthDate", "19800230"),
        ("PatientBirthDate", "yesterday"),
        ("StudyTime", "2561"),
        ("StudyTime", "12.5"),
        ("PatientSex", "X"),
        ("PatientID", "x" * 65),
        ("PatientID", "a\\b"),
        ("PatientID", "a\nb"),
        ("AccessionNumber", "x" * 17),
        ("PatientName", "a=b=c=d"),
        ("PatientName", "a^b^c^d^e^f"),
        ("PatientAge", "45"),
        ("PatientWeight", "heavy"),
    ],
)
def test_values_that_are_none_are_said_to_be_none(name: str, text: str) -> None:
    with pytest.raises(NoValue) as raised:
        element_of(BY_KEYWORD[name], text)
    assert text not in str(raised.value)


def test_what_is_typed_is_read_back_as_it_was_typed() -> None:
    texts = {
        "PN": "A^B=山^田=や^た",
        "DA": "20260101",
        "TM": "101500.5",
        "CS": "O",
        "DS": "1.5",
        "AS": "045Y",
    }
    for attribute in ATTRIBUTES:
        text = texts.get(attribute.vr, "plain")
        assert typed(element_of(attribute, text)) == text
        assert element_of(attribute, " ") == {"vr": attribute.vr}
    assert typed(element_of(BY_KEYWORD["OtherPatientIDs"], "a\\b")) == "a\\b"
    assert typed(element_of(BY_KEYWORD["PatientName"], "=山")) == "=山"
