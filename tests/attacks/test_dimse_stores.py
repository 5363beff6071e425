"""Data sets as nobody should send them by C-STORE: each is answered, and a success is there."""

import os
import random
import signal
import struct
import time
import zlib
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import httpx
import pydicom
import pytest

from conformance.server import Server, start
from tests.attacks.test_dimse_pdus import assert_clean
from tests.attacks.wire import (
    BIG,
    COMMAND,
    CT,
    DEFLATED,
    EXPLICIT,
    IMPLICIT,
    LAST,
    P_DATA,
    associated,
    command,
    echoes,
    fragment,
    message,
    pdu,
    wire,
)
from tests.builders import make_dataset, new_uid
from tests.soak.processes import peaks, tree
from tests.waiting import until

NAME = "Secretsson^Tell-Nobody"
SYNTAXES = {IMPLICIT: (True, True), EXPLICIT: (False, True), BIG: (False, False), DEFLATED: (False, True)}
REFUSED = {0xA700, 0xA900, 0xC000, 0x0117, 0x0122}
"""Not 0110, which says that the archive failed."""


@pytest.fixture(scope="module")
def dimse(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server without accounts."""
    settings = {"DICOMWEB_BOX_DIMSE_WORKERS": "1"}
    data = tmp_path_factory.mktemp("stores") / "data"
    server = start(data, "--workers", "1", settings=settings, dimse=True, within=60)
    try:
        yield server
        assert echoes(server.dimse)
        assert_clean(server.log)
        assert "Secretsson" not in server.log.read_text(errors="replace")
    finally:
        server.kill()


def encoded(ds: pydicom.Dataset, syntax: bytes = EXPLICIT) -> bytes:
    """The bytes of a data set as a message brings them."""
    implicit, little = SYNTAXES[syntax]
    buffer = BytesIO()
    pydicom.dcmwrite(
        buffer, ds, implicit_vr=implicit, little_endian=little, enforce_file_format=False
    )  # without file meta
    data = buffer.getvalue()
    if syntax == DEFLATED:
        deflater = zlib.compressobj(wbits=-zlib.MAX_WBITS)
        data = deflater.compress(data) + deflater.flush()
    return data + b"\0" * (len(data) % 2)


def stored(
    port: int,
    data: bytes | None,
    *,
    sop_class: bytes = CT,
    said_class: bytes | None = None,
    instance: str,
    syntax: bytes = EXPLICIT,
) -> tuple[int, bytes]:
    """Status and Error Comment of a C-STORE; 0122 where the class or the syntax is not accepted."""
    with associated(port, (1, sop_class, [syntax]), seconds=60) as one:
        if one.accepted[1]:
            return 0x0122, b""
        said = sop_class if said_class is None else said_class
        asked = command(1, sop_class=said, data=0x0101 if data is None else 1, instance=instance)
        one.send(message(1, asked, data))
        answer = one.answer()
        return struct.unpack("<H", answer[0x0900])[0], answer.get(0x0902, b"")


def held(server: Server, instance: str) -> bytes | None:
    """The data set that is served of an instance; None where there is none."""
    with httpx.Client(base_url=server.dicomweb, timeout=60) as client:
        found = client.get("/instances", params={"SOPInstanceUID": instance})
        if found.status_code == 204 or not found.json():
            return None
        one = found.json()[0]
        study, series = (one[tag]["Value"][0] for tag in ("0020000D", "0020000E"))
        path = f"/studies/{study}/series/{series}/instances/{instance}"
        accept = 'multipart/related; type="application/dicom"; transfer-syntax=*'
        answer = client.get(path, headers={"Accept": accept})
        assert answer.status_code == 200
        body = answer.content.partition(b"\r\n\r\n")[2].rpartition(b"\r\n--")[0]
        return body[144 + struct.unpack_from("<I", body, 140)[0] :]


def test_an_instance_of_each_plain_transfer_syntax_is_kept_bit_for_bit(dimse: Server) -> None:
    for syntax in SYNTAXES:
        ds = make_dataset(PatientName=NAME)
        data = encoded(ds, syntax)

        assert stored(dimse.dimse, data, instance=ds.SOPInstanceUID, syntax=syntax)[0] == 0
        assert held(dimse, ds.SOPInstanceUID) == data


def test_an_instance_of_a_private_class_is_kept(dimse: Server) -> None:
    ds = make_dataset(SOPClassUID="1.2.840.113619.4.27", PatientName=NAME)
    data = encoded(ds)

    assert stored(dimse.dimse, data, sop_class=b"1.2.840.113619.4.27", instance=ds.SOPInstanceUID)[0] == 0
    assert held(dimse, ds.SOPInstanceUID) == data


WRONG_SYNTAX = [(said, sent) for said in SYNTAXES for sent in SYNTAXES if said != sent]


@pytest.mark.parametrize(("said", "sent"), WRONG_SYNTAX)
def test_data_sets_in_another_transfer_syntax_are_refused_or_right(
    dimse: Server, said: bytes, sent: bytes
) -> None:
    ds = make_dataset(PatientName=NAME)
    data = encoded(ds, sent)

    status, comment = stored(dimse.dimse, data, instance=ds.SOPInstanceUID, syntax=said)

    assert status in REFUSED | {0}
    assert held(dimse, ds.SOPInstanceUID) == (data if status == 0 else None)
    assert b"Secretsson" not in comment


def bomb() -> bytes:
    """A little that is inflated to a gigabyte."""
    deflater = zlib.compressobj(1, wbits=-zlib.MAX_WBITS)
    kept = deflater.compress(encoded(make_dataset(PixelData=None)))
    zeros = b"\0" * (1 << 20)
    kept += deflater.compress(b"\xe0\x7f\x10\0OB\0\0" + struct.pack("<I", 1 << 30))
    for _ in range(1 << 10):
        kept += deflater.compress(zeros)
    kept += deflater.flush()
    return kept + b"\0" * (len(kept) % 2)


DATA = {
    "none": None,
    "empty": b"",
    "zeros": b"\0" * 1000,
    "noise": random.Random(1).randbytes(5000),
    "a whole file": b"\0" * 128 + b"DICM" + b"\2\0\0\0UL\4\0\0\0\0\0",
    "an element of four GiB": b"\x10\0\x10\0PN\xff\xff" + NAME.encode(),
    "sequences without end": b"\x08\0\x15\x11SQ\0\0\xff\xff\xff\xff\xfe\xff\0\xe0\xff\xff\xff\xff" * 20_000,
    "only a name": b"\x10\0\x10\0PN" + struct.pack("<H", len(NAME)) + NAME.encode(),
    "a name that is a command": b"\0\0\0\1US\2\0\1\0",
}


@pytest.mark.parametrize("kind", DATA)
@pytest.mark.parametrize("syntax", [IMPLICIT, EXPLICIT, BIG, DEFLATED])
def test_what_is_no_instance_is_refused_in_words(dimse: Server, kind: str, syntax: bytes) -> None:
    data = DATA[kind]
    if data and syntax == DEFLATED:
        deflater = zlib.compressobj(wbits=-zlib.MAX_WBITS)
        data = deflater.compress(data) + deflater.flush()
    instance = new_uid()

    status, comment = stored(dimse.dimse, data, instance=instance, syntax=syntax)

    assert status in REFUSED
    assert comment.strip()
    assert b"Secretsson" not in comment
    assert held(dimse, instance) is None


def test_a_bomb_is_refused_and_takes_no_memory(dimse: Server) -> None:
    data, before, began = bomb(), max(peaks(dimse.process.pid).values()), time.monotonic()

    status, _ = stored(dimse.dimse, data, instance=new_uid(), syntax=DEFLATED)

    assert status in REFUSED
    assert time.monotonic() - began < 60
    assert max(peaks(dimse.process.pid).values()) < before + 200


def test_what_the_command_says_has_to_be_so(dimse: Server) -> None:
    ds = make_dataset(PatientName=NAME)
    data = encoded(ds)

    assert stored(dimse.dimse, data, instance=new_uid())[0] == 0xA900
    assert stored(dimse.dimse, data, instance=ds.SOPInstanceUID, said_class=b"1.2.3")[0] in REFUSED
    assert stored(dimse.dimse, data, instance="../../etc/passwd")[0] in REFUSED
    assert stored(dimse.dimse, data, instance="1.2\r\n3")[0] in REFUSED
    assert stored(dimse.dimse, data, instance="")[0] in REFUSED
    assert stored(dimse.dimse, data, instance="1." * 40 + "1")[0] in REFUSED
    assert held(dimse, ds.SOPInstanceUID) is None


def test_a_data_set_in_fragments_of_a_byte_takes_no_more_memory(dimse: Server) -> None:
    ds = make_dataset(PatientName=NAME, PixelData=bytes(400_000))
    data = encoded(ds)
    before = max(peaks(dimse.process.pid).values())

    with associated(dimse.dimse, (1, CT, [EXPLICIT]), seconds=120) as one:
        one.send(message(1, command(1, sop_class=CT, data=1, instance=ds.SOPInstanceUID)))
        for start_ in range(0, len(data), 2000):
            some = data[start_ : start_ + 2000]
            one.send(pdu(P_DATA, b"".join(fragment(1, 0, some[n : n + 1]) for n in range(len(some)))))
        one.send(pdu(P_DATA, fragment(1, LAST, b"")))
        assert one.status() == 0

    assert held(dimse, ds.SOPInstanceUID) == data
    assert max(peaks(dimse.process.pid).values()) < before + 40


BROKEN = (
    "pydicom-data", "pylibjpeg-data", "dcm_qa_ct", "dcm_qa_nih", "dcmqi", "dicompyler-core", "highdicom",
    "synthetic", "bad",
)  # fmt: skip


def _files(shared: Path) -> list[Path]:
    found = []
    for folder in BROKEN:
        some = [
            p for p in sorted((shared / folder).rglob("*")) if p.is_file() and 500 < p.stat().st_size < 2e5
        ]
        found += some[:: max(1, len(some) // 6)][:6]
    return found


def test_real_files_broken_anywhere_are_answered_and_tell_nobody(
    dimse: Server, shared_data: Path, pytestconfig: pytest.Config
) -> None:
    dice, names, tried = random.Random(7), set[str](), 0
    times = 200 if pytestconfig.getoption("--soak") else 3
    for path in _files(shared_data):
        try:
            ds = pydicom.dcmread(path, stop_before_pixels=True)
            syntax = str(ds.file_meta.TransferSyntaxUID).encode()
            sop_class, instance = str(ds.SOPClassUID).encode(), str(ds.SOPInstanceUID)
        except Exception:  # noqa: BLE001  (whatever no reader reads is not sent)
            continue
        names |= {str(ds.get("PatientName", "")), str(ds.get("PatientID", ""))}
        whole = path.read_bytes()
        whole = whole[144 + struct.unpack_from("<I", whole, 140)[0] :]
        for _ in range(times):
            status, comment = stored(
                dimse.dimse, _broken(whole, dice), sop_class=sop_class, instance=instance, syntax=syntax
            )
            tried += 1
            assert status in REFUSED | {0}, (path.name, hex(status), comment)
            assert not any(len(one) > 3 and one.encode(errors="replace") in comment for one in names)

    log = dimse.log.read_text(errors="replace")
    assert tried > 30
    assert not [one for one in names if len(one) > 5 and one in log]


def _broken(whole: bytes, dice: random.Random) -> bytes:
    data = bytearray(whole)
    match dice.randrange(4):
        case 0:
            del data[dice.randrange(len(data)) :]
        case 1:
            for _ in range(dice.randrange(1, 20)):
                data[dice.randrange(len(data))] = dice.randrange(256)
        case 2:
            at = dice.randrange(len(data))
            data[at:at] = dice.randbytes(dice.randrange(1, 50))
        case _:
            at = dice.randrange(min(len(data), 2000))
            data[at : at + 4] = b"\xff\xff\xff\xff"
    return bytes(data)


STOPS = ("before the command", "amid the command", "before the data", "amid the data", "before the answer")


@pytest.mark.parametrize("stop", STOPS)
@pytest.mark.parametrize("how", ["abort", "close", "reset"])
def test_whoever_goes_amid_a_store_leaves_nothing_behind(dimse: Server, stop: str, how: str) -> None:
    ds = make_dataset(PatientName=NAME, PixelData=bytes(3_000_000))
    data, asked = encoded(ds), command(1, sop_class=CT, data=1, instance=ds.SOPInstanceUID)
    with associated(dimse.dimse, (1, CT, [EXPLICIT])) as one:
        if stop == "amid the command":
            one.send(pdu(P_DATA, fragment(1, COMMAND, asked[:30])))
        elif stop != "before the command":
            one.send(message(1, asked))
        most = {"amid the data": len(data) // 2, "before the answer": len(data)}.get(stop, 0)
        for start_ in range(0, most, 60_000):
            last = LAST if start_ + 60_000 >= len(data) else 0
            one.send(pdu(P_DATA, fragment(1, last, data[start_ : start_ + 60_000])))
        if how == "abort":
            one.send(pdu(7, b"\0\0\0\0"))
        elif how == "reset":
            one.sock.setsockopt(1, 13, struct.pack("ii", 1, 0))  # SO_LINGER: close by RST

    until(lambda: not list((dimse.data / "blobs" / ".spool").iterdir()))
    found = held(dimse, ds.SOPInstanceUID)
    assert found in ({None, data} if stop == "before the answer" else {None})


def test_descriptors_and_threads_come_back_after_a_thousand_connections(dimse: Server) -> None:
    assert echoes(dimse.dimse)
    before = _held_open(dimse)
    for _ in range(4):
        with _many(dimse.dimse, 300) as others:
            began = time.monotonic()
            assert echoes(dimse.dimse, seconds=30)
            assert time.monotonic() - began < 30
            assert len(others) == 300
    until(lambda: _held_open(dimse) <= before + 5, within=90)


class _many:  # noqa: N801  (a context manager)
    def __init__(self, port: int, count: int) -> None:
        self._managers = [wire(port, seconds=30) for _ in range(count)]

    def __enter__(self) -> list[object]:
        return [one.__enter__() for one in self._managers]

    def __exit__(self, *_: object) -> None:
        for one in self._managers:
            one.__exit__(None, None, None)


def _held_open(server: Server) -> int:
    return sum(len(list(Path(f"/proc/{process}/fd").iterdir())) for process in tree(server.process.pid))


def test_what_was_stored_is_there_whatever_is_killed(dimse: Server) -> None:
    """Kills the DIMSE process again and again while instances are stored."""
    acknowledged: dict[str, bytes] = {}
    kills, end = 0, time.monotonic() + 240
    while (kills < 4 or len(acknowledged) < 20) and time.monotonic() < end:
        try:
            with associated(dimse.dimse, (1, CT, [EXPLICIT]), seconds=20) as one:
                for number in range(12):
                    ds = make_dataset(PatientName=NAME, PixelData=bytes(200_000))
                    data = encoded(ds)
                    one.send(message(1, command(1, sop_class=CT, data=1, instance=ds.SOPInstanceUID)))
                    one.send(pdu(P_DATA, fragment(1, 0, data[:100_000])))
                    if number == 8 and kills < 4:
                        os.kill(_dimse_process(dimse), signal.SIGKILL)
                        kills += 1
                    one.send(pdu(P_DATA, fragment(1, LAST, data[100_000:])))
                    if one.status() == 0:
                        acknowledged[ds.SOPInstanceUID] = data
        except (OSError, AssertionError, TimeoutError):
            time.sleep(0.2)

    assert kills == 4
    assert len(acknowledged) >= 20
    for instance, data in acknowledged.items():
        assert held(dimse, instance) == data


def _dimse_process(server: Server) -> int:
    """The process that has the DIMSE socket and is no supervisor."""
    wanted = f":{server.dimse:04X} "
    lines = [line for line in Path("/proc/net/tcp").read_text().splitlines() if wanted in line[6:20] + " "]
    inodes = {line.split()[9] for line in lines if line.split()[3] == "0A"}
    for process in tree(server.process.pid)[1:]:
        for one in Path(f"/proc/{process}/fd").iterdir():
            if str(one.readlink()).removeprefix("socket:[").rstrip("]") in inodes:
                return process
    raise AssertionError("there is no DIMSE process")
