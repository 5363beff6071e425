"""What becomes of an object that is offered for storage."""

import asyncio
import hashlib
from typing import Any

import orjson
import pytest

from dicomweb_box.accounts.access import ANONYMOUS, EVERYTHING
from dicomweb_box.archive import ingest, query, remove
from dicomweb_box.archive.ingest import Expected
from dicomweb_box.archive.outcomes import Outcome, Refused, Stored
from dicomweb_box.archive.reindex import reindex
from dicomweb_box.box import Box
from dicomweb_box.dicom.matching import from_parameters
from dicomweb_box.errors import Conflict, FailureReason, NotFound
from tests.builders import make_dataset, make_instance, new_uid, part10, pieces


async def store(box: Box, data: bytes, *, source: str = "test", **more: Any) -> Outcome:
    received = await ingest.receive(
        box, pieces(data), most_memory=more.pop("most_memory", ingest.MOST_MEMORY)
    )
    return await ingest.store(box, received, source=source, actor=ANONYMOUS, **more)


async def rows(box: Box, sql: str, **params: Any) -> list[Any]:
    return await box.database.fetch_all(sql, params)


async def one(box: Box, sql: str, **params: Any) -> Any:
    return await box.database.fetch_value(sql, params)


async def served(box: Box, instance_uid: str) -> bytes:
    key = await one(
        box, "select blob_key from instance where instance_uid = :uid and state = 'current'", uid=instance_uid
    )
    with box.blobs.open(key) as blob:
        return blob.pread(0, blob.size)


async def test_it_keeps_what_arrived_bit_for_bit_and_indexes_it(box: Box) -> None:
    data = make_instance(instance="1.2.3", PatientID="P7")

    outcome = await store(box, data)

    assert isinstance(outcome, Stored)
    assert await served(box, "1.2.3") == data
    assert await one(box, "select sha256 from instance") == hashlib.sha256(data).digest()
    assert await one(box, "select patient_id from study") == "P7"
    assert await one(box, "select modalities from study") == "CT"
    assert await one(box, "select instance_count from study") == 1


async def test_it_spools_what_is_large_and_keeps_it_the_same(box: Box) -> None:
    data = make_instance(instance="1.2.3", Rows=1024, Columns=1024, PixelData=bytes(2 * 1024 * 1024))

    outcome = await store(box, data, most_memory=1 << 16)

    assert isinstance(outcome, Stored)
    assert await served(box, "1.2.3") == data
    assert await one(box, "select sha256 from instance") == hashlib.sha256(data).digest()
    assert isinstance(again := await store(box, data), Stored)
    assert again.already


async def test_it_answers_a_second_copy_as_success_without_a_second_row(box: Box) -> None:
    data = make_instance()

    await store(box, data)
    again = await store(box, data)

    assert isinstance(again, Stored)
    assert again.already
    assert await one(box, "select count(*) from instance") == 1
    assert len(list(box.blobs.keys())) == 1


async def test_file_meta_does_not_make_another_object(box: Box) -> None:
    ds = make_dataset()
    await store(box, part10(ds, source_ae="ONE"))

    again = await store(box, part10(ds, source_ae="ANOTHER"), source="elsewhere")

    assert isinstance(again, Stored)
    assert again.already
    assert len(list(box.blobs.keys())) == 1


async def test_a_digest_alone_does_not_make_two_objects_the_same(box: Box) -> None:
    ds = make_dataset(instance="1.2.3")
    await store(box, part10(ds))
    ds.PatientID = "P2"
    await box.database.write(
        lambda w: w.execute("update instance set dataset_digest = :d", {"d": _digest_of(ds)})
    )

    outcome = await store(box, part10(ds))

    assert isinstance(outcome, Stored)
    assert outcome.replaced
    assert await served(box, "1.2.3") == part10(ds)


def _digest_of(ds: Any) -> bytes:
    import xxhash

    from dicomweb_box.dicom.header import read_header

    data = part10(ds)
    return xxhash.xxh3_128_digest(data[read_header(data).dataset_offset :])


