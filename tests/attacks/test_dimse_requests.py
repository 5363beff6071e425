"""A-ASSOCIATE-RQs as strangers write them: read in little time, and refused in one sentence or understood."""

import random
import struct
import time
import warnings
from collections.abc import Iterator

import pytest

from dicomweb_box.upper_layer import agreement, negotiation
from dicomweb_box.upper_layer.agreement import Acceptance, AssociationRequest, Rejection
from dicomweb_box.upper_layer.framing import Violation

VERIFICATION, CT = b"1.2.840.10008.1.1", b"1.2.840.10008.5.1.4.1.1.2"
IMPLICIT, EXPLICIT = b"1.2.840.10008.1.2", b"1.2.840.10008.1.2.1"


def item(kind: int, content: bytes) -> bytes:
    """An item of an association PDU, whose length is that of its content."""
    return struct.pack(">BxH", kind, len(content)) + content


def context(number: int, abstract: bytes, *transfer: bytes) -> bytes:
    """A proposed presentation context."""
    syntaxes = b"".join(item(0x40, one) for one in transfer)
    return item(0x20, struct.pack(">Bxxx", number) + item(0x30, abstract) + syntaxes)


def counted(text: bytes) -> bytes:
    return struct.pack(">H", len(text)) + text


HEAD = struct.pack(">HH16s16s32x", 1, 0, b"DICOMWEB_BOX".ljust(16), b"STRANGER".ljust(16))
APPLICATION = item(0x10, b"1.2.840.10008.3.1.1.1")
LENGTH = item(0x51, struct.pack(">I", 16384))
USER = item(0x50, LENGTH + item(0x52, b"1.2.3"))
ECHO = context(1, VERIFICATION, IMPLICIT)
RICH = (
    HEAD
    + APPLICATION
    + context(1, VERIFICATION, IMPLICIT, EXPLICIT)
    + context(3, CT, EXPLICIT, IMPLICIT)
    + item(
        0x50,
        LENGTH
        + item(0x52, b"1.2.3")
        + item(0x53, struct.pack(">HH", 1, 1))
        + item(0x54, counted(CT) + b"\1\1")
        + item(0x55, b"NAME")
        + item(0x56, counted(VERIFICATION) + b"\1\1\1")
        + item(0x57, counted(CT) + counted(b"1.2.840.10008.4.2") + counted(b""))
        + item(0x58, b"\1\0" + counted(b"abc") + counted(b"")),
    )
)
"""A request with an item of each kind."""


def answered(body: bytes) -> bytes | Rejection:
    """What is answered to a request by somebody who takes in whatever can be; raises Violation."""
    request = negotiation.read_request(body, peer_address="192.0.2.1")
    if isinstance(request, Rejection):
        return request
    chosen = agreement.choose(request, _everything(request))
    everything = Acceptance(contexts=chosen, extended=request.extended, roles=request.roles)
    return negotiation.accept(request, everything, pdu_size=16384)[1]


def _everything(request: AssociationRequest) -> dict[str, list[str]]:
    return {one.abstract_syntax: list(one.transfer_syntaxes) for one in request.proposed}


HUGE = {
    "contexts": ECHO * 9000 + USER,
    "empty contexts": item(0x20, b"\1\0\0\0") * 60_000 + USER,
    "transfer syntaxes": b"".join(context(2 * n + 1, CT, *[b"1.2"] * 9000) for n in range(7)) + USER,
    "empty transfer syntaxes": context(1, CT, *[b""] * 16_000) + USER,
    "user informations": ECHO + USER * 20_000,
    "application contexts": APPLICATION * 18_000 + ECHO + USER,
}


@pytest.mark.dicom("PS3.8 9.3.2")
@pytest.mark.parametrize("kind", HUGE)
def test_half_a_megabyte_of_small_items_holds_nobody_up(kind: str) -> None:
    began = time.thread_time()

    with pytest.raises(Violation):
        answered(HEAD + APPLICATION + HUGE[kind])

    assert time.thread_time() - began < 1


@pytest.mark.dicom("PS3.8 9.3.2.2")
def test_as_much_as_can_be_proposed_is_understood() -> None:
    syntaxes = [b"1.2.840.10008.1.2.%d" % n for n in range(60)]
    contexts = b"".join(context(2 * n + 1, b"1.2.3.%d" % n, *syntaxes) for n in range(128))

    answer = answered(HEAD + APPLICATION + contexts + USER)

    assert isinstance(answer, bytes)
    assert answer.count(b"1.2.840.10008.1.2.0") == 128


def test_an_empty_transfer_syntax_is_passed_over() -> None:
    answer = answered(HEAD + APPLICATION + context(1, VERIFICATION, b"", IMPLICIT) + USER)

    assert isinstance(answer, bytes)
    assert IMPLICIT in answer


@pytest.mark.parametrize("number", [0, 2, 254])
def test_a_context_whose_id_is_not_odd_is_a_violation(number: int) -> None:
    with pytest.raises(Violation):
        answered(HEAD + APPLICATION + context(number, VERIFICATION, IMPLICIT) + USER)


@pytest.mark.parametrize("title", [b"", b"\0" * 16, b"\\", b"\x1b[31mRED", b"\xff\xfe", b"A\r\nadmin"])
def test_a_title_that_is_none_is_a_violation_that_does_not_repeat_it(title: bytes) -> None:
    head = struct.pack(">HH16s16s32x", 1, 0, b"DICOMWEB_BOX".ljust(16), title.ljust(16))

    with pytest.raises(Violation, match=r"\A[ a-zA-Z]+\Z"):
        answered(head + APPLICATION + ECHO + USER)


def mutations(count: int) -> Iterator[bytes]:
    """Requests in each of which a few bytes were changed, taken out, put in or moved."""
    dice = random.Random(20261127)
    for _ in range(count):
        body = bytearray(RICH)
        for _ in range(dice.choice([1, 1, 2, 3, 6])):
            at, other = dice.randrange(len(body)), dice.randrange(len(body))
            match dice.randrange(5):
                case 0:
                    body[at] = dice.randrange(256)
                case 1:
                    body[at] = dice.choice(b"\x00\x01\x7f\x80\xff \\\n")
                case 2:
                    del body[at : at + dice.randrange(1, 8)]
                case 3:
                    body[at:at] = dice.randbytes(dice.randrange(1, 5))
                case _:
                    body[at : at + 4] = body[other : other + 4]
        yield bytes(body)


def test_mutated_requests_are_answered_or_violations(pytestconfig: pytest.Config) -> None:
    count = 100_000 if pytestconfig.getoption("--soak") else 500
    answers = violations = 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # as the program does: pydicom quotes what it does not like
        for body in mutations(count):
            try:
                answered(body)
            except Violation:
                violations += 1
            else:
                answers += 1

    assert answers > violations / 10
    assert violations
