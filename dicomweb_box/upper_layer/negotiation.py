"""Negotiation of associations: PDUs to facts and back, by pynetdicom's classes (PS3.8 9.3.2, PS3.7 D)."""

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from pydicom.uid import UID
from pynetdicom.pdu import A_ASSOCIATE_AC, A_ASSOCIATE_RQ
from pynetdicom.pdu_primitives import (
    A_ASSOCIATE,
    AsynchronousOperationsWindowNegotiation,
    ImplementationClassUIDNotification,
    ImplementationVersionNameNotification,
    MaximumLengthNotification,
    SCP_SCU_RoleSelectionNegotiation,
    SOPClassExtendedNegotiation,
)
from pynetdicom.presentation import PresentationContext, negotiate_as_acceptor, negotiate_as_requestor

from dicomweb_box.upper_layer import framing
from dicomweb_box.upper_layer.agreement import (
    ACCEPTED,
    CONTEXT_NAME_NOT_SUPPORTED,
    NO_ABSTRACT_SYNTAX,
    NO_TRANSFER_SYNTAX,
    VERSION_NOT_SUPPORTED,
    Acceptance,
    AssociationRequest,
    Proposed,
    Rejection,
)
from dicomweb_box.upper_layer.association_items import decode
from dicomweb_box.upper_layer.framing import Violation
from dicomweb_box.upper_layer.message import Context

# What it has to say about a peer's mistakes we say ourselves, in a line.
logging.getLogger("pynetdicom").setLevel(logging.CRITICAL + 1)

APPLICATION_CONTEXT = "1.2.840.10008.3.1.1.1"
IMPLEMENTATION_CLASS_UID = "2.25.164523895473069154170128375964105713381"
IMPLEMENTATION_VERSION = "DICOMWEB_BOX"
LEAST_PDU = 128
"""A peer that takes less would have us send more heads than data."""

_IMPLICIT = "1.2.840.10008.1.2"
Roles = dict[UID, tuple[bool | None, bool | None]]


def read_request(
    body: bytes, *, peer_address: str, peer_certificate: bytes | None = None
) -> AssociationRequest | Rejection:
    """What the body of an A-ASSOCIATE-RQ says; raises Violation."""
    if len(body) >= 2 and not body[1] & 1:
        return VERSION_NOT_SUPPORTED  # PS3.8 Table 9-11: only bit 0 is to be tested
    pdu = A_ASSOCIATE_RQ()
    decode(pdu, framing.ASSOCIATE_RQ, body)
    if pdu.application_context_name != APPLICATION_CONTEXT:
        return CONTEXT_NAME_NOT_SUPPORTED
    user = pdu.user_information
    if user is None:
        raise Violation("an association request without user information")
    proposed = [
        Proposed(
            id=item.context_id or 0,
            abstract_syntax=item.abstract_syntax or "",
            transfer_syntaxes=tuple(syntax for syntax in item.transfer_syntax if syntax),
        )
        for item in pdu.presentation_context
    ]
    ids = {context.id for context in proposed}
    if len(ids) < len(proposed) or not all(number % 2 for number in ids):
        raise Violation("an association request whose presentation context IDs are not odd, or not unique")
    return AssociationRequest(
        calling_ae_title=pdu.calling_ae_title,
        called_ae_title=pdu.called_ae_title,
        peer_address=peer_address,
        peer_certificate=peer_certificate,
        proposed=proposed,
        roles={
            str(uid): (bool(item.scu_role), bool(item.scp_role)) for uid, item in user.role_selection.items()
        },
        extended={str(item.uid): item.app_info or b"" for item in user.ext_neg},
        related={
            str(item.sop_class_uid): tuple(item.related_general_sop_class_identification)
            for item in user.common_ext_neg
        },
        most_pdu=_most_pdu(user.maximum_length),
        implementation=f"{user.implementation_class_uid} {user.implementation_version_name or ''}".strip(),
        window=user.async_ops_window is not None,
    )


def accept(
    request: AssociationRequest, acceptance: Acceptance, *, pdu_size: int
) -> tuple[list[Context], bytes]:
    """The contexts that are accepted, with our roles, and the A-ASSOCIATE-AC that says so."""
    results, roles = [], {}
    for proposed in request.proposed:
        result, role = _negotiated(proposed, request, acceptance)
        results.append(result)
        if role is not None:
            roles[proposed.abstract_syntax] = role
    user: list[Any] = [*_about_us(pdu_size), *roles.values()]
    if request.window:
        # PS3.7 D.3.3.3.2: one operation at a time, each way.
        user.append(AsynchronousOperationsWindowNegotiation())
    user += [_extended(uid, information) for uid, information in acceptance.extended.items()]
    primitive = A_ASSOCIATE()
    primitive.application_context_name = APPLICATION_CONTEXT
    primitive.calling_ae_title = request.calling_ae_title
    primitive.called_ae_title = request.called_ae_title
    primitive.presentation_context_definition_results_list = results
    primitive.user_information = user
    pdu = A_ASSOCIATE_AC(primitive)
    return [
        _context(result, by=request.proposed) for result in results if result.result == ACCEPTED
    ], pdu.encode()


