"""`python -m bench.accounts`: what it costs to prove who one is, for each row that reads or stores.

Servers of one web process each over one folder: two without accounts, of which the second tells how far two
alike are apart; with accounts, one for each way to prove who one is; and one without the audit of what is
stored. Each is asked over one kept connection, for a moment at a time and in turns, so that what else the
machine does meets all alike. Shown is how much more CPU an answer cost than at the first: the median of the
rounds, and how far that may be off (its standard error).
"""

import argparse
import base64
import http.client
import itertools
import math
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import median, quantiles
from urllib.parse import urlencode

from bench import objects, processes
from bench.__main__ import _fill
from bench.load import ROOT, Ask, scratch, store_once
from bench.servers import PROGRAM, Server, box_command, box_environment, start_box
from bench.works import Work, fresh, works

NAME, PASSWORD = "bench", "measured twice, told once"
KINDS = ("again", "token", "Basic", "cookie", "no audit")
ALONE = ("--role", "web", "--workers", "1")
STORED = (objects.ct, objects.small)
"""What is made ahead, many at once; larger objects would fill the memory."""
TOGETHER = 50
"""Objects of one study, and so of one asker: nobody learns another one's series anew."""


@dataclass(frozen=True, kw_only=True)
class Asker:
    """A server and how one proves to it who one is; `step` asks once more over `connection`."""

    server: Server
    proof: Mapping[str, str]
    connection: http.client.HTTPConnection

    def cost(self, step: Callable[[http.client.HTTPConnection], None], seconds: float) -> float:
        """CPU milliseconds of an answer, over a moment."""
        before, asked = processes.cpu_exactly(self.server.pid), 0
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            step(self.connection)
            asked += 1
        return (processes.cpu_exactly(self.server.pid) - before) * 1000 / asked


def main() -> None:
    options = _options()
    with ExitStack() as stack:
        askers = _askers(options.studies, stack)
        print("| work | without accounts | " + " | ".join(f"{name}, more" for name in KINDS) + " |")
        print("|---|" + "--:|" * (1 + len(KINDS)))
        for work in works(options.studies):
            if (work.ask or work.template in STORED) and options.only in work.name:
                print(_row(work, askers, options), flush=True)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.accounts", description=__doc__)
    parser.add_argument("--secs", type=float, default=0.2, help="seconds of each measurement (default 0.2)")
    parser.add_argument("--rounds", type=int, default=30, help="rounds (default 30)")
    parser.add_argument("--studies", type=int, default=1000, help="studies in the index (default 1000)")
    parser.add_argument("--only", default="", help="only works whose name contains this")
    return parser.parse_args()


def _askers(studies: int, stack: ExitStack) -> dict[str, Asker]:
    """Who asks, by the kind of proof, each a server of its own; "" and "again" are nobody in particular."""
    folder = scratch()
    stack.callback(shutil.rmtree, folder, ignore_errors=True)
    filling = start_box(folder)
    try:
        _fill([filling], studies)
    finally:
        filling.stop()
    guarded = _started(folder, stack, accounts=True)
    proofs = _proofs(guarded)
    servers = {
        "": _started(folder, stack),
        "again": _started(folder, stack),
        "token": guarded,
        "Basic": _started(folder, stack, accounts=True),
        "cookie": _started(folder, stack, accounts=True),
        "no audit": _started(folder, stack, program="bench.unaudited"),
    }
    return {
        kind: Asker(server=server, proof=proofs.get(kind, {}), connection=_connection(server))
        for kind, server in servers.items()
    }


def _started(folder: Path, stack: ExitStack, *, accounts: bool = False, program: str = PROGRAM) -> Server:
    server = start_box(folder, *ALONE, accounts=accounts, program=program)
    stack.callback(server.stop)
    return server


def _connection(server: Server) -> http.client.HTTPConnection:
    return http.client.HTTPConnection("127.0.0.1", server.port, timeout=120)


