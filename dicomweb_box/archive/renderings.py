"""Rendered pictures kept ready: in memory, and on disk where making them again costs more than that."""

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import suppress
from functools import partial
from typing import Any, BinaryIO, Literal

from dicomweb_box.archive.derived import DerivedFiles, Make
from dicomweb_box.archive.retrieve import Recent
from dicomweb_box.archive.together import Together
from dicomweb_box.box import Box, in_thread
from dicomweb_box.errors import OutOfResources

_PAGE = 4096
_WAITING = 128
"""Renderings under way or waiting for each decoder thread; more are refused, so that a wait stays short."""

Costly = Literal["no", "yes", "very"]
"""Whether a picture is kept on disk: never, from its second making on, or at once."""
Render = Callable[[], Coroutine[Any, Any, bytes]]


class _Ready(Recent):
    """Pictures by name, weighed in pages."""


class _Known(Recent):
    """Names of costly pictures that were made before."""


class Renderings:
    """The renderings of one box in one process."""

    def __init__(self, box: Box) -> None:
        self._box = box
        self._ready, self._known = _Ready(box), _Known(box)
        self._making = Together[bytes](
            most=_WAITING * box.settings.decode_threads,
            refusal="too many renderings wait already: ask again in a moment",
        )
        self._keeping: set[asyncio.Task[None]] = set()

    async def get(self, name: str, render: Render, *, costly: Costly) -> bytes:
        """The rendering of this name: kept, or made once for all who ask at the same time.

        It is given up once every asker has left. Raises what `render` raises, and OutOfResources where too
        many wait already.
        """
        found: bytes | None = self._ready.get(name)
        if found is not None:
            return found
        return await self._making.get(name, partial(self._make, name, render, costly))

    async def close(self) -> None:
        """Give up what is being made; wait for what is being kept."""
        await self._making.close()
        await asyncio.gather(*self._keeping, return_exceptions=True)

    async def _make(self, name: str, render: Render, costly: Costly) -> bytes:
        made = await self._from_disk(name) if costly != "no" else None
        if made is None:
            made = await render()
            if costly != "no":
                self._keep_perhaps(name, made, at_once=costly == "very")
        self._ready.put(name, made, 1 + len(made) // _PAGE)
        return made

    def _keep_perhaps(self, name: str, made: bytes, *, at_once: bool) -> None:
        if at_once or self._known.get(name) is not None:
            keeping = asyncio.create_task(self._keep(name, made))
            self._keeping.add(keeping)
            keeping.add_done_callback(self._keeping.discard)
        self._known.put(name, True)

    async def _from_disk(self, name: str) -> bytes | None:
        found = self._box.resource(DerivedFiles, DerivedFiles).peek(_file(name))
        if found is None:
            return None
        with suppress(OSError):  # swept meanwhile: it is made again
            return await in_thread(self._box, found.path.read_bytes)
        return None

    async def _keep(self, name: str, made: bytes) -> None:
        async def prepare() -> Make:
            return lambda file: _write(file, made)

        with suppress(OSError, OutOfResources):  # a full disk costs the next asker time, nothing else
            await self._box.resource(DerivedFiles, DerivedFiles).get(_file(name), prepare)


def _file(name: str) -> str:
    return f"rendered-{name[:2]}/{name}.picture"


def _write(file: BinaryIO, made: bytes) -> None:
    file.write(made)
