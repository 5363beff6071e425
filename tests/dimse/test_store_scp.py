"""What is answered to C-STORE, and what is then kept."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
from pydicom.uid import CTImageStorage

from dicomweb_box.accounts.access import SYSTEM
from dicomweb_box.accounts.audit_reads import reads
from dicomweb_box.archive import ingest, searchable
from dicomweb_box.box import Box
from dicomweb_box.dimse import store_scp
from dicomweb_box.errors import OutOfResources
from dicomweb_box.outbound import arrivals, peers
from dicomweb_box.outbound.particulars import Particulars
from dicomweb_box.outbound.services import Service
from dicomweb_box.upper_layer.errors import Aborted
from tests.builders import make_dataset, make_instance, new_uid, part10
from tests.conftest import MakeBox
from tests.dimse.doors import EXPLICIT, VERIFICATION, call, dataset_of, echo, serving, store, store_bytes
from tests.waiting import turned

CT = (CTImageStorage, EXPLICIT)


@pytest.fixture
async def port(box: Box) -> AsyncIterator[int]:
    """Where the box is served."""
    async with serving(box) as door:
        yield door.port


async def rows(box: Box) -> list[Any]:
    return await box.database.fetch_all(
        "select instance_uid, state, source, blob_key from instance order by instance_uid", {}
    )


async def kept(box: Box, instance_uid: str) -> bytes:
    key = await box.database.fetch_value(
        "select blob_key from instance where instance_uid = :uid and state = 'current'", {"uid": instance_uid}
    )
    with box.blobs.open(key) as blob:
        return blob.pread(0, blob.size)


@pytest.mark.dicom("PS3.4 B.2.3")
async def test_a_stored_instance_is_answered_0000_with_its_uids_once_it_is_there(box: Box, port: int) -> None:
    instance = make_instance(instance="1.2.3")
    association = await call(port, CT)

    answer = await store(association, instance)

    assert (answer.Status, answer.CommandField) == (0x0000, 0x8001)
    assert (answer.AffectedSOPClassUID, answer.AffectedSOPInstanceUID) == (CTImageStorage, "1.2.3")
    assert "ErrorComment" not in answer
    assert dataset_of(await kept(box, "1.2.3")) == dataset_of(instance)
    assert [row["source"] for row in await rows(box)] == ["dimse:MODALITY1"]
    await association.release()


async def test_a_large_data_set_goes_to_a_file_while_it_arrives_and_is_the_same(
    box: Box, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    instance = make_instance(instance="1.2.3", Rows=2048, Columns=2048, PixelData=bytes(8 << 20))
    made: list[int] = []
    spool = box.blobs.spool
    monkeypatch.setattr(box.blobs, "spool", lambda: made.append(1) or spool())
    association = await call(port, CT)

    assert (await store(association, instance)).Status == 0

    assert made == [1]
    assert dataset_of(await kept(box, "1.2.3")) == dataset_of(instance)
    await association.release()


async def test_where_many_store_at_once_each_holds_less(
    box: Box, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_scp, "MOST_IN_MEMORY", 0)
    told: list[int] = []
    receive = ingest.receive

    async def listening(box: Box, chunks: Any, *, most_memory: int) -> Any:
        told.append(most_memory)
        return await receive(box, chunks, most_memory=most_memory)

    monkeypatch.setattr(arrivals, "receive", listening)
    instance = make_instance(instance="1.2.3", Rows=512, Columns=512, PixelData=bytes(512 << 10))
    association = await call(port, CT)

    assert (await store(association, instance)).Status == 0

    assert told == [store_scp.LITTLE_MEMORY]
    assert dataset_of(await kept(box, "1.2.3")) == dataset_of(instance)
    await association.release()


@pytest.mark.parametrize(
    ("told", "status", "words"),
    [
        ({"AffectedSOPInstanceUID": "1.2.4"}, 0xA900, "SOP Instance UID (0008,0018) is not that of the"),
        ({"AffectedSOPClassUID": "1.2.840.10008.5.1.4.1.1.4"}, 0xA900, "SOP Class UID (0008,0016) is not"),
        ({"AffectedSOPInstanceUID": "1.2.x"}, 0x0117, "Affected SOP Instance UID is no UID"),
        ({"AffectedSOPInstanceUID": None}, 0x0117, "Affected SOP Instance UID is no UID"),
        ({"AffectedSOPClassUID": None}, 0x0122, "Affected SOP Class UID is no UID"),
    ],
)
@pytest.mark.dicom("PS3.7 9.1.1.1")
async def test_what_the_command_says_must_be_so(
    box: Box, port: int, told: dict[str, Any], status: int, words: str
) -> None:
    association = await call(port, CT)

    answer = await store(association, make_instance(instance="1.2.3"), **told)

    assert answer.Status == status
    assert answer.ErrorComment.startswith(words)
    assert len(answer.ErrorComment) <= 64
    assert await rows(box) == []
    assert list(box.blobs.keys()) == []
    # It goes on as if nothing had been.
    assert (await store(association, make_instance(instance="1.2.3"))).Status == 0
    await association.release()


async def test_no_data_set_and_one_that_is_none_cannot_be_understood(box: Box, port: int) -> None:
    association = await call(port, CT)
    told = {"AffectedSOPClassUID": CTImageStorage, "AffectedSOPInstanceUID": "1.2.3"}

    for data in (None, b"", b"hello, world" * 100):
        answer = await store_bytes(association, data, **told)

        assert answer.Status == 0xC000
        assert answer.ErrorComment
    assert await rows(box) == []
    await association.release()


async def test_a_data_set_without_its_study_does_not_match_its_class(box: Box, port: int) -> None:
    lacking = make_dataset(instance="1.2.3")
    del lacking.StudyInstanceUID
    association = await call(port, CT)

    answer = await store(association, part10(lacking))

    assert answer.Status == 0xA900
    assert "Study Instance UID" in answer.ErrorComment
    await association.release()


async def test_the_same_again_is_a_success_and_other_bytes_of_another_ae_are_held(
    box: Box, port: int
) -> None:
    study, series = new_uid(), new_uid()
    first = make_instance(study=study, series=series, instance="1.2.3")
    other = make_instance(study=study, series=series, instance="1.2.3", SeriesDescription="Other")
    mine, theirs = await call(port, CT), await call(port, CT, calling="MODALITY2")

    assert (await store(mine, first)).Status == 0
    assert (await store(theirs, first)).Status == 0
    refused = await store(theirs, other)

    assert refused.Status == 0x0111
    assert refused.AffectedSOPInstanceUID == "1.2.3"
    assert sorted((row["state"], row["source"]) for row in await rows(box)) == [
        ("current", "dimse:MODALITY1"),
        ("held", "dimse:MODALITY2"),
    ]
    for association in (mine, theirs):
        await association.release()


async def test_a_full_disk_is_out_of_resources_and_trying_again_helps(
    box: Box, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*arguments: Any) -> Any:
        raise OutOfResources("the disk is full")

    association = await call(port, CT)
    small = make_instance(instance="1.2.3")
    large = make_instance(instance="1.2.4", Rows=1024, Columns=1024, PixelData=bytes(2 << 20))
    with monkeypatch.context() as broken:
        broken.setattr(box.blobs, "put", full)
        broken.setattr(box.blobs, "spool", full)
        statuses = [(await store(association, one)).Status for one in (small, large)]

    assert statuses == [0xA700, 0xA700]
    assert [(await store(association, one)).Status for one in (small, large)] == [0, 0]
    await association.release()


async def test_an_archive_that_fails_says_so_and_the_association_goes_on(
    box: Box, port: int, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def broken(*arguments: Any, **more: Any) -> Any:
        raise RuntimeError("Doe^Jane")

    association = await call(port, CT)
    with monkeypatch.context() as patched:
        patched.setattr(arrivals, "store", broken)
        answer = await store(association, make_instance(instance="1.2.3"))

    assert answer.Status == 0x0110
    assert (await store(association, make_instance(instance="1.2.3"))).Status == 0
    assert "Doe" not in caplog.text
    await association.release()


async def test_what_is_not_served_in_its_context_is_refused_by_the_command(box: Box, port: int) -> None:
    association = await call(port, (VERIFICATION, EXPLICIT))

    stored = await store(association, make_instance())
    message = await association.ask_one(
        next(iter(association.contexts.values())),
        {"CommandField": 0x0020, "AffectedSOPClassUID": VERIFICATION},
        b"",
    )

    assert (stored.Status, message.command.Status) == (0x0122, 0x0211)
    assert (await echo(association)).Status == 0
    await association.release()


async def test_an_association_that_breaks_off_leaves_nothing(box: Box, port: int) -> None:
    instance = make_instance(instance="1.2.3", Rows=1024, Columns=1024, PixelData=bytes(4 << 20))
    association = await call(port, CT)

    async def half() -> AsyncIterator[bytes]:
        data = dataset_of(instance)
        yield data[: len(data) // 2]
        await asyncio.sleep(0.1)
        raise ConnectionError

    with contextlib.suppress(ConnectionError, Aborted):
        told = {"AffectedSOPClassUID": CTImageStorage, "AffectedSOPInstanceUID": "1.2.3"}
        await store_bytes(association, half(), **told)
    await association.abort()

    again = await call(port, CT)
    assert (await store(again, make_instance(instance="1.2.5"))).Status == 0
    await again.release()
    assert [row["instance_uid"] for row in await rows(box)] == ["1.2.5"]
    folder = box.settings.data / "spool"
    await turned(lambda: [path for path in folder.rglob("*") if path.is_file()] == [])


async def test_many_associations_share_commits(box: Box, port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    groups: list[int] = []
    apply = searchable._apply

    async def counting(box: Box, w: Any, arrivals: Any) -> Any:
        groups.append(len(arrivals))
        # The others come meanwhile. On SQLite this runs in the writer's thread, without a loop.
        time.sleep(0.05 if len(groups) > 1 else 0.5)
        return await apply(box, w, arrivals)

    monkeypatch.setattr(searchable, "_apply", counting)
    associations = [await call(port, CT) for _ in range(8)]

    answers = await asyncio.gather(*(store(one, make_instance()) for one in associations))

    assert [answer.Status for answer in answers] == [0] * 8
    assert sum(groups) == 8
    assert len(groups) < 8
    for association in associations:
        await association.release()


# Who may


def peer(**told: Any) -> Particulars:
    return Particulars(
        **{
            "name": "ct",
            "ae_title": "MODALITY1",
            "host": "127.0.0.1",
            "port": 11112,
            "may": frozenset({Service.ECHO, Service.STORE}),
            **told,
        }
    )


async def test_a_peer_that_may_not_store_is_told_so_and_it_is_noted(make_box: MakeBox) -> None:
    async with make_box(no_auth=False) as box:
        await peers.add(box, peer(may=frozenset({Service.ECHO})), actor=SYSTEM)
        async with serving(box) as door:
            association = await call(door.port, CT, (VERIFICATION, EXPLICIT))
            answer = await store(association, make_instance())
            assert (await echo(association)).Status == 0
            await association.release()

        assert answer.Status == 0x0124
        assert await rows(box) == []
        await reads(box).write(all_of_it=True)
        noted = await box.database.fetch_all(
            "select actor, action, outcome from audit where action = 'store'", {}
        )
        assert [tuple(row) for row in noted] == [("ct", "store", "refused")]


async def test_what_a_peer_stores_is_told_to_the_audit_as_its_own(make_box: MakeBox) -> None:
    async with make_box(no_auth=False) as box:
        await peers.add(box, peer(), actor=SYSTEM)
        async with serving(box) as door:
            association = await call(door.port, CT)
            assert (await store(association, make_instance(study="1.2.3"))).Status == 0
            await association.release()

        noted = await box.database.fetch_all(
            "select actor, kind, address, study_uid from audit where action = 'store'", {}
        )
        assert [tuple(row) for row in noted] == [("ct", "peer", "127.0.0.1", "1.2.3")]