def _proofs(server: Server) -> dict[str, dict[str, str]]:
    """Headers that prove who asks, by the kind of proof."""
    token = _command(server, "token create", "--name", NAME, "--scope", "read,identities,store").strip()
    _command(server, "user add", NAME, "--role", "administrator", "--password-stdin", given=PASSWORD)
    basic = base64.b64encode(f"{NAME}:{PASSWORD}".encode()).decode()
    return {
        "token": {"Authorization": f"Bearer {token}"},
        "Basic": {"Authorization": f"Basic {basic}"},
        "cookie": {"Cookie": _cookie(server), "Sec-Fetch-Site": "same-origin"},
    }


def _command(server: Server, name: str, *arguments: str, given: str = "") -> str:
    command = [*box_command(name, server.folder), *arguments]
    return subprocess.run(
        command, input=given, capture_output=True, text=True, check=True, env=box_environment()
    ).stdout


def _cookie(server: Server) -> str:
    connection = _connection(server)
    form = urlencode({"name": NAME, "password": PASSWORD})
    kind = "application/x-www-form-urlencoded"
    connection.request("POST", "/login", form, {"Content-Type": kind, "Accept": "text/html"})
    given = connection.getresponse().headers["Set-Cookie"]
    connection.close()
    return str(given).partition(";")[0]


def _row(work: Work, askers: dict[str, Asker], options: argparse.Namespace) -> str:
    """The CPU milliseconds of one answer, and how much more each other one costs."""
    kinds = ["", *(kind for kind in KINDS if work.template or kind != "no audit")]
    steps = {kind: _step(work, askers[kind].proof) for kind in kinds}
    for kind in kinds:  # what is proved or read once is not the cost of an answer
        askers[kind].cost(steps[kind], 0.05)
    cpu: dict[str, list[float]] = {kind: [] for kind in kinds}
    for turn in range(options.rounds):
        for kind in kinds if turn % 2 == 0 else reversed(kinds):
            cpu[kind].append(askers[kind].cost(steps[kind], options.secs))
    more = [_more(cpu[kind], cpu[""]) if kind in cpu else "" for kind in KINDS]
    return f"| {work.name} | {median(cpu['']):.3f} | " + " | ".join(more) + " |"


def _more(one: list[float], other: list[float]) -> str:
    """The median of the differences, with its standard error by their quartiles."""
    differences = [a - b for a, b in zip(one, other, strict=True)]
    low, _, high = quantiles(differences, n=4)
    return f"{median(differences):+.3f} ± {1.2533 * (high - low) / 1.349 / math.sqrt(len(differences)):.3f}"


def _step(work: Work, proof: Mapping[str, str]) -> Callable[[http.client.HTTPConnection], None]:
    """What asks for, or stores, the next of a work."""
    return _reading(work.ask, proof) if work.ask else _storing(work, proof)


def _reading(ask: Ask, proof: Mapping[str, str]) -> Callable[[http.client.HTTPConnection], None]:
    paths = itertools.cycle(ROOT + path for path in ask.paths)
    headers = ask.headers | proof

    def step(connection: http.client.HTTPConnection) -> None:
        connection.request("GET", next(paths), headers=headers)
        response = connection.getresponse()
        while response.read(1 << 20):
            pass
        if response.status != 200:
            sys.exit(f"answers {response.status}")

    return step


def _storing(work: Work, proof: Mapping[str, str]) -> Callable[[http.client.HTTPConnection], None]:
    made = _of_its_own(work)

    def step(connection: http.client.HTTPConnection) -> None:
        store_once(connection, list(itertools.islice(made, work.batch)), proof)

    return step


def _of_its_own(work: Work) -> Iterator[bytes]:
    """Objects that no server has seen, in studies that nobody else stores to."""
    assert work.template is not None
    together = max(TOGETHER, work.batch)
    while True:
        for one in list(itertools.islice(fresh(work.template, together), together)):
            yield one.data


if __name__ == "__main__":
    main()
