"""STOW-RS (PS3.18 10.5): instances come in, each part is answered for.

Parts are handed to the archive while the next ones arrive, so that many share its commits. One bad part never
refuses its neighbours; a body that breaks off does not undo what was complete.
"""

import asyncio
import logging
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from typing import cast

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from dicomweb_box.accounts.access import Actor, Scope
from dicomweb_box.archive.ingest import Expected, Received, receive, store
from dicomweb_box.archive.outcomes import Outcome, Refused, Stored
from dicomweb_box.asgi.errors import Fault, described, fault_of
from dicomweb_box.asgi.identity import address_of, identify
from dicomweb_box.box import Box
from dicomweb_box.dicom.media.consumer_media import MEDIA_TYPES
from dicomweb_box.dicom.media_types import LEGACY_NAMES, MediaType, parse_media_type
from dicomweb_box.dicom.multipart import Event, Parser, PartBegin
from dicomweb_box.dicomweb.answers import JSON, XML, chosen, service_url, store_answer
from dicomweb_box.dicomweb.stow_metadata import COMPOSED, METADATA, MetadataIntake, PartData, type_of
from dicomweb_box.errors import BadRequest, FailureReason, OutOfResources

log = logging.getLogger(__name__)

DICOM = "application/dicom"
MOST_IN_FLIGHT = 32
MOST_BYTES_IN_FLIGHT = 32 << 20

Chunks = AsyncIterator[bytes | memoryview]


async def store_instances(request: Request) -> Response:
    """The Store transaction: instances, or metadata with their bulk data, as multipart/related; or one
    instance as the whole body.
    """
    representation = chosen(request, (JSON, XML))
    content_type = _content_type(request)
    actor, scope = identify(request)
    study_uid = request.path_params.get("study")
    intake = Intake(
        request.app.state.box,
        source=f"stow:{address_of(request)}",
        actor=actor,
        scope=scope,
        study_uid=study_uid,
    )
    broken: Fault | None = None
    try:
        if content_type.name == "multipart/related":
            await _take_parts(intake, _events(request, content_type), content_type)
        else:
            await _take_whole(intake, request, content_type)
    except BadRequest as error:
        if not intake.count:
            raise
        broken = fault_of(error)
    finally:
        outcomes = await intake.finish()
    if not outcomes:
        raise BadRequest("The body has no part.")
    return store_answer(
        outcomes,
        representation,
        service=service_url(request),
        study_uid=study_uid,
        broken=broken,
        remarks=intake.remarks,
    )


def _content_type(request: Request) -> MediaType:
    header = request.headers.get("content-type")
    media_type = parse_media_type(header) if header else MediaType("none")
    media_type = MediaType(LEGACY_NAMES.get(media_type.name, media_type.name), media_type.parameters)
    if media_type.name not in ("multipart/related", DICOM, *MEDIA_TYPES):
        raise HTTPException(
            415,
            "The body must be multipart/related of application/dicom, application/dicom+json or"
            " application/dicom+xml, one application/dicom, or one picture, film or PDF.",
        )
    if _root_type(media_type) not in (None, DICOM, *COMPOSED):
        raise HTTPException(
            415,
            f"The parts of the body must be {DICOM}, {' or '.join(METADATA)}, or pictures, films or PDFs.",
        )
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise HTTPException(
            415, "The body must not be compressed as a whole.", {"Accept-Encoding": "identity"}
        )
    return media_type


def _root_type(media_type: MediaType) -> str | None:
    """What the parts are (RFC 2387 3.1); None where it is left to the first one."""
    kind = media_type.parameters.get("type", "").partition(";")[0].strip().lower()
    return LEGACY_NAMES.get(kind, kind) or None


async def _events(request: Request, content_type: MediaType) -> AsyncIterator[Event]:
    if "boundary" not in content_type.parameters:
        raise BadRequest("The Content-Type header names no boundary.")
    parser = Parser(content_type.parameters["boundary"])
    async for chunk in request.stream():
        for event in parser.feed(chunk):
            yield event
    for event in parser.close():
        yield event


async def _take_parts(intake: "Intake", events: AsyncIterator[Event], content_type: MediaType) -> None:
    kind = _root_type(content_type)
    metadata: MetadataIntake | None = None
    try:
        async for event in events:
            if not isinstance(event, PartBegin):
                continue
            data = PartData(events)
            kind = kind or type_of(event.headers, DICOM).name
            if kind in COMPOSED:
                metadata = metadata or await _composing(intake, kind)
                if not await metadata.take(event.headers, data):
                    await intake.take(data)
            else:
                await intake.take(data)
            await data.skip()
        if metadata is not None:
            await metadata.finish(intake)
    finally:
        if metadata is not None:
            await metadata.discard()


async def _composing(intake: "Intake", kind: str) -> MetadataIntake:
    made = MetadataIntake(
        intake.box, kind, source=intake.source, study_uid=intake.study_uid, scope=intake.scope
    )
    await made.begin()
    return made


async def _take_whole(intake: "Intake", request: Request, content_type: MediaType) -> None:
    data = request.stream()
    first = await anext(data, b"")
    if not first:
        raise BadRequest("The body is empty.")

    async def whole() -> Chunks:
        yield first
        async for chunk in data:
            if chunk:
                yield chunk

    if content_type.name == DICOM:
        await intake.take(whole())
        return
    medium = await _composing(intake, content_type.name)
    try:
        await medium.parts.add((), content_type, whole())
        await medium.finish(intake)
    finally:
        await medium.discard()


