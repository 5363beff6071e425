"""A13: what is entered is found both ways by those who give a reason, recorded, and forgotten for good."""

import json
from pathlib import Path

import pytest
from pydicom import dcmread

from dicomweb_box.accounts.access import SYSTEM
from dicomweb_box.accounts.project_keys import project_key, vault_folder
from dicomweb_box.box import Box
from dicomweb_box.deid.policy import BASIC, RESEARCH, Policy
from dicomweb_box.deid.pseudonyms import Keyed
from dicomweb_box.errors import BadRequest, BadSetting, Conflict, NotFound
from dicomweb_box.vault import forgetting, lookup, projects
from tests.conftest import MakeBox
from tests.deid.planted import deid, read
from tests.vault.files import REASON, asked, deidentified, file, held_back, project_of, pseudonym, told

TABLES = ("vault", "pseudonym", "vault_opt_out", "audit")


async def test_a13_every_original_and_every_pseudonym_finds_the_other(box: Box, tmp_path: Path):
    project = await project_of(box)
    source = file(
        tmp_path / "in",
        AccessionNumber="ACC-9",
        StudyID="S-7",
        FrameOfReferenceUID="1.2.9",
        IssuerOfPatientID="EAST",
    )
    made = dcmread(await deidentified(box, project, source, tmp_path / "out"))
    before = dcmread(source)
    for kind, keyword in (
        ("patient", "PatientID"),
        ("name", "PatientName"),
        ("study", "StudyInstanceUID"),
        ("series", "SeriesInstanceUID"),
        ("instance", "SOPInstanceUID"),
        ("frame of reference", "FrameOfReferenceUID"),
        ("accession", "AccessionNumber"),
        ("study id", "StudyID"),
    ):
        original, given = str(before[keyword].value), str(made[keyword].value)
        entry = (kind, original, given)
        assert entry in await told(box, project, original), keyword
        assert entry in await told(box, project, given), keyword
    known = (await asked(box, project, "ACC-9")).known[0]
    assert (known.patient_id, known.issuer, known.patient_pseudonym) == ("MRN-4711", "EAST", made.PatientID)


async def test_a13_a_prefix_finds_what_begins_with_it_and_a_name_whatever_its_case(box: Box, tmp_path: Path):
    project = await project_of(box)
    await pseudonym(box, project, file(tmp_path / "in", 1))
    await pseudonym(box, project, file(tmp_path / "in", 2, PatientID="MRN-4800", PatientName="Roe^Richard"))
    found = await told(box, project, "MRN-4", prefix=True)
    assert sorted(one[:2] for one in found) == [("patient", "MRN-4711"), ("patient", "MRN-4800")]
    assert [one[1] for one in await told(box, project, "doe^", prefix=True)] == ["Doe^Jane"]
    assert [one[1] for one in await told(box, project, "roe^RICHARD")] == ["Roe^Richard"]
    assert await told(box, project, "MRN-4") == []


async def test_a13_each_read_is_recorded_with_its_reason_and_without_whom_it_was_about(
    box: Box, tmp_path: Path
):
    project = await project_of(box)
    await pseudonym(box, project, file(tmp_path / "in"))
    await asked(box, project, "MRN-4711")
    await asked(box, project, "MRN-9", prefix=True)
    await lookup.export(box, project, actor=SYSTEM, reason=REASON)
    rows = await box.database.fetch_all(
        "select outcome, about, count from audit where action = 'read vault' order by id"
    )
    assert [(row["outcome"], row["count"]) for row in rows] == [
        ("success", 1),
        ("not found", 0),
        ("success", 5),
    ]
    abouts = [json.loads(row["about"]) for row in rows]
    assert {(one["project"], one["reason"]) for one in abouts} == {("north", REASON)}
    assert [one["how"] for one in abouts] == ["exact", "prefix", "export"]
    assert "4711" not in str(abouts)


@pytest.mark.parametrize("reason", ["", "  ", "x" * 201, "Mrs Doe asked", "about mrn-4711"])
async def test_a13_nobody_reads_without_a_reason_or_with_one_that_names_the_patient(
    box: Box, tmp_path: Path, reason: str
):
    project = await project_of(box)
    given = await pseudonym(box, project, file(tmp_path / "in"))
    with pytest.raises(BadRequest):
        await lookup.find(box, project, given, actor=SYSTEM, reason=reason)
    assert not await box.database.fetch_all("select 1 from audit where action = 'read vault'")


