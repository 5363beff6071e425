"""Files that can be made again: made once however many ask; the least recently used make room for others."""

import asyncio
import os
import secrets
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from dicomweb_box.box import Box, in_thread

_TOUCHED_AFTER = 60.0
"""Seconds after which a use is noted on the file; noting each would cost a write."""
_STALE_AFTER = 3600.0
"""Seconds after which a half-written file of a dead process is swept."""
_HALF = ".half"

Make = Callable[[BinaryIO], None]
"""Writes a file's content; runs in a thread."""
Prepare = Callable[[], Awaitable[Make]]
"""Gathers what is needed to make a file; runs on the loop, once for all who ask at the same time."""


@dataclass(frozen=True, slots=True)
class Derived:
    """A file that is there now."""

    path: Path
    size: int


class DerivedFiles:
    """The derived files of one box in one process; other processes share the folder."""

    def __init__(self, box: Box) -> None:
        self._box = box
        self._root = box.cache
        self._folder = f"{box.cache}/"
        self._most = box.settings.cache_size
        self._making: dict[str, asyncio.Task[Derived]] = {}
        self._room: int | None = None
        """Bytes that may be added before the folder is measured again; None: not measured yet."""

    async def get(self, name: str, prepare: Prepare, *, family: str | None = None) -> Derived:
        """The file of this name (`folder/file`), made where it is not there; raises what `prepare` raises.

        Files whose names begin with `family` but have another stem are earlier states of the same: they go.
        """
        found = self.peek(name)
        if found is not None:
            return found
        task = self._making.get(name)
        if task is None:
            task = asyncio.create_task(self._make(name, prepare, family))
            self._making[name] = task
            task.add_done_callback(lambda done: self._made(name, done))
        # One asker that goes away does not take the file from the others.
        return await asyncio.shield(task)

    def peek(self, name: str) -> Derived | None:
        """The file of this name where it is there."""
        path = self._folder + name
        try:
            found = os.stat(path)  # noqa: PTH116 - each request asks, and a Path costs more than the answer
        except FileNotFoundError:
            return None
        if time.time() - found.st_mtime > _TOUCHED_AFTER:
            with suppress(OSError):
                os.utime(path)
        return Derived(Path(path), found.st_size)

    async def close(self) -> None:
        """Wait for what is being made."""
        if self._making:
            await asyncio.gather(*self._making.values(), return_exceptions=True)

    def _made(self, name: str, task: asyncio.Task[Derived]) -> None:
        self._making.pop(name, None)
        if not task.cancelled():
            task.exception()  # looked at, so that asyncio does not report it where every asker has left

    async def _make(self, name: str, prepare: Prepare, family: str | None) -> Derived:
        make = await prepare()
        made = await in_thread(self._box, self._write, self._root / name, make)
        await in_thread(self._box, self._tidy, made, family)
        return made

    def _write(self, path: Path, make: Make) -> Derived:
        path.parent.mkdir(parents=True, exist_ok=True)
        beside = path.with_name(f"{path.name}.{secrets.token_hex(4)}{_HALF}")
        try:
            with beside.open("wb", buffering=1 << 20) as file:
                make(file)
            size = beside.stat().st_size
            beside.replace(path)
        except BaseException:
            beside.unlink(missing_ok=True)
            raise
        return Derived(path, size)

    def _tidy(self, made: Derived, family: str | None) -> None:
        if family is not None:
            stem = made.path.name.partition(".")[0]
            for entry in _entries(made.path.parent):
                if entry.name.startswith(family) and entry.name.partition(".")[0] != stem:
                    _unlink(entry.path)
        if self._room is not None:
            self._room -= made.size
        if self._room is None or self._room < 0:
            self._evict()

    def _evict(self) -> None:
        """Measure the folder; drop the least recently used files until a tenth of the bound is free."""
        files = []
        for folder in _entries(self._root):
            for entry in _entries(Path(folder.path)) if folder.is_dir(follow_symlinks=False) else ():
                with suppress(FileNotFoundError):
                    found = entry.stat()
                    if not entry.name.endswith(_HALF):
                        files.append((found.st_mtime, found.st_size, entry.path))
                    elif time.time() - found.st_mtime > _STALE_AFTER:
                        _unlink(entry.path)
        total = sum(size for _, size, _ in files)
        for _, size, path in sorted(files):
            if total <= self._most * 0.9:
                break
            _unlink(path)
            total -= size
        # Other processes add to the same folder: measure again before it can have grown by much.
        self._room = max(int(self._most * 0.1), 1 << 20)


def _entries(folder: Path) -> Iterator[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            yield from list(entries)
    except (FileNotFoundError, NotADirectoryError):
        return


def _unlink(path: str) -> None:
    with suppress(FileNotFoundError):
        os.unlink(path)  # noqa: PTH108 - as above
