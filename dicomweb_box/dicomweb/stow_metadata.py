"""STOW-RS of metadata and bulk data (PS3.18 10.5.1): kept until all parts have come, then put together."""

import logging
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import suppress
from functools import partial
from typing import Any, Protocol

import orjson

from dicomweb_box.accounts.access import Scope
from dicomweb_box.archive.bulk_parts import BulkPart, BulkParts
from dicomweb_box.archive.composing import Composed, Composer, own_parts
from dicomweb_box.archive.outcomes import Refused
from dicomweb_box.asgi.errors import described
from dicomweb_box.box import Box, in_thread
from dicomweb_box.dicom.json_model import array_items
from dicomweb_box.dicom.media.consumer_media import MEDIA_TYPES
from dicomweb_box.dicom.media_types import LEGACY_NAMES, MediaType, parse_media_type
from dicomweb_box.dicom.multipart import Event
from dicomweb_box.dicom.xml_reader import from_xml
from dicomweb_box.errors import (
    BadRequest,
    FailureReason,
    NotFound,
    OutOfResources,
    RequestTooLarge,
    UnreadableInstance,
)

log = logging.getLogger(__name__)

JSON_TYPE = "application/dicom+json"
XML_TYPE = "application/dicom+xml"
METADATA = (JSON_TYPE, XML_TYPE)
COMPOSED = frozenset(METADATA) | MEDIA_TYPES
"""Media types of which instances are put together."""
_DICOM = "application/dicom"
_OCTETS = "application/octet-stream"

Chunks = AsyncIterator[bytes | memoryview]


class Taker(Protocol):
    """Where instances go once they are put together."""

    async def take(
        self, data: Chunks, *, coerced: tuple[str, ...] = (), discarded: tuple[str, ...] = ()
    ) -> None:
        """Receive one instance."""

    def refuse(self, refused: Refused) -> None:
        """Count one instance that was refused."""

    def remark(self, sentence: str) -> None:
        """Say something about the request as a whole."""


def type_of(headers: Mapping[str, str], default: str) -> MediaType:
    """A part's media type; `default` where it names none, or nothing that could be one."""
    try:
        found = parse_media_type(headers["content-type"]) if "content-type" in headers else None
    except BadRequest:
        found = None
    found = found or MediaType(default)
    return MediaType(LEGACY_NAMES.get(found.name, found.name), found.parameters)


class PartData:
    """The data of the part that began last, to be read once."""

    def __init__(self, events: AsyncIterator[Event]) -> None:
        self.events = events
        self.complete = False

    def __aiter__(self) -> AsyncIterator[bytes | memoryview]:
        return self

    async def __anext__(self) -> bytes | memoryview:
        """The next piece."""
        event = await anext(self.events)
        if isinstance(event, memoryview):
            return event
        self.complete = True
        raise StopAsyncIteration

    async def skip(self) -> None:
        """Read to the end of the part and forget it."""
        if not self.complete:
            async for _ in self:
                pass


