"""Rejection, restoring and erasing as rooms decide them."""

import random
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from dicomweb_box.accounts.access import ANONYMOUS, EVERYTHING, SYSTEM, Scope
from dicomweb_box.archive import chores, rejected, retrieve
from dicomweb_box.archive.going import going
from dicomweb_box.archive.ingest import receive, store
from dicomweb_box.archive.outcomes import Outcome, Refused, Stored
from dicomweb_box.archive.query import search
from dicomweb_box.archive.reindex import reindex
from dicomweb_box.archive.reject import Target, Why, reject
from dicomweb_box.archive.remove import drain_removals, remove
from dicomweb_box.archive.restore import restore
from dicomweb_box.box import Box, open_box
from dicomweb_box.dicom.matching import from_parameters
from dicomweb_box.errors import BadRequest, FailureReason, Gone, NotFound
from dicomweb_box.setting_sources import load
from tests.builders import make_instance, new_uid, pieces
from tests.conftest import MakeBox

QUALITY = Why(reason="113001", note="motion")
WHO: dict[str, Any] = {"scope": EVERYTHING, "actor": ANONYMOUS}


async def keep(box: Box, data: bytes, source: str = "test") -> Outcome:
    return await store(box, await receive(box, pieces(data)), source=source, actor=SYSTEM)


async def found(box: Box, level: Any = "study") -> list[bytes]:
    query, _ = from_parameters(level, [("limit", "100")], {})
    return [bytes(row) for row in (await search(box, query, **WHO)).rows]


async def state(box: Box) -> list[Any]:
    """All that the index says, but for row numbers, revisions and times of change."""
    tables = {
        "study": "study_uid, attributes, answer, modalities, series_count, instance_count, size",
        "series": "series_uid, attributes, answer, instance_count, size, disagreement",
        "instance": "instance_uid, state, sha256, source, stored_at, blob_key",
        "study_day": "study_date, study_count",
        "rejected_instance": "instance_uid, study_uid, series_uid, source, size",
    }
    rows = [await box.database.fetch_all(f"select {names} from {table}") for table, names in tables.items()]
    return [sorted(tuple(map(str, row)) for row in one if str(row[-1]) != "0") for one in rows]


async def kinds(box: Box) -> list[str]:
    return [row[0] for row in await box.database.fetch_all("select kind from change order by id")]


async def test_what_is_rejected_is_found_by_nobody_and_comes_back_as_it_was(box: Box) -> None:
    study, series = new_uid(), new_uid()
    for number in range(3):
        await keep(box, make_instance(study=study, series=series, InstanceNumber=number))
    await keep(box, make_instance(study=study, SeriesNumber=2, Modality="SR"))
    before, all_found, was = await state(box), await found(box), await found(box, "instance")

    act = await reject(box, Target(study_uid=study, series_uid=series), QUALITY, **WHO)

    assert act.instances == 3
    assert len(await found(box, "instance")) == 1
    with pytest.raises(Gone):
        await retrieve.instances(box, study, series, **WHO)
    assert [i.series_uid for i in await retrieve.instances(box, study, **WHO)] != [series]

    assert await restore(box, act.id, **WHO) == 3
    assert await state(box) == before
    assert (await found(box), await found(box, "instance")) == (all_found, was)
    assert await kinds(box) == ["stored"] * 4 + ["rejected"] * 3 + ["restored"] * 3
    assert (await rejected.listed(box, **WHO)).rejections == ()


async def test_a_rejected_study_is_gone_and_listed_with_reason_and_end(make_box: MakeBox) -> None:
    async with make_box(reject_retention=7) as box:
        outcome = await keep(box, make_instance(PatientName="Doe^Jane"))
        assert isinstance(outcome, Stored)

        await reject(box, Target(study_uid=outcome.study_uid), QUALITY, **WHO)

        (one,) = (await rejected.listed(box, study_uid=outcome.study_uid, **WHO)).rejections
        assert (one.reason, one.note, one.actor, one.instances) == ("113001", "motion", "anonymous", 1)
        assert datetime.fromisoformat(one.until) - datetime.fromisoformat(one.at) == timedelta(days=7)
        assert one.about["00100010"]["Value"] == [{"Alphabetic": "Doe^Jane"}]
        assert await found(box) == []
        for again in (
            reject(box, Target(study_uid=outcome.study_uid), QUALITY, **WHO),
            remove(box, outcome.study_uid, **WHO),
        ):
            with pytest.raises(Gone):
                await again


async def test_a_rejected_instance_that_is_sent_again_stays_rejected(box: Box) -> None:
    data = make_instance()
    first = await keep(box, data)
    assert isinstance(first, Stored)
    await reject(box, Target(study_uid=first.study_uid), QUALITY, **WHO)

    again = await keep(box, data)

    assert isinstance(again, Refused)
    assert (again.reason, again.held) == (FailureReason.DUPLICATE_INSTANCE, False)
    assert "rejected" in again.message
    assert await found(box) == []
    assert await box.database.fetch_value("select count(*) from instance") == 1


async def test_other_bytes_under_a_rejected_uid_are_held_not_served(box: Box) -> None:
    uids = {"study": new_uid(), "series": new_uid(), "instance": new_uid()}
    await keep(box, make_instance(**uids))
    await reject(box, Target(study_uid=uids["study"]), QUALITY, **WHO)

    other = await keep(box, make_instance(**uids, StudyDescription="Other"))

    assert isinstance(other, Refused)
    assert other.held
    assert "rejected" in other.message
    assert await found(box) == []


