"""Rules that label, as instances come and go and rules change."""

import asyncio
from typing import Any

import pytest

from dicomweb_box.accounts.access import ANONYMOUS, EVERYTHING, SYSTEM, Scope
from dicomweb_box.archive import (
    corrections,
    given_labels,
    labelling,
    labels,
    reindex,
    remove,
    rule_runs,
    rules,
)
from dicomweb_box.archive.ingest import receive, store
from dicomweb_box.archive.reject import Target as RejectTarget
from dicomweb_box.archive.reject import Why, reject
from dicomweb_box.archive.restore import restore
from dicomweb_box.archive.rules import Wanted
from dicomweb_box.box import Box
from dicomweb_box.errors import BadRequest, Conflict, Forbidden, NotFound
from tests.archive.ruling import CT, catch_up, keep, labelled, make
from tests.builders import make_dataset, part10, pieces


async def test_what_is_stored_already_and_what_comes_is_labelled(box: Box) -> None:
    study, series, _ = await keep(box, Modality="CT")
    await keep(box, Modality="MR")
    rule = await make(box, *CT)
    await make(box, *CT, level="study", label="y")

    await catch_up(box)
    assert await labelled(box) == {("x", (study, series)), ("y", (study, ""))}

    later, of_later, _ = await keep(box, Modality="CT")
    await keep(box, Modality="MR")
    await catch_up(box)
    assert await labelled(box) == {
        *(("x", (study, series)), ("y", (study, ""))),
        *(("x", (later, of_later)), ("y", (later, ""))),
    }
    shown = await rules.rule(box, rule, scope=EVERYTHING, actor=ANONYMOUS)
    assert (shown.run, shown.run_done, shown.run_total, shown.labelled) == ("done", 2, 2, 2)
    assert await catch_up(box) == 0


async def test_what_is_corrected_rejected_and_restored_is_looked_at_again(box: Box) -> None:
    who: dict[str, Any] = {"scope": EVERYTHING, "actor": ANONYMOUS}
    study, series, _ = await keep(box, PatientID="P1")
    await make(box, ("PatientID", "P2"))
    await catch_up(box)
    assert await labelled(box) == set()

    value = {"00100020": {"vr": "LO", "Value": ["P2"]}}
    correction = await corrections.correct(box, [study], value, reason="mixed up", **who)
    await catch_up(box)
    assert await labelled(box) == {("x", (study, series))}
    await keep(box, of_study=study, series=series, PatientID="P1")
    await catch_up(box)
    assert await labelled(box) == {("x", (study, series))}

    act = await reject(box, RejectTarget(study_uid=study), Why(reason="113001"), **who)
    await catch_up(box)
    await restore(box, act.id, **who)
    await catch_up(box)
    assert await labelled(box) == {("x", (study, series))}

    await corrections.undo(box, correction, **who)
    await catch_up(box)
    assert await labelled(box) == set()


async def test_all_conditions_must_hold_of_one_instance_but_of_any_one(box: Box) -> None:
    study, series, _ = await keep(box, ImageType=["ORIGINAL"], InstanceNumber=1)
    await keep(box, of_study=study, series=series, ImageType=["DERIVED"], InstanceNumber=2)
    await make(box, ("ImageType", "DERIVED"), ("InstanceNumber", "1"), label="none")
    await make(box, ("ImageType", "DERIVED"), ("InstanceNumber", "2"), label="one")

    await catch_up(box)

    assert await labelled(box) == {("one", (study, series))}


async def test_what_an_instance_lacks_is_not_taken_from_the_others(box: Box) -> None:
    study, series, _ = await keep(box, StationName="A")
    await keep(box, of_study=study, series=series, BodyPartExamined="HIP")
    await make(box, ("StationName", "A"), ("BodyPartExamined", "HIP"), label="both")
    await make(box, ("StationName", '""'), ("BodyPartExamined", "HIP"), label="without")

    await catch_up(box)

    assert await labelled(box) == {("without", (study, series))}


@pytest.mark.dicom("PS3.4 C.2.2.2")
@pytest.mark.parametrize(
    ("pair", "holds"),
    [
        (("PatientName", "doe*"), True),
        (("PatientName", "roe*"), False),
        (("StudyDate", "20260101-20260131"), True),
        (("StudyDate", "-20251231"), False),
        (("00080060", "MR\\CT"), True),
        (("AccessionNumber", '""'), False),
        (("RequestAttributesSequence.RequestedProcedureID", "RP?"), True),
        (("RequestAttributesSequence.RequestedProcedureID", "XP?"), False),
        (("00091001:ACME 1.0", "special"), True),
        (("00091001:OTHER", "special"), False),
        (("source", "stow:*"), True),
        (("source", "import:*"), False),
        (("Rows", "4"), True),
        (("SliceThickness", "2.50"), True),
    ],
)
async def test_conditions_are_matched_as_searches_are(box: Box, pair: tuple[str, str], holds: bool) -> None:
    from pydicom.dataset import Dataset

    request = Dataset()
    request.RequestedProcedureID = "RP1"
    dataset = make_dataset(RequestAttributesSequence=[request], SliceThickness="2.5")
    dataset.private_block(0x0009, "ACME 1.0", create=True).add_new(1, "LO", "special")
    await store(box, await receive(box, pieces(part10(dataset))), source="stow:ann", actor=SYSTEM)
    await make(box, pair)

    await catch_up(box)

    assert bool(await labelled(box)) is holds


