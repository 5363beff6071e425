"""PDUs and messages that break the protocol: each ends its own association, and nobody else's."""

import random
import struct
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from conformance.server import Server, start
from tests.attacks import wire
from tests.attacks.wire import (
    ABORT,
    ASSOCIATE_AC,
    ASSOCIATE_RJ,
    ASSOCIATE_RQ,
    C_ECHO,
    COMMAND,
    CT,
    EXPLICIT,
    IMPLICIT,
    LAST,
    P_DATA,
    RELEASE_RP,
    VERIFICATION,
    associated,
    command,
    context,
    echoes,
    element,
    fragment,
    message,
    pdu,
    request,
)

ECHO_CONTEXT = (1, VERIFICATION, [IMPLICIT])
CT_CONTEXT = (3, CT, [EXPLICIT])
QUICK = {
    "DICOMWEB_BOX_DIMSE_REQUEST_TIMEOUT": "2",
    "DICOMWEB_BOX_DIMSE_MESSAGE_TIMEOUT": "2",
    "DICOMWEB_BOX_DIMSE_IDLE_TIMEOUT": "4",
    "DICOMWEB_BOX_DIMSE_WORKERS": "1",
}


@pytest.fixture(scope="module")
def dimse(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server without accounts, that waits for nobody for long."""
    server = start(
        tmp_path_factory.mktemp("dimse") / "data", "--workers", "1", settings=QUICK, dimse=True, within=60
    )
    try:
        yield server
        assert_clean(server.log)
    finally:
        server.kill()


def assert_clean(log: Path) -> None:
    """Nothing went wrong in a way that nobody thought of."""
    said = log.read_text(errors="replace")
    for word in ("Traceback", "Exception", "Error", "never awaited", "Task was destroyed"):
        assert word not in said, [line for line in said.splitlines() if word in line][:20]
    assert all(line.isprintable() for line in said.splitlines()), said[-4000:]


@pytest.fixture(autouse=True)
def _others_are_served(dimse: Server) -> Iterator[None]:
    yield
    assert echoes(dimse.dimse)


BEFORE = {
    "nothing known": b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    "a TLS hello": bytes.fromhex("16030100c8010000c40303") + b"\0" * 200,
    "a type of zero": pdu(0, b""),
    "a type of 255": pdu(255, b"\0" * 4),
    "an answer": pdu(ASSOCIATE_AC, wire.head() + wire.APPLICATION + wire.USER),
    "a rejection": pdu(ASSOCIATE_RJ, b"\0\1\1\1"),
    "a message": message(1, wire.ECHO),
    "a release": wire.ASK,
    "a confirmed release": pdu(RELEASE_RP, b"\0\0\0\0"),
    "an abort": pdu(ABORT, b"\0\0\0\0"),
    "an empty request": pdu(ASSOCIATE_RQ, b""),
    "a cut request": pdu(ASSOCIATE_RQ, wire.head()[:40]),
    "a request of four GiB": struct.pack(">BxI", ASSOCIATE_RQ, 0xFFFFFFFF) + b"\0" * 1000,
    "a message of four GiB": struct.pack(">BxI", P_DATA, 0xFFFFFFFF) + b"\0" * 1000,
    "an item that is too long": pdu(ASSOCIATE_RQ, wire.head() + struct.pack(">BxH", 0x10, 0xFFFF) + b"1"),
    "an even context": request(context(2, VERIFICATION, IMPLICIT)),
    "a context of ID 0": request(context(0, VERIFICATION, IMPLICIT)),
    "two of an ID": request(context(1, VERIFICATION, IMPLICIT), context(1, CT, IMPLICIT)),
    "200 contexts": request(*(context(n % 256, VERIFICATION, IMPLICIT) for n in range(1, 401, 2))),
    "a UID of 81 characters": request(context(1, b"1." * 40 + b"1", IMPLICIT)),
    "two requests": request(context(1, VERIFICATION, IMPLICIT)) * 2,
    "no user information": pdu(
        ASSOCIATE_RQ, wire.head() + wire.APPLICATION + context(1, VERIFICATION, IMPLICIT)
    ),
}


@pytest.mark.dicom("PS3.8 9.2.3")
@pytest.mark.parametrize("words", BEFORE.values(), ids=BEFORE)
def test_what_is_no_request_ends_the_connection(dimse: Server, words: bytes) -> None:
    with wire.wire(dimse.dimse) as one:
        one.send(words)

        assert one.ended() in {ABORT, None}


@pytest.mark.dicom("PS3.8 9.3.4")
@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (request(context(1, VERIFICATION, IMPLICIT), called=b"SOMEBODY_ELSE"), (1, 1, 7)),
        (pdu(ASSOCIATE_RQ, b"\0\2" + request(context(1, VERIFICATION, IMPLICIT))[8:]), (1, 2, 2)),
        (
            pdu(ASSOCIATE_RQ, wire.head() + wire.item(0x10, b"1.2.3") + context(1, CT, EXPLICIT) + wire.USER),
            (1, 1, 2),
        ),
    ],
    ids=["another title", "another version", "another application"],
)
def test_what_cannot_be_is_rejected_with_its_reason(
    dimse: Server, words: bytes, reason: tuple[int, int, int]
) -> None:
    with wire.wire(dimse.dimse) as one:
        one.send(words)

        assert one.pdu() == (ASSOCIATE_RJ, bytes((0, *reason)))
        assert one.ended() is None


@pytest.mark.dicom("PS3.8 9.3.3.2")
def test_contexts_are_accepted_one_by_one(dimse: Server) -> None:
    with associated(
        dimse.dimse,
        (1, VERIFICATION, [IMPLICIT]),
        (3, b"1.2.840.10008.5.1.4.1.1.2", [b"1.2.840.10008.1.2.4.100.9.9"]),
        (5, b"1.2.840.10008.1.2.1", [EXPLICIT]),
        (7, b"not a UID", [EXPLICIT]),
        (11, VERIFICATION, []),
        (13, VERIFICATION, [b"<script>", b"1.2\n3"]),
        (255, CT, [b"nonsense", EXPLICIT]),
    ) as one:
        # A transfer syntax and a class that nobody knows may be private ones; what is no UID is none.
        assert one.accepted[1] == one.accepted[255] == 0
        assert [one.accepted[n] for n in (5, 7)] == [3, 3]
        assert [one.accepted[n] for n in (11, 13)] == [4, 4]


AMID = {
    "a context that is not accepted": message(5, wire.ECHO),
    "context 0": message(0, wire.ECHO),
    "a data set first": pdu(P_DATA, fragment(3, LAST, b"abc")),
    "a data set in another context": pdu(
        P_DATA,
        fragment(3, COMMAND | LAST, command(1, sop_class=CT, data=1, instance="1.2"))
        + fragment(1, LAST, b"x"),
    ),
    "a command within a command": pdu(
        P_DATA, fragment(1, COMMAND, wire.ECHO[:20]) + fragment(3, COMMAND | LAST, wire.ECHO[20:])
    ),
    "a command within a data set": pdu(
        P_DATA,
        fragment(3, COMMAND | LAST, command(1, sop_class=CT, data=1, instance="1.2"))
        + fragment(3, 0, b"abc")
        + fragment(1, COMMAND | LAST, wire.ECHO),
    ),
    "an empty command": message(1, b""),
    "a command without a field": message(1, element(0x0110, b"\1\0")),
    "a command that is cut": message(1, wire.ECHO[:-1]),
    "a command of another group": message(1, wire.ECHO + struct.pack("<HHI", 8, 5, 2) + b"AB"),
    "an element of four GiB": message(1, struct.pack("<HHI", 0, 2, 0xFFFFFFFF)),
    "a number of one byte": message(1, element(0x0100, b"\1")),
    "no message ID": message(1, element(0x0100, struct.pack("<H", C_ECHO))),
    "a command of a megabyte": b"".join(pdu(P_DATA, fragment(1, COMMAND, b"\0" * 16000)) for _ in range(70)),
    "a fragment of no length": pdu(P_DATA, struct.pack(">IBB", 0, 1, 3)),
    "a fragment of one byte": pdu(P_DATA, struct.pack(">IBB", 1, 1, 3)),
    "a fragment longer than its PDU": pdu(P_DATA, struct.pack(">IBB", 100, 1, 3) + b"abc"),
    "a fragment of four GiB": pdu(P_DATA, struct.pack(">IBB", 0xFFFFFFFF, 1, 3) + b"abc"),
    "a PDU of three bytes": pdu(P_DATA, b"abc"),
    "a second request": request(context(1, VERIFICATION, IMPLICIT)),
    "a confirmed release": pdu(RELEASE_RP, b"\0\0\0\0"),
    "a rejection": pdu(ASSOCIATE_RJ, b"\0\1\1\1"),
    "an abort of the wrong length": struct.pack(">BxI", ABORT, 0xFFFFFF) + b"\0" * 64,
    "a message after a release": wire.ASK + message(1, wire.ECHO),
}


@pytest.mark.dicom("PS3.8 9.2.3")
@pytest.mark.parametrize("words", AMID.values(), ids=AMID)
def test_what_breaks_the_protocol_aborts_the_association(dimse: Server, words: bytes) -> None:
    with associated(dimse.dimse, ECHO_CONTEXT, CT_CONTEXT) as one:
        one.send(words)

        assert one.ended() in {ABORT, RELEASE_RP, None}


def test_responses_that_nobody_asked_for_are_passed_over(dimse: Server) -> None:
    with associated(dimse.dimse, ECHO_CONTEXT) as one:
        for field in (0x8001, 0x8020, 0x8030, 0x8110):
            one.send(message(1, command(field), None))
        one.send(message(1, wire.cancel(1)) + message(1, wire.cancel(77)))
        one.send(message(1, wire.ECHO))

        assert one.status() == 0


def test_a_command_that_is_not_served_is_answered(dimse: Server) -> None:
    with associated(dimse.dimse, ECHO_CONTEXT, CT_CONTEXT) as one:
        for field in (0x0010, 0x0020, 0x0021, 0x0100, 0x0110, 0x0120, 0x0130, 0x0140, 0x0150, 0x0777):
            one.send(message(1, command(field)))
            assert one.status() == 0x0211
        one.send(message(1, command(0x0001, sop_class=CT)))
        assert one.status() == 0x0122


def test_requests_in_a_row_are_answered_in_their_order(dimse: Server) -> None:
    with associated(dimse.dimse, ECHO_CONTEXT) as one:
        one.send(b"".join(message(1, command(C_ECHO, message_id=n)) for n in range(1, 500)))

        answered = [struct.unpack("<H", one.answer()[0x0120])[0] for _ in range(1, 500)]

    assert answered == list(range(1, 500))


def test_a_message_may_come_byte_by_byte_and_fragment_by_fragment(dimse: Server) -> None:
    with associated(dimse.dimse, ECHO_CONTEXT) as one:
        pieces = [fragment(1, COMMAND, wire.ECHO[n : n + 1]) for n in range(len(wire.ECHO))]
        one.send(b"".join(pdu(P_DATA, piece) for piece in pieces) + pdu(P_DATA, b""))
        for byte in pdu(P_DATA, fragment(1, COMMAND | LAST, b"")):
            one.send(bytes((byte,)))

        assert one.status() == 0


def test_whoever_says_nothing_is_sent_away(dimse: Server) -> None:
    with wire.wire(dimse.dimse, seconds=30) as silent:
        assert silent.closed_within(30)


def test_a_request_that_drips_is_not_waited_for(dimse: Server) -> None:
    words, began = request(context(1, VERIFICATION, IMPLICIT)), time.monotonic()
    with wire.wire(dimse.dimse) as one:
        one.sock.settimeout(0.2)
        for byte in words:
            one.send(bytes((byte,)))
            if one.closed_within(0.2):
                break
        else:
            pytest.fail("the whole request was waited for")

    assert time.monotonic() - began < 35


def test_a_message_that_stops_amid_a_pdu_is_not_waited_for(dimse: Server) -> None:
    with associated(dimse.dimse, ECHO_CONTEXT, CT_CONTEXT) as one:
        one.send(message(3, command(1, sop_class=CT, data=1, instance="1.2.3")))
        one.send(struct.pack(">BxI", P_DATA, 5000) + struct.pack(">IBB", 4996, 3, 0) + b"abc")

        assert one.closed_within(40)


def test_a_data_set_that_never_comes_is_not_waited_for(dimse: Server) -> None:
    with associated(dimse.dimse, ECHO_CONTEXT, CT_CONTEXT) as one:
        one.send(message(3, command(1, sop_class=CT, data=1, instance="1.2.3")))

        assert one.closed_within(40)


def test_an_association_that_idles_is_ended(dimse: Server) -> None:
    with associated(dimse.dimse, ECHO_CONTEXT) as one:
        for _ in range(3):
            time.sleep(1)
            one.send(pdu(P_DATA, b""))  # says nothing
        assert one.closed_within(40)


def test_whoever_takes_no_answers_is_not_waited_for(dimse: Server) -> None:
    with associated(dimse.dimse, ECHO_CONTEXT) as one:
        one.sock.settimeout(1)
        words = b"".join(message(1, command(C_ECHO, message_id=n)) for n in range(1, 2000))
        end, refused = time.monotonic() + 60, False
        while time.monotonic() < end and not refused:
            try:
                one.sock.sendall(words)
            except TimeoutError:
                continue
            except ConnectionError:
                refused = True

        assert refused


def mutated(seed: int) -> bytes:
    """A whole conversation in which a few bytes are others, are missing or are there twice."""
    dice = random.Random(seed)
    store = command(1, sop_class=CT, data=1, instance="1.2.3")
    words = bytearray(
        request(context(1, VERIFICATION, IMPLICIT), context(3, CT, EXPLICIT))
        + message(1, wire.ECHO)
        + message(3, store, element(0x00080016, CT + b"\0") * 3)
        + message(1, wire.cancel(1))
        + wire.ASK
    )
    for _ in range(dice.choice([1, 1, 1, 2, 3, 5])):
        at, other = dice.randrange(len(words) + 1), dice.randrange(len(words) + 1)
        match dice.randrange(6):
            case 0:
                words[at : at + 1] = dice.randbytes(1)
            case 1:
                words[at : at + 1] = dice.choice([b"\0", b"\1", b"\2", b"\3", b"\x7f", b"\x80", b"\xff"])
            case 2:
                del words[at : at + dice.randrange(1, 12)]
            case 3:
                words[at:at] = dice.randbytes(dice.randrange(1, 6))
            case 4:
                words[at:at] = words[other : other + dice.randrange(1, 80)]
            case _:
                del words[at:]
    return bytes(words)


def test_mutated_conversations_end_in_time(dimse: Server, pytestconfig: pytest.Config) -> None:
    began, open_, count = time.monotonic(), [], 0
    most = 100_000 if pytestconfig.getoption("--soak") else 200
    for seed in range(most):
        with wire.wire(dimse.dimse, seconds=20) as one:
            one.send(mutated(seed))
            if seed % 3 == 0:  # others go without a word
                one.sock.shutdown(1)
                open_.append(one.closed_within(20))
            count += 1

    assert all(open_)
    assert count == most
    assert time.monotonic() - began < 60 + most
