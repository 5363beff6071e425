"""The local disk: durability, shared fsyncs, descriptors, full disks, what the dead leave behind."""

import errno
import os
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from dicomweb_box.errors import NotFound, OutOfResources
from dicomweb_box.storage import LocalStore
from dicomweb_box.storage.spool import FOREIGN_AGE
from tests.waiting import until


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path / "deep" / "blobs", open_blobs=8)


class Traced:
    """Notes what reaches the disk, in order."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, root: Path) -> None:
        self.events: list[tuple[str, str]] = []
        self.root = root
        self.lock = threading.Lock()
        fsync, replace = os.fsync, os.replace
        monkeypatch.setattr(
            os, "fsync", lambda descriptor: (self.note("fsync", descriptor), fsync(descriptor))[1]
        )

        def replaced(path: str, target: str) -> None:
            replace(path, target)
            self.note("rename", Path(target))

        monkeypatch.setattr(os, "replace", replaced)

    def note(self, kind: str, what: int | Path) -> None:
        path = Path(f"/proc/self/fd/{what}").readlink() if isinstance(what, int) else what
        with self.lock:
            inside = path.is_relative_to(self.root)
            self.events.append((kind, str(path.relative_to(self.root)) if inside else "above"))


def test_file_then_name_then_folder_reach_the_disk(
    store: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.put("2026/11/first", [b"x"])
    traced = Traced(monkeypatch, store.root)

    store.put("2026/11/second", [b"x"])

    kinds = [(kind, name if not name.startswith(".spool") else "spool") for kind, name in traced.events]
    assert kinds == [("fsync", "spool"), ("rename", "2026/11/second"), ("fsync", "2026/11")]


def test_the_entry_of_each_new_folder_reaches_the_disk(
    store: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    traced = Traced(monkeypatch, store.root)

    store.put("2026/11/first", [b"x"])

    folders = [name for kind, name in traced.events if kind == "fsync" and not name.startswith(".spool")]
    assert folders[-3:] == [".", "2026", "2026/11"]
    assert "above" in folders  # the store's own folder was new too


def test_a_folder_that_another_process_made_is_synced_as_well(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = LocalStore(tmp_path)
    (tmp_path / "2026" / "11").mkdir(parents=True)
    traced = Traced(monkeypatch, tmp_path)

    store.put("2026/11/first", [b"x"])

    folders = [name for kind, name in traced.events if kind == "fsync" and not name.startswith(".spool")]
    assert folders[-3:] == [".", "2026", "2026/11"]


def test_puts_at_the_same_time_share_folder_syncs_each_after_its_rename(
    store: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.put("2026/first", [b"x"])
    events: list[tuple[str, str]] = []
    fsync, replace = os.fsync, os.replace

    def slow(descriptor: int) -> None:
        if _name_of(descriptor) == "2026":
            events.append(("sync begins", ""))
            if len([kind for kind, _ in events if kind == "sync begins"]) == 1:
                until(lambda: len([kind for kind, _ in events if kind == "renamed"]) == 32)
        fsync(descriptor)

    def replaced(path: str, target: str) -> None:
        replace(path, target)
        events.append(("renamed", Path(target).name))

    def put(number: int) -> None:
        store.put(f"2026/{number}", [b"x"])
        events.append(("answered", str(number)))

    monkeypatch.setattr(os, "fsync", slow)
    monkeypatch.setattr(os, "replace", replaced)
    with ThreadPoolExecutor(32) as pool:
        list(pool.map(put, range(64)))

    assert len([kind for kind, _ in events if kind == "sync begins"]) < 40
    for number in range(64):
        between = events[events.index(("renamed", str(number))) : events.index(("answered", str(number)))]
        assert ("sync begins", "") in between


def test_a_folder_sync_that_fails_fails_every_put_that_waited_for_it(
    store: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.put("2026/first", [b"x"])
    fsync = os.fsync

    def broken(descriptor: int) -> None:
        if _name_of(descriptor) == "2026":
            time.sleep(0.02)
            raise OSError(errno.EIO, "input/output error")
        fsync(descriptor)

    def put(number: int) -> str:
        try:
            store.put(f"2026/{number}", [b"x"])
        except OSError:
            return "refused"
        return "stored"

    monkeypatch.setattr(os, "fsync", broken)
    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(put, range(16))) == {"refused"}


def test_a_folder_that_was_tidied_away_is_made_again(store: LocalStore) -> None:
    store.put("2026/11/first", [b"x"])
    store.delete("2026/11/first")
    (store.root / "2026" / "11").rmdir()

    store.put("2026/11/second", [b"x"])

    assert list(store.keys()) == [("2026/11/second", 1)]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_out_of_resources_and_leaves_nothing(
    store: LocalStore, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def full(descriptor: int, data: bytes) -> int:
        raise OSError(number, "full")

    monkeypatch.setattr(os, "write", full)

    with pytest.raises(OutOfResources):
        store.put("2026/first", [b"x"])

    monkeypatch.undo()
    assert list(store.keys()) == []
    assert list((store.root / ".spool").iterdir()) == []


def test_bytes_in_the_page_cache_are_had_at_once(store: LocalStore) -> None:
    store.put("a", [b"0123456789"])

    with store.open("a") as blob:
        blob.pread(0, 10)
        at_once = blob.pread_now(2, 3)
        # A file system without RWF_NOWAIT answers None, and the caller goes to a thread.
        assert at_once is None or bytes(at_once) == b"234"
        assert blob.pread_now(10, 5) == b""


def test_an_open_blob_outlives_its_place_among_the_held_descriptors_and_its_name(store: LocalStore) -> None:
    for number in range(20):
        store.put(f"blob-{number}", [str(number).encode()])
    first = store.open("blob-0")
    for number in range(20):
        store.open(f"blob-{number}").close()
    store.delete("blob-0")

    assert first.pread(0, 10) == b"0"
    first.close()
    with pytest.raises(NotFound):
        store.open("blob-0")


def test_descriptors_are_shared_bounded_and_given_back(store: LocalStore) -> None:
    for number in range(20):
        store.put(f"blob-{number}", [b"x"])
    before = _open_descriptors()

    for number in range(20):
        store.open(f"blob-{number}").close()
    held = _open_descriptors() - before
    store.close()

    assert held == 8
    assert _open_descriptors() == before


def test_many_threads_read_one_blob_while_others_push_it_out(store: LocalStore) -> None:
    for number in range(32):
        store.put(f"blob-{number}", [bytes([number]) * 1000])

    def read(turn: int) -> bool:
        number = turn % 32
        with store.open(f"blob-{number}") as blob:
            return blob.pread(0, 1000) == bytes([number]) * 1000

    with ThreadPoolExecutor(16) as pool:
        assert all(pool.map(read, range(4000)))


def test_only_what_the_dead_left_in_the_spool_is_swept(store: LocalStore) -> None:
    mine = store.spool()
    dead = _spooled_by_another_process(store.root)
    # The same number, but of a process that started at another time.
    reused = dead.with_name(f"{dead.name.split('.')[0]}.{os.getpid()}-1.0000")
    reused.write_bytes(b"x")
    elsewhere = dead.with_name("elsewhere.1-1.0000")
    elsewhere.write_bytes(b"x")
    old = dead.with_name("elsewhere.1-1.0001")
    old.write_bytes(b"x")
    os.utime(old, (time.time() - FOREIGN_AGE - 60,) * 2)

    swept = store.sweep()

    assert swept == 3
    assert sorted(path.name for path in (store.root / ".spool").iterdir()) == sorted(
        [mine.path.name, elsewhere.name]
    )
    mine.discard()


def test_a_folder_that_cannot_be_written_is_not_ready(tmp_path: Path) -> None:
    (tmp_path / "blobs").write_bytes(b"a file where the folder should be")

    with pytest.raises(OutOfResources):
        LocalStore(tmp_path / "blobs").probe()


def _name_of(descriptor: int) -> str:
    return Path(f"/proc/self/fd/{descriptor}").readlink().name


def _open_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def _spooled_by_another_process(root: Path) -> Path:
    script = f"""
from pathlib import Path
from dicomweb_box.storage import LocalStore
spool = LocalStore(Path({str(root)!r})).spool()
spool.write(b"x")
print(spool.path)
"""
    done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    return Path(done.stdout.strip())
