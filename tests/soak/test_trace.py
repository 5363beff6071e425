"""In the order of system calls: a file's bytes, its name, its folder, the database's log, then the answer.

A killed process keeps its page cache, so that `test_kill` alone could not tell a missing fsync.
"""

import os
import re
import shutil
import signal
from pathlib import Path

import httpx
import pytest

from conformance.server import start
from tests.soak.load import counter, instance, uid
from tests.soak.processes import tree

CALLS = "fsync,fdatasync,rename,renameat,renameat2,link,linkat,write,writev,sendto,sendmsg"
ANSWER = re.compile(r'\b(?:write|writev|sendto|sendmsg)\(.*"HTTP/1\.1 200')


def test_each_acknowledged_instance_was_durable_before_its_answer(tmp_path: Path, soak: bool):
    if shutil.which("strace") is None:
        pytest.skip("strace is not installed")
    trace, data = tmp_path / "trace", tmp_path / "data"
    under = ("strace", "-f", "-y", "-s", "48", "-e", f"trace={CALLS}", "-e", "signal=none", "-o", str(trace))
    server = start(data, "--workers", "1", under=under, within=90)
    try:
        sent = store_one_by_one(server.dicomweb, 60 if soak else 6)
    finally:
        # strace keeps signals to itself: the supervisor below it is told, and strace ends with it.
        os.kill(tree(server.process.pid)[1], signal.SIGTERM)
        server.process.wait(60)
        server.kill()
    calls = finished(trace.read_text(errors="replace").splitlines())
    blobs = {
        path.read_bytes(): path
        for path in data.rglob("*")
        if path.is_file() and path.stat().st_size < 1 << 20
    }
    end = 0
    for content in sent:
        end = prove_order(calls, blobs[content], end)


def store_one_by_one(url: str, count: int) -> list[bytes]:
    """Instances sent one a request, each acknowledged before the next is sent."""
    sent, numbers = [], counter()
    with httpx.Client(base_url=url, timeout=60) as client:
        for _ in range(count):
            number = next(numbers)
            data = instance(number, study=1)
            response = client.post("/studies", content=data, headers={"Content-Type": "application/dicom"})
            assert response.status_code == 200
            assert uid(3, number) in response.text
            sent.append(data)
    return sent


def finished(lines: list[str]) -> list[str]:
    """Each call once: at its end, but an answer where it begins."""
    begun: dict[str, str] = {}
    calls = []
    for line in lines:
        process, _, call = line.partition(" ")
        call = call.strip()
        if call.endswith("<unfinished ...>"):
            # A blank stands before it, also where the list of arguments goes on with its bracket.
            begun[process] = call.removesuffix("<unfinished ...>").rstrip()
            if ANSWER.search(call):
                calls.append(call)
        elif resumed := re.match(r"<\.\.\. \w+ resumed>(.*)", call):
            whole = begun.pop(process, "") + resumed[1]
            if not ANSWER.search(whole):
                calls.append(whole)
        else:
            calls.append(call)
    return calls


def prove_order(calls: list[str], blob: Path, start_at: int) -> int:
    """Finds the steps of one instance in their order after `start_at`; gives where its answer is."""
    renamed = find(
        calls, start_at, rf'^(?:rename|link)\w*\(.*"[^"]*{re.escape(blob.name)}"', "the blob gets its name"
    )
    # Where it was written: the first path of the rename, or the descriptor's own.
    source = re.findall(r'"([^"]+)"', calls[renamed])[0]
    find(
        calls[:renamed],
        start_at,
        rf"^f(?:data)?sync\(\d+<[^>]*{re.escape(Path(source).name)}[^>]*>\)",
        "its bytes are synced",
    )
    folder = find(
        calls, renamed, rf"^fsync\(\d+<[^>]*{re.escape(str(blob.parent))}>\)", "its folder is synced"
    )
    log = find(calls, folder, r"^f(?:data)?sync\(\d+<[^>]*-wal>\)", "the database's log is synced")
    return find(calls, log, ANSWER.pattern, "the answer is sent") + 1


def find(calls: list[str], start_at: int, pattern: str, step: str) -> int:
    """Where the next call that matches is; fails with the step that is missing."""
    for at in range(start_at, len(calls)):
        if re.search(pattern, calls[at]):
            return at
    pytest.fail(f"not found where {step}: {pattern}\n" + "\n".join(calls[start_at : start_at + 60]))
