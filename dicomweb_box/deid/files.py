"""A file in, a de-identified file out, or none."""

import fcntl
import os
import tempfile
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Final

from dicomweb_box.deid.changes import Compared, compared
from dicomweb_box.deid.engine import Deidentified, deidentify
from dicomweb_box.deid.mapped import mapped
from dicomweb_box.deid.policy import Policy
from dicomweb_box.deid.pseudonyms import Pseudonyms
from dicomweb_box.deid.redacted import Codec, made_here

_HALF: Final = ".deid-"


def deidentified_file(
    source: Path,
    target: Callable[[str], Path],
    policy: Policy,
    pseudonyms: Pseudonyms,
    codec: Codec = made_here,
) -> Deidentified:
    """What was written; `target` tells where, by the new SOP Instance UID.

    It appears there whole or not at all. Raises Doubt where nothing may be written.
    """
    with mapped(source) as data:
        found = deidentify(data, len(data), policy, pseudonyms, codec)
        _write(target(found.instance_uid), found.chunks())
        return found


def examined_file(
    source: Path, policy: Policy, pseudonyms: Pseudonyms, codec: Codec = made_here
) -> tuple[Deidentified, Compared]:
    """What would be written, and what it changes. Raises Doubt where nothing may be written."""
    with mapped(source) as data:
        found = deidentify(data, len(data), policy, pseudonyms, codec)
        for _ in found.chunks():  # pixels that cannot be redacted are found out here
            pass
        return found, compared(data, len(data), found)


def swept(folder: Path) -> None:
    """Remove what a run that was killed left half-written; what a run is at now stays."""
    for path in folder.glob(f"{_HALF}*"):
        with suppress(OSError), path.open("rb") as half:
            fcntl.flock(half, fcntl.LOCK_EX | fcntl.LOCK_NB)
            path.unlink()


def _write(path: Path, chunks: Iterable[bytes]) -> None:
    descriptor, name = tempfile.mkstemp(prefix=_HALF, dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as out:
            fcntl.flock(out, fcntl.LOCK_EX)
            out.writelines(chunks)
            out.flush()
            Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
