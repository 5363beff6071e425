"""A peer that takes instances: pynetdicom's AE, which answers as a test wants."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Lock
from typing import Any

from pynetdicom import AE, evt
from pynetdicom.events import Event

from dicomweb_box.accounts.access import SYSTEM
from dicomweb_box.box import Box
from dicomweb_box.outbound import peers
from dicomweb_box.outbound.known_peers import Peer
from tests.outbound.told import told

ANY_CLASS = (
    "1.2.840.10008.5.1.4.1.1.2",
    "1.2.840.10008.5.1.4.1.1.4",
    "1.2.840.10008.5.1.4.1.1.7",
    "1.2.840.10008.5.1.4.1.1.6.1",
)
NATIVE = ("1.2.840.10008.1.2.1", "1.2.840.10008.1.2")


@dataclass(frozen=True, kw_only=True)
class Taken:
    """One instance that came."""

    instance_uid: str
    transfer_syntax: str
    dataset: bytes = field(repr=False)
    originator: tuple[str | None, int | None]


@dataclass(kw_only=True)
class Receiver:
    """What it has and how it answers."""

    port: int = 0
    taken: list[Taken] = field(default_factory=list)
    associations: list[int] = field(default_factory=list)
    """How many contexts were proposed for each."""
    answer: Callable[[int, Event], int] = lambda number, event: 0x0000
    """The status of the instance of this number, from 1 on; may abort the event's association."""
    lock: Lock = field(default_factory=Lock)
    asked: int = 0

    def store(self, event: Event) -> int:
        """Take an instance, where the answer is that it is stored."""
        with self.lock:
            self.asked += 1
            number = self.asked
        status = self.answer(number, event)
        request = event.request
        if status == 0 or status >> 12 == 0xB:
            originator = request.MoveOriginatorApplicationEntityTitle, request.MoveOriginatorMessageID
            data = request.DataSet.getvalue()
            syntax = str(event.context.transfer_syntax)
            taken = Taken(
                instance_uid=str(request.AffectedSOPInstanceUID),
                transfer_syntax=syntax,
                dataset=data,
                originator=originator,
            )
            with self.lock:
                self.taken.append(taken)
        return status

    @property
    def uids(self) -> list[str]:
        """What came, in order."""
        return [one.instance_uid for one in self.taken]


@contextmanager
def receiving(
    classes: Sequence[str] | Mapping[str, Sequence[str]] = ANY_CLASS,
    syntaxes: Sequence[str] = NATIVE,
    *,
    most: int = 10,
    **more: Any,
) -> Iterator[Receiver]:
    """A receiver on a free port that takes these SOP classes in these transfer syntaxes, over at most so many
    associations at once.
    """
    receiver = Receiver(**more)
    ae = AE("RECEIVER")
    ae.maximum_associations = most
    if isinstance(classes, Mapping):
        for uid, own in classes.items():
            ae.add_supported_context(uid, list(own))
    else:
        for uid in classes:
            ae.add_supported_context(uid, list(syntaxes))
    handlers = [
        (evt.EVT_C_STORE, receiver.store),
        (evt.EVT_REQUESTED, lambda event: _note(receiver, event)),
    ]
    server = ae.start_server(("127.0.0.1", 0), block=False, evt_handlers=handlers)
    assert server is not None
    receiver.port = server.socket.getsockname()[1]
    try:
        yield receiver
    finally:
        server.shutdown()


def _note(receiver: Receiver, event: Event) -> None:
    proposed = event.assoc.requestor.primitive.presentation_context_definition_list
    receiver.associations.append(len(proposed))


async def peer_of(box: Box, receiver: Receiver, **more: Any) -> Peer:
    """The receiver as a peer of the box."""
    return await peers.add(
        box,
        told(name="north", ae_title="RECEIVER", host="127.0.0.1", port=receiver.port, **more),
        actor=SYSTEM,
    )
