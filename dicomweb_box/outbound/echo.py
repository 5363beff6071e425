"""Calls a peer and says what of it works: name, connection, TLS, association, C-ECHO, services."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from dicomweb_box.box import Box
from dicomweb_box.outbound import calling, peers
from dicomweb_box.outbound.hosts import HostRefused
from dicomweb_box.outbound.known_peers import Peer
from dicomweb_box.upper_layer import commands
from dicomweb_box.upper_layer.association import Association
from dicomweb_box.upper_layer.errors import Rejected, Unreachable, UpperLayerError
from dicomweb_box.upper_layer.requestor import Proposed

_VERIFICATION = "1.2.840.10008.1.1"
SERVICES = {
    _VERIFICATION: "Verification",
    "1.2.840.10008.5.1.4.1.1.7": "Storage of secondary captures",
    "1.2.840.10008.5.1.4.1.1.2": "Storage of CT images",
    "1.2.840.10008.5.1.4.1.1.4": "Storage of MR images",
    "1.2.840.10008.5.1.4.1.2.2.1": "Study Root C-FIND",
    "1.2.840.10008.5.1.4.1.2.2.2": "Study Root C-MOVE",
    "1.2.840.10008.5.1.4.1.2.2.3": "Study Root C-GET",
    "1.2.840.10008.5.1.4.1.2.1.1": "Patient Root C-FIND",
    "1.2.840.10008.1.20.1": "Storage Commitment",
    "1.2.840.10008.5.1.4.31": "Modality Worklist",
    "1.2.840.10008.3.1.2.3.3": "Modality Performed Procedure Step",
}
"""What a peer is asked for, by SOP class, in words."""
_SYNTAXES = ("1.2.840.10008.1.2.1", "1.2.840.10008.1.2")


@dataclass(frozen=True, kw_only=True, slots=True)
class Step:
    """One thing that was tried."""

    name: str
    works: bool
    words: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Offer:
    """A service, and whether the peer accepted to be asked for it."""

    service: str
    accepted: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Echo:
    """What calling a peer came to."""

    peer: str
    works: bool
    """Whether it answered C-ECHO with success."""
    steps: tuple[Step, ...]
    """In their order, up to the first that did not work."""
    services: tuple[Offer, ...] = ()
    milliseconds: int = 0


async def echo(box: Box, peer: Peer) -> Echo:
    """Call a peer; whatever goes wrong is in the answer."""
    began = time.monotonic()
    try:
        address = await peers.called_address(box, peer)
    except HostRefused as error:
        return _stopped(peer, began, [Step(name="Address", works=False, words=str(error))])
    steps = [Step(name="Address", works=True, words=f"{address}, port {peer.port}")]
    try:
        association = await calling.associate(box, peer, [_proposed(uid) for uid in SERVICES])
    except Unreachable as error:
        return _stopped(peer, began, [*steps, *_until(error, peer)])
    except Rejected as error:
        return _stopped(peer, began, [*steps, *_before(peer), _failed("Association", error)])
    steps += [*_before(peer), _accepted(association)]
    step = await _asked(association)
    return Echo(
        peer=peer.name,
        works=step.works,
        steps=(*steps, step),
        services=_offers(association),
        milliseconds=_since(began),
    )


async def _asked(association: Association) -> Step:
    """C-ECHO over the association, which is released then."""
    name = "C-ECHO"
    context = next(
        (one for one in association.contexts.values() if one.abstract_syntax == _VERIFICATION), None
    )
    try:
        if context is None:
            return Step(name=name, works=False, words="The peer does not accept to be asked for it.")
        command = {"CommandField": commands.C_ECHO_RQ, "AffectedSOPClassUID": _VERIFICATION}
        status = int((await association.ask_one(context, command)).command.get("Status", 0))
        words = "Success" if status == 0 else f"Status {status:04X}"
        return Step(name=name, works=status == 0, words=words)
    except UpperLayerError as error:
        return _failed(name, error)
    finally:
        await association.release()


def _proposed(uid: str) -> Proposed:
    return Proposed(abstract_syntax=uid, transfer_syntaxes=_SYNTAXES)


def _before(peer: Peer) -> Iterator[Step]:
    """What works where an association was answered."""
    yield Step(name="Connection", works=True, words="Somebody listens there.")
    if peer.tls:
        known = (
            "The certificate is the peer's." if peer.certificate else "The certificate holds for the host."
        )
        yield Step(name="TLS", works=True, words=known)


def _until(error: Unreachable, peer: Peer) -> Iterator[Step]:
    """What worked, and what did not."""
    names = {"connection": "Connection", "tls": "TLS", "answer": "Association"}
    for step in _before(peer):
        if step.name == names[error.at]:
            break
        yield step
    yield _failed(names[error.at], error)


def _accepted(association: Association) -> Step:
    limit = f"PDUs of up to {association.most_pdu} bytes" if association.most_pdu else "PDUs of any length"
    return Step(name="Association", works=True, words=f"Accepted by {_who(association)}, {limit}.")


def _who(association: Association) -> str:
    """The implementation, as it calls itself; printable, and of no great length."""
    name = "".join(one if one.isprintable() else "·" for one in association.implementation)
    return name[:100] or "the peer"


def _offers(association: Association) -> tuple[Offer, ...]:
    accepted = {one.abstract_syntax for one in association.contexts.values()}
    return tuple(Offer(service=words, accepted=uid in accepted) for uid, words in SERVICES.items())


def _failed(name: str, error: Exception) -> Step:
    sentence = str(error)
    return Step(name=name, works=False, words=f"{sentence[:1].upper()}{sentence[1:].rstrip('.')}.")


def _stopped(peer: Peer, began: float, steps: Sequence[Step]) -> Echo:
    return Echo(peer=peer.name, works=False, steps=tuple(steps), milliseconds=_since(began))


def _since(began: float) -> int:
    return round((time.monotonic() - began) * 1000)
