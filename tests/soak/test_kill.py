"""Killed at random moments under load: every acknowledged instance is there; the index can be made again."""

import contextlib
import hashlib
import json
import random
import signal
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx

from conformance.server import Server, command, environment, start, started
from tests.soak.load import Acknowledged, Sender, counter, instance

BATCH = 25  # kills of one archive before it is checked, made anew from its blobs, and left


def test_killed_at_random_moments_it_has_every_acknowledged_instance(
    tmp_path: Path, soak: bool, chance: random.Random
):
    kills = 500 if soak else 3
    while kills > 0:
        batch = min(BATCH, kills)
        one_archive(tmp_path / f"archive{kills}", batch, chance)
        kills -= batch


def one_archive(folder: Path, kills: int, chance: random.Random) -> None:
    """Kills one archive so often, each time amid stores and imports, and proves it whole at the end."""
    data = folder / "data"
    acknowledged, numbers = Acknowledged(), counter()
    verified: set[str] = set()
    for kill in range(kills):
        server = start(data, "--workers", "2" if chance.random() < 0.3 else "1")
        fresh = acknowledged.digests.keys() - verified
        verify(server, {path: acknowledged.digests[path] for path in fresh})
        verified |= fresh
        kill_under_load(server, numbers, acknowledged, chance, folder / f"import{kill}")
    assert len(acknowledged.digests) > kills, "the load never got to be acknowledged"
    prove_whole(data, acknowledged)


def kill_under_load(
    server: Server, numbers: Iterator[int], acknowledged: Acknowledged, chance: random.Random, incoming: Path
) -> None:
    """Stores over four connections, imports beside it now and then, and ends all of it at once."""
    senders = [Sender(server.dicomweb, numbers, acknowledged) for _ in range(4)]
    importer = start_import(server.data, incoming, numbers) if chance.random() < 0.5 else None
    for sender in senders:
        sender.start()
    time.sleep(chance.uniform(0.02, 0.7) + (chance.uniform(0, 1.0) if importer else 0))
    if importer:
        end_import(importer, incoming, acknowledged)
    server.kill()
    for sender in senders:
        sender.join(timeout=30)
        assert not sender.is_alive()


def start_import(data: Path, incoming: Path, numbers: Iterator[int]) -> "subprocess.Popen[bytes]":
    """`import` of a few files, on the server's own data, in a process group of its own."""
    incoming.mkdir(parents=True)
    for _ in range(20):
        number = next(numbers)
        (incoming / f"{number}.dcm").write_bytes(instance(number, study=number // 50))
    return subprocess.Popen(
        command("import", str(incoming), "--data", str(data)),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=environment(),
        start_new_session=True,
    )


def end_import(importer: "subprocess.Popen[bytes]", incoming: Path, acknowledged: Acknowledged) -> None:
    """Kills it; where it had ended by itself, with success, it has acknowledged its files."""
    if importer.poll() == 0:
        for file in incoming.iterdir():
            number = int(file.stem)
            acknowledged.add(file.read_bytes(), study=number // 50, number=number)
    with contextlib.suppress(ProcessLookupError):
        importer.send_signal(signal.SIGKILL)
    importer.wait()


def verify(server: Server, digests: dict[str, str]) -> None:
    """Each instance comes back with the digest of what was sent."""
    accept = {"Accept": "application/dicom; transfer-syntax=*"}
    with httpx.Client(base_url=server.dicomweb, headers=accept, timeout=30) as client:

        def wrong(path: str) -> str | None:
            response = client.get(path)
            same = (
                response.status_code == 200 and hashlib.sha256(response.content).hexdigest() == digests[path]
            )
            return None if same else f"{response.status_code} {path}"

        with ThreadPoolExecutor(4) as pool:
            lost = [path for path in pool.map(wrong, sorted(digests)) if path]
    assert lost == [], f"{len(lost)} of {len(digests)} acknowledged instances are not there as they were sent"


def prove_whole(data: Path, acknowledged: Acknowledged) -> None:
    """Everything acknowledged is there, `check` misses nothing, and `reindex` changes no answer."""
    found = checked(data)
    assert (found["missing"], found["damaged"]) == ([], [])
    # Blobs whose row was not durable when the kill came were never acknowledged, but `reindex` finds them.
    assert run("reindex", data=data) == 0
    assert run("check", data=data) == 0
    with started(data) as server:
        verify(server, acknowledged.digests)
        before = answers(server)
    for file in data.glob("index.db*"):
        file.unlink()
    assert run("reindex", data=data) == 0
    with started(data) as server:
        after = answers(server)
        verify(server, acknowledged.digests)
    assert differing(before, after) == []


def run(*arguments: str, data: Path) -> int:
    """The exit code of one of our commands."""
    return subprocess.run(
        [*command(*arguments), "--data", str(data)],
        env=environment(),
        stdout=subprocess.DEVNULL,
        timeout=600,
        check=False,
    ).returncode


def differing(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    """Where two sets of answers are not the same, in few words."""
    found = []
    for level in before:
        if len(before[level]) != len(after[level]):
            found.append(f"{level}: {len(before[level])}, then {len(after[level])}")
        for at, (a, b) in enumerate(zip(before[level], after[level], strict=False)):
            tags = [tag for tag in sorted(a.keys() | b.keys()) if a.get(tag) != b.get(tag)]
            found += [f"{level} {at} {tag}: {a.get(tag)}, then {b.get(tag)}" for tag in tags]
    return found[:20]


def checked(data: Path) -> dict[str, Any]:
    """What `check` says."""
    done = subprocess.run(
        [*command("check", "--json"), "--data", str(data)],
        env=environment(),
        stdout=subprocess.PIPE,
        timeout=600,
        check=False,
    )
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def answers(server: Server) -> dict[str, Any]:
    """What each level's search says, whole, and with every attribute there is of studies and series."""
    asked = {
        "studies": {"includefield": "all", "limit": "100000"},
        "series": {"includefield": "all"},
        "instances": {},
    }
    with httpx.Client(base_url=server.dicomweb, timeout=120) as client:
        found = {level: client.get(f"/{level}", params=params).json() for level, params in asked.items()}
    # The address of the server is in its Retrieve URLs.
    return json.loads(json.dumps(found).replace(server.url, ""))
