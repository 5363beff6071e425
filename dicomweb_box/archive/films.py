"""Multi-frame instances as moving pictures: animated GIF and WebP, and films where an encoder is at hand."""

import asyncio
import secrets
import shutil
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Protocol, TypeVar

from dicomweb_box.archive import metadata
from dicomweb_box.archive.derived import Derived, DerivedFiles, Make
from dicomweb_box.archive.retrieve import Instance
from dicomweb_box.archive.together import Together
from dicomweb_box.box import Box, in_decoder, in_thread
from dicomweb_box.dicom import json_model
from dicomweb_box.dicom.display import animation, cine, video

if TYPE_CHECKING:
    from dicomweb_box.dicom.display.picture import Image

T = TypeVar("T")

GIF, WEBP, MP4 = "image/gif", "image/webp", "video/mp4"
_WAITING = 16
"""Films under way or waiting; more are refused, so that a wait stays short."""

MOST_FRAMES = 10_000
"""Frames of one film: six minutes of a fast cine, and as long as one film may keep the others waiting."""

Pictures = Callable[[int], Awaitable["Image"]]
"""Gives frame 1, 2, … as a picture of grey levels or RGB, all of one size."""


def media_types() -> tuple[str, ...]:
    """What moving pictures can be made here."""
    return (GIF, WEBP, MP4) if video.can_encode() else (GIF, WEBP)


async def film(
    box: Box, instance: Instance, count: int, media_type: str, *, name: str, quality: int, pictures: Pictures
) -> Derived:
    """The `count` frames as a moving picture at their own speed, made once for all who ask under this name.

    Raises what making a picture raises, and OutOfResources where too many films wait already.
    """

    async def make(path: Path) -> None:
        elements = json_model.top_level(await metadata.of_row(box, instance.id))
        lasting = cine.durations(elements, count)
        await _write(box, partial(_Film, path, media_type, quality, lasting), lasting, pictures)

    return await box.resource(Films, Films).get(f"films-{name[:2]}/{name}.film", make)


class Films:
    """The films of one box in one process; few are made at a time, so that single pictures need not wait."""

    def __init__(self, box: Box) -> None:
        self._box = box
        self._making = Together[Derived](
            most=_WAITING, refusal="too many films are being made already: ask again in a moment"
        )
        self._free = asyncio.Semaphore(max(1, box.settings.decode_threads // 2))

    async def get(self, name: str, make: Callable[[Path], Awaitable[None]]) -> Derived:
        """The film of this name: kept, or made once for all; given up once every asker has left."""
        found = self._box.resource(DerivedFiles, DerivedFiles).peek(name)
        if found is not None:
            return found
        return await self._making.get(name, partial(self._make, name, make))

    async def close(self) -> None:
        """Give up what is being made."""
        await self._making.close()

    async def _make(self, name: str, make: Callable[[Path], Awaitable[None]]) -> Derived:
        files = self._box.resource(DerivedFiles, DerivedFiles)
        # Swept with other half-written files where this process dies.
        beside = self._box.cache / f"{name}.{secrets.token_hex(4)}.half"
        async with self._free:
            try:
                await in_thread(self._box, partial(beside.parent.mkdir, parents=True, exist_ok=True))
                await make(beside)

                async def prepare() -> Make:
                    return partial(_copy, beside)

                return await files.get(name, prepare)
            finally:
                with suppress(FileNotFoundError):
                    await asyncio.shield(in_thread(self._box, beside.unlink))


def _copy(source: Path, target: BinaryIO) -> None:
    with source.open("rb") as file:
        shutil.copyfileobj(file, target, 1 << 20)


class _Writer(Protocol):
    """What takes frames one after another."""

    def add(self, frame: "Image", begin: float, end: float) -> None:
        """Write the next frame, shown between these milliseconds."""

    def close(self) -> None:
        """Write the end."""


class _Film:
    """A film being written to a file."""

    def __init__(self, path: Path, media_type: str, quality: int, lasting: Any) -> None:
        self._file: BinaryIO | None = None
        self._mp4: video.Mp4Writer | None = None
        self._writer: _Writer
        if media_type == MP4:
            rate = 1000 * len(lasting) / sum(lasting)
            self._writer = self._mp4 = video.Mp4Writer(path, quality, rate)
            return
        self._file = path.open("wb")
        whole = animation.GifWriter(self._file)
        self._writer = whole if media_type == GIF else animation.WebpWriter(self._file, quality)

    def add(self, frame: "Image", begin: float, end: float) -> None:
        self._writer.add(frame, begin, end)

    def close(self) -> None:
        self._writer.close()
        if self._file is not None:
            self._file.close()

    def abandon(self) -> None:
        if self._mp4 is not None:
            self._mp4.abandon()
        if self._file is not None:
            self._file.close()


async def _write(box: Box, begin: Callable[[], _Film], lasting: Any, pictures: Pictures) -> None:
    begun = cine.starts(lasting)
    writing = await _in_decoder(box, begin)
    try:
        for number in range(1, len(lasting) + 1):
            picture = await pictures(number)
            await _in_decoder(box, writing.add, picture, begun[number - 1], begun[number])
        await _in_decoder(box, writing.close)
    except BaseException:
        await _in_decoder(box, writing.abandon)
        raise


async def _in_decoder(box: Box, work: Callable[..., T], *arguments: object) -> T:
    """As `in_decoder`, but leaves no thread at work behind: an encoder serves one caller at a time."""
    running = in_decoder(box, work, *arguments)
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        await asyncio.wait((running,))
        raise