async def test_a_new_instance_of_a_rejected_study_is_served(box: Box) -> None:
    study = new_uid()
    await keep(box, make_instance(study=study))
    act = await reject(box, Target(study_uid=study), QUALITY, **WHO)

    late = await keep(box, make_instance(study=study, SeriesNumber=2))

    assert isinstance(late, Stored)
    assert len(await retrieve.instances(box, study, **WHO)) == 1
    await restore(box, act.id, **WHO)
    assert len(await retrieve.instances(box, study, **WHO)) == 2


async def test_rejections_outlive_a_rebuilt_index(box: Box) -> None:
    study = new_uid()
    await keep(box, make_instance(study=study))
    await keep(box, make_instance())
    whole = await state(box)
    act = await reject(box, Target(study_uid=study), QUALITY, **WHO)
    before = await state(box)

    rebuilt = await reindex(box)

    assert rebuilt.unreadable == []
    assert await state(box) == before
    with pytest.raises(Gone):
        await retrieve.instances(box, study, **WHO)
    await restore(box, act.id, **WHO)
    assert await state(box) == whole


@pytest.mark.parametrize("seed", range(6))
async def test_any_order_of_acts_ends_in_the_state_of_the_last_set(box: Box, seed: int) -> None:
    chance = random.Random(seed)
    study = new_uid()
    objects = [
        make_instance(study=study, series=f"{study}.{number % 2}", StudyDescription=f"D{number % 3}")
        for number in range(6)
    ]
    uids = {}
    for data in objects:
        kept = await keep(box, data)
        assert isinstance(kept, Stored)
        uids[kept.instance_uid] = kept.series_uid
    whole = await state(box)
    acts: dict[str, None] = {}
    for _ in range(12):
        if acts and chance.random() < 0.4:
            act = chance.choice(list(acts))
            del acts[act]
            await restore(box, act, **WHO)
        elif chance.random() < 0.2:
            await keep(box, chance.choice(objects))
        elif chance.random() < 0.2:
            await reindex(box)
        else:
            uid = chance.choice(list(uids))
            level = chance.choice((uid, None))
            try:
                act = (
                    await reject(
                        box, Target(study_uid=study, series_uid=uids[uid], instance_uid=level), QUALITY, **WHO
                    )
                ).id
            except Gone:
                continue
            acts[act] = None
    for act in acts:
        await restore(box, act, **WHO)

    assert await state(box) == whole


async def test_the_worker_erases_what_is_past_its_retention(make_database_url: Any, tmp_path: Any) -> None:
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    given = {"data": str(tmp_path / "box"), "database_url": make_database_url(), "reject_retention": 10}
    async with open_box(load(given, {}), clock=lambda: moment) as box:
        study = new_uid()
        for _ in range(2):
            await keep(box, make_instance(study=study))
        await keep(box, make_instance())
        await reject(box, Target(study_uid=study), QUALITY, **WHO)

        assert await rejected.erase_expired(box) == 0
        moment += timedelta(days=11)
        assert await rejected.erase_expired(box) == 2

        assert await rejected.erase_expired(box) == 0
        assert await drain_removals(box) == 2
        with pytest.raises(NotFound) as raised:
            await retrieve.instances(box, study, **WHO)
        assert not isinstance(raised.value, Gone)
        assert len(list(box.blobs.keys())) == 1
        assert (await kinds(box))[-2:] == ["removed", "removed"]
        assert rejected.erase_expired in {step.do for step in chores.STEPS}


async def test_what_would_go_is_counted_with_what_lies_beside_it(box: Box) -> None:
    uids = {"study": new_uid(), "series": new_uid(), "instance": new_uid()}
    await keep(box, make_instance(**uids))
    await keep(box, make_instance(**uids, StudyDescription="Newer"))
    await keep(box, make_instance(**uids, StudyDescription="Foreign"), source="elsewhere")
    await keep(box, make_instance(study=uids["study"]))

    study = Target(study_uid=uids["study"])
    series = Target(study_uid=uids["study"], series_uid=uids["series"])
    counted = await going(box, [study, series], **WHO)

    assert (counted.studies, counted.series, counted.instances) == (1, 2, 2)
    assert (counted.earlier, counted.held) == (1, 1)
    assert counted.size == sum(one.size for one in counted.shown) > 0
    one = await going(box, [series, Target(**{f"{k}_uid": v for k, v in uids.items()})], **WHO)
    assert (one.series, one.instances) == (1, 1)


async def test_what_lies_outside_of_the_scope_is_not_there(box: Box) -> None:
    outcome = await keep(box, make_instance(), source="south")
    assert isinstance(outcome, Stored)
    north: dict[str, Any] = {"scope": Scope(sources=frozenset({"north"})), "actor": ANONYMOUS}
    target = Target(study_uid=outcome.study_uid)

    for one in (reject(box, target, QUALITY, **north), going(box, [target], **north)):
        with pytest.raises(NotFound):
            await one
    act = await reject(box, target, QUALITY, **WHO)
    for again in (restore(box, act.id, **north), rejected.erase(box, act.id, **north)):
        with pytest.raises(NotFound):
            await again
    with pytest.raises(NotFound) as raised:
        await retrieve.instances(box, outcome.study_uid, **north)
    assert not isinstance(raised.value, Gone)
    assert (await rejected.listed(box, **north)).rejections == ()
    south: dict[str, Any] = {"scope": Scope(sources=frozenset({"south"})), "actor": ANONYMOUS}
    assert len((await rejected.listed(box, **south)).rejections) == 1


@pytest.mark.parametrize(("reason", "note"), [("999", ""), ("", ""), ("113001", "x" * 1001)])
def test_a_reason_is_one_of_the_standards(reason: str, note: str) -> None:
    with pytest.raises(BadRequest):
        Why(reason=reason, note=note)
