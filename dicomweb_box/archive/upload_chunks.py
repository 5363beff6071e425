"""Chunks of a file: durable before they are acknowledged, whole or not at all.

A file that comes whole in one request goes straight into the archive. Any other one is put together in a
partial file; its row says how much of it is durable.
"""

import asyncio
import hashlib
import hmac
import secrets
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial

from dicomweb_box.accounts.access import Actor, Scope
from dicomweb_box.archive import partial_files, upload_results, upload_settling, uploads
from dicomweb_box.archive.brought import Brought
from dicomweb_box.archive.ingest import receive, store
from dicomweb_box.archive.outcomes import Refused
from dicomweb_box.archive.packed import is_archive
from dicomweb_box.archive.partial_files import Busy, PartialFile
from dicomweb_box.archive.uploads import FILE_COLUMNS, File, file_of, source_of, stamp
from dicomweb_box.box import Box, in_thread
from dicomweb_box.database import Writer
from dicomweb_box.errors import BadRequest, Conflict, FailureReason, NotFound, OffsetMismatch, OutOfResources

_PIECE = 1 << 20
_TRIES = 20
_BETWEEN = 0.25

Chunks = AsyncIterator[bytes]


@dataclass(frozen=True, kw_only=True, slots=True)
class Chunk:
    """What a sender says of the bytes that follow."""

    offset: int
    length: int | None
    """None where it shows only at their end."""
    complete: bool | None
    """Whether the file ends with them; None: not said."""
    digests: Mapping[str, bytes]
    """By name of the algorithm: sha256, sha512."""


async def append(box: Box, file: File, chunk: Chunk, data: Chunks, *, scope: Scope, actor: Actor) -> File:
    """The file with this chunk, durable; with its outcome where it is complete and no archive.

    Nothing of the chunk is kept where this raises: OffsetMismatch where it does not begin where the file
    ends, BadRequest where it is not what its digest says or goes beyond the announced size, Conflict while
    another request sends the same file, NotFound where the record was removed, OutOfResources.
    """
    _check_offset(file, chunk)
    left = file.size - chunk.offset
    if chunk.length is not None and chunk.length > left:
        raise BadRequest(f"The file was announced with {file.size} bytes; these go beyond them.")
    first, data = await _peeked(data)
    checked = _Checked(chunk, left)
    if chunk.offset == 0 and (chunk.length == left or chunk.complete) and not is_archive(first):
        return await _whole(box, file, checked, data, scope=scope, actor=actor)
    async with _held(box, file) as held:
        # Another request may have been first.
        file = await uploads.file(box, file.session_id, file.id, scope=scope, actor=actor)
        _check_offset(file, chunk)
        if not await in_thread(box, held.begin, chunk.offset):
            await box.database.write(partial(_lost, file=file, now=stamp(box.clock())))
            raise OffsetMismatch(
                "What had arrived is not on this machine any more: the file begins anew.",
                expected=0,
                provided=chunk.offset,
            )
        file = await _write(box, file, held, checked, data)
        if file.state == "arrived" and not is_archive(await in_thread(box, held.head)):
            return await upload_settling.settle(box, file, scope=scope, actor=actor)
        return file


def _check_offset(file: File, chunk: Chunk) -> None:
    if file.state != "waiting":
        raise OffsetMismatch("The file is complete already.", expected=file.received, provided=chunk.offset)
    if file.received != chunk.offset:
        raise OffsetMismatch(
            f"The next chunk begins at {file.received}, not at {chunk.offset}.",
            expected=file.received,
            provided=chunk.offset,
        )


async def _peeked(data: Chunks) -> tuple[bytes, Chunks]:
    """The first four bytes, or all there are, and the same data again."""
    kept: list[bytes] = []
    async for piece in data:
        kept.append(piece)
        if sum(map(len, kept)) >= 4:
            break

    async def again() -> Chunks:
        for piece in kept:
            yield piece
        async for piece in data:
            yield piece

    return b"".join(kept)[:4], again()


class _Checked:
    """Bytes that pass by, counted and digested."""

    def __init__(self, chunk: Chunk, left: int) -> None:
        self.chunk = chunk
        self.left = left
        self.size = 0
        self.sha256 = hashlib.sha256()
        self._others = {name: hashlib.new(name) for name in chunk.digests if name != "sha256"}

    def update(self, piece: bytes) -> None:
        """Take the next piece."""
        for digest in (self.sha256, *self._others.values()):
            digest.update(piece)

    def count(self, piece: bytes) -> None:
        """Raises BadRequest where there are more bytes than were announced."""
        self.size += len(piece)
        if self.size > self.left:
            raise BadRequest("More bytes came than the file was announced with.")

    def finish(self) -> None:
        """Raises BadRequest where the bytes are not those that were meant."""
        for name, meant in self.chunk.digests.items():
            found = self.sha256 if name == "sha256" else self._others[name]
            if not hmac.compare_digest(found.digest(), meant):
                raise BadRequest("The bytes that came are not those of the Content-Digest; none is kept.")
        if self.chunk.length is not None and self.size != self.chunk.length:
            raise BadRequest("Fewer bytes came than the request said; none is kept.")
        if self.chunk.complete and self.size < self.left:
            raise BadRequest(f"{self.left - self.size} bytes are missing at the end; none is kept.")


