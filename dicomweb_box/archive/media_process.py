"""A process of its own for decoding foreign media: what kills or hangs a codec, kills or hangs no server.

It is started for one medium, writes the native frames into a file, and says on its standard output what they
are. Its alarm and its limit of memory end it, whatever becomes of the server. It imports no pydicom, which
would take most of its time.
"""

import json
import mmap
import os
import sys
from pathlib import Path
from typing import Any

from dicomweb_box.archive.apart import limit, run_apart
from dicomweb_box.dicom.media import consumer_media
from dicomweb_box.dicom.media.medium import Medium, unusable
from dicomweb_box.errors import OutOfResources, UnreadableInstance

_MODULE = "dicomweb_box.archive.media_process"
_FULL = 28


def decode_apart(
    source: Path, place: tuple[int, int], media_type: str, frames: Path, *, seconds: int, most: int
) -> Medium:
    """What the medium at an offset and length of a file becomes; its native frames go to `frames`. Blocks.

    Raises UnreadableInstance where it cannot be decoded, takes too long or breaks its decoder;
    OutOfResources where the disk is full.
    """
    try:
        done = run_apart(_MODULE, [source, *place, media_type, frames, seconds, most], seconds)
    except TimeoutError:
        raise unusable(f"is not decoded in {seconds} seconds") from None
    if done.returncode == _FULL:
        raise OutOfResources("the disk is full")
    if done.returncode != 0:
        raise unusable("breaks its decoder")
    answer = json.loads(done.stdout)
    if "unusable" in answer:
        raise UnreadableInstance(answer["unusable"])
    return Medium(**answer)


def main(
    source: str, offset: int, length: int, media_type: str, frames: str, seconds: int, most: int
) -> dict[str, Any]:
    """Decode one medium, and say what it is, or why it is none."""
    consumer_media.warm()
    limit(seconds, most)
    try:
        with open(source, "rb") as file:  # noqa: PTH123
            whole = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        medium = consumer_media.decoded(media_type, memoryview(whole)[offset : offset + length])
        with open(frames, "ab", buffering=0) as out:  # noqa: PTH123
            for frame in medium.frames or ():
                _write(out.fileno(), frame)
    except UnreadableInstance as error:
        return {"unusable": str(error)}
    except MemoryError:
        return {"unusable": str(unusable("takes more memory to decode than is allowed"))}
    return {
        "kind": medium.kind,
        "transfer_syntax_uid": medium.transfer_syntax_uid,
        "attributes": medium.attributes,
    }


def _write(descriptor: int, frame: bytes) -> None:
    rest = memoryview(frame)
    while rest:
        try:
            rest = rest[os.write(descriptor, rest) :]
        except OSError as error:
            sys.exit(_FULL if error.errno in (28, 122) else 1)


if __name__ == "__main__":
    _, source, offset, length, media_type, frames, seconds, most = sys.argv
    told = main(source, int(offset), int(length), media_type, frames, int(seconds), int(most))
    sys.stdout.write(json.dumps(told))
