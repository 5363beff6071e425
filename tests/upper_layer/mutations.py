"""Sessions of PDUs, and what becomes of them when somebody breaks them."""

import random
from collections.abc import Callable, Sequence

from dicomweb_box.upper_layer import commands
from dicomweb_box.upper_layer.agreement import Proposed
from tests.upper_layer.peers import (
    ABORT,
    CT,
    EXPLICIT,
    IMPLICIT,
    RELEASE_RP,
    RELEASE_RQ,
    VERIFICATION,
    association_request,
    echo,
    message,
    store,
)

GET = "1.2.840.10008.5.1.4.1.2.2.3"


def get(message_id: int = 4) -> bytes:
    """A C-GET-RQ in the first presentation context."""
    command = {
        "AffectedSOPClassUID": GET,
        "CommandField": commands.C_GET_RQ,
        "MessageID": message_id,
        "Priority": 0,
    }
    return message(1, command, b"\x08\0\x52\0\x06\0\0\0STUDY ")


def stored(message_id: int = 1, status: int = 0) -> bytes:
    """A C-STORE-RSP in the second presentation context."""
    return message(
        3,
        {
            "AffectedSOPClassUID": CT,
            "AffectedSOPInstanceUID": "1.2.3",
            "CommandField": commands.C_STORE_RQ | commands.RESPONSE,
            "MessageIDBeingRespondedTo": message_id,
            "Status": status,
        },
    )


def cancel(message_id: int = 4) -> bytes:
    """A C-CANCEL-RQ."""
    return message(1, {"CommandField": commands.C_CANCEL_RQ, "MessageIDBeingRespondedTo": message_id})


def sessions() -> list[list[bytes]]:
    """PDUs that peers send, as they should."""
    roles = association_request(
        Proposed(abstract_syntax=VERIFICATION, transfer_syntaxes=[IMPLICIT]),
        Proposed(abstract_syntax=CT, transfer_syntaxes=[EXPLICIT, IMPLICIT], as_scp=True),
        extended={GET: b"\1\1\1"},
    )
    usual = association_request()
    return [
        [usual, echo(), RELEASE_RQ],
        [usual, store(bytes(range(256)) * 20), store(b"", 2), RELEASE_RQ],
        [roles, get(), stored(), cancel(), RELEASE_RQ],
        [roles, store(bytes(70_000), 3), echo(4), ABORT],
        [usual, echo(), RELEASE_RP],
    ]


def _flip(data: bytearray, chance: random.Random) -> None:
    for _ in range(chance.choice((1, 1, 2, 8))):
        data[chance.randrange(len(data))] = chance.choice((0, 1, 0x7F, 0x80, 0xFF, chance.randrange(256)))


def _near_the_heads(data: bytearray, chance: random.Random) -> None:
    """Where types and lengths are."""
    data[min(chance.randrange(14), len(data) - 1)] = chance.choice((0, 1, 4, 0xFF, chance.randrange(256)))


def _cut(data: bytearray, chance: random.Random) -> None:
    del data[chance.randrange(len(data)) :]


def _take_out(data: bytearray, chance: random.Random) -> None:
    start = chance.randrange(len(data))
    del data[start : start + chance.randint(1, 40)]


def _put_in(data: bytearray, chance: random.Random) -> None:
    start = chance.randrange(len(data))
    data[start:start] = chance.randbytes(chance.randint(1, 40))


def _again(data: bytearray, chance: random.Random) -> None:
    start = chance.randrange(len(data))
    data[start:start] = data[start : start + chance.randint(1, 200)]


_MUTATIONS: Sequence[Callable[[bytearray, random.Random], None]] = (
    _flip,
    _near_the_heads,
    _near_the_heads,
    _cut,
    _take_out,
    _put_in,
    _again,
)


def broken(pdus: Sequence[bytes], chance: random.Random) -> bytes:
    """A session with some of its PDUs, or their order, not as they should be."""
    kept = [bytearray(pdu) for pdu in pdus]
    if chance.random() < 0.15:
        chance.shuffle(kept)
    if chance.random() < 0.1:
        kept.insert(chance.randrange(len(kept) + 1), bytearray(chance.choice(kept)))
    for _ in range(chance.choice((1, 1, 2, 3))):
        victim = chance.choice(kept)
        if victim:
            chance.choice(_MUTATIONS)(victim, chance)
    return b"".join(kept)
