"""For those who watch the box: is it up, is it usable, what has it done."""

from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

from dicomweb_box import __version__
from dicomweb_box.archive import status
from dicomweb_box.web.status import require_whole
from dicomweb_box.web.tally import Tally

NO_STORE = {"Cache-Control": "no-store"}
PROMETHEUS = "text/plain; version=0.0.4; charset=utf-8"


async def healthz(request: Request) -> Response:
    """200 as long as this process answers."""
    return JSONResponse({"status": "up"}, headers=NO_STORE)


async def readyz(request: Request) -> Response:
    """200 when database and blobs can be used now; 503 naming what cannot."""
    found = await status.troubles(request.app.state.box)
    if found:
        return JSONResponse({"status": "not ready", "trouble": found}, 503, headers=NO_STORE)
    return JSONResponse({"status": "ready"}, headers=NO_STORE)


async def metrics(request: Request) -> Response:
    """Numbers of the archive and of every web process, whichever of them answers."""
    require_whole(request)
    numbers = await status.numbers(request.app.state.box)
    tally: Tally = request.app.state.tally
    answers = [
        (f'process="web-{process}",status="{kind}"', count)
        for process in range(tally.processes)
        for kind, count in tally.answered(process).items()
    ]
    running = [(f'process="web-{process}"', tally.running(process)) for process in range(tally.processes)]
    lines = [
        *_family("info", "gauge", "Version of this program.", [(f'version="{__version__}"', 1)]),
        *_family("studies", "gauge", "Studies that are served.", [("", numbers.studies)]),
        *_family("instances_waiting", "gauge", "Instances kept but not served.", [("", numbers.waiting)]),
        *_family("blob_removals", "gauge", "Blobs to be deleted.", [("", numbers.removals)]),
        *_family("changes_total", "counter", "Lasting changes so far.", [("", numbers.changes)]),
        *_family("http_requests_total", "counter", "Requests answered since the start.", answers),
        *_family("http_requests_running", "gauge", "Requests being answered.", running),
    ]
    return PlainTextResponse("\n".join(lines) + "\n", media_type=PROMETHEUS, headers=NO_STORE)


def _family(name: str, kind: str, meaning: str, samples: list[tuple[str, int]]) -> list[str]:
    full = f"dicomweb_box_{name}"
    shown = [f"{full}{{{labels}}} {value}" if labels else f"{full} {value}" for labels, value in samples]
    return [f"# HELP {full} {meaning}", f"# TYPE {full} {kind}", *shown]
