"""`make bench`: this server and, where installed, Orthanc, on the same data in one interleaved run."""

import argparse
import datetime
import http.client
import itertools
import platform
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from statistics import median

from bench import dimse, dimse_retrieval, objects, processes, servers
from bench.load import Done, ask_at_once, ask_each, read, scratch, store, store_once, visit
from bench.machine import Machine
from bench.objects import Made
from bench.processes import Others
from bench.report import Figures, Row, describe_machine, table, write
from bench.servers import Server
from bench.works import First, Target, Visit, Work, datasets, fresh, fresh_series, works


def main() -> None:
    options = _options()
    found = ["box"] + ([] if options.only_box or not servers.orthanc_program() else ["orthanc"])
    said = [servers.version(name) for name in found]
    print(
        f"measuring {' and '.join(said)}; {options.secs:g} s a measurement, {options.rounds} rounds",
        file=sys.stderr,
    )
    with ExitStack() as stack:
        running = [_started(name, stack) for name in found]
        starts = {server.name: [server.started_in] for server in running}
        idle = {server.name: processes.memory(server.pid) for server in running}
        peaks = _fill(running, options.studies)
        machine, others = Machine(), Others()
        asked = [w for w in works(options.studies) if options.only in w.name]
        rows = _measure(running, asked, options, machine)
        share = others.share()
        rows += _about(running, starts, idle, peaks)
    text = "\n\n".join(
        (
            _describe(said, options),
            describe_machine(machine, share),
            table(rows, found, machine),
            machine.table(),
        )
    )
    print(text)
    if options.write:
        write(text)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--secs", type=float, default=2, help="seconds of each measurement (default 2)")
    parser.add_argument("--rounds", type=int, default=3, help="rounds, each in the other order (default 3)")
    parser.add_argument("--studies", type=int, default=10_000, help="studies in the index (default 10000)")
    parser.add_argument("--only", default="", help="only works whose name contains this")
    parser.add_argument("--only-box", action="store_true", help="leave Orthanc out")
    parser.add_argument("--write", action="store_true", help="put the table into docs/performance.md")
    return parser.parse_args()


def _started(name: str, stack: ExitStack) -> Server:
    folder = scratch()
    stack.callback(shutil.rmtree, folder, ignore_errors=True)
    program = servers.orthanc_program()
    server = (
        servers.start_box(folder, dimse=True)
        if name == "box"
        else servers.start_orthanc(folder, program or "")
    )
    stack.callback(server.stop)
    return server


def _fill(running: list[Server], studies: int) -> dict[str, float]:
    """Loads the data sets into each server; its peak memory while storing."""
    peaks: dict[str, float] = {}
    for server in running:
        with processes.Peak(server.pid) as peak:
            for name, batch, made in datasets(studies):
                began, connection = (
                    time.monotonic(),
                    http.client.HTTPConnection("127.0.0.1", server.port, timeout=300),
                )
                count = sum(store_once(connection, [m.data for m in chunk]) for chunk in _chunks(made, batch))
                connection.close()
                print(
                    f"{server.name}: {name}, {count} instances in {time.monotonic() - began:.1f} s",
                    file=sys.stderr,
                )
        peaks[server.name] = peak.mib
    # What a server put off until after its answers would otherwise fall into the measurements.
    time.sleep(max(server.settle for server in running))
    return peaks


def _chunks(items: Iterator[Made], size: int) -> Iterator[list[Made]]:
    while chunk := list(itertools.islice(items, size)):
        yield chunk


def _measure(
    running: list[Server], asked: list[Work], options: argparse.Namespace, machine: Machine
) -> list[Row]:
    rows = [
        Row(name=w.name, unit=w.unit, target=w.target, of={s.name: Figures() for s in running}) for w in asked
    ]
    for work, row in zip(asked, rows, strict=True):
        for turn in range(options.rounds):
            machine.time()
            for server in running if turn % 2 == 0 else reversed(running):
                _attempt(server, work, row.of[server.name], options.secs)
        sizes = {figures.size for figures in row.of.values() if figures.rates}
        note = f"  (answers of {sorted(sizes)} bytes)" if len(sizes) > 1 else ""
        line = table([row], [s.name for s in running], machine).splitlines()[-1]
        print(f"{line}{note} (factor {machine.factor:.2f})", file=sys.stderr)
    return rows


