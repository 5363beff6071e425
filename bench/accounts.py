"""`python -m bench.accounts`: what it costs to prove who one is, for each row that reads.

Two servers over one folder, one without accounts and one with them; both are asked the same in turns, with a
token, by Basic with a password, and with a browser's cookie. Shown is how much more CPU an answer cost.
"""

import argparse
import base64
import http.client
import shutil
import subprocess
import sys
from contextlib import ExitStack
from dataclasses import replace
from statistics import median
from urllib.parse import urlencode

from bench import processes
from bench.__main__ import _fill
from bench.load import Ask, read, scratch
from bench.servers import Server, box_command, box_environment, start_box
from bench.works import Work, works

NAME, PASSWORD = "bench", "measured twice, told once"


def main() -> None:
    options = _options()
    with ExitStack() as stack:
        folder = scratch()
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        plain = start_box(folder)
        stack.callback(plain.stop)
        _fill([plain], options.studies)
        guarded = start_box(folder, "--role", "web", accounts=True)
        stack.callback(guarded.stop)
        proofs = _proofs(guarded)
        print("| work | without accounts | " + " | ".join(f"{name}, more" for name in proofs) + " |")
        print("|---|" + "--:|" * (1 + len(proofs)))
        for work in works(options.studies):
            if work.ask is not None and options.only in work.name:
                print(_row(work, work.ask, plain, guarded, proofs, options), flush=True)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.accounts", description=__doc__)
    parser.add_argument("--secs", type=float, default=2, help="seconds of each measurement (default 2)")
    parser.add_argument("--rounds", type=int, default=5, help="rounds (default 5)")
    parser.add_argument("--studies", type=int, default=1000, help="studies in the index (default 1000)")
    parser.add_argument("--only", default="", help="only works whose name contains this")
    return parser.parse_args()


def _proofs(server: Server) -> dict[str, dict[str, str]]:
    """Headers that prove who asks, by the kind of proof."""
    token = _command(server, "token create", "--name", NAME, "--scope", "read,identities").strip()
    _command(server, "user add", NAME, "--role", "viewer", "--password-stdin", given=PASSWORD)
    basic = base64.b64encode(f"{NAME}:{PASSWORD}".encode()).decode()
    return {
        "token": {"Authorization": f"Bearer {token}"},
        "Basic": {"Authorization": f"Basic {basic}"},
        "cookie": {"Cookie": _cookie(server)},
    }


def _command(server: Server, name: str, *arguments: str, given: str = "") -> str:
    command = [*box_command(name, server.folder), *arguments]
    return subprocess.run(
        command, input=given, capture_output=True, text=True, check=True, env=box_environment()
    ).stdout


def _cookie(server: Server) -> str:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    form = urlencode({"name": NAME, "password": PASSWORD})
    kind = "application/x-www-form-urlencoded"
    connection.request("POST", "/login", form, {"Content-Type": kind, "Accept": "text/html"})
    given = connection.getresponse().headers["Set-Cookie"]
    connection.close()
    return str(given).partition(";")[0]


def _row(
    work: Work,
    ask: Ask,
    plain: Server,
    guarded: Server,
    proofs: dict[str, dict[str, str]],
    options: argparse.Namespace,
) -> str:
    """The CPU milliseconds of one answer, and how much more each proof costs: medians of the rounds."""
    asks = {"": (plain, ask)} | {name: (guarded, replace(ask, proof=proof)) for name, proof in proofs.items()}
    cpu: dict[str, list[float]] = {name: [] for name in asks}
    for turn in range(options.rounds):
        for name in asks if turn % 2 == 0 else reversed(asks):
            cpu[name].append(_cpu(*asks[name], options.secs))
    more = [median(a - b for a, b in zip(cpu[name], cpu[""], strict=True)) for name in proofs]
    return f"| {work.name} | {median(cpu['']):.2f} | " + " | ".join(f"{one:+.3f}" for one in more) + " |"


def _cpu(server: Server, ask: Ask, seconds: float) -> float:
    before = processes.cpu(server.pid)
    done = read(server.port, ask, seconds)
    used = processes.cpu(server.pid) - before
    if done.failed or not done.count:
        sys.exit(done.failed or "no answer")
    return used * 1000 / done.count


if __name__ == "__main__":
    main()
