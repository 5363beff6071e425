"""Who is let in, in which contexts; how associations end."""

import asyncio
from typing import Any

import pytest
from pydicom.uid import JPEG2000, CTImageStorage

from dicomweb_box.accounts.access import SYSTEM
from dicomweb_box.accounts.audit_words import Action
from dicomweb_box.box import Box
from dicomweb_box.dimse import server
from dicomweb_box.dimse.rights_table import ACTION
from dicomweb_box.outbound import arrivals, peers
from dicomweb_box.outbound.particulars import Particulars
from dicomweb_box.outbound.services import RIGHTS, Service
from dicomweb_box.upper_layer.errors import Aborted, Rejected
from dicomweb_box.upper_layer.requestor import Proposed, request
from tests.builders import make_instance
from tests.conftest import MakeBox
from tests.dimse.doors import EXPLICIT, IMPLICIT, VERIFICATION, call, echo, serving, store

CT = (CTImageStorage, EXPLICIT)
BOTH = frozenset({Service.ECHO, Service.STORE})


def peer(**told: Any) -> Particulars:
    return Particulars(name="ct", ae_title="MODALITY1", host="127.0.0.1", port=11112, may=BOTH, **told)


def test_each_service_has_its_rights_and_its_word_of_the_audit() -> None:
    assert set(ACTION) == set(RIGHTS) == set(Service)
    assert ACTION[Service.STORE] is Action.STORE


@pytest.mark.dicom("PS3.8 9.3.4")
async def test_nobody_unknown_is_let_in_where_there_are_accounts(make_box: MakeBox) -> None:
    async with make_box(no_auth=False) as box, serving(box) as door:
        with pytest.raises(Rejected) as refused:
            await call(door.port, CT)
    assert (refused.value.result, refused.value.source, refused.value.reason) == (1, 1, 3)


async def test_a_peer_is_given_what_it_decodes(make_box: MakeBox) -> None:
    async with make_box(no_auth=False) as box:
        await peers.add(box, peer(syntaxes="uncompressed"), actor=SYSTEM)
        async with serving(box) as door:
            association = await request(
                "127.0.0.1",
                door.port,
                calling="MODALITY1",
                called="DICOMWEB_BOX",
                contexts=[
                    Proposed(abstract_syntax=CTImageStorage, transfer_syntaxes=[JPEG2000, IMPLICIT]),
                    Proposed(abstract_syntax=CTImageStorage, transfer_syntaxes=[JPEG2000]),
                ],
            )
            assert [one.transfer_syntax for one in association.contexts.values()] == [IMPLICIT]
            await association.release()


async def test_a_peers_own_pdu_size_and_idle_time_count(make_box: MakeBox) -> None:
    async with make_box(no_auth=False) as box:
        await peers.add(box, peer(pdu_size=16384, idle_timeout=1), actor=SYSTEM)
        async with serving(box) as door:
            association = await call(door.port, (VERIFICATION, EXPLICIT))
            assert association.most_pdu == 16384
            assert (await echo(association)).Status == 0
            await asyncio.sleep(1.5)
            with pytest.raises(Aborted):
                await echo(association)


async def test_a_peer_that_has_all_its_associations_keeps_them(
    make_box: MakeBox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "ASK_AGAIN", 0.0)
    async with make_box(no_auth=False) as box:
        await peers.add(box, peer(associations=1), actor=SYSTEM)
        async with serving(box) as door:
            association = await call(door.port, (VERIFICATION, EXPLICIT))
            assert (await echo(association)).Status == 0

            with pytest.raises(Rejected) as refused:
                await call(door.port, (VERIFICATION, EXPLICIT))

            assert refused.value.transient
            assert (await echo(association)).Status == 0
            await association.release()


async def test_who_is_no_peer_any_more_is_let_on_no_further(
    make_box: MakeBox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "ASK_AGAIN", 0.0)
    async with make_box(no_auth=False) as box:
        await peers.add(box, peer(), actor=SYSTEM)
        async with serving(box) as door:
            association = await call(door.port, CT)
            assert (await store(association, make_instance())).Status == 0
            await peers.remove(box, "ct", actor=SYSTEM)

            async def store_on() -> None:
                for _ in range(100):  # what is known of peers is looked at again after a moment
                    await store(association, make_instance())
                    await asyncio.sleep(0.1)

            with pytest.raises(Aborted):
                await store_on()


async def test_an_operation_under_way_is_finished_when_it_is_told_to_end(
    box: Box, monkeypatch: pytest.MonkeyPatch
) -> None:
    going, going_on = asyncio.Event(), asyncio.Event()
    stored = arrivals.store

    async def slow(*arguments: Any, **more: Any) -> Any:
        going.set()
        await going_on.wait()
        return await stored(*arguments, **more)

    monkeypatch.setattr(arrivals, "store", slow)
    async with serving(box) as door:
        idle = await call(door.port, (VERIFICATION, EXPLICIT))
        busy = await call(door.port, CT)
        storing = asyncio.create_task(store(busy, make_instance(instance="1.2.3")))
        await going.wait()

        door.stop.set()
        await asyncio.sleep(0.2)
        going_on.set()

        assert (await storing).Status == 0
        await asyncio.wait_for(door.task, 60)
        with pytest.raises(Aborted):
            await echo(idle)
    assert await box.database.fetch_value("select count(*) from instance", {}) == 1


async def test_what_does_not_end_in_time_is_aborted(
    make_box: MakeBox, monkeypatch: pytest.MonkeyPatch
) -> None:
    going = asyncio.Event()

    async def never(*arguments: Any, **more: Any) -> Any:
        going.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(arrivals, "store", never)
    async with make_box(drain_timeout=1) as box, serving(box) as door:
        association = await call(door.port, CT)
        storing = asyncio.create_task(store(association, make_instance()))
        await going.wait()

        door.stop.set()

        await asyncio.wait_for(door.task, 60)
        with pytest.raises(Aborted):
            await storing


async def test_idle_associations_hold_up_nobody(box: Box) -> None:
    async with serving(box) as door:
        idle = [await call(door.port, (VERIFICATION, EXPLICIT)) for _ in range(200)]

        async with asyncio.timeout(30):
            one = await call(door.port, (VERIFICATION, EXPLICIT))
            assert (await echo(one)).Status == 0

        for association in [one, *idle]:
            await association.release()


@pytest.mark.dicom("PS3.8 9.3.4")
async def test_over_its_limit_associations_are_rejected_for_now(make_box: MakeBox) -> None:
    async with make_box(dimse_associations=2) as box, serving(box) as door:
        held = [await call(door.port, (VERIFICATION, EXPLICIT)) for _ in range(2)]

        with pytest.raises(Rejected) as refused:
            await call(door.port, (VERIFICATION, EXPLICIT))

        assert (refused.value.result, refused.value.source, refused.value.reason) == (2, 3, 2)
        for association in held:
            await association.release()


async def test_the_log_tells_what_came_of_an_association_and_no_patient(
    box: Box, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    async with serving(box) as door:
        association = await call(door.port, CT)
        await store(association, make_instance(PatientName="Secret^Sylvia"))
        await store(association, make_instance(PatientName="Secret^Sylvia"), AffectedSOPInstanceUID="1.2")
        await association.release()

    assert "an association of dimse:MODALITY1: 1 refused, 1 stored" in caplog.text
    assert "Secret" not in caplog.text
