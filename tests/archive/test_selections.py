"""Studies and series that somebody ticked."""

from datetime import timedelta

import pytest

from dicomweb_box.accounts.access import ANONYMOUS, EVERYTHING, SYSTEM, Scope
from dicomweb_box.archive import selections
from dicomweb_box.archive.ingest import receive, store
from dicomweb_box.archive.outcomes import Stored
from dicomweb_box.archive.reindex import reindex
from dicomweb_box.archive.remove import remove
from dicomweb_box.archive.selections import Members
from dicomweb_box.box import Box
from dicomweb_box.errors import Conflict, NotFound
from tests.builders import make_instance, new_uid, pieces

ALL = {"scope": EVERYTHING, "actor": ANONYMOUS}


async def keep(box: Box, **attributes: object) -> tuple[str, str]:
    received = await receive(box, pieces(make_instance(**attributes)))
    outcome = await store(box, received, source="test", actor=SYSTEM)
    assert isinstance(outcome, Stored)
    return outcome.study_uid, outcome.series_uid


async def test_it_holds_studies_and_series_each_once(box: Box):
    one, two = await keep(box), await keep(box)

    key = await selections.make(box, Members(studies=(one[0],), series=(two,)), **ALL)
    await selections.change(box, key, add=Members(studies=(one[0],), series=(two,)), **ALL)

    assert await selections.members(box, key, **ALL) == Members(studies=(one[0],), series=(two,))


async def test_members_are_taken_out(box: Box):
    one, two = await keep(box), await keep(box)
    key = await selections.make(box, Members(studies=(one[0], two[0]), series=(two,)), **ALL)

    await selections.change(box, key, take_out=Members(studies=(one[0],), series=(two,)), **ALL)

    assert await selections.members(box, key, **ALL) == Members(studies=(two[0],))


@pytest.mark.parametrize("wrong", [Members(studies=("1.2.3",)), Members(series=(("1.2.3", "1.2.4"),))])
async def test_what_is_not_there_cannot_be_selected(box: Box, wrong: Members):
    study, _ = await keep(box)
    key = await selections.make(box, Members(studies=(study,)), **ALL)

    with pytest.raises(NotFound):
        await selections.make(box, wrong, **ALL)
    with pytest.raises(NotFound):
        await selections.change(box, key, add=wrong, **ALL)

    assert (await selections.members(box, key, **ALL)).count == 1


async def test_a_series_is_selected_in_its_own_study_only(box: Box):
    one, two = await keep(box), await keep(box)

    with pytest.raises(NotFound):
        await selections.make(box, Members(series=((one[0], two[1]),)), **ALL)


async def test_what_was_removed_is_left_out(box: Box):
    one, two = await keep(box), await keep(box)
    key = await selections.make(box, Members(studies=(one[0], two[0])), **ALL)

    await remove(box, one[0], **ALL)

    assert (await selections.members(box, key, **ALL)).studies == (two[0],)


async def test_a_scope_sees_only_its_own_part(box: Box):
    one, two = await keep(box), await keep(box)
    key = await selections.make(box, Members(studies=(one[0], two[0]), series=(two,)), **ALL)
    own = Scope(studies=frozenset((one[0],)))

    assert await selections.members(box, key, scope=own, actor=ANONYMOUS) == Members(studies=(one[0],))
    with pytest.raises(NotFound):
        await selections.make(box, Members(studies=(two[0],)), scope=own, actor=ANONYMOUS)
    with pytest.raises(NotFound):
        await selections.members(box, key, scope=Scope(realm="other"), actor=ANONYMOUS)


async def test_it_outlives_a_rebuilt_index(box: Box):
    study, series = await keep(box)
    key = await selections.make(box, Members(studies=(study,), series=((study, series),)), **ALL)

    await reindex(box)

    assert (await selections.members(box, key, **ALL)).count == 2


async def test_a_forgotten_one_is_not_there(box: Box):
    study, _ = await keep(box)
    key = await selections.make(box, Members(studies=(study,)), **ALL)

    await selections.forget(box, key, **ALL)

    for work in (selections.members, selections.forget, selections.change):
        with pytest.raises(NotFound):
            await work(box, key, **ALL)
    assert await box.database.fetch_value("select count(*) from selection_member") == 0


async def test_there_is_a_most(box: Box, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(selections, "MOST_MEMBERS", 1)
    study = new_uid()
    one, two = await keep(box, study=study), await keep(box, study=study)

    with pytest.raises(Conflict, match="at most 1"):
        await selections.make(box, Members(series=(one, two)), **ALL)


async def test_many_are_asked_for_in_parts(box: Box, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(selections, "_AT_ONCE", 2)
    kept = [await keep(box) for _ in range(5)]
    asked = Members(studies=tuple(study for study, _ in kept), series=tuple(kept))

    await selections.require(box, asked, **ALL)
    with pytest.raises(NotFound):
        await selections.require(box, Members(studies=(*asked.studies, "1.2.3")), **ALL)


async def test_what_nobody_used_for_long_is_swept(make_box):
    async with make_box() as box:
        study, _ = await keep(box)
        old = await selections.make(box, Members(studies=(study,)), **ALL)
        later = box.clock() + selections.KEPT_FOR - timedelta(minutes=1)
        object.__setattr__(box, "clock", lambda: later)
        new = await selections.make(box, Members(studies=(study,)), **ALL)
        object.__setattr__(box, "clock", lambda: later + timedelta(minutes=2))

        assert await selections.sweep(box) == 1

        assert (await selections.members(box, new, **ALL)).count == 1
        with pytest.raises(NotFound):
            await selections.members(box, old, **ALL)
