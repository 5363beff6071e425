"""Fills an index with synthetic rows and prints what each kind of search costs, in CPU milliseconds.

    python -m bench.million --studies 1000000 --copies 4 \\
        --url sqlite:////tmp/million/index.db --url postgresql://user@localhost/million

The cost is that of this process and, on PostgreSQL, of its server processes, from the operating system's
accounting; the aims are multiplied with what `bench.machine` finds between the rounds. The databases are
asked the same in turns, and their answers compared. A database that holds enough studies already is used
as it is.
"""

import argparse
import asyncio
import hashlib
import random
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from statistics import median

from bench.machine import Machine
from bench.synthetic import DAYS, LAST_DAY, ROOT, fill, surname
from dicomweb_box import setting_sources
from dicomweb_box.accounts.access import ANONYMOUS, EVERYTHING
from dicomweb_box.archive.query import search
from dicomweb_box.box import Box, open_box
from dicomweb_box.dicom.matching import from_parameters

AIMS = {
    "exact PatientID": 1.0,
    "PatientName ABC*": 1.5,
    "PatientName *ABC*": 1.5,
    "week": 1.5,
    "ModalitiesInStudy + week": 1.5,
    "first page": 1.5,
    "deep page": 1.5,
}
"""CPU milliseconds, as the design states them."""

Parameters = list[tuple[str, str]]


