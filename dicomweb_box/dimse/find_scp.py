"""C-FIND as SCP of Query/Retrieve, Patient and Study Root (PS3.4 C.4.1): every match, until cancelled."""

from collections.abc import AsyncGenerator
from functools import partial
from typing import Final

from dicomweb_box.archive.every_row import Rows, every_row
from dicomweb_box.archive.patient_rows import every_patient
from dicomweb_box.dicom import identifier
from dicomweb_box.dicom.identifier import COUNTED_PATIENT, LEVEL, RETRIEVE_AE, Asked, Root
from dicomweb_box.dicom.identifier_writer import IdentifierWriter
from dicomweb_box.dicom.query_options import agreed
from dicomweb_box.dimse.answering import MOST_IDENTIFIER, Matches, answer, charsets
from dicomweb_box.dimse.call import Call
from dicomweb_box.upper_layer.message import Message

PATIENT_ROOT: Final = "1.2.840.10008.5.1.4.1.2.1.1"
STUDY_ROOT: Final = "1.2.840.10008.5.1.4.1.2.2.1"
ROOTS: Final[dict[str, Root]] = {PATIENT_ROOT: "patient", STUDY_ROOT: "study"}


async def find(call: Call, message: Message) -> None:
    """Answer a C-FIND request; raises what the association raises where it ends before, and TooLarge."""
    await answer(call, message, partial(_search, call, message))


async def _search(call: Call, message: Message) -> Matches:
    context = message.context
    options = agreed(call.association.extended.get(context.abstract_syntax))
    data = await message.whole(MOST_IDENTIFIER)
    asked = identifier.read(data, context.transfer_syntax, ROOTS[context.abstract_syntax], options)
    writer = IdentifierWriter(
        asked.keys,
        transfer_syntax=context.transfer_syntax,
        charsets=charsets(call, asked.charset),
        # PS3.4 C.4.1.1.3.2: said whether asked for or not.
        said={LEVEL: ("CS", asked.word), RETRIEVE_AE: ("AE", call.box.settings.ae_title)},
    )
    return Matches(
        pages=_rows(call, asked), writer=writer, unsupported=asked.unsupported, accepts=asked.accepts
    )


def _rows(call: Call, asked: Asked) -> AsyncGenerator[Rows]:
    scope, actor = call.caller.identity.scope, call.caller.identity.actor
    if asked.level != "patient":
        return every_row(call.box, asked.query, scope=scope, actor=actor)
    counted = [key.tag for key in asked.keys if key.tag in COUNTED_PATIENT]
    return every_patient(call.box, asked.query, counted, scope=scope, actor=actor)
