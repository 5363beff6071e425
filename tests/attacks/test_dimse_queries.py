"""C-FIND, C-GET and C-MOVE as nobody should ask them: each is answered soon, and tells of nobody."""

import random
import struct
import time
from collections.abc import Iterator

import pytest

from conformance.server import Server, start
from tests.attacks import wire
from tests.attacks.test_dimse_pdus import assert_clean
from tests.attacks.test_dimse_stores import encoded
from tests.attacks.wire import (
    ABORT,
    C_FIND,
    CT,
    EXPLICIT,
    IMPLICIT,
    LAST,
    P_DATA,
    STUDY_FIND,
    associated,
    cancel,
    command,
    echoes,
    element,
    fragment,
    message,
    pdu,
)
from tests.builders import make_dataset
from tests.soak.processes import peaks

STUDY_GET, STUDY_MOVE = b"1.2.840.10008.5.1.4.1.2.2.3", b"1.2.840.10008.5.1.4.1.2.2.2"
ASKED = {"find": (STUDY_FIND, C_FIND), "get": (STUDY_GET, 0x0010), "move": (STUDY_MOVE, 0x0021)}
SECRET = b"Secretsson^Tell"
STORED = 300
LEVEL, CHARSET, NAME, ID = 0x00080052, 0x00080005, 0x00100010, 0x00100020
STUDY, SERIES, INSTANCE = 0x0020000D, 0x0020000E, 0x00080018
ENDLESS = struct.pack("<I", 0xFFFFFFFF)


