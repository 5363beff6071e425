"""The one way in: STOW-RS, C-STORE, the upload page, watched folders and `import` all end here.

`receive` spools what a sender sends, in constant memory; `store` makes it durable and searchable, and only
then says so: file written, fsynced and renamed, its folder fsynced, its rows committed (docs/architecture.md,
Store). Many `store` calls at once share folder fsyncs and commits.
"""

import asyncio
import mmap
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from dataclasses import dataclass, field

from dicomweb_box.accounts.access import EVERYTHING, Actor, Scope
from dicomweb_box.archive import index
from dicomweb_box.archive.arrival import Blob, Origin, arrival_of
from dicomweb_box.archive.blob_keys import new_key
from dicomweb_box.archive.digests import Digests
from dicomweb_box.archive.outcomes import Outcome, Refused
from dicomweb_box.archive.realms import is_lasting
from dicomweb_box.archive.searchable import RowWriter, make_searchable, row_writer
from dicomweb_box.archive.series_dictionary import Dictionaries
from dicomweb_box.box import Box, in_thread
from dicomweb_box.dicom.header import Header, read_header
from dicomweb_box.errors import FailureReason, NotDicom, OutOfResources, UnreadableInstance
from dicomweb_box.storage import SpoolFile

MOST_MEMORY = 1 << 20
_PIECE = 1 << 20
_SMALL = 1 << 10

Piece = bytes | bytearray | memoryview


@dataclass(slots=True)
class Received:
    """One object as it arrived, not yet stored: in memory when small, else in a spool file."""

    size: int = 0
    pieces: list[Piece] = field(default_factory=list)
    spool: SpoolFile | None = None
    digests: Digests = field(default_factory=Digests)

    def keep(self, chunk: bytes | memoryview) -> None:
        """Put a chunk behind the others; small ones are joined, as each by itself takes 200 bytes more."""
        if len(chunk) > _SMALL:
            self.pieces.append(chunk)
        elif self.pieces and isinstance(last := self.pieces[-1], bytearray):
            last += chunk
        else:
            self.pieces.append(bytearray(chunk))

    async def discard(self, box: Box) -> None:
        """Forget it; nothing of it stays on disk."""
        self.pieces.clear()
        if self.spool is not None:
            await in_thread(box, self.spool.discard)
            self.spool = None


async def receive(
    box: Box, chunks: AsyncIterator[bytes | memoryview], *, most_memory: int = MOST_MEMORY
) -> Received:
    """The whole of one object; what exceeds `most_memory` bytes goes to a spool file while it arrives.

    Whatever ends the chunks early (a broken connection, a bad part) also discards the spool file. Raises
    OutOfResources when the disk is full.
    """
    received = Received()
    waiting, piece = 0, min(_PIECE, most_memory)
    writing: asyncio.Future[None] | None = None
    try:
        async for chunk in chunks:
            received.keep(chunk)
            received.size += len(chunk)
            waiting += len(chunk)
            if received.size > most_memory and waiting >= piece:
                if writing is not None:
                    await writing
                pieces, received.pieces, waiting = received.pieces, [], 0
                # One piece is written and hashed while the next one arrives.
                writing = asyncio.ensure_future(in_thread(box, _spool, box, received, pieces))
        if writing is not None:
            await writing
        if received.spool is not None and received.pieces:
            pieces, received.pieces = received.pieces, []
            await in_thread(box, _spool, box, received, pieces)
    except BaseException:
        if writing is not None:
            with suppress(Exception):
                await writing
        await received.discard(box)
        raise
    return received


def _spool(box: Box, received: Received, pieces: list[Piece]) -> None:
    if received.spool is None:
        received.spool = box.blobs.spool()
    for piece in pieces:
        received.digests.update(piece)
        received.spool.write(piece)


@dataclass(frozen=True, kw_only=True, slots=True)
class Expected:
    """What the sender said beside the data set of its identifiers; None: nothing."""

    study_uid: str | None = None
    sop_class_uid: str | None = None
    instance_uid: str | None = None

    def contradicted_by(self, header: Header) -> str:
        """A sentence on the first identifier that is another one in the data set; empty: none."""
        for told, found, name in (
            (self.study_uid, header.study_uid, "Study Instance UID (0020,000D)"),
            (self.sop_class_uid, header.sop_class_uid, "SOP Class UID (0008,0016)"),
            (self.instance_uid, header.instance_uid, "SOP Instance UID (0008,0018)"),
        ):
            if told is not None and told != found:
                return f"{name} is not that of the request"
        return ""