def _attempt(server: Server, work: Work, figures: Figures, seconds: float) -> None:
    """One measurement; a server that ends over it is started anew for the next one."""
    try:
        failed = _once(server, work, figures, seconds)
    except (OSError, RuntimeError, http.client.HTTPException) as error:
        failed = type(error).__name__
    if failed and server.ended():
        failed = "it ended"
        server.start_anew()
    figures.failed = failed or figures.failed


def _once(server: Server, work: Work, figures: Figures, seconds: float) -> str:
    """Adds to the figures; what went wrong, or ""."""
    if work.visit:
        figures.rates.append(_visited(server, work.visit))
        return ""
    paths = _stored_first(server, work.first) if work.first else []
    if work.first:  # what each process of a server starts once, at its first picture, is not a picture's cost
        ask_at_once(server.port, paths.pop(), work.first.accept)
    before = processes.cpu(server.pid)
    done = _do(server, work, seconds, paths)
    used = processes.cpu(server.pid) - before
    if server.process.poll() is not None:
        return "it ended"
    if done.failed or not done.count:
        return done.failed or f"none in {seconds:g} s"
    figures.rates.append(done.count / done.seconds)
    figures.cpu.append(used * 1000 / done.count)
    figures.size = done.size
    return ""


def _stored_first(server: Server, first: First) -> list[str]:
    """Stores objects no server has seen; the paths of what is then asked for."""
    made = list(itertools.islice(fresh(first.template), first.count))
    _send(server, made)
    time.sleep(server.settle)
    return [one.path + tail for one in made for tail in first.tails]


def _visited(server: Server, asked: Visit) -> float:
    """The median of the milliseconds to the first image of a few series."""
    took = []
    for _ in range(asked.series):
        made = fresh_series(objects.ct, asked.instances)
        _send(server, made)
        one = made[0]
        times = [
            visit(server.port, one.study_uid, one.series_uid, one.instance_uid)
            for _ in range(1 if asked.fresh else 6)
        ]
        took += times if asked.fresh else times[1:]
    return median(took)


def _send(server: Server, made: list[Made]) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=300)
    for chunk in _chunks(iter(made), 25):
        store_once(connection, [one.data for one in chunk])
    connection.close()


def _do(server: Server, work: Work, seconds: float, paths: list[str]) -> Done:
    if work.first:
        return ask_each(server.port, paths, work.first.accept)
    if work.ask:
        return read(server.port, work.ask, seconds)
    if work.retrieval:
        asked = work.retrieval
        return dimse_retrieval.retrieve(server, asked.service, asked.study_uid, asked.count)
    if work.found:
        return dimse.find(server.dimse, server.ae_title, work.found, seconds=seconds)
    assert work.template is not None
    if work.dimse:
        return dimse.store(
            server.dimse, server.ae_title, fresh(work.template),
            associations=work.connections, seconds=seconds,
        )  # fmt: skip
    made = (one.data for one in fresh(work.template))
    return store(server.port, made, connections=work.connections, batch=work.batch, seconds=seconds)


def _about(
    running: list[Server], starts: dict[str, list[float]], idle: dict[str, float], peaks: dict[str, float]
) -> list[Row]:
    """Memory and start, as rows of the same table."""
    after = {server.name: processes.memory(server.pid) for server in running}

    def row(name: str, values: dict[str, float], unit: str) -> Row:
        of = {key: Figures(rates=[value]) for key, value in values.items()}
        return Row(name=name, unit=unit, target=Target(), of=of)

    return [
        row("memory, idle", idle, " MiB"),
        row("memory, highest while filling", peaks, " MiB"),
        row("memory, after everything", after, " MiB"),
        row("start to first answer", {name: times[0] * 1000 for name, times in starts.items()}, " ms"),
    ]


def _describe(said: list[str], options: argparse.Namespace) -> str:
    cpus = len(list(Path("/sys/devices/system/cpu").glob("cpu[0-9]*")))
    today = datetime.datetime.now(datetime.UTC).date()
    flags = f"--secs {options.secs:g} --rounds {options.rounds} --studies {options.studies}"
    flags += f" --only '{options.only}'" if options.only else ""
    return (
        f"{' and '.join(said)}, {today}, {platform.system()} {platform.machine()}, {cpus} CPUs, client on\n"
        f'the same machine: `make bench BENCH_FLAGS="{flags}"`.'
    )


if __name__ == "__main__":
    main()