@pytest.fixture(scope="module")
def dimse(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server without accounts that holds a study for each of many patients."""
    settings = {"DICOMWEB_BOX_DIMSE_WORKERS": "1", "DICOMWEB_BOX_DIMSE_MESSAGE_TIMEOUT": "5"}
    data = tmp_path_factory.mktemp("queries") / "data"
    server = start(data, "--workers", "1", settings=settings, dimse=True, within=60)
    try:
        _fill(server)
        yield server
        assert echoes(server.dimse)
        assert_clean(server.log)
        assert "Secretsson" not in server.log.read_text(errors="replace")
    finally:
        server.kill()


def _fill(server: Server) -> None:
    with associated(server.dimse, (1, CT, [EXPLICIT]), seconds=60) as one:
        for number in range(STORED):
            ds = make_dataset(PatientName=f"{SECRET.decode()}-{number}", PatientID=f"Secretsson{number}")
            asked = command(1, sop_class=CT, data=1, instance=ds.SOPInstanceUID, message_id=number + 1)
            one.send(message(1, asked, encoded(ds)))
            assert one.status() == 0


def _even(text: bytes) -> bytes:
    return text + b" " * (len(text) % 2)


def key(tag: int, value: bytes) -> bytes:
    """A key with a text value."""
    return element(tag, _even(value))


def at(level: bytes, *keys: bytes) -> bytes:
    """An identifier; the keys in the order they are given."""
    return key(LEVEL, level) + b"".join(keys)


def sequence(*items: bytes) -> bytes:
    """Request Attributes Sequence, of items as they are."""
    return struct.pack("<HHI", 0x0040, 0x0275, sum(map(len, items))) + b"".join(items)


def nested(depth: int) -> bytes:
    head = struct.pack("<HH", 0x0040, 0x0275) + ENDLESS + struct.pack("<HH", 0xFFFE, 0xE000) + ENDLESS
    return head * depth


ITEM = struct.pack("<HHI", 0xFFFE, 0xE000, 0)
ABSURD = {
    "nothing": b"",
    "zeros": bytes(2000),
    "noise": random.Random(3).randbytes(3000),
    "no level": key(NAME, SECRET),
    "an absurd level": at(b"PATIENT\\STUDY", key(NAME, SECRET)),
    "a level of markup": at(b"<script>alert(1)</script>", key(NAME, SECRET)),
    "asterisks": at(b"STUDY", key(NAME, b"*" * 5000 + b"x"), key(STUDY, b"")),
    "asterisks and letters": at(b"STUDY", key(NAME, b"*a" * 3000), key(STUDY, b"")),
    "question marks": at(b"STUDY", key(NAME, b"?*" * 3000), key(ID, b"?" * 5000)),
    "percent": at(b"STUDY", key(NAME, b"%_%_%\\%" * 100), key(ID, b"%")),
    "SQL": at(b"STUDY", key(NAME, b"'; drop table study; --"), key(ID, b'" or 1=1 --')),
    "a NUL": at(b"STUDY", key(NAME, b"Secret\0sson"), key(ID, b"\0\0\0\0")),
    "escapes": at(b"STUDY", key(CHARSET, b"\\ISO 2022 IR 87"), key(NAME, b"\x1b$B" * 500 + SECRET)),
    "no character set": at(
        b"STUDY", key(CHARSET, b"ISO 2022 IR 999\\NONE"), key(NAME, b"\xff\xfe\x80" + SECRET)
    ),
    "broken UTF-8": at(b"STUDY", key(CHARSET, b"ISO_IR 192"), key(NAME, b"\xc3\x28\xf0\x90" + SECRET)),
    "days": at(b"STUDY", key(0x00080020, b"99999999-00000000"), key(0x00080030, b"-"), key(NAME, SECRET)),
    "a range of ranges": at(b"STUDY", key(0x00080020, b"-" * 1000), key(NAME, SECRET)),
    "many UIDs": at(b"STUDY", key(STUDY, b"\\".join(b"1.2.%d" % n for n in range(100_000)))),
    "UIDs that are none": at(b"STUDY", key(STUDY, b"../../etc\\*\\1..2\\" + SECRET)),
    "wildcards of UIDs": at(b"IMAGE", key(STUDY, b"*"), key(SERIES, b"*"), key(INSTANCE, b"1.*")),
    "many values of a name": at(b"STUDY", key(NAME, b"\\".join(b"a%d*" % n for n in range(5000)))),
    "the same key often": at(b"STUDY", *[key(NAME, SECRET)] * 2000),
    "keys that nobody knows": at(b"STUDY", *[element(0x00210000 | n, b"") for n in range(0x1000, 0x2000)]),
    "private keys": at(b"STUDY", *[key(0x00110000 | n, SECRET) for n in range(0x1000, 0x1400)]),
    "numbers of a wrong size": at(b"STUDY", element(0x00280010, b"abc\0"), element(0x00201208, b"\1\2")),
    "a sequence of a thousand": at(b"STUDY", sequence(*[ITEM] * 1000)),
    "a sequence within itself": at(b"STUDY", nested(1000)),
    "a key that is cut": at(b"STUDY", struct.pack("<HHI", 0x10, 0x10, 4000) + SECRET),
    "pixels": at(b"IMAGE", element(0x7FE00010, bytes(100_000)), key(NAME, SECRET)),
    "commands": at(b"STUDY", element(0x00000100, b"\1\0"), key(NAME, SECRET)),
}
FINE = {0x0000, 0xA700, 0xA701, 0xA900, 0xA801, 0xB000} | set(range(0xC000, 0xD000))
"""Not 0110, which says that the archive failed."""


def _ended(one: wire.Wire, within: float = 30) -> tuple[int, bytes, int]:
    """The final status and its Error Comment, and how many pending ones came before it."""
    pending, end = 0, time.monotonic() + within
    while time.monotonic() < end:
        answer = one.answer()
        status = int(struct.unpack("<H", answer[0x0900])[0])
        if status not in {0xFF00, 0xFF01}:
            return status, answer.get(0x0902, b""), pending
        pending += 1
    raise TimeoutError


@pytest.mark.parametrize("service", ASKED)
@pytest.mark.parametrize("kind", ABSURD)
def test_an_absurd_identifier_is_answered_soon_and_tells_nobody(
    dimse: Server, service: str, kind: str
) -> None:
    sop_class, field = ASKED[service]
    with associated(dimse.dimse, (1, sop_class, [IMPLICIT]), seconds=30) as one:
        began = time.monotonic()
        one.send(message(1, command(field, sop_class=sop_class, data=1), ABSURD[kind]))

        status, comment, _ = _ended(one)

    assert status in FINE, (hex(status), comment)
    assert b"Secret" not in comment
    assert time.monotonic() - began < 60


@pytest.mark.parametrize("service", ASKED)
def test_a_request_without_an_identifier_is_refused(dimse: Server, service: str) -> None:
    sop_class, field = ASKED[service]
    with associated(dimse.dimse, (1, sop_class, [IMPLICIT]), seconds=30) as one:
        one.send(message(1, command(field, sop_class=sop_class)))

        assert _ended(one)[0] in FINE - {0}


@pytest.mark.parametrize("service", ASKED)
def test_an_identifier_of_ten_megabytes_is_not_kept(dimse: Server, service: str) -> None:
    sop_class, field = ASKED[service]
    before = max(peaks(dimse.process.pid).values())
    with associated(dimse.dimse, (1, sop_class, [IMPLICIT]), seconds=30) as one:
        one.send(message(1, command(field, sop_class=sop_class, data=1)))
        piece = pdu(P_DATA, fragment(1, 0, bytes(60_000)))
        for _ in range(175):
            one.send(piece)
        one.send(pdu(P_DATA, fragment(1, LAST, b"")))

        found = one.pdu()

    assert found is None or found[0] in {ABORT, P_DATA}
    assert max(peaks(dimse.process.pid).values()) < before + 40


EVERY = at(b"STUDY", key(NAME, b""), key(STUDY, b""))


def test_everything_is_found_and_nothing_after_a_cancel(dimse: Server) -> None:
    with associated(dimse.dimse, (1, STUDY_FIND, [IMPLICIT]), seconds=30) as one:
        one.send(message(1, command(C_FIND, sop_class=STUDY_FIND, data=1, message_id=5), EVERY))
        assert _ended(one)[::2] == (0, STORED)

        # Before, amid and after; of others' numbers; more of them than anybody remembers.
        one.send(b"".join(message(1, cancel(number)) for number in range(2000)))
        one.send(message(1, command(C_FIND, sop_class=STUDY_FIND, data=1, message_id=6), EVERY))
        one.send(message(1, cancel(6)) + message(1, cancel(7)) * 100)
        status, _, pending = _ended(one)
        assert (status, pending <= STORED) in {(0xFE00, True), (0, pending == STORED)}

        one.send(message(1, cancel(6)))
        one.send(message(1, command(C_FIND, sop_class=STUDY_FIND, data=1, message_id=7), EVERY))
        assert _ended(one)[::2] == (0, STORED)


def test_requests_that_do_not_wait_are_answered_in_turn(dimse: Server) -> None:
    with associated(dimse.dimse, (1, STUDY_FIND, [IMPLICIT]), seconds=60) as one:
        for number in (1, 2, 3):
            one.send(message(1, command(C_FIND, sop_class=STUDY_FIND, data=1, message_id=number), EVERY))

        assert [_ended(one)[::2] for _ in range(3)] == [(0, STORED)] * 3


def test_whoever_reads_no_answers_holds_nobody_up(dimse: Server) -> None:
    began = time.monotonic()
    with associated(dimse.dimse, (1, STUDY_FIND, [IMPLICIT]), seconds=30) as one:
        one.sock.settimeout(2)
        try:
            for number in range(1, 400):
                one.sock.sendall(
                    message(1, command(C_FIND, sop_class=STUDY_FIND, data=1, message_id=number), EVERY)
                )
        except (TimeoutError, ConnectionError):
            pass
        assert echoes(dimse.dimse, seconds=30)

    assert time.monotonic() - began < 120


@pytest.mark.parametrize("seconds", [0.0, 0.02, 0.2])
def test_whoever_aborts_amid_answers_leaves_nothing_behind(dimse: Server, seconds: float) -> None:
    for _ in range(10):
        with associated(dimse.dimse, (1, STUDY_FIND, [IMPLICIT]), seconds=30) as one:
            one.send(message(1, command(C_FIND, sop_class=STUDY_FIND, data=1), EVERY))
            time.sleep(seconds)
            one.send(pdu(ABORT, b"\0\0\0\0"))

    assert echoes(dimse.dimse)


def test_mutated_identifiers_are_answered(dimse: Server, pytestconfig: pytest.Config) -> None:
    dice = random.Random(11)
    whole = at(b"STUDY", key(CHARSET, b"ISO_IR 192"), key(0x00080020, b"20200101-20301231"), key(NAME, b"S*"))
    whole += key(STUDY, b"") + sequence(ITEM) + key(0x00200010, b"S1")
    for number in range(20_000 if pytestconfig.getoption("--soak") else 150):
        data = bytearray(whole)
        for _ in range(dice.choice([1, 1, 2, 4])):
            where = dice.randrange(len(data))
            match dice.randrange(3):
                case 0:
                    data[where] = dice.randrange(256)
                case 1:
                    del data[where : where + dice.randrange(1, 5)]
                case _:
                    data[where:where] = dice.randbytes(2)
        service = ("find", "get", "move")[number % 3]
        sop_class, field = ASKED[service]
        with associated(dimse.dimse, (1, sop_class, [IMPLICIT]), seconds=30) as one:
            one.send(message(1, command(field, sop_class=sop_class, data=1), bytes(data)))
            status, comment, _ = _ended(one)

        assert status in FINE, (number, hex(status), comment)
        assert b"Secret" not in comment