@pytest.mark.parametrize(
    "pairs",
    [
        (),
        (("Nonsense", "x"),),
        (("Modality", ""),),
        (("Modality", "*"),),
        (("StudyDate", "yesterday"),),
        (("ModalitiesInStudy", "CT"),),
        (("Labels", "x"),),
        (("source", ""),),
        (("Modality", "C" * 2000),),
        (CT[0],) * 21,
    ],
)
async def test_conditions_that_cannot_be_meant_are_refused(
    box: Box, pairs: tuple[tuple[str, str], ...]
) -> None:
    with pytest.raises(BadRequest):
        await make(box, *pairs)


async def test_a_rule_and_a_hand_never_touch_what_the_other_gave(box: Box) -> None:
    study, series, _ = await keep(box)
    await labelling.change(box, [(study, series)], add=["x"], scope=EVERYTHING, actor=ANONYMOUS)
    rule = await make(box, *CT)
    await catch_up(box)
    assert await labelled(box) == await labelled(box, by_hand=True) == {("x", (study, series))}
    held = await given_labels.of_studies(box, [study], scope=EVERYTHING, actor=ANONYMOUS)
    ((one,),) = held.values()
    assert (one.by_hand, [rule_id for rule_id, _ in one.rules]) == (True, [rule])

    changed = await labelling.change(box, [(study, series)], remove=["x"], scope=EVERYTHING, actor=ANONYMOUS)
    assert (changed.removed, changed.kept) == (1, 1)
    assert (await labelled(box), await labelled(box, by_hand=True)) == ({("x", (study, series))}, set())

    await labelling.change(box, [(study, series)], add=["x"], scope=EVERYTHING, actor=ANONYMOUS)
    await rules.delete(box, rule, scope=EVERYTHING, actor=ANONYMOUS)
    await catch_up(box)
    assert (await labelled(box), await labelled(box, by_hand=True)) == (set(), {("x", (study, series))})
    assert await rules.every(box, scope=EVERYTHING, actor=ANONYMOUS) == []


async def test_a_changed_rule_takes_away_what_is_no_longer_true(box: Box) -> None:
    await keep(box, Modality="CT")
    study, _, _ = await keep(box, Modality="MR")
    rule = await make(box, *CT)
    await catch_up(box)

    wanted = Wanted(name="r", conditions=(("Modality", "MR"),), level="study", label="new")
    await rules.change(box, rule, wanted, scope=EVERYTHING, actor=ANONYMOUS)
    await catch_up(box)
    assert await labelled(box) == {("new", (study, ""))}

    await rules.switch(box, rule, enabled=False, scope=EVERYTHING, actor=ANONYMOUS)
    await catch_up(box)
    assert await labelled(box) == set()
    await keep(box, Modality="MR")
    assert await catch_up(box) == 0

    await rules.switch(box, rule, enabled=True, scope=EVERYTHING, actor=ANONYMOUS)
    await catch_up(box)
    assert len(await labelled(box)) == 2


async def test_a_removed_instance_takes_the_label_it_alone_gave(box: Box) -> None:
    study, series, first = await keep(box, InstanceNumber=1)
    await keep(box, of_study=study, series=series, InstanceNumber=2)
    await make(box, ("InstanceNumber", "1"), level="study")
    await catch_up(box)
    assert await labelled(box) == {("x", (study, ""))}

    await remove.remove(box, study, series, first, scope=EVERYTHING, actor=ANONYMOUS)
    await catch_up(box)

    assert await labelled(box) == set()


