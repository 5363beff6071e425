"""Frames decoded and encoded: apart from the server, once however many ask, kept where it was dear."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from typing import Any, BinaryIO, Generic, TypeVar

import xxhash

from dicomweb_box.archive.decoder_pool import DecoderPool
from dicomweb_box.archive.derived import Derived, DerivedFiles, Make
from dicomweb_box.archive.retrieve import Instance, Recent
from dicomweb_box.archive.together import Together
from dicomweb_box.box import Box, in_decoder
from dicomweb_box.dicom import pixels
from dicomweb_box.dicom.image import Image
from dicomweb_box.dicom.pieces import Fragments
from dicomweb_box.errors import Damaged

Native = Callable[[], Awaitable[bytes]]
T = TypeVar("T")

DEAR = 0.004
"""Seconds of decoding above which a frame asked for again is kept on disk: writing it costs as much."""
LARGE = 4 << 20
"""Bytes of a frame that is kept at its first ask: writing it is little beside decoding it."""
MOST_KEEPING = 16
"""Frames that may be on their way to the disk; more are not kept."""
REMEMBERED = 60.0
"""Seconds for which a damaged frame is not tried again."""
MOST_REMEMBERED = 1000
_TIDY_EVERY = 15.0
_PAGE = 4096


async def decoded(box: Box, instance: Instance, image: Image, fragments: Fragments) -> bytes:
    """The native bytes of the frame that lies in these fragments, as `dicom.pixels.decode` makes them.

    Raises Damaged where it cannot be decoded, OutOfResources where too many frames wait.
    """
    return await box.resource(Decoding, Decoding).decoded(instance, image, fragments)


async def transcoded(
    box: Box, instance: Instance, image: Image, fragments: Fragments, target: str, native: Native | None
) -> Derived:
    """A file with the frame that lies in these fragments, as `dicom.transcode.encode` makes it.

    `native` gives the bytes of a frame that lies native in the blob. Raises as `decoded`.
    """
    decoding = box.resource(Decoding, Decoding)
    return await decoding.transcoded(instance, image, fragments, target, native)


def kept(box: Box, instance: Instance, image: Image, fragments: Fragments) -> Derived | bytes | None:
    """The decoded frame where it is in memory, or the file that holds it; None where it is not kept."""
    name = _name(instance, fragments)
    held = box.resource(Decoding, Decoding).held(name)
    found = held if held is not None else box.resource(DerivedFiles, DerivedFiles).peek(name)
    size = found.size if isinstance(found, Derived) else len(found or b"")
    return found if size == image.frame_length else None


async def used(
    box: Box,
    instance: Instance,
    fragments: Fragments,
    image: Callable[[], Image],
    use: Callable[[bytes], T],
) -> T:
    """What `use` makes of the native bytes of the frame that lies in these fragments.

    Both functions are called in a decoder thread, in one turn with the decoding where that is to be done.
    Raises as `decoded`, and what they raise.
    """
    return await box.resource(Decoding, Decoding).used(instance, fragments, image, use)


def _name(instance: Instance, place: object, form: str = "native") -> str:
    digest = xxhash.xxh3_128_hexdigest(f"{instance.blob_key} {place} {form}".encode())
    return f"frames-{digest[:2]}/{digest}.frame"


class _Lately(Recent):
    """Decoded frames by name, weighed in pages; each with whether it is to be kept on disk if asked for."""

    most = (16 << 20) // _PAGE


class _Known(Recent):
    """Names of frames that were decoded before."""


class Decoding:
    """What one server process decodes at the moment."""

    def __init__(self, box: Box) -> None:
        settings = box.settings
        self._box = box
        self._pool = DecoderPool(seconds=settings.decode_timeout, most=settings.decode_memory)
        self._files = box.resource(DerivedFiles, DerivedFiles)
        self._asked = Together[Any](
            most=settings.decode_queue, refusal="too many frames wait to be decoded", failed=self._failed
        )
        self._damaged: dict[str, tuple[float, str]] = {}
        """Frames found damaged, the longest ago first: when, and how."""
        self._lately, self._known = _Lately(box), _Known(box)
        self._keeping: set[asyncio.Task[Derived]] = set()
        self._tidying: asyncio.TimerHandle | None = None

    @property
    def processes(self) -> list[int]:
        """The ids of the decoder processes that run now."""
        return self._pool.processes

    async def decoded(self, instance: Instance, image: Image, fragments: Fragments) -> bytes:
        """See `decoded` above."""
        name = _name(instance, fragments)
        held = self.held(name)
        if held is not None:
            return held
        self._refuse_damaged(name)
        made: bytes = await self._asked.get(name, partial(self._decode, name, instance, image, fragments))
        return made

    def held(self, name: str) -> bytes | None:
        """The decoded frame where it is in memory; it is kept on disk from its second ask on."""
        found: tuple[bytes, bool] | None = self._lately.get(name)
        if found is None:
            return None
        native, to_keep = found
        if to_keep:
            self._keep(name, native)
        return native

    async def used(
        self,
        instance: Instance,
        fragments: Fragments,
        image: Callable[[], Image],
        use: Callable[[bytes], T],
    ) -> T:
        """See `used` above."""
        name = _name(instance, fragments)
        held = self.held(name)
        if held is not None:
            return await in_decoder(self._box, use, held)
        found = self._files.peek(name)
        if found is not None:
            with suppress(FileNotFoundError):  # swept meanwhile
                return await in_decoder(self._box, lambda: use(found.path.read_bytes()))
        self._refuse_damaged(name)
        ours: list[_Outcome[T]] = []
        work = partial(self._decode_and_use, name, instance, image, fragments, use, ours)
        native: bytes = await self._asked.get(name, work)
        return ours[0].value() if ours else await in_decoder(self._box, use, native)

    async def _decode_and_use(
        self,
        name: str,
        instance: Instance,
        image: Callable[[], Image],
        fragments: Fragments,
        use: Callable[[bytes], T],
        ours: "list[_Outcome[T]]",
    ) -> bytes:
        """The native bytes, for whoever else asks for them meanwhile; what is made of them is ours."""

        def turn() -> tuple[bytes, float, _Outcome[T]]:
            native, seconds = self._in_thread(instance, image(), fragments)
            return native, seconds, _Outcome(use, native)

        native, seconds, outcome = await in_decoder(self._box, turn)
        ours.append(outcome)
        self._remember(name, native, seconds)
        return native

    async def transcoded(
        self, instance: Instance, image: Image, fragments: Fragments, target: str, native: Native | None
    ) -> Derived:
        """See `transcoded` above."""
        name = _name(instance, fragments, target)
        found = self._files.peek(name)
        if found is not None and found.size:
            return found
        self._refuse_damaged(name)
        work = partial(self._transcode, name, instance, image, fragments, target, native)
        made: Derived = await self._asked.get(name, work)
        return made

    async def _transcode(
        self,
        name: str,
        instance: Instance,
        image: Image,
        fragments: Fragments,
        target: str,
        native: Native | None,
    ) -> Derived:
        given = await native() if native is not None else None
        made = await in_decoder(self._box, self._encoded, instance, image, fragments, target, given)
        self._tidy_later()
        return await self._files.get(name, partial(_prepared, made))

    def _encoded(
        self, instance: Instance, image: Image, fragments: Fragments, target: str, given: bytes | None
    ) -> bytes:
        frame = self._stored(instance, fragments) if given is None else given
        return self._pool.made(self._refused_if_large(image), frame, target)

    def _failed(self, name: str, error: BaseException) -> None:
        if isinstance(error, Damaged):
            self._damaged[name] = (time.monotonic(), str(error))

    def _refuse_damaged(self, name: str) -> None:
        """Raise Damaged where the frame was found so lately: to find it out may have cost a process."""
        for old, (when, _) in list(self._damaged.items()):
            if time.monotonic() - when < REMEMBERED and len(self._damaged) <= MOST_REMEMBERED:
                break
            del self._damaged[old]
        if name in self._damaged:
            raise Damaged(self._damaged[name][1])

    async def _decode(self, name: str, instance: Instance, image: Image, fragments: Fragments) -> bytes:
        native, seconds = await in_decoder(self._box, self._in_thread, instance, image, fragments)
        self._remember(name, native, seconds)
        return native

    def _remember(self, name: str, native: bytes, seconds: float) -> None:
        """Hold it in memory; on disk only what is large or was asked for before, and dear."""
        again = self._known.get(name) is not None or len(native) >= LARGE
        self._known.put(name, True)
        self._lately.put(name, (native, seconds > DEAR), 1 + len(native) // _PAGE)
        if again and seconds > DEAR:
            self._keep(name, native)
        self._tidy_later()

    def _keep(self, name: str, native: bytes) -> None:
        if len(self._keeping) >= MOST_KEEPING:
            return
        self._lately.put(name, (native, False), 1 + len(native) // _PAGE)
        keeping = asyncio.create_task(self._files.get(name, partial(_prepared, native)))
        self._keeping.add(keeping)
        keeping.add_done_callback(self._kept)

    def _kept(self, task: asyncio.Task[Derived]) -> None:
        self._keeping.discard(task)
        if not task.cancelled():
            task.exception()  # a full disk is no reason to fail: the frame was given already

    def _in_thread(self, instance: Instance, image: Image, fragments: Fragments) -> tuple[bytes, float]:
        frame = self._stored(instance, fragments)
        if image.transfer_syntax_uid not in pixels.COMPRESSED:
            return pixels.decode(image, frame), 0.0
        began = time.monotonic()
        native = self._pool.made(self._refused_if_large(image), frame)
        return native, time.monotonic() - began

    def _stored(self, instance: Instance, fragments: Fragments) -> bytes:
        with self._box.blobs.open(instance.blob_key) as blob:
            return b"".join(blob.pread(offset, length) for offset, length in fragments)

    def _refused_if_large(self, image: Image) -> Image:
        if image.frame_length > self._box.settings.decode_memory // 2:
            raise Damaged(f"a frame of {image.frame_length} bytes is too large to be decoded here")
        return image

    def _tidy_later(self) -> None:
        if self._tidying is None:
            self._tidying = asyncio.get_running_loop().call_later(_TIDY_EVERY, self._tidy)

    def _tidy(self) -> None:
        self._tidying = None
        in_decoder(self._box, self._pool.end_idle)
        if self._pool.processes:
            self._tidy_later()

    async def close(self) -> None:
        """Give up what is decoded; end the processes."""
        if self._tidying is not None:
            self._tidying.cancel()
        closing = asyncio.create_task(self._asked.close())
        # The threads that wait for a process learn that it has ended.
        await asyncio.get_running_loop().run_in_executor(None, self._pool.close)
        await closing
        if self._keeping:
            await asyncio.gather(*self._keeping, return_exceptions=True)


class _Outcome(Generic[T]):
    """What a function gave or raised."""

    def __init__(self, function: Callable[[bytes], T], argument: bytes) -> None:
        try:
            self._value = function(argument)
        except Exception as error:  # noqa: BLE001  (whoever asks for the value gets it)
            self._error: Exception | None = error
        else:
            self._error = None

    def value(self) -> T:
        """It, given or raised."""
        if self._error is not None:
            raise self._error
        return self._value


async def _prepared(native: bytes) -> Make:
    def write(file: BinaryIO) -> None:
        file.write(native)

    return write
