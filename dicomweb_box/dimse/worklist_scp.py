"""C-FIND as SCP of the Modality Worklist (PS3.4 K): what is scheduled, for the modality that will do it."""

from functools import partial
from typing import Final

from dicomweb_box.archive import worklist
from dicomweb_box.dicom import worklist_identifier
from dicomweb_box.dicom.identifier_writer import IdentifierWriter
from dicomweb_box.dicom.query_options import agreed
from dicomweb_box.dimse.answering import MOST_IDENTIFIER, Matches, answer, charsets
from dicomweb_box.dimse.call import Call
from dicomweb_box.upper_layer.message import Message

MODALITY_WORKLIST: Final = "1.2.840.10008.5.1.4.31"


async def find(call: Call, message: Message) -> None:
    """Answer a C-FIND request; raises what the association raises where it ends before, and TooLarge."""
    await answer(call, message, partial(_search, call, message))


async def _search(call: Call, message: Message) -> Matches:
    context, identity = message.context, call.caller.identity
    options = agreed(call.association.extended.get(MODALITY_WORKLIST))
    data = await message.whole(MOST_IDENTIFIER)
    asked = worklist_identifier.read(data, context.transfer_syntax, options)
    writer = IdentifierWriter(
        asked.keys,
        transfer_syntax=context.transfer_syntax,
        charsets=charsets(call, asked.charset),
        said={},
    )
    pages = worklist.matching(
        call.box,
        asked.accepts,
        days=asked.days,
        ae_title=call.association.calling_ae_title,
        scope=identity.scope,
        actor=identity.actor,
    )
    return Matches(pages=pages, writer=writer, unsupported=asked.unsupported, accepts=lambda _: True)
