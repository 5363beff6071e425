"""Which services are offered: by SOP class and command, who answers."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Final

from dicomweb_box.dicom import query_options
from dicomweb_box.dimse import (
    commitment_scp,
    commitment_scu,
    echo_scp,
    find_scp,
    get_scp,
    move_scp,
    mpps_scp,
    store_scp,
    suboperations,
    worklist_scp,
)
from dicomweb_box.dimse.call import Call
from dicomweb_box.dimse.negotiation import is_storage
from dicomweb_box.outbound.commitments import PUSH
from dicomweb_box.outbound.services import Service
from dicomweb_box.upper_layer import commands
from dicomweb_box.upper_layer.message import Message

Handler = Callable[[Call, Message], Awaitable[None]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Offer:
    """A service that can be asked for in a presentation context."""

    service: Service
    handler: Handler
    or_else: Service | None = None
    """A service that does as well; the handler then looks closer at what is asked."""
    of_scp: bool = False
    """It is the SCP who tells this, so that it may come where the caller has that role."""


VERIFICATION: Final = "1.2.840.10008.1.1"
PATIENT_ROOT_MOVE: Final = "1.2.840.10008.5.1.4.1.2.1.2"
PATIENT_ROOT_GET: Final = "1.2.840.10008.5.1.4.1.2.1.3"
STUDY_ROOT_MOVE: Final = "1.2.840.10008.5.1.4.1.2.2.2"
STUDY_ROOT_GET: Final = "1.2.840.10008.5.1.4.1.2.2.3"
_MOVE: Final = partial(Offer, service=Service.MOVE, or_else=Service.RETRIEVE)
"""To whoever it is: C-MOVE to the caller itself is retrieval."""

SERVICES: dict[str, Mapping[int, Offer]] = {
    VERIFICATION: {commands.C_ECHO_RQ: Offer(service=Service.ECHO, handler=echo_scp.echo)},
    PATIENT_ROOT_GET: {commands.C_GET_RQ: Offer(service=Service.RETRIEVE, handler=get_scp.patient_root)},
    STUDY_ROOT_GET: {commands.C_GET_RQ: Offer(service=Service.RETRIEVE, handler=get_scp.study_root)},
    PATIENT_ROOT_MOVE: {commands.C_MOVE_RQ: _MOVE(handler=move_scp.patient_root)},
    STUDY_ROOT_MOVE: {commands.C_MOVE_RQ: _MOVE(handler=move_scp.study_root)},
    find_scp.PATIENT_ROOT: {commands.C_FIND_RQ: Offer(service=Service.FIND, handler=find_scp.find)},
    find_scp.STUDY_ROOT: {commands.C_FIND_RQ: Offer(service=Service.FIND, handler=find_scp.find)},
    worklist_scp.MODALITY_WORKLIST: {
        commands.C_FIND_RQ: Offer(service=Service.WORKLIST, handler=worklist_scp.find)
    },
    mpps_scp.PERFORMED_STEP: {
        commands.N_CREATE_RQ: Offer(service=Service.MPPS, handler=mpps_scp.create),
        commands.N_SET_RQ: Offer(service=Service.MPPS, handler=mpps_scp.set),
    },
    PUSH: {
        commands.N_ACTION_RQ: Offer(service=Service.COMMIT, handler=commitment_scp.commit),
        commands.N_EVENT_REPORT_RQ: Offer(service=Service.COMMIT, handler=commitment_scu.hear, of_scp=True),
    },
}
"""By abstract syntax and Command Field; storage classes are without number."""

STORAGE: Mapping[int, Offer] = {commands.C_STORE_RQ: Offer(service=Service.STORE, handler=store_scp.store)}

EXTENDED: dict[str, Callable[[bytes], bytes]] = {
    find_scp.PATIENT_ROOT: query_options.answer,
    find_scp.STUDY_ROOT: query_options.answer,
    PATIENT_ROOT_GET: suboperations.negotiated,
    STUDY_ROOT_GET: suboperations.negotiated,
    PATIENT_ROOT_MOVE: suboperations.negotiated,
    STUDY_ROOT_MOVE: suboperations.negotiated,
    worklist_scp.MODALITY_WORKLIST: query_options.answer_worklist,
}
"""By abstract syntax, what is answered to service class application information (PS3.7 D.3.3.5)."""


def offers(abstract_syntax: str) -> Mapping[int, Offer]:
    """What can be asked for under an abstract syntax; nothing where it is not supported."""
    found = SERVICES.get(abstract_syntax)
    if found is None:
        found = STORAGE if is_storage(abstract_syntax) else {}
    return found