async def test_a13_who_is_forgotten_is_found_no_more_and_held_back(box: Box, tmp_path: Path):
    project = await project_of(box, pattern="N{n:03}")
    source, other = (
        file(tmp_path / "in"),
        file(tmp_path / "in", 2, PatientID="MRN-2", PatientName="Roe^Richard"),
    )
    assert [await pseudonym(box, project, path) for path in (source, other)] == ["N001", "N002"]
    assert await forgetting.forget(box, project, "MRN-4711", actor=SYSTEM, reason=REASON) == 5
    for value in ("MRN-4711", "N001", "Doe^Jane", "1.2.3.1"):
        assert await told(box, project, value) == [], value
    assert await told(box, project, "MRN-2") != []
    assert await held_back(box, project, source) == "its patient was forgotten in this project"
    about = await box.database.fetch_value("select about from audit where action = 'forget patient'")
    assert REASON in about
    assert "4711" not in about


async def test_a13_who_is_forgotten_stays_so_when_the_database_is_restored(box: Box, tmp_path: Path):
    project = await project_of(box)
    source = file(tmp_path / "in")
    given = await pseudonym(box, project, source)
    backup = await box.database.fetch_all("select * from pseudonym")
    await forgetting.forget(box, project, given, actor=SYSTEM, reason=REASON)
    names = list(backup[0].keys())
    await box.database.write(
        lambda w: w.execute_many(
            f"insert into pseudonym ({', '.join(names)}) values ({', '.join(f':{name}' for name in names)})",
            [dict(zip(names, row, strict=True)) for row in backup],
        )
    )
    again = await projects.opened(box, "north")
    for value in ("MRN-4711", given):
        assert await asked(box, again, value) == lookup.Answer(known=(), lost=0)
    assert await held_back(box, again, source) == "its patient was forgotten in this project"
    assert await forgetting.forget(box, again, "MRN-4711", actor=SYSTEM, reason=REASON) == len(backup)


async def test_a_forgetting_that_was_cut_short_is_finished_when_asked_again(box: Box, tmp_path: Path):
    project = await project_of(box)
    await pseudonym(box, project, file(tmp_path / "in"))
    patient = await box.database.fetch_value("select patient from pseudonym where kind = 'patient'")
    project.data_keys.forget(patient)
    assert await forgetting.forget(box, project, "MRN-4711", actor=SYSTEM, reason=REASON) == 5
    assert await forgetting.forget(box, project, "MRN-4711", actor=SYSTEM, reason=REASON) == 0
    with pytest.raises(NotFound):
        await forgetting.forget(box, project, "MRN-1", actor=SYSTEM, reason=REASON)


async def test_forgetting_asks_which_of_several_patients_with_one_id_is_meant(box: Box, tmp_path: Path):
    project = await project_of(box)
    east, west = (
        file(tmp_path / "in", number, IssuerOfPatientID=issuer)
        for number, issuer in ((1, "EAST"), (2, "WEST"))
    )
    assert await pseudonym(box, project, east) != await pseudonym(box, project, west)
    with pytest.raises(Conflict):
        await forgetting.forget(box, project, "MRN-4711", actor=SYSTEM, reason=REASON)
    await forgetting.forget(box, project, "MRN-4711", issuer="EAST", actor=SYSTEM, reason=REASON)
    assert [one.issuer for one in (await asked(box, project, "MRN-4711")).known] == ["WEST"]


