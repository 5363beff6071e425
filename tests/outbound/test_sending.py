"""Sending studies to a DICOM peer through the queue, against pynetdicom's AE."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pynetdicom import AE, evt

from dicomweb_box.accounts.access import ANONYMOUS, EVERYTHING, SYSTEM
from dicomweb_box.archive.ingest import receive, store
from dicomweb_box.box import Box
from dicomweb_box.outbound import leases, peers, steering, transfers, worker
from dicomweb_box.outbound.enqueueing import Wanted, enqueue_studies
from dicomweb_box.outbound.kinds import HANDLERS
from dicomweb_box.outbound.particulars import Particulars
from dicomweb_box.outbound.transfers import Transfer
from tests.builders import make_instance, new_uid, pieces
from tests.outbound.queueing import CAROL, assert_counted, get


class Receiver:
    """What it got, and what it answers for which one."""

    def __init__(self) -> None:
        self.got: list[str] = []
        self.answers: dict[int, int] = {}
        self.port = 0

    def store(self, event: Any) -> int:
        status = self.answers.get(int(event.dataset.InstanceNumber), 0)
        if status == 0:
            self.got.append(event.dataset.SOPInstanceUID)
        return status


@contextmanager
def receiving() -> Iterator[Receiver]:
    made = Receiver()
    ae = AE("NORTHPACS")
    ae.add_supported_context(CTImageStorage, [ExplicitVRLittleEndian, ImplicitVRLittleEndian])
    server = ae.start_server(("127.0.0.1", 0), block=False, evt_handlers=[(evt.EVT_C_STORE, made.store)])
    made.port = server.socket.getsockname()[1]
    try:
        yield made
    finally:
        server.shutdown()


async def asked(box: Box, there: Receiver, count: int) -> str:
    """The id of a transfer of a study that was stored."""
    told = Particulars(name="north", ae_title="NORTHPACS", host="127.0.0.1", port=there.port)
    await peers.add(box, told, actor=SYSTEM)
    study, series = new_uid(), new_uid()
    for number in range(1, count + 1):
        content = make_instance(study=study, series=series, InstanceNumber=number)
        await store(box, await receive(box, pieces(content)), source="test", actor=ANONYMOUS)
    wanted = Wanted(kind="send", peer="north", actor=CAROL, scope=EVERYTHING)
    return await box.database.write(lambda w: enqueue_studies(w, box, wanted, [study]))


async def sent(box: Box, key: str) -> Transfer:
    while (batch := await leases.claim(box, {"send": 200}, only=key)) is not None:
        await worker.do(box, worker.Desk(box, batch), HANDLERS["send"])
    await assert_counted(box, key)
    return await get(box, key)


async def test_a_study_is_delivered_when_the_peer_said_so_for_each_instance(box: Box) -> None:
    with receiving() as there:
        key = await asked(box, there, 5)

        found = await sent(box, key)

    assert found.state == "delivered"
    assert sorted(there.got) == sorted(item.instance_uid for item in await transfers.items(box, key))


async def test_a_receiver_that_fails_instance_7_of_10_gets_that_one_alone_again(box: Box) -> None:
    with receiving() as there:
        there.answers = {7: 0xC000}
        key = await asked(box, there, 10)
        first = await sent(box, key)
        assert (first.delivered, first.refused) == (9, 1)
        (item,) = await transfers.items(box, key, state="refused")
        assert "C000" in item.reason

        there.answers, before = {}, len(there.got)
        await steering.retry(box, key, scope=EVERYTHING, actor=CAROL)
        second = await sent(box, key)

    assert second.state == "delivered"
    assert there.got[before:] == [item.instance_uid]


async def test_a_receiver_that_is_out_of_resources_is_asked_again_later(box: Box) -> None:
    with receiving() as there:
        there.answers = {2: 0xA700}
        key = await asked(box, there, 3)

        found = await sent(box, key)

    assert (found.state, found.delivered) == ("queued", 2)
    (item,) = await transfers.items(box, key, state="queued")
    assert (item.attempts, "A700" in item.reason) == (1, True)


async def test_a_receiver_that_is_away_costs_no_instance_an_attempt(box: Box) -> None:
    with receiving() as there:
        key = await asked(box, there, 3)

    found = await sent(box, key)

    assert (found.state, found.attempts) == ("queued", 1)
    assert {item.attempts for item in await transfers.items(box, key)} == {0}


async def test_what_was_deleted_before_it_went_has_failed(box: Box) -> None:
    with receiving() as there:
        key = await asked(box, there, 2)
        await box.database.write(
            lambda w: w.execute("update instance set state = 'rejected' where instance_number = 1")
        )

        found = await sent(box, key)

    assert (found.state, found.delivered, found.failed) == ("failed", 1, 1)
