"""STOW-RS (PS3.18 10.5): instances come in, each part is answered for.

Parts are handed to the archive while the next ones arrive, so that many share its commits. One bad part never
refuses its neighbours; a body that breaks off does not undo what was complete.
"""

import asyncio
import logging
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import cast

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from dicomweb_box.accounts.access import Actor
from dicomweb_box.archive.ingest import Received, receive, store
from dicomweb_box.archive.outcomes import Outcome, Refused, Stored
from dicomweb_box.asgi.errors import Fault, described, fault_of
from dicomweb_box.asgi.identity import address_of, identify
from dicomweb_box.box import Box
from dicomweb_box.dicom.media_types import MediaType, parse_media_type
from dicomweb_box.dicom.multipart import Event, Parser, PartBegin
from dicomweb_box.dicomweb.answers import JSON, XML, chosen, service_url, store_answer
from dicomweb_box.errors import BadRequest, FailureReason, OutOfResources

log = logging.getLogger(__name__)

MOST_IN_FLIGHT = 32
MOST_BYTES_IN_FLIGHT = 32 << 20

Chunks = AsyncIterator[bytes | memoryview]


async def store_instances(request: Request) -> Response:
    """The Store transaction: multipart/related of application/dicom, or one instance as the whole body."""
    representation = chosen(request, (JSON, XML))
    content_type = _content_type(request)
    actor, _ = identify(request)
    study_uid = request.path_params.get("study")
    intake = Intake(
        request.app.state.box, source=f"stow:{address_of(request)}", actor=actor, study_uid=study_uid
    )
    broken: Fault | None = None
    try:
        if content_type.name == "multipart/related":
            await _take_parts(intake, _events(request, content_type))
        else:
            await _take_whole(intake, request)
    except BadRequest as error:
        if not intake.count:
            raise
        broken = fault_of(error)
    finally:
        outcomes = await intake.finish()
    if not outcomes:
        raise BadRequest("The body has no part.")
    return store_answer(
        outcomes, representation, service=service_url(request), study_uid=study_uid, broken=broken
    )


def _content_type(request: Request) -> MediaType:
    header = request.headers.get("content-type")
    media_type = parse_media_type(header) if header else MediaType("none")
    if media_type.name not in ("multipart/related", "application/dicom"):
        raise HTTPException(
            415, "The body must be multipart/related of application/dicom, or application/dicom."
        )
    if media_type.parameters.get("type", "application/dicom").lower() != "application/dicom":
        raise HTTPException(415, "The parts of the body must be application/dicom.")
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise HTTPException(
            415, "The body must not be compressed as a whole.", {"Accept-Encoding": "identity"}
        )
    return media_type


async def _events(request: Request, content_type: MediaType) -> AsyncIterator[Event]:
    if "boundary" not in content_type.parameters:
        raise BadRequest("The Content-Type header names no boundary.")
    parser = Parser(content_type.parameters["boundary"])
    async for chunk in request.stream():
        for event in parser.feed(chunk):
            yield event
    for event in parser.close():
        yield event


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


async def _take_parts(intake: "Intake", events: AsyncIterator[Event]) -> None:
    async for event in events:
        if isinstance(event, PartBegin):
            data = PartData(events)
            await intake.take(data)
            await data.skip()


async def _take_whole(intake: "Intake", request: Request) -> None:
    data = request.stream()
    first = await anext(data, b"")
    if not first:
        raise BadRequest("The body is empty.")

    async def whole() -> Chunks:
        yield first
        async for chunk in data:
            if chunk:
                yield chunk

    await intake.take(whole())


class Intake:
    """The parts of one request on their way into the archive.

    Not a TaskGroup: when the request fails, what was handed to the archive must be finished, not cancelled.
    """

    def __init__(self, box: Box, *, source: str, actor: Actor, study_uid: str | None) -> None:
        self.box = box
        self.source = source
        self.actor = actor
        self.study_uid = study_uid
        self.count = 0
        self.running: set[asyncio.Task[None]] = set()
        self.bytes_in_flight = 0
        self.outcomes: dict[int, Outcome] = {}
        self.served: dict[str, int] = {}
        """SOP Instance UID → the part whose data set is served under it."""
        self.freed = asyncio.Event()

    async def take(self, data: Chunks) -> None:
        """Receive one instance, and store it while the next one arrives; waits while too much is under way.

        Raises what `data` raises. The instance is then counted neither as stored nor as refused.
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
        task = asyncio.create_task(self._store(self.count, received, size))
        self.running.add(task)
        while len(self.running) >= MOST_IN_FLIGHT or self.bytes_in_flight >= MOST_BYTES_IN_FLIGHT:
            self.freed.clear()
            await self.freed.wait()

    async def finish(self) -> list[Outcome]:
        """What became of each instance, in the order of the parts, once all is settled."""
        while self.running:
            # Cancelling the request does not reach the instances: `wait` leaves its tasks alone.
            await asyncio.wait(self.running)
        stored = sum(isinstance(one, Stored) for one in self.outcomes.values())
        if self.count:
            # A line for each single instance of a modality would cost a tenth of storing it.
            level = logging.DEBUG if stored == self.count == 1 else logging.INFO
            log.log(level, "stored %d of %d instances from %s", stored, self.count, self.source)
        return [self.outcomes[number] for number in range(1, self.count + 1)]

    async def _store(self, number: int, received: Received, size: int) -> None:
        try:
            outcome = await store(
                self.box, received, source=self.source, actor=self.actor, expected_study=self.study_uid
            )
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
