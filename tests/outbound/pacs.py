"""A PACS for tests: pynetdicom's application entity with a few instances, in threads of its own."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from pydicom.dataset import Dataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, JPEGBaseline8Bit
from pynetdicom import AE, evt

from dicomweb_box.outbound.dimse_scu import FIND, GET, MOVE

TITLE = "NORTHPACS"
_UNIQUE = {"STUDY": "StudyInstanceUID", "SERIES": "SeriesInstanceUID", "IMAGE": "SOPInstanceUID"}


@dataclass
class Pacs:
    """What it holds, what it is asked, and how it behaves."""

    held: list[Dataset] = field(default_factory=list)
    asked: list[tuple[str, Dataset]] = field(default_factory=list)
    port: int = 0
    most: int | None = None
    """How many instances it gives for one request, before it says that it is out of resources."""
    destination: tuple[str, int] | None = None
    find_status: int | None = None
    get_status: int | None = None
    later: bool = False
    """Whether it answers C-MOVE with success before it sends anything; `push` then sends."""
    pause: float = 0.0
    quick: int = 0
    """So many instances of a request come without a pause."""
    lock: threading.Event = field(default_factory=threading.Event)

    def find(self, event: Any) -> Iterator[tuple[int, Dataset | None]]:
        asked = event.identifier
        self.asked.append(("find", asked))
        if self.find_status is not None:
            yield self.find_status, None
            return
        unique, seen = _UNIQUE[asked.QueryRetrieveLevel], set()
        for one in self._matching(asked):
            if one[unique].value in seen:
                continue
            if event.is_cancelled:
                yield 0xFE00, None
                return
            seen.add(one[unique].value)
            yield 0xFF00, _answer(asked, one)

    def get(self, event: Any) -> Iterator[Any]:
        self.asked.append(("get", event.identifier))
        if self.get_status is not None:
            yield 1
            yield self.get_status, None
            return
        yield from self._given(event)

    def move(self, event: Any) -> Iterator[Any]:
        self.asked.append(("move", event.identifier))
        yield self.destination or (None, None)
        if self.later:
            yield 0
        elif self.destination is not None:
            yield from self._given(event)

    def push(self, *instances: Dataset, called: str = "DICOMWEB_BOX") -> None:
        """Store these to the destination, unasked."""
        ae = AE(TITLE)
        for one in instances:
            ae.add_requested_context(one.SOPClassUID, one.file_meta.TransferSyntaxUID)
        assert self.destination is not None
        made = ae.associate(*self.destination, ae_title=called)
        for one in instances:
            assert made.send_c_store(one).Status == 0
        made.release()

    def _given(self, event: Any) -> Iterator[Any]:
        found = list(self._matching(event.identifier))
        yield len(found)
        for number, one in enumerate(found):
            if event.is_cancelled:
                yield 0xFE00, None
                return
            if self.most is not None and number >= self.most:
                yield 0xA702, None
                return
            if self.pause and number >= self.quick:
                self.lock.wait(self.pause)
            yield 0xFF00, one

    def _matching(self, asked: Dataset) -> Iterator[Dataset]:
        for one in self.held:
            if all(_matches(asked, one, name) for name in (*_UNIQUE.values(), "PatientName", "PatientID")):
                yield one


def _matches(asked: Dataset, one: Dataset, name: str) -> bool:
    wanted = asked.get(name)
    if not wanted:
        return True
    texts = (
        [str(text) for text in wanted]
        if isinstance(wanted, list) or hasattr(wanted, "append")
        else [str(wanted)]
    )
    return any(str(one[name].value).startswith(text.rstrip("*")) for text in texts)


def _answer(asked: Dataset, one: Dataset) -> Dataset:
    answer = Dataset()
    answer.SpecificCharacterSet = one.get("SpecificCharacterSet")
    answer.QueryRetrieveLevel = asked.QueryRetrieveLevel
    for element in asked:
        if element.keyword in one and element.keyword != "SpecificCharacterSet":
            answer[element.keyword] = one[element.keyword]
    if asked.QueryRetrieveLevel == "STUDY":
        answer.ModalitiesInStudy = [one.Modality]
    return answer


@contextmanager
def pacs(*held: Dataset, services: tuple[str, ...] = (FIND, GET, MOVE), **how: Any) -> Iterator[Pacs]:
    """A started one that holds these; each has its `file_meta`."""
    made = Pacs(held=list(held), **how)
    ae = AE(TITLE)
    for service in services:
        ae.add_supported_context(service)
    for sop_class in {one.SOPClassUID for one in held} | {CTImageStorage}:
        ae.add_supported_context(
            sop_class, [ExplicitVRLittleEndian, JPEGBaseline8Bit], scu_role=True, scp_role=True
        )
        ae.add_requested_context(sop_class)
    handlers = [(evt.EVT_C_FIND, made.find), (evt.EVT_C_GET, made.get), (evt.EVT_C_MOVE, made.move)]
    server = ae.start_server(("127.0.0.1", 0), block=False, evt_handlers=handlers)
    made.port = server.socket.getsockname()[1]
    try:
        yield made
    finally:
        made.lock.set()
        server.shutdown()