@pytest.mark.parametrize("policy", ["same-source", "keep-first", "replace"])
@pytest.mark.parametrize("source", ["first", "second"])
async def test_other_bytes_under_a_known_uid_follow_the_policy(
    make_box: Any, policy: str, source: str
) -> None:
    async with make_box(duplicates=policy) as box:
        first = make_dataset(instance="1.2.3", PatientID="P1")
        other = make_dataset(
            instance="1.2.3", PatientID="P2", study=first.StudyInstanceUID, series=first.SeriesInstanceUID
        )
        await store(box, part10(first), source="first")

        outcome = await store(box, part10(other), source=source)

        replaces = policy == "replace" or (policy == "same-source" and source == "first")
        assert await served(box, "1.2.3") == part10(other if replaces else first)
        assert await one(box, "select patient_id from study") == ("P2" if replaces else "P1")
        assert await one(box, "select instance_count from study") == 1
        if replaces:
            assert isinstance(outcome, Stored)
            assert outcome.replaced
            assert await one(box, "select count(*) from instance where state = 'earlier'") == 1
        else:
            assert isinstance(outcome, Refused)
            assert outcome.reason is FailureReason.DUPLICATE_INSTANCE
            assert outcome.held
            assert await one(box, "select count(*) from instance where state = 'held'") == 1
        # Either way both are kept.
        assert len(list(box.blobs.keys())) == 2


async def test_a_held_object_sent_again_is_held_once(box: Box) -> None:
    first = make_dataset(instance="1.2.3", PatientID="P1")
    await store(box, part10(first), source="first")
    other = make_instance(instance="1.2.3", PatientID="P2")

    outcomes = [await store(box, other, source="second") for _ in range(2)]

    assert [isinstance(o, Refused) and o.held for o in outcomes] == [True, True]
    assert await one(box, "select count(*) from instance where state = 'held'") == 1
    assert len(list(box.blobs.keys())) == 2


async def test_a_replaced_object_may_move_to_another_study(box: Box) -> None:
    await store(box, make_instance(instance="1.2.3", study="1.2.3.1"))

    outcome = await store(box, make_instance(instance="1.2.3", study="1.2.3.2"))

    assert isinstance(outcome, Stored)
    assert [r["study_uid"] for r in await rows(box, "select study_uid from study")] == ["1.2.3.2"]
    assert await one(box, "select sum(study_count) from study_day") == 1


@pytest.mark.parametrize("order", [(0, 1, 2, 3, 4), (4, 3, 2, 1, 0), (2, 0, 4, 1, 3)])
async def test_where_instances_disagree_the_most_frequent_value_is_served_in_any_order(
    box: Box, order: tuple[int, ...]
) -> None:
    study, series = new_uid(), new_uid()
    names = ["Chest", "Thorax", "Thorax", "Chest", None]
    objects = [
        make_instance(
            study=study,
            series=series,
            instance=f"1.2.{n}",
            StudyDescription=name,
            InstanceNumber=n,
            SeriesNumber=n,
        )
        for n, name in enumerate(names)
    ]

    for position in order:
        await store(box, objects[position])

    # Two each: the tie goes to the value of the lowest SOP Instance UID; none has no vote.
    assert await one(box, "select study_description from study") == "Chest"
    assert await one(box, "select disagreement from study") == "00081030"
    assert await one(box, "select series_number from series") == 0
    assert await one(box, "select sum(instance_count) from study_vote") == 4


async def test_removal_takes_a_vote_away(box: Box) -> None:
    study, series = new_uid(), new_uid()
    for n, name in enumerate(["Chest", "Thorax", "Thorax"]):
        await store(
            box, make_instance(study=study, series=series, instance=f"1.2.{n}", StudyDescription=name)
        )

    await remove.remove(box, study, series, "1.2.1", scope=EVERYTHING, actor=ANONYMOUS)

    assert await one(box, "select study_description from study") == "Chest"
    assert await one(box, "select instance_count from study") == 2
    await remove.remove(box, study, series, "1.2.0", scope=EVERYTHING, actor=ANONYMOUS)
    assert await one(box, "select study_description from study") == "Thorax"
    assert await one(box, "select disagreement from study") == ""


async def test_nothing_is_removed_where_more_has_come_than_was_confirmed(box: Box) -> None:
    await store(box, make_instance(study="1.2.3"))
    await store(box, make_instance(study="1.2.3"))

    with pytest.raises(Conflict):
        await remove.remove(box, "1.2.3", scope=EVERYTHING, actor=ANONYMOUS, most=1)

    assert await one(box, "select count(*) from instance where state = 'current'") == 2


