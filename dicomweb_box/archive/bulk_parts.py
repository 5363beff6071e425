"""The bulk data of one request to store, in one spool file, found again by the URIs that metadata names.

Parts and metadata come in any order. However many parts there are, one descriptor and a few bytes for each
are held; the bytes themselves wait on the disk.
"""

import mmap
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from dicomweb_box.box import Box, in_thread
from dicomweb_box.dicom.media_types import MediaType
from dicomweb_box.dicom.pieces import Piece, Stretch
from dicomweb_box.errors import BadRequest
from dicomweb_box.storage import SpoolFile

MOST_PARTS = 200_000
_PIECE = 1 << 20


@dataclass(frozen=True, slots=True)
class BulkPart:
    """One part: what it says it is, and where its bytes lie in the spool file."""

    number: int
    media_type: MediaType
    stretch: Stretch


class BulkParts:
    """All bulk data of a request; close it with `discard`."""

    def __init__(self, box: Box) -> None:
        self.box = box
        self.parts: list[BulkPart] = []
        self.used: set[int] = set()
        """Numbers of the parts that some instance named."""
        self._by_name: dict[str, list[BulkPart]] = {}
        self._spool: SpoolFile | None = None
        self._size = 0

    async def add(
        self, names: Iterable[str], media_type: MediaType, data: AsyncIterator[bytes | memoryview]
    ) -> None:
        """Take one part; `names`: its Content-Location and Content-ID. Raises what `data` raises,
        BadRequest for too many parts, OutOfResources when the disk is full.
        """
        if len(self.parts) >= MOST_PARTS:
            raise BadRequest(f"The body has more than {MOST_PARTS} parts of bulk data.")
        begin = self._size
        pieces: list[bytes | memoryview] = []
        waiting = 0
        async for piece in data:
            pieces.append(piece)
            waiting += len(piece)
            if waiting >= _PIECE:
                await in_thread(self.box, self.append, pieces)
                pieces, waiting = [], 0
        if pieces:
            await in_thread(self.box, self.append, pieces)
        part = BulkPart(len(self.parts), media_type, Stretch(begin, self._size - begin))
        self.parts.append(part)
        for spelling in {spelling for name in names if name for spelling in _spellings(name)}:
            self._by_name.setdefault(spelling, []).append(part)

    def append(self, pieces: Iterable[bytes | memoryview]) -> Stretch:
        """Write more bytes, and tell where they lie. Blocks."""
        if self._spool is None:
            self._spool = self.box.blobs.spool()
        begin = self._size
        for piece in pieces:
            self._spool.write(piece)
            self._size += len(piece)
        return Stretch(begin, self._size - begin)

    def named(self, uri: str) -> list[BulkPart]:
        """The parts that a BulkDataURI means, in the order they came; several are frames."""
        found = next((self._by_name[name] for name in _spellings(uri) if name in self._by_name), [])
        return list(found)

    def name(self, part: BulkPart) -> str:
        """A URI that means this part alone, whatever it calls itself."""
        uri = f"part:{part.number}"
        self._by_name[uri] = [part]
        return uri

    def unnamed(self) -> list[BulkPart]:
        """The parts that no instance named."""
        return [part for part in self.parts if part.number not in self.used]

    def view(self, stretch: Stretch) -> memoryview:
        """The bytes of a stretch, paged in as they are touched; unmapped with the last slice. Blocks."""
        if self._spool is None or not stretch.length:
            return memoryview(b"")
        with self._spool.path.open("rb") as file:
            whole = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        return memoryview(whole)[stretch.offset : stretch.offset + stretch.length]

    @contextmanager
    def beside(self) -> Iterator[tuple[Path, SpoolFile]]:
        """The spool file's path, and another spool file to be written and read meanwhile. Blocks."""
        if self._spool is None:
            raise AssertionError("bulk data is read before any came")
        more = self.box.blobs.spool()
        try:
            yield self._spool.path, more
        finally:
            more.discard()

    async def chunks(self, pieces: Sequence[Piece]) -> AsyncIterator[bytes | memoryview]:
        """The bytes that the pieces stand for."""
        for piece in pieces:
            if isinstance(piece, bytes):
                yield piece
            elif isinstance(piece, Stretch):
                for at in range(0, piece.length, _PIECE):
                    size = min(_PIECE, piece.length - at)
                    yield await in_thread(self.box, self._read, piece.offset + at, size)

    def _read(self, offset: int, size: int) -> bytes:
        if self._spool is None:
            raise AssertionError("bulk data is read before any came")
        with self._spool.path.open("rb", buffering=0) as file:
            file.seek(offset)
            return file.read(size)

    async def discard(self) -> None:
        """Delete the spool file."""
        if self._spool is not None:
            await in_thread(self.box, self._spool.discard)
            self._spool = None


def _spellings(name: str) -> list[str]:
    """A URI as it stands, then in the spellings that mean the same: most exact first.

    Content-ID: `<a@b>` is what `cid:a@b` names (RFC 2392). A Content-Location of this service may stand with
    or without its host, and with or without escapes.
    """
    name = name.strip()
    if name.startswith("<") and name.endswith(">"):
        name = "cid:" + name[1:-1]
    spellings = [name, unquote(name)]
    if name[:4].lower() == "cid:":
        return [*dict.fromkeys(["cid:" + spelling[4:] for spelling in spellings])]
    try:
        parts = urlsplit(name)
    except ValueError:
        return [name]
    path = parts.path + (f"?{parts.query}" if parts.query else "")
    if path.strip("/"):
        spellings += [path, unquote(path).removeprefix("./").lstrip("/")]
    return [*dict.fromkeys(spellings)]
