"""Instance metadata compressed with the DICOM JSON of its series' first instance as dictionary (a tenth of
the size).
"""

from collections import OrderedDict
from dataclasses import dataclass
from threading import Lock
from typing import TYPE_CHECKING

import xxhash
import zstandard

if TYPE_CHECKING:
    from dicomweb_box.box import Box
    from dicomweb_box.database import Row

_MOST = 512
_MOST_BYTES = 256 << 10  # a dictionary is unpacked for each instance that is read
Key = tuple[str, str, str]
_LEVEL = 1


@dataclass(frozen=True, kw_only=True, slots=True)
class Dictionary:
    """One series' dictionary, ready for use, and the digest that names it."""

    digest: bytes
    content: zstandard.ZstdCompressionDict


class Dictionaries:
    """The dictionaries this process has met lately, by realm, study and series; several threads ask.

    The row writer checks that one still holds: a series may have been deleted and made anew by another
    process.
    """

    def __init__(self, box: "Box | None" = None) -> None:
        del box
        self._lock = Lock()
        self._by_series: OrderedDict[Key, Dictionary] = OrderedDict()

    def known(self, key: Key) -> Dictionary | None:
        """The series' dictionary, where this process knows it."""
        with self._lock:
            found = self._by_series.get(key)
            if found is not None:
                self._by_series.move_to_end(key)
            return found

    def learn(self, key: Key, dictionary: bytes | None) -> Dictionary | None:
        """Remember a series' dictionary as its row holds it (zstd of the JSON); None: forget it."""
        loaded = load(dictionary) if dictionary is not None else None
        with self._lock:
            if loaded is None:
                self._by_series.pop(key, None)
                return None
            self._by_series[key] = loaded
            if len(self._by_series) > _MOST:
                self._by_series.popitem(last=False)
            return loaded

    async def close(self) -> None:
        """Forget all."""
        self._by_series.clear()


def load(dictionary: bytes) -> Dictionary:
    """The dictionary in a series row."""
    json = zstandard.ZstdDecompressor().decompress(dictionary)
    content = zstandard.ZstdCompressionDict(json, dict_type=zstandard.DICT_TYPE_RAWCONTENT)
    content.precompute_compress(level=_LEVEL)
    return Dictionary(digest=xxhash.xxh3_128_digest(json), content=content)


def store(json: bytes) -> tuple[bytes, bytes] | tuple[None, None]:
    """What a series row keeps of its first instance's JSON: zstd of it, and its digest; nothing of a huge
    one.
    """
    if len(json) > _MOST_BYTES:
        return None, None
    return zstandard.ZstdCompressor(level=3).compress(json), xxhash.xxh3_128_digest(json)


def compress(json: bytes, dictionary: Dictionary | None) -> bytes:
    """Instance metadata as its row keeps it."""
    if dictionary is None:
        return zstandard.ZstdCompressor(level=_LEVEL).compress(json)
    return zstandard.ZstdCompressor(level=_LEVEL, dict_data=dictionary.content).compress(json)


def decompress(metadata: bytes, dictionary: Dictionary | None) -> bytes:
    """Instance metadata as DICOM JSON."""
    if dictionary is None:
        return zstandard.ZstdDecompressor().decompress(metadata)
    return zstandard.ZstdDecompressor(dict_data=dictionary.content).decompress(metadata)


def metadata_json(row: "Row", dictionaries: dict[int, Dictionary]) -> bytes:
    """DICOM JSON of an instance row with `metadata`, `metadata_dictionary`, `series_id` and `dictionary`.

    Series dictionaries made on the way are kept in `dictionaries`.
    """
    if not row["metadata_dictionary"]:
        return decompress(row["metadata"], None)
    series_id = row["series_id"]
    if series_id not in dictionaries:
        dictionaries[series_id] = load(row["dictionary"])
    return decompress(row["metadata"], dictionaries[series_id])
