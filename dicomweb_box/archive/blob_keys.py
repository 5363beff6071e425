"""Names of blobs: by time of arrival, so that an archive rebuilt from its blobs alone decides as it did then.

`2026/11/20/1142/00064420b1c2d3-3f9c1a2b-5e884898.dcm`: a folder each minute (so that instances which arrive
together share one folder fsync), microseconds since 1970 in hexadecimal, a random part, and a digest of the
source's name (the `duplicates` setting asks whether two versions came from one source). What is cached of a
peer lies in a folder of its own.
"""

import hashlib
import secrets
from datetime import UTC, datetime

from dicomweb_box.archive.realms import FOLDER, MAIN, is_lasting


def new_key(now: datetime, source: str, realm: str = MAIN) -> str:
    """A key that no blob has yet; keys sort by time."""
    moment = int(now.timestamp() * 1_000_000)
    folder = "" if is_lasting(realm) else FOLDER
    return f"{folder}{now:%Y/%m/%d/%H%M}/{moment:014x}-{secrets.token_hex(4)}-{source_tag(source)}.dcm"


def source_tag(source: str) -> str:
    """Eight hexadecimal digits that name a source."""
    return hashlib.sha256(source.encode()).hexdigest()[:8]


def is_cached(key: str) -> bool:
    """Whether a blob is of a cache: nobody misses it."""
    return key.startswith(FOLDER)


def tag_of(key: str) -> str:
    """The source tag within a key; '' where the key has none."""
    parts = key.rpartition("/")[2].removesuffix(".dcm").split("-")
    return parts[2] if len(parts) == 3 else ""


def moment_of(key: str) -> datetime | None:
    """When the blob arrived; None where its key does not say."""
    digits = key.rpartition("/")[2].partition("-")[0]
    try:
        return datetime.fromtimestamp(int(digits, 16) / 1_000_000, UTC)
    except (ValueError, OverflowError, OSError):
        return None
