"""The page of the archive's state: what it holds, what arrives, what waits, whether it is whole."""

import platform
import sys
from collections import defaultdict
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from dicomweb_box import __version__
from dicomweb_box.archive import inventory, status
from dicomweb_box.archive.inventory import Inventory
from dicomweb_box.asgi.identity import identify
from dicomweb_box.box import Box
from dicomweb_box.errors import Forbidden
from dicomweb_box.web.page import page
from dicomweb_box.web.tally import Tally
from dicomweb_box.web.twins import as_json, for_programs

MONTHS = 24
MOST_MODALITIES = 12


@dataclass(frozen=True, kw_only=True, slots=True)
class Bar:
    """One bar of a plot, in hundredths of its width and height."""

    label: str
    number: int
    x: float
    y: float
    width: float
    height: float


def require_whole(request: Request) -> None:
    """Raises Forbidden for who sees a part of the archive: the numbers would tell of the rest."""
    if not identify(request)[1].whole:
        raise Forbidden("The state tells of the whole archive: it is for those who see all of it.")


async def show(request: Request) -> Response:
    """The state of this moment; totals as the worker counted them last."""
    require_whole(request)
    box: Box = request.app.state.box
    found = await inventory.latest(box)
    numbers = await status.numbers(box)
    resource: dict[str, Any] = {
        "version": __version__,
        "runs_on": await _runs_on(box),
        "trouble": await status.troubles(box),
        "disk": await status.disk(box),
        "checked": await inventory.checked(box),
        "queues": {"blobs to delete": numbers.removals, "changes so far": numbers.changes},
        "processes": _processes(request),
    }
    if for_programs(request):
        return as_json(resource | {"inventory": found})
    return page(
        request,
        "status/show.html",
        fragment="status",
        now=box.clock().isoformat(timespec="seconds"),
        inventory=found,
        modalities=_by_modality(found),
        months=_bars(_by_month(found)),
        minutes=_bars([(moment, number) for moment, number in found.arrived]),
        last_hour=sum(number for _, number in found.arrived[-60:]),
        **resource,
    )


async def _runs_on(box: Box) -> dict[str, str]:
    """Versions of what this runs on."""
    import pydicom

    return {
        "Python": platform.python_version(),
        "pydicom": pydicom.__version__,
        "database": await status.database_version(box),
        "system": f"{platform.system()} {platform.machine()}",
        "implementation": sys.implementation.name,
    }


def _processes(request: Request) -> list[dict[str, Any]]:
    tally: Tally = request.app.state.tally
    return [
        {
            "name": f"web {number + 1}",
            "answering": tally.running(number),
            "answered": sum(tally.answered(number).values()),
            "failed": tally.answered(number)["5xx"],
        }
        for number in range(tally.processes)
    ]


def _by_modality(found: Inventory) -> list[tuple[str, int, int]]:
    """Modality, instances and bytes, the most first; the rest together."""
    sums: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    for one in found.held:
        sums[one.modality or "none"][0] += one.instances
        sums[one.modality or "none"][1] += one.size
    rows = [(name, instances, size) for name, (instances, size) in sums.items()]
    rows.sort(key=lambda row: (-row[1], row[0]))
    shown, rest = rows[:MOST_MODALITIES], rows[MOST_MODALITIES:]
    if rest:
        shown.append((f"{len(rest)} others", sum(row[1] for row in rest), sum(row[2] for row in rest)))
    return shown


def _by_month(found: Inventory) -> list[tuple[str, int]]:
    """Instances of the last months that have any, the oldest first."""
    sums: dict[str, int] = defaultdict(int)
    for one in found.held:
        if one.month:
            sums[f"{one.month[:4]}-{one.month[4:]}"] += one.instances
    return sorted(sums.items())[-MONTHS:]


def _bars(series: list[tuple[str, int]]) -> list[Bar]:
    highest = max((number for _, number in series), default=0) or 1
    width = 100 / max(len(series), 12)
    return [
        Bar(
            label=label,
            number=number,
            x=round(place * width, 3),
            width=round(width * 0.8, 3),
            y=round(100 - 100 * number / highest, 3),
            height=round(100 * number / highest, 3),
        )
        for place, (label, number) in enumerate(series)
    ]


ROUTES: list[BaseRoute] = [
    Route("/status", show, name="status"),
    Route("/status.json", show, name="status_json"),
]