async def test_removing_the_last_instance_leaves_nothing_but_the_feed(box: Box) -> None:
    await store(box, make_instance(study="1.2.3"))

    removed = await remove.remove(box, "1.2.3", scope=EVERYTHING, actor=ANONYMOUS)
    drained = await remove.drain_removals(box)

    assert (removed, drained) == (1, 1)
    for table in (
        "study",
        "series",
        "instance",
        "study_vote",
        "series_vote",
        "study_modality",
        "blob_removal",
    ):
        assert await one(box, f"select count(*) from {table}") == 0, table
    assert list(box.blobs.keys()) == []
    assert [r["kind"] for r in await rows(box, "select kind from change order by id")] == [
        "stored",
        "removed",
    ]
    with pytest.raises(NotFound):
        await remove.remove(box, "1.2.3", scope=EVERYTHING, actor=ANONYMOUS)


async def test_a_series_made_anew_does_not_read_with_its_former_dictionary(box: Box) -> None:
    study, series = new_uid(), new_uid()
    for n in range(3):
        await store(box, make_instance(study=study, series=series, InstanceNumber=n))
    await remove.remove(box, study, scope=EVERYTHING, actor=ANONYMOUS)

    for n in range(3):
        assert isinstance(
            await store(box, make_instance(study=study, series=series, InstanceNumber=n, PatientID="P9")),
            Stored,
        )

    assert await _metadata_of_all(box) == {"P9"}


async def _metadata_of_all(box: Box) -> set[str]:
    from dicomweb_box.archive import series_dictionary

    found = set()
    for row in await rows(
        box,
        "select metadata, metadata_dictionary, dictionary from instance join series on series.id = series_id",
    ):
        dictionary = series_dictionary.load(row["dictionary"]) if row["metadata_dictionary"] else None
        json = orjson.loads(series_dictionary.decompress(row["metadata"], dictionary))
        found.add(json["00100020"]["Value"][0])
    return found


async def test_many_at_once_share_commits_and_all_are_counted(box: Box) -> None:
    study, series = new_uid(), new_uid()
    objects = [make_instance(study=study, series=series, InstanceNumber=n) for n in range(60)]

    outcomes = await asyncio.gather(*(store(box, data) for data in objects + objects[:20]))

    assert all(isinstance(outcome, Stored) for outcome in outcomes)
    assert sum(outcome.already for outcome in outcomes if isinstance(outcome, Stored)) == 20
    assert await one(box, "select instance_count from study") == 60
    assert await one(box, "select instance_count from series_source") == 60
    assert await one(box, "select sum(size) from instance") == await one(box, "select size from study")
    assert await one(box, "select count(*) from change") == 60


async def test_it_refuses_what_is_no_instance_and_names_what_is_wrong(box: Box) -> None:
    no_uid = make_dataset()
    del no_uid.SeriesInstanceUID

    for data, words in [(b"", "empty"), (b"hello, world" * 100, ""), (part10(no_uid), "Series Instance UID")]:
        outcome = await store(box, data)

        assert isinstance(outcome, Refused)
        assert words.lower() in outcome.message.lower()
        assert outcome.sha256 == hashlib.sha256(data).hexdigest()
    assert list(box.blobs.keys()) == []


async def test_it_refuses_an_instance_of_another_study_than_the_request_names(box: Box) -> None:
    outcome = await store(box, make_instance(study="1.2.3"), expected=Expected(study_uid="1.2.4"))

    assert isinstance(outcome, Refused)
    assert outcome.reason is FailureReason.DATA_SET_DOES_NOT_MATCH
    assert list(box.blobs.keys()) == []


async def test_a_full_disk_is_an_answer_and_leaves_nothing_behind(box: Box, monkeypatch: Any) -> None:
    from dicomweb_box.errors import OutOfResources

    def full(key: str, parts: Any) -> None:
        raise OutOfResources("the disk is full")

    monkeypatch.setattr(box.blobs, "put", full)

    outcome = await store(box, make_instance())

    assert isinstance(outcome, Refused)
    assert outcome.reason is FailureReason.OUT_OF_RESOURCES


