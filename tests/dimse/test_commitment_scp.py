"""Storage Commitment as SCP: asked by pynetdicom's AE, answered over the same association or a new one."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from pydicom.dataset import Dataset
from pydicom.uid import CTImageStorage, MRImageStorage, generate_uid
from pynetdicom import AE, evt
from pynetdicom.pdu import P_DATA_TF
from pynetdicom.sop_class import StorageCommitmentPushModel as Push

from dicomweb_box.accounts.access import ANONYMOUS, EVERYTHING, SYSTEM
from dicomweb_box.archive.ingest import receive, store
from dicomweb_box.box import Box
from dicomweb_box.dicom.commitment import Asked, Reference
from dicomweb_box.outbound import commitments, leases, peers, steering, transfers, worker
from dicomweb_box.outbound.commitments import INSTANCE
from dicomweb_box.outbound.kinds import HANDLERS
from dicomweb_box.outbound.particulars import Particulars
from dicomweb_box.outbound.transfers import Transfer
from tests.builders import make_instance, new_uid, pieces
from tests.dimse.doors import serving

TITLE = "MODALITY1"


@dataclass
class Modality:
    """Asks for commitment and hears reports, in threads of its own."""

    heard: list[tuple[int, Dataset]] = field(default_factory=list)
    told: threading.Event = field(default_factory=threading.Event)
    responded: threading.Event = field(default_factory=threading.Event)
    status: int = 0
    port: int = 0

    def report(self, event: Any) -> tuple[int, None]:
        self.heard.append((event.event_type, event.event_information))
        self.told.set()
        return self.status, None

    def sent(self, event: Any) -> None:
        """What goes out once it was told is its response."""
        if self.told.is_set() and isinstance(event.pdu, P_DATA_TF):
            self.responded.set()

    def ask(
        self, port: int, *instances: tuple[str, str], wait: bool, transaction: str = "", **wrong: Any
    ) -> int:
        """The status of N-ACTION; with `wait` the association stays open for the report."""
        ae = AE(TITLE)
        ae.add_requested_context(Push)
        handlers = [(evt.EVT_N_EVENT_REPORT, self.report), (evt.EVT_PDU_SENT, self.sent)]
        made = ae.associate("127.0.0.1", port, ae_title="DICOMWEB_BOX", evt_handlers=handlers)
        assert made.is_established
        asked = _asked(transaction or generate_uid(), *instances)
        for keyword in wrong.pop("without", ()):
            del asked[keyword]
        told = {"action_type": 1, "class_uid": Push, "instance_uid": INSTANCE, **wrong}
        status, _ = made.send_n_action(asked, **told)
        if wait:
            assert self.responded.wait(60)
        made.release()
        return int(status.Status)


def _asked(transaction: str, *instances: tuple[str, str]) -> Dataset:
    asked = Dataset()
    asked.TransactionUID = transaction
    asked.ReferencedSOPSequence = []
    for sop_class, instance in instances:
        item = Dataset()
        item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = sop_class, instance
        asked.ReferencedSOPSequence.append(item)
    return asked


@contextmanager
def modality(status: int = 0) -> Iterator[Modality]:
    """One that listens for reports over new associations."""
    made = Modality(status=status)
    ae = AE(TITLE)
    ae.add_supported_context(Push, scu_role=False, scp_role=True)
    server = ae.start_server(
        ("127.0.0.1", 0), block=False, evt_handlers=[(evt.EVT_N_EVENT_REPORT, made.report)]
    )
    made.port = server.socket.getsockname()[1]
    try:
        yield made
    finally:
        server.shutdown()


async def keep(box: Box, count: int = 1) -> list[tuple[str, str]]:
    kept = []
    for _ in range(count):
        uid = new_uid()
        received = await receive(box, pieces(make_instance(instance=uid)))
        await store(box, received, source="test", actor=ANONYMOUS)
        kept.append((str(CTImageStorage), uid))
    return kept


async def know(box: Box, one: Modality) -> None:
    told = Particulars(name="ct", ae_title=TITLE, host="127.0.0.1", port=one.port)
    await peers.add(box, told, actor=SYSTEM)


async def reports(box: Box) -> list[Transfer]:
    return await transfers.listed(box, scope=EVERYTHING, actor=ANONYMOUS)


async def ended(box: Box) -> Transfer:
    async with asyncio.timeout(60):
        while (found := (await reports(box))[0]).open:
            await asyncio.sleep(0.05)
    return found


async def work(box: Box) -> None:
    """What the worker does of what is due."""
    while (batch := await leases.claim(box, {"commitment": 1})) is not None:
        await worker.do(box, worker.Desk(box, batch), HANDLERS["commitment"])


def outcome(heard: Dataset) -> tuple[list[str], dict[str, int]]:
    kept = [str(one.ReferencedSOPInstanceUID) for one in heard.get("ReferencedSOPSequence", [])]
    failed = {
        str(one.ReferencedSOPInstanceUID): int(one.FailureReason)
        for one in heard.get("FailedSOPSequence", [])
    }
    return kept, failed


@pytest.mark.dicom("PS3.4 J.3.3")
async def test_what_is_kept_is_reported_over_the_association_that_asked(box: Box) -> None:
    asked, one = await keep(box, 3), Modality()
    async with serving(box) as door:
        status = await asyncio.to_thread(one.ask, door.port, *asked, wait=True, transaction="1.2.3.4")

    assert status == 0
    ((kind, heard),) = one.heard
    assert (kind, heard.TransactionUID, heard.RetrieveAETitle) == (1, "1.2.3.4", "DICOMWEB_BOX")
    assert outcome(heard) == ([uid for _, uid in asked], {})
    found = await ended(box)
    assert (found.kind, found.state) == ("commitment", "delivered")


@pytest.mark.dicom("PS3.3 C.14.1.1")
async def test_what_is_not_there_is_of_another_class_or_damaged_is_reported_with_its_reason(box: Box) -> None:
    (sound, other, damaged), one = await keep(box, 3), Modality()
    await box.database.write(
        lambda w: w.execute(
            "update instance set sha256 = :none where instance_uid = :uid",
            {"none": b"0" * 32, "uid": damaged[1]},
        )
    )
    asked = [sound, (str(MRImageStorage), other[1]), damaged, (str(CTImageStorage), "1.2.3.999")]
    async with serving(box) as door:
        await asyncio.to_thread(one.ask, door.port, *asked, wait=True)

    ((kind, heard),) = one.heard
    assert kind == 2
    assert outcome(heard) == ([sound[1]], {other[1]: 0x0119, damaged[1]: 0x0110, "1.2.3.999": 0x0112})
    assert (await transfers.items(box, (await ended(box)).id))[
        0
    ].reason == "3 of 4 instances are not kept here."


async def test_who_does_not_wait_is_told_over_a_new_association(box: Box) -> None:
    asked = await keep(box, 1)
    with modality() as one:
        await know(box, one)
        async with serving(box) as door:
            await asyncio.to_thread(one.ask, door.port, *asked, wait=False)
            await asyncio.to_thread(one.told.wait, 20)
            found = await ended(box)

    assert found.state == "delivered"
    assert [outcome(heard)[0] for _, heard in one.heard] == [[asked[0][1]]]


async def test_a_report_that_nobody_takes_waits_for_the_worker(box: Box) -> None:
    asked = await keep(box, 1)
    with modality() as one:
        port = one.port
    await know(box, one)
    async with serving(box) as door:
        await asyncio.to_thread(one.ask, door.port, *asked, wait=False)
        async with asyncio.timeout(60):
            while not (found := (await reports(box))[0]).reason:
                await asyncio.sleep(0.05)
    assert found.open
    assert port > 0

    with modality() as again:
        told = peers.particulars_of(await peers.by_name(box, "ct"))
        await peers.change(box, "ct", Particulars(**{**vars_of(told), "port": again.port}), actor=SYSTEM)
        await steering.retry(box, found.id, scope=EVERYTHING, actor=ANONYMOUS)
        await work(box)

    assert [outcome(heard)[0] for _, heard in again.heard] == [[asked[0][1]]]
    assert (await ended(box)).state == "delivered"


def vars_of(told: Particulars) -> dict[str, Any]:
    return {name: getattr(told, name) for name in Particulars.__dataclass_fields__}


async def test_a_transaction_that_is_under_way_is_not_begun_again(box: Box) -> None:
    asked = await keep(box, 1)
    with modality() as one:
        pass
    await know(box, one)
    async with serving(box) as door:
        await asyncio.to_thread(one.ask, door.port, *asked, wait=False, transaction="1.2.3.4")
        second = Modality()
        await asyncio.to_thread(second.ask, door.port, *asked, wait=True, transaction="1.2.3.4")

    assert [outcome(heard) for _, heard in second.heard] == [([], {asked[0][1]: 0x0131})]


@pytest.mark.parametrize(
    ("wrong", "status"),
    [
        ({"action_type": 2}, 0x0123),
        ({"instance_uid": "1.2.3"}, 0x0112),
        ({"without": ("TransactionUID",)}, 0x0114),
        ({"without": ("ReferencedSOPSequence",)}, 0x0114),
    ],
)
async def test_what_cannot_be_meant_is_refused_and_nothing_is_kept_of_it(
    box: Box, wrong: dict[str, Any], status: int
) -> None:
    async with serving(box) as door:
        answered = await asyncio.to_thread(
            Modality().ask, door.port, (str(CTImageStorage), "1.2.3"), wait=False, **wrong
        )

    assert answered == status
    assert await reports(box) == []


async def test_of_who_died_before_the_report_the_worker_makes_it(box: Box) -> None:
    asked = await keep(box, 1)
    with modality() as one:
        await know(box, one)
        peer = await peers.by_name(box, "ct")
        wanted = Asked(
            transaction_uid="1.2.3.4",
            references=[Reference(sop_class_uid=asked[0][0], instance_uid=asked[0][1])],
        )
        await box.database.write(
            lambda w: commitments.ask(
                w, box, wanted, peer=peer.name, actor=ANONYMOUS, scope=EVERYTHING, taken=True
            )
        )
        assert await leases.claim(box, {"commitment": 1}) is None
        await box.database.write(lambda w: w.execute("update transfer_lease set until = '2000'"))

        await work(box)

    assert [outcome(heard)[0] for _, heard in one.heard] == [[asked[0][1]]]
    assert (await ended(box)).state == "delivered"
