"""Many objects as one ZIP archive, written while it is sent (PS3.18 Supplement 211).

The format is the standard library's; here what it writes is only taken away before it grows.
"""

import zipfile
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import IO, cast

from dicomweb_box.archive.body import Body, Later, Through, total_length
from dicomweb_box.archive.retrieve import Instance
from dicomweb_box.box import Box, in_thread

_MADE = (1980, 1, 1, 0, 0, 0)  # the time on every member: equal asks give equal bytes
_READABLE = 0o644 << 16

Find = Callable[[], Awaitable[Sequence[Body]]]
"""Finds a member's body when its turn comes."""


def name_of(instance: Instance, numbers: Mapping[str, int | None]) -> str:
    """Study, series and instance by UID and series number: no attribute of a patient is in a name."""
    number = numbers.get(instance.series_uid)
    series = instance.series_uid if number is None else f"{number}-{instance.series_uid}"
    return f"{instance.study_uid}/{series}/{instance.instance_uid}.dcm"


class ZipWriter:
    """One archive on its way out: what its methods give is to be sent whole and in the order of the calls."""

    def __init__(self, box: Box, *, deflate: bool = False) -> None:
        self._box = box
        self._taken = _Taken()
        kind = zipfile.ZIP_DEFLATED if deflate else zipfile.ZIP_STORED
        self._archive = _Archive(cast(IO[bytes], self._taken), "w", kind)

    def member(self, name: str, find: Find) -> Body:
        """One file of the archive."""
        return Later(partial(self._member, name, find))

    def end(self) -> Body:
        """What follows the last member."""

        async def make() -> list[Body]:
            await in_thread(self._box, self._archive.close)
            return [self._taken.take()]

        return Later(make)

    async def _member(self, name: str, find: Find) -> list[Body]:
        body = await find()
        length = total_length(body)
        info = zipfile.ZipInfo(name, _MADE)
        info.compress_type, info.external_attr = self._archive.compression, _READABLE
        info.file_size = length or 0
        # Sizes of 64 bits only where they may be needed: not every reader knows them behind the data.
        member = self._archive.open(info, "w", force_zip64=length is None)

        async def write(chunk: bytes | bytearray | memoryview) -> bytes:
            await in_thread(self._box, member.write, chunk)
            return self._taken.take()

        async def close() -> list[Body]:
            await in_thread(self._box, member.close)
            return [self._taken.take()]

        return [self._taken.take(), Through(body, write), Later(close)]


class _Archive(zipfile.ZipFile):
    """An archive that nobody finishes where its reader has left."""

    def __del__(self) -> None:
        """Let go without writing the list of members."""


class _Taken:
    """What was written and not yet taken away; nothing can be sought in it, so sizes follow the data."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []

    def write(self, data: bytes) -> int:
        """Keep the bytes."""
        self._pieces.append(data)
        return len(data)

    def flush(self) -> None:
        """Nothing: all is there."""

    def take(self) -> bytes:
        """All that was written since the last time."""
        pieces, self._pieces = self._pieces, []
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)
