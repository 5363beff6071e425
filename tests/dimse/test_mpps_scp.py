"""Modality Performed Procedure Step as SCP: what a step may become, and what the worklist shows of it."""

from typing import Any

import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from dicomweb_box.accounts.access import ANYBODY, EVERYTHING, Identity, Scope
from dicomweb_box.archive import worklist
from dicomweb_box.box import Box
from dicomweb_box.dicom.uids import EXPLICIT_LITTLE, IMPLICIT_LITTLE
from dicomweb_box.dimse import mpps_scp
from dicomweb_box.dimse.mpps_scp import PERFORMED_STEP
from dicomweb_box.upper_layer import commands
from tests.dimse.associations import Asking, FakeAssociation, call_of, encoded
from tests.dimse.test_worklist_scp import schedule

UID = "1.2.826.0.1.3680043.10.1511.3.1"


def performed(status: str | None = "IN PROGRESS", step_id: str = "S1") -> Dataset:
    ds, item = Dataset(), Dataset()
    item.StudyInstanceUID = "1.2.3"
    item.ScheduledProcedureStepID = step_id
    ds.ScheduledStepAttributesSequence = Sequence([item])
    ds.PerformedProcedureStepID = "PPS1"
    if status is not None:
        ds.PerformedProcedureStepStatus = status
    return ds


async def create(
    box: Box, ds: Dataset, uid: str | None = UID, *, syntax: str = EXPLICIT_LITTLE, **more: Any
) -> FakeAssociation:
    call, association = call_of(box, **more)
    told = {"AffectedSOPInstanceUID": uid} if uid else {}
    asking = Asking(encoded(ds, syntax), PERFORMED_STEP, syntax, commands.N_CREATE_RQ, told)
    await mpps_scp.create(call, asking)  # type: ignore[arg-type]
    return association


async def change(
    box: Box, status: str | None, uid: str = UID, *, calling: str = "MODALITY1"
) -> FakeAssociation:
    call, association = call_of(box, calling=calling)
    ds = Dataset()
    if status is not None:
        ds.PerformedProcedureStepStatus = status
    ds.PerformedProcedureStepEndDate = "20260105"
    told = {
        "AffectedSOPClassUID": None,
        "RequestedSOPClassUID": PERFORMED_STEP,
        "RequestedSOPInstanceUID": uid,
    }
    asking = Asking(encoded(ds), PERFORMED_STEP, command_field=commands.N_SET_RQ, command=told)
    await mpps_scp.set(call, asking)  # type: ignore[arg-type]
    return association


async def shown(box: Box) -> str:
    """The status that the worklist shows."""
    page = await worklist.page(box, day="20260105", scope=EVERYTHING, actor=ANYBODY.actor)
    (one,) = page.steps
    return one.status


@pytest.mark.dicom("PS3.4 F.7.2")
@pytest.mark.parametrize("end", ["COMPLETED", "DISCONTINUED"])
@pytest.mark.parametrize("syntax", [EXPLICIT_LITTLE, IMPLICIT_LITTLE])
async def test_the_worklist_shows_how_far_a_step_is(box, end, syntax):
    await schedule(box, step_id="S1")

    begun = await create(box, performed(), syntax=syntax)
    assert (begun.statuses, await shown(box)) == ([0], "STARTED")
    command, _ = begun.sent[0]
    assert (command["CommandField"], command["AffectedSOPInstanceUID"]) == (0x8140, UID)

    between = await change(box, None)
    assert (between.statuses, await shown(box)) == ([0], "STARTED")

    ended = await change(box, end)
    assert (ended.statuses, await shown(box)) == ([0], end)
    command, _ = ended.sent[0]
    assert (command["CommandField"], command["AffectedSOPInstanceUID"]) == (0x8120, UID)
    assert command["AffectedSOPClassUID"] == PERFORMED_STEP


async def test_a_step_that_has_ended_is_changed_no_more(box):
    await create(box, performed())
    await change(box, "COMPLETED")

    association = await change(box, "DISCONTINUED")

    ((command, _),) = association.sent
    assert (command["Status"], command["ErrorID"]) == (0x0110, 0xA506)


@pytest.mark.dicom("PS3.7 C.5")
async def test_what_cannot_be_is_refused_with_its_status(box):
    assert (await change(box, "COMPLETED")).statuses == [0x0112]
    assert (await create(box, performed("COMPLETED"))).statuses == [0x0106]
    assert (await create(box, performed(None))).statuses == [0x0120]
    assert (await create(box, performed(), "1.2.x")).statuses == [0x0117]
    assert (await create(box, performed())).statuses == [0]
    assert (await create(box, performed())).statuses == [0x0111]
    assert (await change(box, "LOST")).statuses == [0x0106]
    assert (await change(box, "COMPLETED", "1.2.x")).statuses == [0x0112]
    assert (await change(box, "COMPLETED", calling="OTHER")).statuses == [0x0112]
    assert (await change(box, "COMPLETED")).statuses == [0]


async def test_bytes_that_are_no_data_set_are_refused(box):
    call, association = call_of(box)
    asking = Asking(b"\x40\x00\x52\x02CS\x99", PERFORMED_STEP, command_field=commands.N_CREATE_RQ)

    await mpps_scp.create(call, asking)  # type: ignore[arg-type]

    assert association.statuses[0] in (0x0110, 0x0120)


async def test_a_step_without_a_uid_gets_one(box):
    association = await create(box, performed(), None)

    ((command, _),) = association.sent
    assert command["Status"] == 0
    assert (await change(box, "COMPLETED", command["AffectedSOPInstanceUID"])).statuses == [0]


async def test_a_peer_of_a_part_changes_its_own_steps_alone(box):
    await schedule(box, step_id="S1", ae_title="OTHER")
    part = Identity(
        actor=ANYBODY.actor, scope=Scope(sources=frozenset({"dimse:MODALITY1"})), rights=ANYBODY.rights
    )

    assert (await create(box, performed(), identity=part)).statuses == [0]

    assert await shown(box) == "SCHEDULED"
