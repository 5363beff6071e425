"""Storage Commitment as SCU: what was sent is confirmed by the peer, over either association, or is not."""

import asyncio

import pytest
from pydicom.dataset import Dataset

from dicomweb_box.accounts.access import ANONYMOUS, EVERYTHING, SYSTEM
from dicomweb_box.archive.ingest import receive, store
from dicomweb_box.box import Box
from dicomweb_box.outbound import confirmations, leases, peers, steering, transfers, worker
from dicomweb_box.outbound.confirmations import Confirmation
from dicomweb_box.outbound.enqueueing import Wanted, enqueue_studies
from dicomweb_box.outbound.kinds import HANDLERS
from dicomweb_box.outbound.particulars import Particulars
from dicomweb_box.outbound.services import EVERY_SERVICE, Service
from dicomweb_box.outbound.transfers import Transfer
from tests.builders import make_instance, new_uid, pieces
from tests.dimse.doors import serving
from tests.outbound.keeper import TITLE, Keeper, keeping
from tests.outbound.queueing import CAROL, Clock, assert_counted, get


@pytest.fixture(autouse=True)
def brief(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody listens for long to a peer that does not tell."""
    monkeypatch.setattr("dicomweb_box.outbound.confirming.LISTEN", 0.2)


@pytest.fixture
def patient_ear(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dicomweb_box.outbound.confirming.LISTEN", 30.0)


async def send(box: Box, there: Keeper, count: int = 3, *, may: frozenset[Service] = EVERY_SERVICE) -> str:
    """The id of a transfer of a study to the keeper."""
    told = Particulars(name="north", ae_title=TITLE, host="127.0.0.1", port=there.port, may=may)
    await peers.add(box, told, actor=SYSTEM)
    study, series = new_uid(), new_uid()
    for number in range(1, count + 1):
        content = make_instance(study=study, series=series, InstanceNumber=number)
        await store(box, await receive(box, pieces(content)), source="test", actor=ANONYMOUS)
    wanted = Wanted(kind="send", peer="north", actor=CAROL, scope=EVERYTHING)
    return await box.database.write(lambda w: enqueue_studies(w, box, wanted, [study]))


async def work(box: Box) -> None:
    """What the worker does of what is due."""
    most = {kind: handler.most for kind, handler in HANDLERS.items()}
    while (batch := await leases.claim(box, most)) is not None:
        await worker.do(box, worker.Desk(box, batch), HANDLERS[batch.transfer.kind])


async def asking(box: Box, key: str) -> Confirmation:
    found = await confirmations.of(box, key)
    assert found is not None
    await assert_counted(box, key)
    await assert_counted(box, found.asking_id)
    return found


async def verified(box: Box, key: str) -> list[bool]:
    return [bool(item.verified_at) for item in await transfers.items(box, key)]


async def until_said(box: Box, key: str) -> Transfer:
    async with asyncio.timeout(30):
        while (await asking(box, key)).open:
            await asyncio.sleep(0.02)
    return await get(box, key)


@pytest.mark.dicom("PS3.4 J.3")
@pytest.mark.usefixtures("patient_ear")
async def test_a_peer_that_reports_over_the_association_that_asked_confirms_each_instance(box: Box) -> None:
    with keeping() as there:
        key = await send(box, there)
        await work(box)

    found = await get(box, key)
    assert (found.state, found.delivered, found.verified) == ("delivered", 3, 3)
    assert await verified(box, key) == [True, True, True]
    assert (await asking(box, key)).state == "delivered"
    (asked,) = there.asked
    assert sorted(str(one.ReferencedSOPInstanceUID) for one in asked.ReferencedSOPSequence) == sorted(
        there.got
    )
    assert there.answers == [0]


@pytest.mark.dicom("PS3.4 J.3")
@pytest.mark.usefixtures("patient_ear")
async def test_a_peer_that_reports_over_an_association_of_its_own_is_heard_as_scp(box: Box) -> None:
    async with serving(box) as door:
        with keeping(tells="anew", box_port=door.port) as there:
            key = await send(box, there)
            await work(box)
            found = await until_said(box, key)
            await asyncio.to_thread(there.join)

    assert (found.state, found.verified) == ("delivered", 3)
    assert there.answers == [0]


@pytest.mark.dicom("PS3.3 C.14.1.1")
@pytest.mark.usefixtures("patient_ear")
async def test_what_the_peer_does_not_keep_has_failed_with_the_reason_and_is_sent_and_asked_again(
    box: Box,
) -> None:
    with keeping() as there:
        key = await send(box, there)
        uids = [item.instance_uid for item in await transfers.items(box, key)]
        there.lost = {uids[1]: 0x0112}
        await work(box)

        found = await get(box, key)
        assert (found.state, found.delivered, found.failed, found.verified) == ("failed", 2, 1, 2)
        (item,) = await transfers.items(box, key, state="failed")
        assert item.instance_uid == uids[1]
        assert item.reason == "Storage Commitment: the peer does not have it (reason 0112)."
        assert (await asking(box, key)).reason == "The peer does not keep 1 of 3 instances."

        there.lost = {}
        await steering.retry(box, key, scope=EVERYTHING, actor=CAROL)
        await work(box)

    again = await get(box, key)
    assert (again.state, again.verified) == ("delivered", 3)
    assert there.got == [*uids, uids[1]]
    assert [str(one.ReferencedSOPInstanceUID) for one in there.asked[1].ReferencedSOPSequence] == [uids[1]]
    assert (await asking(box, key)).reason == ""


@pytest.mark.usefixtures("patient_ear")
async def test_what_is_named_as_kept_and_as_not_kept_is_not_kept(box: Box) -> None:
    with keeping() as there:
        key = await send(box, there)
        first = (await transfers.items(box, key))[0].instance_uid
        there.lost, there.contradicts = {first: 0x0110}, True
        await work(box)

    found = await get(box, key)
    assert (found.state, found.failed, found.verified) == ("failed", 1, 2)


async def test_a_peer_that_does_not_report_in_time_is_asked_again_and_may_answer_late(
    timed: Box, clock: Clock
) -> None:
    async with serving(timed) as door:
        with keeping(tells="never", box_port=door.port) as there:
            key = await send(timed, there)
            await work(timed)
            found, waiting = await get(timed, key), await asking(timed, key)
            assert (found.state, found.verified) == ("delivered", 0)
            assert waiting.open
            assert waiting.reason == "Not confirmed: the peer was asked and has not reported."
            clock.forward(seconds=timed.settings.dimse_commitment_timeout - 1)
            await work(timed)
            assert len(there.asked) == 1

            clock.forward(seconds=2)
            await work(timed)
            first, second = there.asked
            assert first.TransactionUID != second.TransactionUID

            await asyncio.to_thread(there.tell, first)

        assert (await get(timed, key)).verified == 3
        assert (await asking(timed, key)).state == "delivered"


async def test_a_peer_that_does_not_serve_it_is_not_asked_again(box: Box) -> None:
    with keeping(serves=False) as there:
        key = await send(box, there)
        await work(box)

    found, said = await get(box, key), await asking(box, key)
    assert (found.state, found.verified, said.state) == ("delivered", 0, "refused")
    assert said.reason.startswith("Not confirmed: ")


@pytest.mark.parametrize(("status", "state"), [(0x0124, "refused"), (0x0110, "queued")])
async def test_the_peers_status_says_whether_asking_again_may_help(box: Box, status: int, state: str) -> None:
    with keeping(status=status) as there:
        key = await send(box, there)
        await work(box)

    found = await asking(box, key)
    assert found.state == state
    assert f"{status:04X}" in found.reason


async def test_a_peer_that_may_not_commit_is_not_asked(box: Box) -> None:
    with keeping() as there:
        key = await send(box, there, may=EVERY_SERVICE - {Service.COMMIT})
        await work(box)

    assert await confirmations.of(box, key) is None
    assert there.asked == []


async def test_a_report_of_another_peer_or_of_no_transaction_is_not_believed(box: Box) -> None:
    async with serving(box) as door:
        with keeping(tells="never", box_port=door.port) as there:
            key = await send(box, there)
            await work(box)
            told = peers.particulars_of(await peers.by_name(box, "north"))
            others = {name: getattr(told, name) for name in Particulars.__dataclass_fields__}
            await peers.change(box, "north", Particulars(**others | {"ae_title": "ELSE"}), actor=SYSTEM)
            await peers.add(box, Particulars(**others | {"name": "south"}), actor=SYSTEM)
            await asyncio.to_thread(there.tell, there.asked[0])
            unknown = Dataset()
            unknown.TransactionUID = new_uid()
            unknown.ReferencedSOPSequence = there.asked[0].ReferencedSOPSequence
            await asyncio.to_thread(there.tell, unknown)

    assert there.answers == [0x0115, 0x0115]
    assert (await get(box, key)).verified == 0


async def test_of_what_is_left_to_send_nothing_is_asked_yet(
    box: Box, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(confirmations, "PART", 2)
    with keeping() as there:
        key = await send(box, there, 3)
        await box.database.write(
            lambda w: w.execute(
                "update transfer_item set due_at = '9' where transfer_id = :id and number = 3", {"id": key}
            )
        )
        await work(box)

    assert [len(one.ReferencedSOPSequence) for one in there.asked] == [2]
    assert (await get(box, key)).verified == 2
    assert [one.state for one in await transfers.items(box, (await asking(box, key)).asking_id)] == [
        "delivered",
        "queued",
    ]


async def test_what_is_here_no_more_is_not_asked_for(box: Box) -> None:
    with keeping(tells="never") as there:
        key = await send(box, there, 2)
        batch = await leases.claim(box, {"send": 200})
        assert batch is not None
        await worker.do(box, worker.Desk(box, batch), HANDLERS["send"])
        await box.database.write(lambda w: w.execute("update instance set state = 'rejected'"))
        await work(box)

    found = await asking(box, key)
    assert (found.state, there.asked) == ("delivered", [])
    assert found.reason == "2 instances are here no more and could not be asked for."
    assert await verified(box, key) == [False, False]