async def _whole(
    box: Box, file: File, checked: _Checked, data: Chunks, *, scope: Scope, actor: Actor
) -> File:
    async def pieces() -> AsyncIterator[bytes]:
        async for piece in data:
            checked.count(piece)
            checked.update(piece)
            yield piece

    received = await receive(box, pieces())
    try:
        checked.finish()
    except BadRequest:
        await received.discard(box)
        raise
    outcome = await store(box, received, source=source_of(actor), actor=actor, scope=scope)
    if isinstance(outcome, Refused) and outcome.reason is FailureReason.OUT_OF_RESOURCES:
        raise OutOfResources(outcome.message)
    sha256 = checked.sha256.hexdigest()
    result = Brought(path=file.path).of_one(file, outcome, at=stamp(box.clock()), sha256=sha256)
    return await upload_results.write(box, result)


@asynccontextmanager
async def _held(box: Box, file: File) -> AsyncIterator[PartialFile]:
    """The file's partial file, locked; waits a little for whoever holds it, as a connection that died."""
    path = partial_files.place(box.settings.data, file.session_id, file.id)
    for _ in range(_TRIES):
        try:
            held = await in_thread(box, PartialFile.open, path, True)
            break
        except Busy:
            await asyncio.sleep(_BETWEEN)
    else:
        raise Conflict("Another request is sending this file just now.")
    try:
        yield held
    finally:
        await in_thread(box, held.close)


async def _write(box: Box, file: File, held: PartialFile, checked: _Checked, data: Chunks) -> File:
    try:
        await _fill(box, held, checked, data)
        return await box.database.write(partial(_advance, file=file, checked=checked, now=stamp(box.clock())))
    except NotFound:
        await in_thread(box, partial_files.remove, box.settings.data, file.session_id, file.id)
        raise
    except BaseException:
        await asyncio.shield(in_thread(box, held.begin, file.received))
        raise


async def _fill(box: Box, held: PartialFile, checked: _Checked, data: Chunks) -> None:
    """Write what comes; durable and checked on return."""
    waiting: list[bytes] = []
    size = 0
    async for piece in data:
        checked.count(piece)
        waiting.append(piece)
        size += len(piece)
        if size >= _PIECE:
            await _to_its_end(box, _take, held, checked, waiting)
            waiting, size = [], 0
    await _to_its_end(box, _take, held, checked, waiting)
    checked.finish()
    await _to_its_end(box, held.sync)


async def _to_its_end(box: Box, work: Callable[..., None], *arguments: object) -> None:
    """Run in a thread; whoever is cancelled meanwhile waits: the descriptor must not be closed under it."""
    running = asyncio.ensure_future(in_thread(box, work, *arguments))
    try:
        await asyncio.shield(running)
    except asyncio.CancelledError:
        await asyncio.wait({running})
        raise


def _take(held: PartialFile, checked: _Checked, pieces: list[bytes]) -> None:
    held.write(pieces)
    for piece in pieces:
        checked.update(piece)


async def _advance(w: Writer, *, file: File, checked: _Checked, now: str) -> File:
    received = file.received + checked.size
    arrived = received == file.size
    await w.execute(
        "update upload_session set received = received + :files, received_size = received_size + :bytes,"
        " changed_at = :now where id = :session",
        {"files": int(arrived), "bytes": checked.size, "now": now, "session": file.session_id},
    )
    row = await w.fetch_one(
        "update upload_file set received = :received, state = :state, chunk_offset = :offset,"
        " chunk_sha256 = :sha256, changed_at = :now where id = :id and state = 'waiting' and"
        f" received = :offset returning {FILE_COLUMNS}",
        {
            "id": file.id,
            "received": received,
            "state": "arrived" if arrived else "waiting",
            "offset": file.received,
            "sha256": checked.sha256.hexdigest(),
            "now": now,
        },
    )
    if row is None:  # whatever was counted is taken back
        raise NotFound("The record of this upload was removed meanwhile.")
    return file_of(row)


async def _lost(w: Writer, *, file: File, now: str) -> None:
    await w.execute(
        "update upload_session set received_size = received_size - :bytes, changed_at = :now"
        " where id = :session",
        {"bytes": file.received, "now": now, "session": file.session_id},
    )
    await w.execute(
        "update upload_file set received = 0, chunk_offset = 0, chunk_sha256 = '', changed_at = :now"
        " where id = :id",
        {"id": file.id, "now": now},
    )


async def take(box: Box, session_id: str, path: str, data: Chunks, *, scope: Scope, actor: Actor) -> File:
    """A file that comes whole, its size shown by its end, as a form without scripts sends it.

    Known again by its content. Raises as `append` and `uploads.announce`.
    """
    await uploads.session(box, session_id, scope=scope, actor=actor)
    checked = _Checked(Chunk(offset=0, length=None, complete=None, digests={}), uploads.MOST_SIZE)
    begun = partial_files.place(box.settings.data, session_id, f"form-{secrets.token_hex(8)}")
    held = await in_thread(box, PartialFile.open, begun, True)
    try:
        await _fill(box, held, checked, data)
        announced = uploads.Announced(path=path, size=checked.size, modified=checked.sha256.hexdigest())
        [file] = await uploads.announce(box, session_id, [announced], scope=scope, actor=actor)
        if file.state != "waiting":
            return file
        place = partial_files.place(box.settings.data, session_id, file.id)
        await _to_its_end(box, held.rename, place)
        file = await box.database.write(partial(_advance, file=file, checked=checked, now=stamp(box.clock())))
        if is_archive(await in_thread(box, held.head)):
            return file
        return await upload_settling.settle(box, file, scope=scope, actor=actor)
    finally:
        await in_thread(box, begun.unlink, True)
        await in_thread(box, held.close)
