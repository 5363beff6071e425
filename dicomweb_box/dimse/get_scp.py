"""C-GET as SCP (PS3.4 C.4.3): instances come back over the association that asks for them."""

from contextlib import aclosing
from functools import partial

from dicomweb_box.accounts.audit_reads import reads
from dicomweb_box.accounts.audit_words import Action
from dicomweb_box.dicom.retrieve_identifier import Root
from dicomweb_box.dimse import suboperations
from dicomweb_box.dimse.call import Call
from dicomweb_box.dimse.suboperations import Progress, Refused, telling, until, wanted
from dicomweb_box.outbound.store_associations import OneAssociation
from dicomweb_box.outbound.storing import store_over
from dicomweb_box.upper_layer.message import Message


async def get(call: Call, message: Message, *, root: Root) -> None:
    """Send the caller what it names; raises Aborted where the association ends before."""
    try:
        found = await wanted(call, message, root)
    except Refused as refused:
        await suboperations.refuse(call, message, refused)
        return
    noted = reads(call.box)
    for study in found.studies or ("",):
        noted.note(call.caller.identity.actor, Action.RETRIEVE, "success" if study else "not found", study)
    stop = call.association.cancelled(message.command["MessageID"])
    progress = Progress(total=found.total)
    if found.total:
        ways = OneAssociation(call.box, call.association)
        told = {"Priority": message.command.get("Priority", 0)}
        results = store_over(call.box, ways, until(stop, found.instances()), told)
        async with telling(call, message, progress), aclosing(results):
            async for result in results:
                progress.count(result)
                if stop.is_set():
                    break
    call.counts["given"] += progress.completed + progress.warning
    await suboperations.end(call, message, progress, stop)


patient_root, study_root = partial(get, root="patient"), partial(get, root="study")
