"""What the lists of the pages cost over many studies: wall milliseconds at the server.

    python -m bench.pages --url sqlite:////tmp/million/index.db --studies 1000000 --copies 10

The whole request is measured, from the address to the HTML, without a network. The rows are those of
`bench.million`; a database that holds enough studies already is used as it is.
"""

import argparse
import asyncio
import random
import tempfile
import time
from collections.abc import Callable
from statistics import median
from urllib.parse import urlencode

import httpx

from bench.synthetic import LAST_DAY, fill, surname
from dicomweb_box import setting_sources
from dicomweb_box.app import assemble
from dicomweb_box.box import Box, open_box

AIM = 100.0
"""Milliseconds that a first page, a search or another order may take."""
Make = Callable[[random.Random], dict[str, str]]


def kinds(studies: int) -> dict[str, tuple[str, Make]]:
    """Each kind of page: its path, and its query made with other values every time."""

    def name(rng: random.Random) -> str:
        return surname(rng.randrange(20_000)).lower()

    found: dict[str, tuple[str, Make]] = {
        "studies, first page": ("/studies", lambda rng: {}),
        "one name": ("/studies", lambda rng: {"q": name(rng)}),
        "two words, rare": ("/studies", lambda rng: {"q": f"{name(rng)} knee"}),
        "a common word": ("/studies", lambda rng: {"q": "chest"}),
        "two common words": ("/studies", lambda rng: {"q": "knee left"}),
        "three letters": ("/studies", lambda rng: {"q": name(rng)[:3]}),
        "two letters": ("/studies", lambda rng: {"q": name(rng)[:2]}),
        "two letters that nothing holds": ("/studies", lambda rng: {"q": "qx"}),
        "an accession number": ("/studies", lambda rng: {"q": f"A{rng.randrange(studies):08}"}),
        "nothing found": ("/studies", lambda rng: {"q": f"nobody{rng.randrange(99)}"}),
        "PatientName Abc*": ("/studies", lambda rng: {"PatientName": f"{name(rng)[:3]}*"}),
        "PatientID": ("/studies", lambda rng: {"PatientID": f"P{rng.randrange(studies // 3):07}"}),
        "one modality": ("/studies", lambda rng: {"ModalitiesInStudy": "CT"}),
        "a rare modality": ("/studies", lambda rng: {"ModalitiesInStudy": "SM"}),
        "body part": ("/studies", lambda rng: {"BodyPartExamined": "KNEE"}),
        "source": ("/studies", lambda rng: {"source": "198.51.100.9"}),
        "one month": ("/studies", lambda rng: {"StudyDate": f"{2017 + rng.randrange(8)}0501-20260531"}),
        "modality, body part, common word": (
            "/studies",
            lambda rng: {"ModalitiesInStudy": "MR", "BodyPartExamined": "HEAD", "q": "chest"},
        ),
        "a common word, by name": ("/studies", lambda rng: {"q": "chest", "orderby": "PatientName"}),
        "one name, by size": ("/studies", lambda rng: {"q": name(rng), "orderby": "-size"}),
        "series, first page": ("/series", lambda rng: {}),
        "series of one modality": ("/series", lambda rng: {"Modality": "US"}),
        "series, one name": ("/series", lambda rng: {"q": name(rng)}),
        "patients, first page": ("/patients", lambda rng: {}),
        "patients, one name": ("/patients", lambda rng: {"q": name(rng)}),
        "patients, a common word": ("/patients", lambda rng: {"q": "chest"}),
    }
    for order in ("StudyDate", "PatientName", "-PatientName", "PatientID", "-size", "size", "-changed"):
        found[f"studies by {order}"] = ("/studies", lambda rng, order=order: {"orderby": order})
    for order in ("PatientName", "PatientID"):
        found[f"series by {order}"] = ("/series", lambda rng, order=order: {"orderby": order})
    return found


async def measure(box: Box, studies: int, repeats: int) -> int:
    """Print a line for each kind of page; how many miss the aim."""
    transport = httpx.ASGITransport(assemble(box))
    headers = {"Accept": "text/html"}
    missed = 0
    print(f"{'page':34} {'median':>8} {'slowest':>8} {'CPU':>8}  ms; CPU of this process alone")
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost", headers=headers) as client:
        for kind, (path, make) in {**kinds(studies), **await _further(client)}.items():
            rng = random.Random(7)
            times, cpu = [], 0.0
            for _ in range(repeats + 1):
                began, used = time.perf_counter(), time.process_time()
                answer = await client.get(f"{path}?{urlencode(make(rng))}")
                times.append((time.perf_counter() - began) * 1000)
                cpu += (time.process_time() - used) * 1000 if times[1:] else 0
                assert answer.status_code == 200, (kind, answer.status_code)
            # The first warms what a running server has warm.
            middle = median(times[1:])
            missed += middle > AIM
            mark = "  *" if middle > AIM else ""
            print(f"{kind:34} {middle:8.1f} {max(times[1:]):8.1f} {cpu / repeats:8.1f}{mark}")
    print(f"{missed} above {AIM:.0f} ms")
    return missed


async def _further(client: httpx.AsyncClient) -> dict[str, tuple[str, Make]]:
    """The page that begins in the middle of the archive, reached as a link leads there."""
    day = LAST_DAY.replace(year=LAST_DAY.year - 5)
    answer = await client.get(
        f"/studies.json?StudyDate=-{day:%Y%m%d}&limit=25", headers={"Accept": "application/json"}
    )
    query = dict(httpx.URL(answer.json()["older"]).params.multi_items())
    return {"a page in the middle": ("/studies", lambda rng: {"after": query["after"]})}


async def main() -> None:
    """Fill, then measure."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--url", required=True, help="sqlite:///PATH or postgresql://…")
    parser.add_argument("--studies", type=int, default=1_000_000)
    parser.add_argument("--copies", type=int, default=1, help="how often the database repeats what is made")
    parser.add_argument("--repeats", type=int, default=10)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        given = setting_sources.load({"data": folder, "database_url": asked.url, "no_auth": True}, {})
        async with open_box(given) as box:
            await fill(box, asked.studies, 1, asked.copies)
            await measure(box, asked.studies, asked.repeats)


if __name__ == "__main__":
    asyncio.run(main())