async def test_nobody_is_named_in_the_data_folder_the_database_or_the_log(
    make_box: MakeBox, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    caplog.set_level("DEBUG")
    originals = {
        "PatientID": "QZX-77001", "PatientName": "Qzxname^Zqxname", "IssuerOfPatientID": "QZXISSUER",
        "AccessionNumber": "QZXACC", "StudyID": "QZXSID", "StudyInstanceUID": "1.2.771.1",
        "SeriesInstanceUID": "1.2.771.2", "FrameOfReferenceUID": "1.2.771.3",
    }  # fmt: skip
    sought = [value.encode() for value in (*originals.values(), "zqxname", "1.2.3.1")]
    async with make_box() as box:
        project = await project_of(box)
        source = file(tmp_path / "in", **originals)
        await deidentified(box, project, source, tmp_path / "out")
        await asked(box, project, "QZX-77001")
        await asked(box, project, "Qzx", prefix=True)
        for table in TABLES:
            rows = await box.database.fetch_all(f"select * from {table}")
            kept = b"".join(
                value if isinstance(value, bytes) else str(value).encode() for row in rows for value in row
            )
            assert not [one for one in sought if one in kept], table
        _search_files(tmp_path, sought)
    _search_files(tmp_path, sought)
    assert not [one for one in sought if one in caplog.text.encode()]


def _search_files(folder: Path, sought: list[bytes]) -> None:
    """Every byte of every file, but for what went in."""
    searched = [path for path in folder.rglob("*") if path.is_file() and path.parent.name != "in"]
    assert any(path.parent.parent.name == "north.vault" for path in searched)
    for path in searched:
        content = path.read_bytes()
        assert not [one for one in sought if one in content], path.name


async def test_a_wrong_key_or_none_is_said_and_never_replaced(box: Box, tmp_path: Path):
    await project_of(box)
    key = box.settings.data / "keys" / "projects" / "north.key"
    ours = key.read_text()
    await projects.create(box, "south", pattern=None, listed=False, actor=SYSTEM)
    key.write_text(key.with_name("south.key").read_text())
    with pytest.raises(BadSetting, match="its vault was made with"):
        await projects.opened(box, "north")
    key.unlink()
    with pytest.raises(BadSetting, match="is not there"):
        await projects.opened(box, "north")
    assert not key.exists()
    with pytest.raises(BadSetting, match="is not there"):
        project_key(box.settings, "north")
    key.write_text(ours)
    key.chmod(0o600)
    await projects.opened(box, "north")
    vault_folder(box.settings, "north").rename(tmp_path / "elsewhere")
    with pytest.raises(BadSetting, match="is in the database"):
        await projects.opened(box, "north")


async def test_entries_whose_data_key_is_gone_are_counted_and_hold_back(box: Box, tmp_path: Path):
    project = await project_of(box)
    source = file(tmp_path / "in")
    await pseudonym(box, project, source)
    for path in vault_folder(box.settings, "north").glob("??/*"):
        path.unlink()
    assert await asked(box, project, "MRN-4711") == lookup.Answer(known=(), lost=1)
    assert await held_back(box, project, source) == "the data key of its patient is not here"
    assert not list(vault_folder(box.settings, "north").glob("??/*"))


async def test_an_entry_put_in_anothers_place_is_not_read(box: Box, tmp_path: Path):
    project = await project_of(box)
    await pseudonym(box, project, file(tmp_path / "in"))
    await box.database.write(
        lambda w: w.execute(
            "update pseudonym set sealed ="
            " (select sealed from pseudonym where kind = 'study') where kind = 'series'"
        )
    )
    answer = await asked(box, project, "1.2.826.0.1.3680043.2.1.3")
    assert answer == lookup.Answer(known=(), lost=1)


async def test_with_and_without_a_vault_the_same_is_written(box: Box, tmp_path: Path):
    project = await project_of(box)
    key = Keyed(project_key(box.settings, "north"))
    source = file(tmp_path / "in", AccessionNumber="ACC-9", StudyID="S-7")
    for policy in (BASIC, RESEARCH):
        made = await deidentified(box, project, source, tmp_path / policy.name, policy)
        assert made.read_bytes() == deid(source.read_bytes(), policy, key)


async def test_one_patient_keeps_one_pseudonym_whatever_the_policys_pattern(box: Box, tmp_path: Path):
    project = await project_of(box)
    source = file(tmp_path / "in")
    first = await pseudonym(box, project, source)
    other = Policy(name="other", pattern="P-{token}")
    assert (
        read((await deidentified(box, project, source, tmp_path / "out", other)).read_bytes()).PatientID
        == first
    )


async def test_entering_again_adds_nothing(box: Box, tmp_path: Path):
    project = await project_of(box)
    source = file(tmp_path / "in", AccessionNumber="ACC-9")
    await deidentified(box, project, source, tmp_path / "out")
    before = await box.database.fetch_all("select * from pseudonym order by kind, word")
    await deidentified(box, project, source, tmp_path / "out")
    after = await box.database.fetch_all("select * from pseudonym order by kind, word")
    assert [tuple(row) for row in before] == [tuple(row) for row in after]


async def test_a_pseudonym_that_stands_for_another_original_holds_back(
    box: Box, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    project = await project_of(box)
    monkeypatch.setattr(
        project.keys.pseudonyms, "uid", lambda uid: "2.25.1" if uid.startswith("1.2.3.") else "2.25.2"
    )
    first, second = file(tmp_path / "in", 1), file(tmp_path / "in", 2)
    await deidentified(box, project, first, tmp_path / "out")
    noted_for = await held_back_whole(box, project, second, tmp_path / "out")
    assert noted_for == "one of its pseudonyms stands for another original already"


async def held_back_whole(box: Box, project: projects.Project, path: Path, out: Path) -> str:
    """Why a file is held back that is de-identified, too."""
    from dicomweb_box.deid.doubt import Doubt

    with pytest.raises(Doubt) as caught:
        await deidentified(box, project, path, out)
    return caught.value.reason


async def test_a_project_gets_one_vault_and_says_how_much_is_in_it(box: Box, tmp_path: Path):
    project = await project_of(box, pattern="{hash:8}-x")
    with pytest.raises(Conflict):
        await project_of(box)
    await pseudonym(box, project, file(tmp_path / "in"))
    summary = (await projects.every(box))[0]
    assert (summary.project, summary.pattern, summary.patients, summary.entries) == (
        "north",
        "{hash:8}-x",
        1,
        5,
    )
    with pytest.raises(NotFound):
        await projects.opened(box, "south")
