"""Heads of audit chains, kept outside of the database: how far each chain came, and its code there.

Who can write in the database alone cannot cut a chain's tail, nor take out a whole chain, without a head that
tells. A head is written right after the commit: one may lag behind by what a kill lost, never run ahead.
"""

import os
import re
import secrets
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from dicomweb_box.settings import Settings

_FOLDER, _SUFFIX = "audit", ".head"
_FORM = re.compile(rb"([0-9]{20}) ([0-9a-f]{64})\n")
# All of it lies in one sector of a disk: it is written whole or not at all.


@dataclass(frozen=True, kw_only=True, slots=True)
class Head:
    """How far a chain came: the last row's place, and its code."""

    sequence: int
    mac: bytes


def folder(settings: Settings) -> Path:
    """Where the heads of this data folder's chains are."""
    return settings.data / _FOLDER


def place(settings: Settings) -> str:
    """The name of this data folder, which its chains carry; made when first asked."""
    path = folder(settings) / "place"
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with suppress(FileExistsError):
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(secrets.token_urlsafe(9) + "\n")
            file.flush()
            os.fsync(file.fileno())
    return path.read_text(encoding="ascii").strip()


def begin(settings: Settings, chain: str, head: Head) -> None:
    """A head where there is none yet, durable: before the chain's first row is."""
    path = _path(settings, chain)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        os.pwrite(descriptor, _written(head), 0)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    above = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(above)
    finally:
        os.close(above)


def write(settings: Settings, chain: str, head: Head) -> None:
    """Move a head on. The system writes it to the disk in its own time: until then it lags."""
    # A text: each group of stored instances comes by here, and a path costs more than opening the file.
    path = f"{settings.data}/{_FOLDER}/{chain}{_SUFFIX}"
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        os.pwrite(descriptor, _written(head), 0)
    finally:
        os.close(descriptor)


def read(settings: Settings) -> dict[str, Head | None]:
    """Every head here by its chain; None for a file that holds none."""
    paths = folder(settings).glob(f"*{_SUFFIX}")
    return {path.name.removesuffix(_SUFFIX): _read(path) for path in sorted(paths)}


def exists(settings: Settings, chain: str) -> bool:
    """Whether there is a head of this chain."""
    return _path(settings, chain).exists()


def _path(settings: Settings, chain: str) -> Path:
    return folder(settings) / f"{chain}{_SUFFIX}"


def _written(head: Head) -> bytes:
    return b"%020d %s\n" % (head.sequence, head.mac.hex().encode())


def _read(path: Path) -> Head | None:
    found = _FORM.fullmatch(path.read_bytes())
    return Head(sequence=int(found[1]), mac=bytes.fromhex(found[2].decode())) if found else None