async def test_a_long_series_is_looked_through_until_one_matches(
    box: Box, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dicomweb_box.archive.rule_truth._STEP", 2)
    study, series, _ = await keep(box, InstanceNumber=1)
    for number in range(2, 8):
        await keep(box, of_study=study, series=series, InstanceNumber=number)
    await make(box, ("InstanceNumber", "7"))
    await make(box, ("InstanceNumber", "8"), label="y")

    await catch_up(box)

    assert await labelled(box) == {("x", (study, series))}


async def test_a_run_goes_in_bounded_pieces_and_goes_on_where_it_was(
    box: Box, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rule_runs, "_STUDIES", 2)
    for _ in range(5):
        await keep(box)
    rule = await make(box, *CT)

    for _ in range(3):
        await rule_runs.step(box)
    halfway = await rules.rule(box, rule, scope=EVERYTHING, actor=ANONYMOUS)
    assert (halfway.run, halfway.run_done, halfway.run_total, halfway.labelled) == ("running", 4, 5, 4)

    done = await rule_runs.run_to_end(box, halfway)
    assert (done.run, done.run_done) == ("done", 5)
    assert len(await labelled(box)) == 5


async def test_two_who_work_on_one_run_do_its_pieces_once(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rule_runs, "_STUDIES", 1)
    for _ in range(4):
        await keep(box)
    rule = await rules.rule(box, await make(box, *CT), scope=EVERYTHING, actor=ANONYMOUS)

    one, two = await asyncio.gather(rule_runs.run_to_end(box, rule), rule_runs.run_to_end(box, rule))

    assert one.run == two.run == "done"
    assert await box.database.fetch_value("select count(*) from change where kind = 'labelled'") == 4


async def test_a_rule_that_changes_while_its_piece_is_computed_wins(
    box: Box, monkeypatch: pytest.MonkeyPatch
) -> None:
    await keep(box)
    rule = await make(box, *CT)
    await rule_runs.step(box)
    stale = await rules.rule(box, rule, scope=EVERYTHING, actor=ANONYMOUS)
    wanted = Wanted(name="r", conditions=(("Modality", "MR"),), level="series", label="x")
    await rules.change(box, rule, wanted, scope=EVERYTHING, actor=ANONYMOUS)

    await rule_runs.run_piece(box, stale)
    assert await labelled(box) == set()
    await catch_up(box)
    assert await labelled(box) == set()


async def test_labels_of_rules_outlive_a_rebuilt_index_and_are_gone_through_again(box: Box) -> None:
    study, series, _ = await keep(box)
    rule = await make(box, *CT)
    await catch_up(box)

    await reindex.reindex(box)

    assert await labelled(box) == {("x", (study, series))}
    assert (await rules.rule(box, rule, scope=EVERYTHING, actor=ANONYMOUS)).run == "waiting"
    await catch_up(box)
    assert await labelled(box) == {("x", (study, series))}


async def test_a_label_that_a_rule_gives_is_not_deleted(box: Box) -> None:
    rule = await make(box, *CT)
    (label,) = await labels.every(box, scope=EVERYTHING, actor=ANONYMOUS)

    with pytest.raises(Conflict):
        await labels.delete(box, label.id, scope=EVERYTHING, actor=ANONYMOUS)
    await rules.delete(box, rule, scope=EVERYTHING, actor=ANONYMOUS)
    await catch_up(box)
    await labels.delete(box, label.id, scope=EVERYTHING, actor=ANONYMOUS)


async def test_names_are_unique_and_unknown_rules_not_found(box: Box) -> None:
    wanted = Wanted(name=" My  rule ", conditions=CT, level="series", label="x")
    rule = await rules.make(box, wanted, scope=EVERYTHING, actor=ANONYMOUS)
    assert (await rules.rule(box, rule, scope=EVERYTHING, actor=ANONYMOUS)).name == "My rule"

    with pytest.raises(Conflict):
        await rules.make(box, wanted, scope=EVERYTHING, actor=ANONYMOUS)
    await rules.change(box, rule, wanted, scope=EVERYTHING, actor=ANONYMOUS)
    with pytest.raises(NotFound):
        await rules.change(box, "nothing", wanted, scope=EVERYTHING, actor=ANONYMOUS)
    with pytest.raises(Forbidden):
        await rules.every(box, scope=Scope(sources=frozenset()), actor=ANONYMOUS)
    await rules.delete(box, rule, scope=EVERYTHING, actor=ANONYMOUS)
    with pytest.raises(NotFound):
        await rules.delete(box, rule, scope=EVERYTHING, actor=ANONYMOUS)
    await rules.make(box, wanted, scope=EVERYTHING, actor=ANONYMOUS)


async def test_a_preview_tells_how_many_it_would_be(box: Box) -> None:
    for modality in ("CT", "CT", "MR"):
        await keep(box, Modality=modality)

    whole = await rule_runs.preview(box, CT, "series", scope=EVERYTHING)
    part = await rule_runs.preview(box, CT, "study", scope=EVERYTHING, most=2)

    assert (whole.matches, whole.studies, whole.more) == (2, 3, False)
    assert (part.studies, part.more) == (2, True)
    assert await labelled(box) == set()