ANYTHING = Expected()


async def store(
    box: Box,
    received: Received,
    *,
    source: str,
    actor: Actor,
    expected: Expected = ANYTHING,
    realm: str = "main",
    scope: Scope = EVERYTHING,
) -> Outcome:
    """What became of one received object. Stored: its bytes and rows are durable and it is served.

    Bad input is an answer (`Refused`), never an exception; so is a full disk, and what would change
    something outside of the sender's scope.
    """
    dictionaries = box.resource(Dictionaries, Dictionaries)
    # What is cached is told to the audit by whoever reads it.
    by = actor if is_lasting(realm) else None
    origin = Origin(realm=realm, source=source, actor=actor.name, by=by, scope=scope)
    rows = row_writer(box)
    rows.under_way += 1
    try:
        settled = await in_thread(box, _settle, box, dictionaries, rows, received, origin, expected)
        if isinstance(settled, Refused):
            return settled
        return await make_searchable(box, settled.arrival, settled.result)
    except OutOfResources:
        return Refused(reason=FailureReason.OUT_OF_RESOURCES, message="the archive's storage is full")
    finally:
        rows.under_way -= 1
        await received.discard(box)


@dataclass(frozen=True, slots=True)
class _Settled:
    """A durable blob, and what became of its rows where they are written already."""

    arrival: index.Arrival
    result: index.Result | None


def _settle(
    box: Box,
    dictionaries: Dictionaries,
    rows: RowWriter,
    received: Received,
    origin: Origin,
    expected: Expected,
) -> _Settled | Refused:
    """Read the header, make the blob durable, write its rows if it is alone: one turn in a thread."""
    try:
        header = _header(box, received)
    except UnreadableInstance as error:
        foreign = isinstance(error, NotDicom)
        return Refused(reason=error.reason, message=str(error), sha256=_arrived(received), foreign=foreign)
    if contradiction := expected.contradicted_by(header):
        return Refused(
            reason=FailureReason.DATA_SET_DOES_NOT_MATCH,
            message=contradiction,
            study_uid=header.study_uid,
            sop_class_uid=header.sop_class_uid,
            instance_uid=header.instance_uid,
            sha256=_arrived(received),
        )
    now = box.clock()
    key = new_key(now, origin.source, origin.realm)
    digests = _write(box, received, header, key)
    blob = Blob(
        key=key, size=received.size + len(header.part10_prefix), sha256=digests[0], dataset_digest=digests[1]
    )
    policy: index.Policy = box.settings.duplicates if is_lasting(origin.realm) else "replace"
    arrival = arrival_of(header, blob, dictionaries, origin, at=now, policy=policy)
    return _Settled(arrival, rows.now_if_alone(arrival))


def _header(box: Box, received: Received) -> Header:
    if not received.size:
        raise UnreadableInstance("the part is empty")
    threshold = box.settings.bulk_threshold
    if received.spool is None:
        data = b"".join(received.pieces) if len(received.pieces) != 1 else bytes(received.pieces[0])
        received.pieces = [data]
        return read_header(data, bulk_threshold=threshold)
    with received.spool.path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as view:
        return read_header(view, bulk_threshold=threshold)


def _arrived(received: Received) -> str:
    """Digest of what arrived, for the sender of something that is not kept."""
    if received.spool is None:
        for piece in received.pieces:
            received.digests.update(piece)
    return received.digests.sha256.hexdigest()


def _write(box: Box, received: Received, header: Header, key: str) -> tuple[bytes, bytes]:
    if received.spool is None:
        data = received.pieces[0]
        digests = Digests.of(data, header)
        box.blobs.put(key, (header.part10_prefix, data) if header.part10_prefix else (data,))
        return digests
    digests = received.digests.of_spooled(received.spool.path, header)
    if header.part10_prefix:
        box.blobs.put(key, _prefixed(header.part10_prefix, received.spool))
    else:
        box.blobs.adopt(key, received.spool.path)
    return digests


def _prefixed(prefix: bytes, spool: SpoolFile) -> Iterator[bytes]:
    yield prefix
    with spool.path.open("rb") as file:
        while piece := file.read(_PIECE):
            yield piece
