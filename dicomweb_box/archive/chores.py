"""What the worker does, each step again and again."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from dicomweb_box.accounts import audit_syslog
from dicomweb_box.archive import (
    declared,
    demo,
    inventory,
    proxied,
    rejected,
    remove,
    rule_runs,
    selections,
    upload_settling,
)
from dicomweb_box.box import Box, in_thread

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class Step:
    """One thing to be done, and how many seconds to rest once `do` says that nothing is left."""

    name: str
    rest: float
    do: Callable[[Box], Awaitable[Any]]


async def sweep_spool(box: Box) -> None:
    """Delete what dead processes left in the spool."""
    await in_thread(box, box.blobs.sweep)


STEPS = (
    Step(name="delete removed blobs", rest=2, do=remove.drain_removals),
    Step(name="erase what was rejected long ago", rest=60, do=rejected.erase_expired),
    Step(name="fill declared attributes", rest=2, do=declared.fill),
    Step(name="apply rules", rest=1, do=rule_runs.step),
    Step(name="sweep old selections", rest=3600, do=selections.sweep),
    Step(name="store uploaded archives", rest=1, do=upload_settling.settle_arrived),
    Step(name="give up unfinished uploads", rest=3600, do=upload_settling.expire),
    Step(name="make room in the proxies' cache", rest=15, do=proxied.make_room),
    Step(name="count what there is", rest=60, do=inventory.count),
    Step(name="send the audit", rest=2, do=audit_syslog.deliver),
    Step(name="sweep the spool", rest=3600, do=sweep_spool),
)


async def run(box: Box, stop: asyncio.Event, steps: tuple[Step, ...] = STEPS) -> None:
    """Do each step at its own pace until told to stop; a step that runs is finished first."""
    async with asyncio.TaskGroup() as tasks:
        for step in steps:
            tasks.create_task(_repeat(box, step, stop), name=step.name)


async def load_demo(box: Box) -> None:
    """Load the demonstration objects once; a failure is logged and does not keep the box from starting."""
    try:
        await demo.load(box)
    except Exception:
        log.exception("the demonstration objects could not be loaded")


async def _repeat(box: Box, step: Step, stop: asyncio.Event) -> None:
    while not stop.is_set():
        try:
            if await step.do(box):
                continue
        except Exception:
            # One that fails now (disk full, database away) is tried again, and keeps no other from its turn.
            log.exception("step failed: %s", step.name)
        try:
            async with asyncio.timeout(step.rest):
                await stop.wait()
        except TimeoutError:
            continue