async def test_a_file_without_part_10_header_gets_one_and_keeps_its_data_set(box: Box) -> None:
    data = make_instance(instance="1.2.3")
    from dicomweb_box.dicom.header import read_header

    dataset = data[read_header(data).dataset_offset :]

    outcome = await store(box, dataset)
    large = await store(box, dataset, most_memory=16)

    assert isinstance(outcome, Stored)
    assert isinstance(large, Stored)
    assert large.already
    kept = await served(box, "1.2.3")
    assert kept[128:132] == b"DICM"
    assert kept.endswith(dataset)
    assert await one(box, "select sha256 from instance") == hashlib.sha256(kept).digest()


async def test_a_sender_that_breaks_off_leaves_no_spool_file(box: Box) -> None:
    async def breaking() -> Any:
        yield bytes(3 << 20)
        raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        await ingest.receive(box, breaking())

    assert [path for path in box.settings.data.rglob("*") if path.is_file() and "incoming" in str(path)] == []


async def test_a_blob_that_reindex_met_before_its_store_committed_is_not_its_own_twin(box: Box) -> None:
    data = make_instance(instance="1.2.3")
    original = box.blobs.put

    def put_and_be_overtaken(key: str, parts: Any) -> None:
        original(key, parts)
        asyncio.run_coroutine_threadsafe(reindex(box), loop).result(30)

    loop = asyncio.get_running_loop()
    box.blobs.put = put_and_be_overtaken  # type: ignore[method-assign]
    outcome = await store(box, data)

    assert isinstance(outcome, Stored)
    assert await served(box, "1.2.3") == data
    assert await one(box, "select count(*) from instance") == 1
    assert await one(box, "select instance_count from study") == 1


async def test_a_commit_that_is_repeated_because_its_answer_was_lost_keeps_the_blob(box: Box) -> None:
    from dicomweb_box.archive import index

    data = make_instance(instance="1.2.3")
    apply, calls = index.apply, 0

    async def commit_but_lose_the_answer(w: Any, arrivals: Any) -> Any:
        nonlocal calls
        calls += 1
        results = await apply(w, arrivals)
        if calls == 1:
            await apply(w, arrivals)  # the same arrivals again, as a retry after an unseen commit does
        return results

    index.apply = commit_but_lose_the_answer
    try:
        outcome = await store(box, data)
    finally:
        index.apply = apply

    assert isinstance(outcome, Stored)
    assert await served(box, "1.2.3") == data


async def test_a_deeply_nested_instance_leaves_its_neighbours_searchable(box: Box) -> None:
    study = new_uid()
    await store(box, make_instance(study=study, instance="1.2.3"))
    await store(box, nested(make_instance(study=study, instance="1.2.4"), 600))

    found = await query.search(
        box,
        from_parameters("instance", [("includefield", "all")], {"study": study})[0],
        scope=EVERYTHING,
        actor=ANONYMOUS,
        base="",
    )

    assert len(found.rows) == 2


def nested(data: bytes, levels: int) -> bytes:
    """The instance with Referenced Study Sequence (0008,1110) this many levels deep, in undefined lengths."""
    begin = b"\x08\x00\x10\x11SQ\0\0\xff\xff\xff\xff\xfe\xff\x00\xe0\xff\xff\xff\xff"
    end = b"\xfe\xff\x0d\xe0\0\0\0\0\xfe\xff\xdd\xe0\0\0\0\0"
    at = data.index(b"\x10\x00\x10\x00PN")
    return data[:at] + begin * levels + end * levels + data[at:]


async def test_a_held_version_bars_neither_its_rightful_sender_nor_a_uid_that_is_free_again(box: Box) -> None:
    study, series = new_uid(), new_uid()
    one_, two = (
        make_instance(study=study, series=series, instance="1.2.3", PatientID=patient)
        for patient in ("P1", "P2")
    )
    await store(box, one_, source="first")
    held = await store(box, two, source="second")

    replacing = await store(box, two, source="first")
    await remove.remove(box, study, scope=EVERYTHING, actor=ANONYMOUS)
    again = await store(box, two, source="second")

    assert isinstance(held, Refused)
    assert isinstance(replacing, Stored)
    assert replacing.replaced
    assert isinstance(again, Stored)
    assert await served(box, "1.2.3") == two
