"""Is the audit sent to another machine, whole, in order, as DICOM audit messages over TLS?"""

import base64
import re
import socket
import ssl
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

import pytest

from dicomweb_box.accounts import audit, audit_search, audit_syslog
from dicomweb_box.accounts.access import Actor
from dicomweb_box.accounts.audit import Entry
from dicomweb_box.accounts.audit_message import EVENTS, message, syslog
from dicomweb_box.accounts.audit_search import Asked, Told
from dicomweb_box.accounts.audit_words import OUTCOMES, Action
from dicomweb_box.box import Box
from tests.certificates import make_certificate

ALICE = Actor(name="älice", kind="user", address="192.0.2.7")


class Server:
    """A syslog server on loopback that keeps what it reads; `rude` ones hang up without reading."""

    def __init__(self, cert: Path, key: Path, *, rude: bool = False) -> None:
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(cert, key)
        self.listening = socket.create_server(("127.0.0.1", 0))
        self.port = self.listening.getsockname()[1]
        self.rude, self.data, self.connections = rude, b"", 0
        self.thread = threading.Thread(target=self._serve, daemon=True)
        self.thread.start()

    def _serve(self) -> None:
        while True:
            try:
                plain, _ = self.listening.accept()
            except OSError:
                return
            self.connections += 1
            try:
                with self.context.wrap_socket(plain, server_side=True) as secure:
                    if self.rude:
                        secure.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                        continue
                    while piece := secure.recv(65536):
                        self.data += piece
                    secure.unwrap()
            except OSError:
                continue

    def messages(self) -> list[bytes]:
        """What it got, by its frames (RFC 5425 4.3)."""
        found, rest = [], self.data
        while rest:
            length, _, rest = rest.partition(b" ")
            found.append(rest[: int(length)])
            rest = rest[int(length) :]
        return found

    def close(self) -> None:
        self.listening.shutdown(socket.SHUT_RDWR)
        self.listening.close()
        self.thread.join(timeout=10)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("syslog")
    make_certificate(folder / "cert.pem", folder / "key.pem")
    return folder / "cert.pem", folder / "key.pem"


@contextmanager
def serving(files: tuple[Path, Path], *, rude: bool = False) -> Iterator[Server]:
    server = Server(*files, rude=rude)
    yield server
    server.close()


def sending(box: Box, port: int, ca: Path) -> Box:
    there = replace(box.settings, audit_syslog=f"tls://localhost:{port}", audit_syslog_ca=ca)
    return replace(box, settings=there)


async def fill(box: Box, count: int = 3) -> None:
    for number in range(count):
        entry = Entry(
            actor=ALICE, action=Action.ERASE, study=f"1.2.{number}", count=5, about={"rejection": "r"}
        )
        await audit.recorded(box, entry)


def xml(said: bytes) -> Element:
    return ElementTree.fromstring(said.partition(b"\xef\xbb\xbf")[2])


@pytest.mark.dicom("PS3.15 A.6")
async def test_each_row_is_sent_once_in_its_order(box: Box, files: tuple[Path, Path]) -> None:
    await fill(box)
    with serving(files) as server:
        there = sending(box, server.port, files[0])
        assert await audit_syslog.deliver(there)
        assert not await audit_syslog.deliver(there)
        await fill(box, 1)
        assert await audit_syslog.deliver(there)
        said = server.messages()

    assert len(said) == 1 + 3 + 1
    assert re.match(
        rb"<85>1 \d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00 \S+ dicomweb_box \S+ DICOM\+RFC3881 - ", said[0]
    )
    studies = [
        one.get("ParticipantObjectID")
        for row in said[1:]
        for one in xml(row).iter("ParticipantObjectIdentification")
    ]
    assert studies[::2] == ["1.2.0", "1.2.1", "1.2.2", "1.2.0"]
    assert xml(said[1]).find("ActiveParticipant").get("UserID") == "älice"  # type: ignore[union-attr]