def write_request(
    *, calling: str, called: str, proposed: Sequence[Proposed], extended: Mapping[str, bytes], pdu_size: int
) -> bytes:
    """An A-ASSOCIATE-RQ; raises ValueError for titles or contexts that cannot be meant."""
    primitive = A_ASSOCIATE()
    primitive.application_context_name = APPLICATION_CONTEXT
    primitive.calling_ae_title, primitive.called_ae_title = calling, called
    primitive.presentation_context_definition_list = list(map(_presentation_context, proposed))
    roles = {one.abstract_syntax: one for one in proposed if one.as_scp}
    primitive.user_information = [
        *_about_us(pdu_size),
        *map(_role, roles),
        *(_extended(uid, information) for uid, information in extended.items()),
    ]
    return bytes(A_ASSOCIATE_RQ(primitive).encode())


def read_acceptance(
    body: bytes, proposed: Sequence[Proposed]
) -> tuple[list[Context], Mapping[str, bytes], int, str]:
    """What the body of an A-ASSOCIATE-AC says: contexts, extended negotiation, PDU size, implementation.

    Raises Violation.
    """
    pdu = A_ASSOCIATE_AC()
    decode(pdu, framing.ASSOCIATE_AC, body)
    user = pdu.user_information
    if user is None:
        raise Violation("an association answer without user information")
    ours = list(map(_presentation_context, proposed))
    for context, one in zip(ours, proposed, strict=True):
        if one.as_scp:
            context.scu_role = context.scp_role = True
    roles: Roles = {
        uid: (bool(item.scu_role), bool(item.scp_role)) for uid, item in user.role_selection.items()
    }
    try:
        theirs = [item.to_primitive() for item in pdu.presentation_context]
        results = negotiate_as_requestor(ours, theirs, roles)
    except (ValueError, TypeError, KeyError, IndexError) as error:
        raise Violation("an association answer that cannot be understood") from error
    accepted = [_context(one, by=proposed) for one in results if one.result == ACCEPTED]
    proposed_syntaxes = {one.id: one.transfer_syntaxes for one in proposed}
    if any(one.transfer_syntax not in proposed_syntaxes[one.id] for one in accepted):
        raise Violation("an association answer with a transfer syntax that was not proposed")
    extended = {str(item.uid): item.app_info or b"" for item in user.ext_neg}
    implementation = f"{user.implementation_class_uid} {user.implementation_version_name or ''}".strip()
    return accepted, extended, _most_pdu(user.maximum_length), implementation


def _negotiated(
    proposed: Proposed, request: AssociationRequest, acceptance: Acceptance
) -> tuple[PresentationContext, SCP_SCU_RoleSelectionNegotiation | None]:
    chosen = acceptance.contexts.get(proposed.id, NO_ABSTRACT_SYNTAX)
    if isinstance(chosen, int) or not proposed.transfer_syntaxes or not proposed.abstract_syntax:
        return _refused(proposed, chosen if isinstance(chosen, int) else NO_TRANSFER_SYNTAX), None
    ours = _presentation_context(proposed)
    ours.transfer_syntax = [UID(chosen)]
    if (roles := acceptance.roles.get(proposed.abstract_syntax)) is not None:
        ours.scu_role, ours.scp_role = roles
    theirs = _presentation_context(proposed)
    role = request.roles.get(proposed.abstract_syntax, (False, False))
    asked: Roles = {UID(proposed.abstract_syntax): role} if role != (False, False) else {}
    results, answers = negotiate_as_acceptor([theirs], [ours], asked)
    return results[0], answers[0] if answers else None


def _refused(proposed: Proposed, reason: int) -> PresentationContext:
    context = PresentationContext()
    context.context_id = proposed.id
    context.result = reason
    # PS3.8 Table 9-18: not to be tested, but to be there.
    context.transfer_syntax = [
        UID(proposed.transfer_syntaxes[0] if proposed.transfer_syntaxes else _IMPLICIT)
    ]
    return context


def _presentation_context(proposed: Proposed) -> PresentationContext:
    context = PresentationContext()
    context.context_id = proposed.id
    context.abstract_syntax = UID(proposed.abstract_syntax)
    context.transfer_syntax = list(map(UID, proposed.transfer_syntaxes))
    return context


def _context(result: PresentationContext, *, by: Sequence[Proposed]) -> Context:
    abstract_syntax = next(one.abstract_syntax for one in by if one.id == result.context_id)
    return Context(
        id=result.context_id or 0,
        abstract_syntax=abstract_syntax,
        transfer_syntax=str(result.transfer_syntax[0]),
        as_scp=bool(result.as_scp),
        as_scu=bool(result.as_scu),
    )


def _about_us(pdu_size: int) -> list[Any]:
    length = MaximumLengthNotification()
    length.maximum_length_received = pdu_size
    uid = ImplementationClassUIDNotification()
    uid.implementation_class_uid = UID(IMPLEMENTATION_CLASS_UID)
    version = ImplementationVersionNameNotification()
    version.implementation_version_name = IMPLEMENTATION_VERSION
    return [length, uid, version]


def _extended(sop_class_uid: str, information: bytes) -> SOPClassExtendedNegotiation:
    item = SOPClassExtendedNegotiation()
    item.sop_class_uid = UID(sop_class_uid)
    item.service_class_application_information = information
    return item


def _role(sop_class_uid: str) -> SCP_SCU_RoleSelectionNegotiation:
    item = SCP_SCU_RoleSelectionNegotiation()
    item.sop_class_uid = UID(sop_class_uid)
    item.scu_role = item.scp_role = True
    return item


def _most_pdu(length: int | None) -> int:
    most = length or 0
    if 0 < most < LEAST_PDU:
        raise Violation(f"an association whose PDUs may have no more than {most} bytes")
    return most