class MetadataIntake:
    """Metadata and bulk data of one request, or media that join a study; `kind`: what its first part is."""

    def __init__(self, box: Box, kind: str, *, source: str, study_uid: str | None, scope: Scope) -> None:
        self.box = box
        self.kind = kind
        self.parts = BulkParts(box)
        self.composer = Composer(box, self.parts, scope, source, study_uid)
        self.documents: list[tuple[str, bytes]] = []
        self.size = 0

    async def begin(self) -> None:
        """Refuse media without metadata where there is no study to join: BadRequest, NotFound."""
        if self.kind in METADATA:
            return
        if self.composer.study_uid is None:
            raise BadRequest(f"{self.kind} is stored to the address of the study that it joins.")
        if not (await self.composer.joined(self.composer.study_uid)).exists:
            raise NotFound("there is no such study to join")

    async def take(self, headers: Mapping[str, str], data: PartData) -> bool:
        """Take one part; False leaves one that is a whole instance to the caller. Raises BadRequest."""
        first = not self.documents and not self.parts.parts
        media_type = type_of(headers, self.kind if first or self.kind in MEDIA_TYPES else _OCTETS)
        if media_type.name == _DICOM:
            return False
        if media_type.name in METADATA or (first and media_type.name in ("text/xml", "application/xml")):
            await self._take_document(media_type.name, data)
        else:
            names = (headers.get("content-location", ""), headers.get("content-id", ""))
            await self.parts.add(names, media_type, data)
        return True

    async def _take_document(self, kind: str, data: PartData) -> None:
        pieces: list[bytes] = []
        async for piece in data:
            self.size += len(piece)
            if self.size > self.box.settings.metadata_limit:
                raise RequestTooLarge(
                    f"The metadata is longer than {self.box.settings.metadata_limit} bytes,"
                    " which the setting metadata_limit allows."
                )
            pieces.append(bytes(piece))
        self.documents.append((kind, b"".join(pieces)))

    async def finish(self, taker: Taker) -> None:
        """Put the instances together and hand them on. Raises BadRequest where there is no metadata."""
        work = await self._work()
        shared = await in_thread(self.box, self._shared, work)
        for one, medium in work:
            composed = await self._composed(one, medium, shared)
            if isinstance(composed, Refused):
                taker.refuse(composed)
                continue
            chunks = self.parts.chunks(composed.pieces)
            await taker.take(chunks, coerced=composed.coerced, discarded=composed.discarded)
        if left := len(self.parts.unnamed()):
            taker.remark(f"{left} parts of bulk data were named by no metadata and are not stored")

    def _shared(self, work: "list[_Work]") -> frozenset[int]:
        """Numbers of the parts that several data sets name as their pixel data or document."""
        owners: Counter[int] = Counter()
        for one, _ in work:
            with suppress(UnreadableInstance):
                owners.update(own_parts(one(), self.parts))
        return frozenset(number for number, times in owners.items() if times > 1)

    async def _composed(
        self, one: "_Read", medium: BulkPart | None, shared: frozenset[int]
    ) -> Composed | Refused:
        try:
            dataset = await in_thread(self.box, one)
            return await self.composer.compose(dataset, medium, shared=shared)
        except UnreadableInstance as error:
            return Refused(reason=error.reason, message=str(error))
        except OutOfResources as error:
            return Refused(reason=FailureReason.OUT_OF_RESOURCES, message=str(error))
        except Exception as error:  # noqa: BLE001  (the other instances are answered for all the same)
            log.error("putting an instance together failed: %s", described(error))  # noqa: TRY400
            return Refused(
                reason=FailureReason.PROCESSING_FAILURE, message="the archive failed at this instance"
            )

    async def _work(self) -> "list[_Work]":
        """How to read each data set, with the part it is about where it names none."""
        if self.kind not in METADATA and not self.documents:
            return [(dict, part) for part in self.parts.parts]
        if not self.documents:
            raise BadRequest(f"The body has no part of {self.kind}: bulk data needs its metadata.")
        found: list[_Read] = []
        for kind, document in self.documents:
            found += await in_thread(self.box, _readers, kind, document)
        alone = self.parts.parts[0] if len(found) == len(self.parts.parts) == 1 else None
        return [(one, alone) for one in found]

    async def discard(self) -> None:
        """Forget the bulk data."""
        await self.parts.discard()


_Read = Callable[[], Any]
"""Reads one data set; raises UnreadableInstance. Twice is cheaper than to hold all of them as objects."""
_Work = tuple[_Read, BulkPart | None]


def _readers(kind: str, document: bytes) -> list[_Read]:
    """One for each data set of a part of metadata; an unreadable part is answered for as one instance."""
    if kind != JSON_TYPE:
        return [partial(from_xml, document)]
    if document.strip() in (b"[]", b""):
        return []
    # PS3.18 10.5.1: an array; one object alone is what some senders mean by an array of one.
    return [partial(_from_json, text) for text in array_items(document)]


def _from_json(text: memoryview) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise UnreadableInstance(
            f"the metadata is not JSON: line {error.lineno}, column {error.colno}",
            FailureReason.CANNOT_UNDERSTAND,
        ) from None