def kinds(studies: int) -> dict[str, Callable[[random.Random], Parameters]]:
    """Each kind of query, made with other values every time."""

    def week(rng: random.Random) -> tuple[str, str]:
        first = LAST_DAY - timedelta(days=rng.randrange(7, DAYS))
        return "StudyDate", f"{first:%Y%m%d}-{first + timedelta(days=6):%Y%m%d}"

    def name(rng: random.Random) -> str:
        return surname(rng.randrange(20_000))

    page = ("limit", "25")
    return {
        "exact PatientID": lambda rng: [("PatientID", f"P{rng.randrange(studies // 3):07}")],
        "exact AccessionNumber": lambda rng: [("AccessionNumber", f"A{rng.randrange(studies):08}")],
        "exact StudyInstanceUID": lambda rng: [("StudyInstanceUID", f"{ROOT}{rng.randrange(studies)}")],
        "PatientName ABC*": lambda rng: [("PatientName", name(rng)[:3] + "*"), page],
        "PatientName *ABC*": lambda rng: [("PatientName", f"*{name(rng)[1:4]}*"), page],
        "PatientName *ABCDEF*": lambda rng: [("PatientName", f"*{name(rng)[:6]}*"), page],
        "PatientName *AB* (too short)": lambda rng: [("PatientName", f"*{name(rng)[:2]}*"), page],
        "PatientName fuzzy": lambda rng: [("PatientName", name(rng)), ("fuzzymatching", "true"), page],
        "StudyDescription *ABC*": lambda rng: [("StudyDescription", "*nee*"), page],
        "no hit *ABC*": lambda rng: [("PatientName", f"*qx{rng.randrange(9)}*"), page],
        "week": lambda rng: [week(rng), page],
        "ModalitiesInStudy + week": lambda rng: [("ModalitiesInStudy", "CT"), week(rng), page],
        "ModalitiesInStudy=SM": lambda rng: [("ModalitiesInStudy", "SM"), page],
        "ModalitiesInStudy=CT,MR + *ABC*": lambda rng: [
            ("ModalitiesInStudy", "CT,MR"),
            ("PatientName", f"*{name(rng)[:4]}*"),
            page,
        ],
        "first page": lambda rng: [page],
        "deep page": lambda rng: [page, ("offset", str(rng.randrange(studies // 2, studies)))],
        "first page of 101 (OHIF)": lambda rng: [
            ("limit", "101"),
            ("fuzzymatching", "false"),
            ("includefield", "00081030,00080060,00080090,00100030"),
        ],
    }


@dataclass(kw_only=True)
class Cost:
    """What searches of one kind took on one database, round by round: CPU milliseconds of one search."""

    client: list[float] = field(default_factory=list)
    server: list[float] = field(default_factory=list)

    @property
    def total(self) -> float:
        return median(a + b for a, b in zip(self.client, self.server, strict=True))

    def __str__(self) -> str:
        server = f" + {median(self.server):.2f}" if any(self.server) else ""
        return f"{median(self.client):.2f}{server}"


class Measured:
    """One database, what it is asked, and what that took."""

    def __init__(self, box: Box, server: int) -> None:
        self.box = box
        self.name = "SQLite" if box.database.dialect == "sqlite" else "PostgreSQL: client + server"
        self.costs: dict[str, Cost] = {}
        self._server = server

    @classmethod
    async def of(cls, box: Box) -> "Measured":
        """Finds the process that the PostgreSQL processes of this database are children of."""
        if box.database.dialect == "sqlite":
            return cls(box, 0)
        backend = await box.database.fetch_value("select pg_backend_pid()")
        return cls(box, int(_stat(int(backend))[1]))

    async def ask(self, kind: str, questions: Sequence[Parameters], *, count: bool) -> str:
        """A digest of the answers; what they took is added to the costs, if it counts."""
        client, server = time.process_time(), self._server_times()
        pages = [await self._ask(parameters) for parameters in questions]
        client = time.process_time() - client
        taken = sum(now - server.get(process, 0) for process, now in self._server_times().items())
        if count:
            cost = self.costs.setdefault(kind, Cost())
            cost.client.append(client * 1000 / len(questions))
            cost.server.append(taken / 1e6 / len(questions))
        return hashlib.sha256(b"\n".join(row for rows in pages for row in [*rows, b""])).hexdigest()

    async def _ask(self, parameters: Parameters) -> list[bytes]:
        query, _ = from_parameters("study", parameters)
        page = await search(self.box, query, scope=EVERYTHING, actor=ANONYMOUS, base="/dicom-web")
        return page.rows

    def _server_times(self) -> dict[int, int]:
        """CPU nanoseconds of each process of the server so far."""
        times = {}
        for folder in Path("/proc").glob("[0-9]*") if self._server else ():
            process = int(folder.name)
            try:
                if int(_stat(process)[1]) == self._server:
                    times[process] = int((folder / "schedstat").read_text().split()[0])
            except OSError:
                continue  # it has ended
        return times


def _stat(process: int) -> list[str]:
    return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()


async def measure(databases: Sequence[Measured], machine: Machine, asked: argparse.Namespace) -> int:
    """How many questions were answered differently; the costs are with the databases."""
    differing = 0
    # A first round fills the databases' caches and does not count.
    for number in range(asked.rounds + 1):
        for kind, make in kinds(asked.studies).items():
            rng = random.Random(f"{number} {kind}")
            questions = [make(rng) for _ in range(asked.repeats)]
            turn = databases if number % 2 else [*reversed(databases)]
            digests = {await database.ask(kind, questions, count=number > 0) for database in turn}
            differing += len(digests) > 1
        if number:
            machine.time()
    return differing


def table(databases: Sequence[Measured], machine: Machine) -> str:
    """Markdown: each kind of search, its aim as stated and as judged, and what it took."""
    lines = ["| search | aim | " + " | ".join(f"{d.name} | met" for d in databases) + " |"]
    lines.append("|---|--:|" + "--:|---|" * len(databases))
    for kind in kinds(1):
        aim = AIMS.get(kind)
        cells = [f"{aim:.1f} → {aim * machine.factor:.2f}" if aim else ""]
        for database in databases:
            cost = database.costs[kind]
            cells += [str(cost), _met(cost.total, aim, machine.factor) if aim else ""]
        lines.append(f"| {kind} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _met(took: float, aim: float, factor: float) -> str:
    if took <= aim:
        return "yes"
    return "yes, by the factor" if took <= aim * factor else f"no: {took / aim / factor:.1f}×"


async def main() -> None:
    """Fill, then measure."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--url", required=True, action="append", help="sqlite:///PATH or postgresql://…")
    parser.add_argument("--studies", type=int, default=1_000_000)
    parser.add_argument(
        "--copies", type=int, default=1, help="how often the database repeats what is made, to be sooner done"
    )
    parser.add_argument("--instances", type=int, default=1, help="rows per series")
    parser.add_argument("--rounds", type=int, default=5, help="besides a first one that does not count")
    parser.add_argument("--repeats", type=int, default=40, help="searches of each kind in a round")
    asked = parser.parse_args()
    async with AsyncExitStack() as stack:
        databases = []
        for url in asked.url:
            folder = stack.enter_context(tempfile.TemporaryDirectory())
            given = setting_sources.load({"data": folder, "database_url": url}, {})
            box = await stack.enter_async_context(open_box(given))
            await fill(box, asked.studies, asked.instances, asked.copies)
            databases.append(await Measured.of(box))
        machine = Machine()
        differing = await measure(databases, machine, asked)
        low, high = machine.spread
        print(f"machine factor {machine.factor:.2f} ({low:.2f} to {high:.2f} in single rounds)\n")
        print(table(databases, machine), machine.table(), sep="\n\n")
        if len(databases) > 1:
            print(f"\n{differing} rounds of one kind were answered differently")


if __name__ == "__main__":
    asyncio.run(main())
