"""A body as chunks on its way out: read in pieces, never joined, without waiting where that can be."""

import os
from collections.abc import AsyncGenerator, Sequence
from pathlib import Path
from typing import Protocol

from dicomweb_box.archive.body import Body, Later, Made, Piece, Through
from dicomweb_box.box import Box, in_thread
from dicomweb_box.errors import Damaged, NotFound

MOST_AT_ONCE = 1 << 19
"""Bytes of one chunk; a slow reader holds twice this much of our memory, whatever the size of the body."""

SMALL = 1 << 14

Chunk = bytes | bytearray | memoryview
Chunks = AsyncGenerator[Chunk, None]


class Readable(Protocol):
    """An open file or blob."""

    def pread(self, offset: int, length: int) -> bytes:
        """Bytes at an offset; may wait for a disk or a network."""

    def pread_now(self, offset: int, length: int) -> bytes | bytearray | None:
        """Bytes at an offset, perhaps fewer than asked; None where that would wait."""

    def close(self) -> None:
        """Let go of it."""


async def chunks(box: Box, body: Sequence[Body]) -> Chunks:
    """The body in pieces of at most MOST_AT_ONCE; neighbouring small texts are sent as one.

    Raises Damaged where a blob ends too early or is missing.
    """
    text = b""
    for piece in body:
        if isinstance(piece, bytes) and len(piece) <= SMALL:
            text += piece
            if len(text) >= SMALL:
                yield text
                text = b""
            continue
        async for chunk in _large(box, piece):
            if text:
                # Not before what follows could be read: a missing blob is an error answer, not a broken one.
                yield text
                text = b""
            yield chunk
    if text:
        yield text


async def _large(box: Box, piece: Body) -> Chunks:
    if isinstance(piece, Piece):
        async for chunk in _read(box, piece):
            yield chunk
    elif isinstance(piece, Later):
        async for later in chunks(box, await piece.make()):
            yield later
    elif isinstance(piece, Through):
        async for chunk in chunks(box, piece.body):
            yield await piece.work(chunk)
    else:
        whole = memoryview(piece if isinstance(piece, bytes) else await made(piece))
        for at in range(0, len(whole), MOST_AT_ONCE):
            yield whole[at : at + MOST_AT_ONCE]


async def made(piece: Body) -> Chunk:
    """What a made piece is; raises Damaged where it has not the length that was announced."""
    if not isinstance(piece, Made):
        raise TypeError(type(piece))
    found = await piece.make()
    if len(found) != piece.length:
        raise Damaged(f"{len(found)} bytes were made where {piece.length} were announced")
    return found


async def _read(box: Box, piece: Piece) -> Chunks:
    source = await _open(box, piece.source)
    try:
        at, stop = piece.offset, piece.offset + piece.length
        while at < stop:
            length = min(MOST_AT_ONCE, stop - at)
            chunk = source.pread_now(at, length)
            if chunk is None:
                chunk = await _pread(box, source, at, length)
            if not chunk:
                raise Damaged(f"stored bytes end {stop - at} bytes too early")
            at += len(chunk)
            yield chunk
    finally:
        source.close()


async def _pread(box: Box, source: Readable, offset: int, length: int) -> bytes:
    try:
        return await in_thread(box, source.pread, offset, length)
    except OSError as error:
        raise Damaged(f"stored bytes cannot be read: {error.strerror}") from error


async def _open(box: Box, source: str | Path) -> Readable:
    if isinstance(source, Path):
        return DerivedFile(source)
    held = box.blobs.open_now(source)
    if held is not None:
        return held
    try:
        blob: Readable = await in_thread(box, box.blobs.open, source)
    except NotFound as error:
        raise Damaged("the stored bytes of an instance are missing") from error
    return blob


class DerivedFile:
    """A local file that can be made again, open for reading; raises FileNotFoundError."""

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)

    def pread(self, offset: int, length: int) -> bytes:
        """Bytes at an offset."""
        return os.pread(self._descriptor, length, offset)

    def pread_now(self, offset: int, length: int) -> bytearray | None:
        """Bytes at an offset if they are in memory, perhaps fewer than asked; else None."""
        buffer = bytearray(length)
        try:
            got = os.preadv(self._descriptor, [buffer], offset, os.RWF_NOWAIT)
        except OSError:  # EAGAIN: not in memory; EOPNOTSUPP: a file system that cannot tell
            return None
        if got == length:
            return buffer
        # Nothing at all may mean the end of the file or a page on its way in: the waiting read tells which.
        return buffer[:got] if got else None

    def close(self) -> None:
        """Close the descriptor."""
        os.close(self._descriptor)
