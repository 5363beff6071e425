"""Which instances an actor may retrieve, and where their frames lie."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from dicomweb_box.accounts.access import ANONYMOUS, EVERYTHING, Scope
from dicomweb_box.archive import metadata, remove, retrieve
from dicomweb_box.archive.retrieve import Recent
from dicomweb_box.box import Box
from dicomweb_box.database import Database
from dicomweb_box.errors import NotFound
from tests.builders import make_instance, new_uid
from tests.dicomweb.retrieving import put


async def uids(box: Box, *path: str, scope: Scope = EVERYTHING) -> list[str]:
    found = await retrieve.instances(box, *path, scope=scope, actor=ANONYMOUS)
    return [one.instance_uid for one in found]


async def test_instances_come_in_the_order_of_numbers_then_uids_unnumbered_last(box: Box) -> None:
    study, first, second, third = (new_uid() for _ in range(4))
    series = ((third, None), (second, 10), (first, 9))
    stored = {
        (uid, number): await put(
            box,
            make_instance(study=study, series=uid, SeriesNumber=of_series, InstanceNumber=number),
        )
        for uid, of_series in series
        for number in (None, 10, 2)
    }

    found = await uids(box, study)

    wanted = [stored[uid, number].instance_uid for uid in (first, second, third) for number in (2, 10, None)]
    assert found == wanted
    assert await uids(box, study, second) == wanted[3:6]
    assert await uids(box, study, second, wanted[4]) == [wanted[4]]


@pytest.mark.parametrize(
    ("scope", "visible"),
    [
        (EVERYTHING, True),
        (Scope(sources=frozenset({"stow:one", "stow:two"})), True),
        (Scope(sources=frozenset({"stow:one"})), False),  # the series is also another's
        (Scope(studies=frozenset({"1.2.3"})), False),
        (Scope(studies=frozenset(), sources=frozenset()), False),
        (Scope(realm="elsewhere"), False),
    ],
)
async def test_a_series_is_seen_by_who_may_see_all_its_sources(box: Box, scope: Scope, visible: bool) -> None:
    study, series = new_uid(), new_uid()
    one = await put(box, make_instance(study=study, series=series), source="stow:one")
    await put(box, make_instance(study=study, series=series), source="stow:two")

    async def sees(series_uid: str | None) -> bool:
        try:
            found = await retrieve.one(box, study, series_uid, one.instance_uid, scope=scope, actor=ANONYMOUS)
        except NotFound:
            return False
        return found.instance_uid == one.instance_uid

    assert await sees(series) == await sees(None) == visible
    if visible:
        assert len(await uids(box, study, scope=scope)) == 2
    else:
        with pytest.raises(NotFound):
            await uids(box, study, scope=scope)


async def test_only_the_version_that_is_served_is_retrieved(box: Box) -> None:
    study, series, instance = new_uid(), new_uid(), new_uid()
    names = {"study": study, "series": series, "instance": instance}
    await put(box, make_instance(**names))
    again = make_instance(**names, PatientID="corrected")
    await put(box, again)

    found = await retrieve.one(box, study, series, instance, scope=EVERYTHING, actor=ANONYMOUS)

    assert await uids(box, study) == [instance]
    with box.blobs.open(found.blob_key) as blob:
        assert blob.pread(0, blob.size) == again


async def test_frame_tables_are_read_once(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    stored = await put(box, make_instance())
    names = (stored.study_uid, stored.series_uid, stored.instance_uid)
    found = await retrieve.one(box, *names, scope=EVERYTHING, actor=ANONYMOUS)

    first = await retrieve.frame_table(box, found)

    assert first.count == 1
    assert await retrieve.frame_table(box, found) is first


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The questions that were asked of a database."""
    questions: list[str] = []
    for name in ("fetch_one", "fetch_value", "fetch_all"):
        monkeypatch.setattr(Database, name, _noting(getattr(Database, name), questions))
    return questions


def _noting(ask: Callable[..., Awaitable[Any]], questions: list[str]) -> Callable[..., Awaitable[Any]]:
    async def noting(database: Database, sql: str, *params: Any) -> Any:
        questions.append(sql)
        return await ask(database, sql, *params)

    return noting


async def test_what_a_picture_needs_of_the_index_comes_by_one_question(box: Box, asked: list[str]) -> None:
    stored = await put(box, make_instance(PatientID="P1"))
    names = (stored.study_uid, stored.series_uid, stored.instance_uid)
    asked.clear()

    found = await retrieve.one_with_frames(box, *names, scope=EVERYTHING, actor=ANONYMOUS)
    table, json = await retrieve.frame_table(box, found), await metadata.of_frames(box, found)

    assert len(asked) == 1
    assert table.count == 1
    assert json == await metadata.of_row(box, found.id)
    assert "P1" not in repr(retrieve.told(box, found))


async def test_frames_of_an_instance_known_before_are_not_read_anew(box: Box, asked: list[str]) -> None:
    stored = await put(box, make_instance())
    names = (stored.study_uid, stored.series_uid, stored.instance_uid)
    first = await retrieve.one_with_frames(box, *names, scope=EVERYTHING, actor=ANONYMOUS)
    await put(box, make_instance())
    asked.clear()

    again = await retrieve.one_with_frames(box, *names, scope=EVERYTHING, actor=ANONYMOUS)

    assert again == first
    assert len(asked) == 1
    assert "instance.frames" not in asked[0]


async def test_what_has_no_frames_is_none_to_show(box: Box) -> None:
    stored = await put(box, make_instance(PixelData=None))
    names = (stored.study_uid, stored.series_uid, stored.instance_uid)
    found = await retrieve.one_with_frames(box, *names, scope=EVERYTHING, actor=ANONYMOUS)

    with pytest.raises(NotFound):
        await metadata.of_frames(box, found)


async def test_what_is_remembered_is_bounded_by_weight(box: Box) -> None:
    recent = Recent(box)
    recent.most = 10
    for key in range(4):
        recent.put(key, str(key), 3)
    recent.get(1)
    recent.put(4, "4", 3)
    recent.put(4, "four", 4)

    assert [recent.get(key) for key in range(5)] == [None, "1", None, "3", "four"]
    recent.put("vast", "vast", 1000)
    assert [recent.get(key) for key in (1, 3, 4, "vast")] == [None, None, None, "vast"]


async def test_what_was_removed_or_replaced_is_not_remembered(box: Box) -> None:
    study, series, instance = new_uid(), new_uid(), new_uid()

    async def asked() -> str:
        return (await retrieve.one(box, study, series, instance, scope=EVERYTHING, actor=ANONYMOUS)).blob_key

    await put(box, make_instance(study=study, series=series, instance=instance, PatientID="P1"))
    first = await asked()
    assert await asked() == first

    await put(box, make_instance(study=study, series=series, instance=instance, PatientID="P2"))
    assert await asked() != first

    await remove.remove(box, study, scope=EVERYTHING, actor=ANONYMOUS)
    with pytest.raises(NotFound):
        await asked()