async def test_what_could_not_be_delivered_is_sent_later(
    box: Box, files: tuple[Path, Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    await fill(box)
    with serving(files) as server:
        port = server.port
    nobody = sending(box, port, files[0])
    assert not await audit_syslog.deliver(nobody)
    assert not await audit_syslog.deliver(nobody)
    with serving(files, rude=True) as rude:
        assert not await audit_syslog.deliver(sending(box, rude.port, files[0]))
        assert rude.connections == 1
    assert await audit_syslog.sent(box) == 0

    with serving(files) as server:
        assert await audit_syslog.deliver(sending(box, server.port, files[0]))
        assert len(server.messages()) == 4
    assert [record.levelname for record in caplog.records if "syslog" in record.message] == [
        "ERROR",
        "WARNING",
    ]


async def test_a_server_that_nobody_vouches_for_gets_nothing(
    box: Box, files: tuple[Path, Path], tmp_path: Path
) -> None:
    await fill(box)
    make_certificate(tmp_path / "other.pem", tmp_path / "other.key")
    with serving(files) as server:
        assert not await audit_syslog.deliver(sending(box, server.port, tmp_path / "other.pem"))
        assert server.data == b""
    assert await audit_syslog.sent(box) == 0


async def test_without_a_server_nothing_is_done(box: Box) -> None:
    await fill(box)

    assert not await audit_syslog.deliver(box)


ROW = Told(
    moment="2026-11-27T14:00:00.123+00:00", actor="bob", kind="user", address="192.0.2.9", action="view",
    outcome="success", study_uid="1.2.3", about={"series": ["1.2.4"]}, count=7, chain="chain", sequence=3,
)  # fmt: skip
CODED = {"csd-code", "codeSystemName", "originalText"}


@pytest.mark.dicom("PS3.15 A.5.1")
@pytest.mark.parametrize("outcome", OUTCOMES)
@pytest.mark.parametrize("action", list(Action))
def test_each_message_has_the_form_of_the_schema(action: Action, outcome: str) -> None:
    root = ElementTree.fromstring(message(replace(ROW, action=action, outcome=outcome), source="BOX"))

    order = [
        "EventIdentification",
        "ActiveParticipant",
        "AuditSourceIdentification",
        "ParticipantObjectIdentification",
    ]
    assert root.tag == "AuditMessage"
    assert [child.tag for child in root] == sorted((child.tag for child in root), key=order.index)
    (event,), (source,) = root.findall("EventIdentification"), root.findall("AuditSourceIdentification")
    assert event.get("EventActionCode") in {"C", "R", "U", "D", "E"}
    assert event.get("EventOutcomeIndicator") in {"0", "4", "8", "12"}
    assert next(iter(event)).tag == "EventID"
    assert source.get("AuditSourceID") == "BOX"
    for coded in ("EventID", "EventTypeCode", "RoleIDCode", "ParticipantObjectIDTypeCode", "MediaType"):
        for code in root.iter(coded):
            assert set(code.attrib) == CODED
    participants = root.findall("ActiveParticipant")
    assert participants
    assert sum(one.get("UserIsRequestor") == "true" for one in participants) == 1
    for one in root.findall("ParticipantObjectIdentification"):
        tags = [child.tag for child in one]
        assert tags[0] == "ParticipantObjectIDTypeCode"
        assert tags[1] in {"ParticipantObjectName", "ParticipantObjectQuery"}
        assert set(tags[2:]) <= {"ParticipantObjectDetail"}
        assert one.get("ParticipantObjectTypeCode") == "2"


def test_what_is_known_beside_the_study_is_a_detail_of_our_own_row() -> None:
    objects = ElementTree.fromstring(message(ROW, source="BOX")).findall("ParticipantObjectIdentification")
    details = {
        one.get("type"): base64.b64decode(one.get("value", "")).decode()
        for one in objects[1].findall("ParticipantObjectDetail")
    }

    assert [one.get("ParticipantObjectID") for one in objects] == ["1.2.3", "chain.3"]
    assert details == {"action": "view", "count": "7", "series": '["1.2.4"]'}


def test_every_action_is_an_event_of_the_standard() -> None:
    assert set(EVENTS) == set(Action)


def test_a_failure_is_a_warning_and_its_text_says_why() -> None:
    said = syslog(replace(ROW, outcome="refused"), source="BOX", host="")

    assert said.partition(b" ")[2].startswith(b"<84>1 2026-11-27T14:00:00.123+00:00 - dicomweb_box chain ")
    assert int(said.partition(b" ")[0]) == len(said.partition(b" ")[2])
    assert xml(said).findtext("EventIdentification/EventOutcomeDescription") == "refused"


async def test_what_is_sent_is_what_the_audit_says(box: Box) -> None:
    await fill(box, 1)
    [row] = (await audit_search.search(box, Asked(action="erase"))).rows

    assert (
        xml(syslog(row, source="BOX", host="h")).find("EventIdentification").get("EventDateTime")
        == row.moment
    )  # type: ignore[union-attr]
