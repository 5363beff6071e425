"""What every store of blobs promises, on local disk and in an object store."""

import os
from collections.abc import Iterator

import pytest

from dicomweb_box.errors import NotFound
from dicomweb_box.storage import BlobStore

KEY = "2026/11/20/1142/0192-ab12.dcm"


def test_what_was_put_comes_back_whole_and_in_parts(store: BlobStore) -> None:
    store.put(KEY, [b"DICM", memoryview(b" and "), bytearray(b"more")])

    with store.open(KEY) as blob:
        assert blob.size == 13
        assert blob.pread(0, 100) == b"DICM and more"
        assert blob.pread(5, 3) == b"and"
        assert blob.pread(13, 1) == b""
        assert bytes(blob.buffer()) == b"DICM and more"


def test_a_spool_file_becomes_a_blob_and_is_gone(store: BlobStore) -> None:
    spool = store.spool()
    spool.write(b"one")
    spool.write(memoryview(b"two"))
    spool.close()

    store.adopt(KEY, spool.path)

    assert not spool.path.exists()
    with store.open(KEY) as blob:
        assert blob.pread(0, 6) == b"onetwo"


def test_a_discarded_spool_file_leaves_nothing(store: BlobStore) -> None:
    spool = store.spool()
    spool.write(b"one")

    spool.discard()
    spool.discard()

    assert not spool.path.exists()
    assert list(store.keys()) == []


def test_an_empty_blob_is_a_blob(store: BlobStore) -> None:
    store.put(KEY, [])

    with store.open(KEY) as blob:
        assert (blob.size, blob.pread(0, 1), bytes(blob.buffer())) == (0, b"", b"")


def test_a_blob_that_is_not_there_is_not_found(store: BlobStore) -> None:
    with pytest.raises(NotFound):
        store.open(KEY)


def test_deleting_twice_is_the_same_as_once(store: BlobStore) -> None:
    store.put(KEY, [b"x"])

    store.delete(KEY)
    store.delete(KEY)

    with pytest.raises(NotFound):
        store.open(KEY)


def test_keys_are_listed_with_their_sizes_by_prefix(store: BlobStore) -> None:
    for key, size in (("2026/11/20/a", 1), ("2026/11/21/b", 2), ("2027/01/01/c", 3)):
        store.put(key, [b"x" * size])

    assert sorted(store.keys()) == [("2026/11/20/a", 1), ("2026/11/21/b", 2), ("2027/01/01/c", 3)]
    assert sorted(store.keys("2026/11/2")) == [("2026/11/20/a", 1), ("2026/11/21/b", 2)]
    assert list(store.keys("2026/11/21/")) == [("2026/11/21/b", 2)]
    assert list(store.keys("2025")) == []


def test_a_spool_file_is_not_a_key(store: BlobStore) -> None:
    spool = store.spool()

    assert list(store.keys()) == []
    spool.discard()


@pytest.mark.parametrize(
    "key",
    ["", "/etc/passwd", "../outside", "a/../../outside", "a//b", "a/./b", ".spool/x", "a\\b", "a\nb", "ä"],
)
def test_a_key_that_leaves_the_store_is_not_found(store: BlobStore, key: str) -> None:
    with pytest.raises(NotFound):
        store.open(key)
    with pytest.raises(NotFound):
        store.put(key, [b"x"])
    with pytest.raises(NotFound):
        store.delete(key)


def test_a_large_blob_is_stored_in_parts_without_being_held(store: BlobStore) -> None:
    piece = os.urandom(1 << 20)
    pieces = 33
    asked = 0

    def made() -> Iterator[bytes]:
        nonlocal asked
        for number in range(pieces):
            asked += 1
            yield bytes([number]) + piece[1:]

    store.put(KEY, made())

    assert asked == pieces
    with store.open(KEY) as blob:
        assert blob.size == pieces << 20
        assert [blob.pread(number << 20, 1)[0] for number in range(pieces)] == list(range(pieces))
        assert blob.pread((20 << 20) + 1, 100) == piece[1:101]
        buffer = blob.buffer()
        assert buffer[32 << 20] == 32


def test_probing_a_working_store_says_nothing(store: BlobStore) -> None:
    store.probe()


def test_an_interrupted_put_leaves_no_blob(store: BlobStore) -> None:
    def broken() -> Iterator[bytes]:
        yield b"x" * (9 << 20)
        raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        store.put(KEY, broken())

    assert list(store.keys()) == []
