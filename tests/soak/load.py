"""Making and storing many small instances quickly, and remembering which of them were acknowledged."""

import contextlib
import hashlib
import http.client
import json
import threading
from collections.abc import Iterator
from functools import cache
from urllib.parse import urlsplit

from conformance.objects import encode, multipart, plain

# As long as those put in their place, so that no length field changes.
STUDY, SERIES, INSTANCE = (f"2.25.{n}00000000000000000000000000000" for n in (111, 222, 333))
RELATED = 'multipart/related; type="application/dicom"; boundary=conformance-part'


@cache
def template() -> bytes:
    """A single-frame CT of 4 kB with UIDs to be replaced."""
    dataset = plain("soak", study="SOAK", series="s").dataset
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID, dataset.SOPInstanceUID = STUDY, SERIES, INSTANCE
    dataset.file_meta.MediaStorageSOPInstanceUID = INSTANCE
    return encode(dataset)


def uid(kind: int, number: int) -> str:
    """The UID of the numbered study (1), series (2) or instance (3)."""
    return f"2.25.{kind * 111}{number:029d}"


def instance(number: int, *, study: int) -> bytes:
    """Instance `number`, in a study and series of their own number."""
    data = template().replace(STUDY.encode(), uid(1, study).encode())
    data = data.replace(SERIES.encode(), uid(2, study).encode())
    return data.replace(INSTANCE.encode(), uid(3, number).encode())


class Acknowledged:
    """What senders were told is stored: SHA-256 by path below /dicom-web."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.digests: dict[str, str] = {}

    def add(self, data: bytes, *, study: int, number: int) -> None:
        path = f"/studies/{uid(1, study)}/series/{uid(2, study)}/instances/{uid(3, number)}"
        with self._lock:
            self.digests[path] = hashlib.sha256(data).hexdigest()


class Sender(threading.Thread):
    """Stores `batch` instances a request over one connection until the server goes away."""

    def __init__(
        self, url: str, numbers: Iterator[int], acknowledged: Acknowledged, *, batch: int = 5
    ) -> None:
        super().__init__(daemon=True)
        self._address = urlsplit(url)
        self._numbers = numbers
        self._acknowledged = acknowledged
        self._batch = batch

    def run(self) -> None:
        connection = http.client.HTTPConnection(self._address.hostname or "", self._address.port, timeout=20)
        with contextlib.closing(connection), contextlib.suppress(OSError, http.client.HTTPException):
            while self._store(connection):
                pass

    def _store(self, connection: http.client.HTTPConnection) -> bool:
        numbers = [next(self._numbers) for _ in range(self._batch)]
        study = numbers[0] // 50
        made = {uid(3, number): (number, instance(number, study=study)) for number in numbers}
        body = multipart([data for _, data in made.values()])
        headers = {"Content-Type": RELATED, "Accept": "application/dicom+json"}
        connection.request("POST", self._address.path + "/studies", body, headers)
        response = connection.getresponse()
        answer = json.loads(response.read())
        for item in answer.get("00081199", {}).get("Value", []):
            number, data = made[item["00081155"]["Value"][0]]
            self._acknowledged.add(data, study=study, number=number)
        return response.status in {200, 202, 409}


def counter(start: int = 0) -> Iterator[int]:
    """Numbers for several threads; each is given once."""
    lock, number = threading.Lock(), start

    class Numbers:
        def __iter__(self) -> "Numbers":
            return self

        def __next__(self) -> int:
            nonlocal number
            with lock:
                number += 1
                return number

    return iter(Numbers())
