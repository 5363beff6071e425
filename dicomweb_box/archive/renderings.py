"""Rendered pictures kept ready: in memory, and on disk where making them again costs more than reading."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import BinaryIO

from dicomweb_box.archive.derived import DerivedFiles, Make
from dicomweb_box.archive.retrieve import Recent
from dicomweb_box.box import Box, in_thread
from dicomweb_box.errors import OutOfResources

_PAGE = 4096
_WAITING = 128
"""Renderings under way or waiting for each decoder thread; more are refused, so that a wait stays short."""

Render = Callable[[], Awaitable[bytes]]


class _Ready(Recent):
    """Pictures by name, weighed in pages."""


@dataclass(slots=True)
class _Making:
    task: asyncio.Task[bytes]
    askers: int = 0


class Renderings:
    """The renderings of one box in one process."""

    def __init__(self, box: Box) -> None:
        self._box = box
        self._ready = _Ready(box)
        self._making: dict[str, _Making] = {}
        self._keeping: set[asyncio.Task[None]] = set()
        self._most = _WAITING * box.settings.decode_threads

    async def get(self, name: str, render: Render, *, costly: bool) -> bytes:
        """The rendering of this name: kept, or made once for all who ask at the same time.

        It is given up once every asker has left. Raises what `render` raises, and OutOfResources where too
        many wait already.
        """
        found: bytes | None = self._ready.get(name)
        if found is not None:
            return found
        making = self._making.get(name)
        if making is None:
            if len(self._making) >= self._most:
                raise OutOfResources("too many renderings wait already: ask again in a moment")
            making = self._making[name] = _Making(asyncio.create_task(self._make(name, render, costly)))
            making.task.add_done_callback(lambda task: self._made(name, task))
        making.askers += 1
        try:
            return await asyncio.shield(making.task)
        finally:
            making.askers -= 1
            if not making.askers:
                making.task.cancel()  # nothing happens where it is done

    async def close(self) -> None:
        """Wait for what is being made and kept."""
        tasks = [*(making.task for making in self._making.values()), *self._keeping]
        if tasks:
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _make(self, name: str, render: Render, costly: bool) -> bytes:
        made = await self._from_disk(name) if costly else None
        if made is None:
            made = await render()
            if costly:
                keeping = asyncio.create_task(self._keep(name, made))
                self._keeping.add(keeping)
                keeping.add_done_callback(self._keeping.discard)
        self._ready.put(name, made, 1 + len(made) // _PAGE)
        return made

    def _made(self, name: str, task: asyncio.Task[bytes]) -> None:
        self._making.pop(name, None)
        if not task.cancelled():
            task.exception()  # looked at, so that asyncio does not report it where every asker has left

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