@dataclass(frozen=True, slots=True)
class Remarks:
    """What was done to an instance before it was stored."""

    coerced: tuple[str, ...] = ()
    discarded: tuple[str, ...] = ()


class Intake:
    """The parts of one request on their way into the archive.

    Not a TaskGroup: when the request fails, what was handed to the archive must be finished, not cancelled.
    """

    def __init__(self, box: Box, *, source: str, actor: Actor, scope: Scope, study_uid: str | None) -> None:
        self.box = box
        self.source = source
        self.actor = actor
        self.scope = scope
        self.study_uid = study_uid
        self.count = 0
        self.remarks: list[str] = []
        """About the request as a whole."""
        self.running: set[asyncio.Task[None]] = set()
        self.bytes_in_flight = 0
        self.outcomes: dict[int, Outcome] = {}
        self.served: dict[str, int] = {}
        """SOP Instance UID → the part whose data set is served under it."""
        self.freed = asyncio.Event()

    async def take(
        self, data: Chunks, *, coerced: tuple[str, ...] = (), discarded: tuple[str, ...] = ()
    ) -> None:
        """Receive one instance, and store it while the next one arrives; waits while too much is under way.

        `coerced` and `discarded` say what was done to it before. Raises what `data` raises. The instance is
        then counted neither as stored nor as refused.
        """
        try:
            received = await receive(self.box, data)
        except OutOfResources as error:
            self.count += 1
            self._settle(self.count, Refused(reason=FailureReason.OUT_OF_RESOURCES, message=str(error)))
            return
        self.count += 1
        size = received.size if received.spool is None else 0
        self.bytes_in_flight += size
        remarks = Remarks(coerced, discarded)
        task = asyncio.create_task(self._store(self.count, received, size, remarks))
        self.running.add(task)
        while len(self.running) >= MOST_IN_FLIGHT or self.bytes_in_flight >= MOST_BYTES_IN_FLIGHT:
            self.freed.clear()
            await self.freed.wait()

    def refuse(self, refused: Refused) -> None:
        """Count one instance that was refused before it came this far."""
        self.count += 1
        self._settle(self.count, refused)

    def remark(self, sentence: str) -> None:
        """Say something about the request as a whole."""
        self.remarks.append(sentence)

    async def finish(self) -> list[Outcome]:
        """What became of each instance, in the order of the parts, once all is settled."""
        while self.running:
            # Cancelling the request does not reach the instances: no task of theirs is awaited.
            self.freed.clear()
            await self.freed.wait()
        stored = sum(isinstance(one, Stored) for one in self.outcomes.values())
        if self.count:
            # A line for each single instance of a modality would cost a tenth of storing it.
            level = logging.DEBUG if stored == self.count == 1 else logging.INFO
            log.log(level, "stored %d of %d instances from %s", stored, self.count, self.source)
        return [self.outcomes[number] for number in range(1, self.count + 1)]

    async def _store(self, number: int, received: Received, size: int, remarks: Remarks) -> None:
        try:
            outcome = await store(
                self.box,
                received,
                source=self.source,
                actor=self.actor,
                expected=Expected(study_uid=self.study_uid),
                scope=self.scope,
            )
            if isinstance(outcome, Stored) and remarks != Remarks():
                outcome = replace(outcome, coerced=remarks.coerced, discarded=remarks.discarded)
        except Exception as error:  # noqa: BLE001  (the other parts are answered for all the same)
            log.error("storing part %d from %s failed: %s", number, self.source, described(error))  # noqa: TRY400
            outcome = Refused(
                reason=FailureReason.PROCESSING_FAILURE, message="the archive failed at this instance"
            )
        finally:
            self.bytes_in_flight -= size
        # Before the waiting reader is woken: it counts who is still running.
        self.running.discard(cast("asyncio.Task[None]", asyncio.current_task()))
        self._settle(number, outcome)

    def _settle(self, number: int, outcome: Outcome) -> None:
        if isinstance(outcome, Stored) and not outcome.already:
            before = self.served.get(outcome.instance_uid)
            if before is not None:
                self.outcomes[before] = _overtaken(self.outcomes[before])
            self.served[outcome.instance_uid] = number
        self.outcomes[number] = outcome
        if isinstance(outcome, Refused):
            log.warning(
                "refused part %d from %s: %04X, %s (SHA-256 %s)",
                number, self.source, outcome.reason, outcome.message, outcome.sha256 or "not known",
            )  # fmt: skip
        self.freed.set()


def _overtaken(outcome: Outcome) -> Outcome:
    """Two parts with one SOP Instance UID and different data sets: only one of them is served."""
    if not isinstance(outcome, Stored):
        return outcome
    remark = "another part of this request replaced this data set; it is kept as an earlier version"
    return replace(outcome, warnings=(*outcome.warnings, remark))


ROUTES: list[BaseRoute] = [
    Route("/studies", store_instances, methods=["POST"]),
    Route("/studies/{study}", store_instances, methods=["POST"]),
]
