"""Import: files, folders and zip archives from this machine's disk, through the one way in."""

import asyncio
import zipfile
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import IO

from dicomweb_box.accounts.access import EVERYTHING, SYSTEM, Actor, Scope
from dicomweb_box.archive.ingest import Received, receive, store
from dicomweb_box.archive.outcomes import Outcome, Refused
from dicomweb_box.archive.packed import (
    Unreadable,
    is_archive,
    members,
    open_archive,
    open_member,
    read_member,
    told_why,
)
from dicomweb_box.box import Box, in_thread
from dicomweb_box.errors import FailureReason, OutOfResources

AT_ONCE = 16
"""Objects on their way at the same time; they share fsyncs and commits."""
PIECE = 1 << 20
HARMLESS = 64 << 20
"""Bytes that any archive may expand to."""
MOST_EXPANSION = 200
"""Beyond HARMLESS, how many times its size an archive or member may expand to: blank pixels reach 100."""

_SKIPPED_NAMES = frozenset({"dicomdir", "thumbs.db", "desktop.ini"})
_UNLISTED = zipfile.ZipInfo("what its list does not name")
_NOT_READ = "the archive holds members that its list does not name, and they were not read: pack it anew"
_EXPANDS = f"the archive expands to more than {MOST_EXPANSION} times its size"


@dataclass(frozen=True, kw_only=True, slots=True)
class Candidate:
    """One file to be imported: on disk, or a member of a zip archive."""

    path: Path
    member: zipfile.ZipInfo | None = None

    @property
    def name(self) -> str:
        """As it is shown to the operator."""
        return str(self.path) if self.member is None else f"{self.path}!{self.member.filename}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Refusal:
    """One file that was not taken, and why."""

    name: str
    reason: str
    message: str


@dataclass(kw_only=True)
class Imported:
    """What became of everything that was offered."""

    stored: int = 0
    already: int = 0
    skipped: int = 0
    """Files that never are instances: DICOMDIR, and what operating systems leave behind."""
    refused: list[Refusal] = field(default_factory=list)

    def note(self, candidate: Candidate, outcome: Outcome) -> None:
        """Count one outcome."""
        if isinstance(outcome, Refused):
            reason = f"{int(outcome.reason):04X}"
            self.refused.append(Refusal(name=candidate.name, reason=reason, message=outcome.message))
        elif outcome.already:
            self.already += 1
        else:
            self.stored += 1


def candidates(paths: Iterable[Path], imported: Imported) -> list[Candidate]:
    """Every file below the paths, in their order; damaged archives are noted as refused. Blocks."""
    found: list[Candidate] = []
    for path in paths:
        files = sorted(file for file in path.rglob("*") if not file.is_dir()) if path.is_dir() else [path]
        for file in files:
            if not file.is_file():
                imported.refused.append(Refusal(name=str(file), reason="C000", message="not a regular file"))
            elif file != path and is_skipped(file.relative_to(path).parts):
                imported.skipped += 1
            elif _archive_at(file):
                found += _members(file, imported)
            else:
                found.append(Candidate(path=file))
    return found


async def import_all(
    box: Box,
    chosen: Sequence[Candidate],
    imported: Imported,
    *,
    source: str,
    actor: Actor = SYSTEM,
    scope: Scope = EVERYTHING,
    progress: Callable[[], None] = lambda: None,
) -> None:
    """Store each candidate and note what became of it; several are on their way at once."""
    room = asyncio.Semaphore(AT_ONCE)

    async def settle(candidate: Candidate, received: Received) -> None:
        try:
            outcome = await store(box, received, source=source, actor=actor, scope=scope)
            imported.note(candidate, outcome)
        finally:
            progress()
            room.release()

    async with AsyncExitStack() as stack:
        archives = await stack.enter_async_context(_opened(box))
        tasks = await stack.enter_async_context(asyncio.TaskGroup())
        for candidate in chosen:
            await room.acquire()
            try:
                received = await receive(box, archives(candidate))
            except (Unreadable, OutOfResources) as error:
                imported.note(candidate, _refused(error))
                progress()
                room.release()
            else:
                tasks.create_task(settle(candidate, received))


@asynccontextmanager
async def _opened(box: Box) -> AsyncIterator[Callable[[Candidate], AsyncIterator[bytes]]]:
    """A way to read candidates that keeps the archive of the last one open."""
    archive: zipfile.ZipFile | None = None
    allowed = 0

    async def pieces(candidate: Candidate) -> AsyncIterator[bytes]:
        nonlocal archive, allowed
        if candidate.member is None:
            with await in_thread(box, _open_file, candidate.path) as file:
                while piece := await in_thread(box, _read_file, file):
                    yield piece
            return
        if archive is None or archive.filename != str(candidate.path):
            if archive is not None:
                archive.close()
            archive = await in_thread(box, open_archive, candidate.path)
            allowed = HARMLESS + MOST_EXPANSION * candidate.path.stat().st_size
        if candidate.member.file_size > HARMLESS + MOST_EXPANSION * candidate.member.compress_size:
            raise Unreadable(_EXPANDS)
        with await in_thread(box, open_member, archive, candidate.member) as member:
            while piece := await in_thread(box, read_member, member, candidate.member, PIECE):
                # Members may share their bytes, so the sum is watched too.
                allowed -= len(piece)
                if allowed < 0:
                    raise Unreadable(_EXPANDS)
                yield piece

    try:
        yield pieces
    finally:
        if archive is not None:
            archive.close()


def _open_file(path: Path) -> IO[bytes]:
    with told_why():
        return path.open("rb")


def _read_file(file: IO[bytes]) -> bytes:
    with told_why():
        return file.read(PIECE)


def _members(path: Path, imported: Imported) -> Iterator[Candidate]:
    try:
        listed, others = members(path)
    except Unreadable as error:
        imported.note(Candidate(path=path), _refused(error))
        return
    if others:
        imported.note(Candidate(path=path, member=_UNLISTED), _refused(Unreadable(_NOT_READ)))
    for info in listed:
        if is_skipped(PurePosixPath(info.filename).parts):
            imported.skipped += 1
        else:
            yield Candidate(path=path, member=info)


def _archive_at(path: Path) -> bool:
    # By its first bytes: `zipfile.is_zipfile` would read the end of every file of a large folder.
    try:
        with path.open("rb") as file:
            return is_archive(file.read(4))
    except OSError:
        return False  # reported when it is to be read


def is_skipped(parts: tuple[str, ...]) -> bool:
    """Whether a file of this name never is an instance: DICOMDIR, and what operating systems leave behind."""
    names = [part for part in parts if part not in (".", "..")]
    return bool(names) and (
        names[-1].lower() in _SKIPPED_NAMES or any(name.startswith((".", "__MACOSX")) for name in names)
    )


def _refused(error: Unreadable | OutOfResources) -> Refused:
    full = isinstance(error, OutOfResources)
    reason = FailureReason.OUT_OF_RESOURCES if full else FailureReason.CANNOT_UNDERSTAND
    return Refused(reason=reason, message=str(error))
