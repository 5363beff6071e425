"""Who fetches what of a peer: one process, as long as it says so again; others wait for what it stores."""

import asyncio
import logging
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta

from dicomweb_box.box import Box
from dicomweb_box.database import Writer

log = logging.getLogger(__name__)

LASTS = timedelta(seconds=20)
BEAT = 5.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Thing:
    """What is fetched: a series, or one instance of it."""

    realm: str
    study_uid: str
    what: str

    @property
    def names(self) -> dict[str, str]:
        """As parameters of statements."""
        return {"realm": self.realm, "study": self.study_uid, "what": self.what}


_WHERE = " where realm = :realm and study_uid = :study and what = :what"


@asynccontextmanager
async def held(box: Box, thing: Thing) -> AsyncIterator[bool]:
    """Whether it is ours to fetch; then nobody else does while this lasts."""
    holder = secrets.token_urlsafe(9)
    if not await _taken(box, thing, holder):
        yield False
        return
    beating = asyncio.create_task(_beat(box, thing, holder))
    try:
        yield True
    finally:
        beating.cancel()
        with suppress(asyncio.CancelledError):
            await beating
        await box.database.write(
            lambda w: w.execute(
                f"delete from proxy_fetch{_WHERE} and holder = :holder", thing.names | {"holder": holder}
            )
        )


async def is_held(box: Box, thing: Thing) -> bool:
    """Whether some process is fetching it."""
    found = await box.database.fetch_value(
        f"select 1 from proxy_fetch{_WHERE} and until > :now", thing.names | {"now": _text(box, timedelta())}
    )
    return found is not None


async def _taken(box: Box, thing: Thing, holder: str) -> bool:
    now = _text(box, timedelta())
    params = thing.names | {"holder": holder, "until": _text(box, LASTS), "now": now}

    async def work(w: Writer) -> bool:
        # What a process that is gone left behind.
        await w.execute("delete from proxy_fetch where until <= :now", {"now": now})
        won = await w.fetch_value(
            "insert into proxy_fetch (realm, study_uid, what, holder, until)"
            " values (:realm, :study, :what, :holder, :until)"
            " on conflict (realm, study_uid, what) do nothing returning holder",
            {name: value for name, value in params.items() if name != "now"},
        )
        return won is not None

    done: bool = await box.database.write(work)
    return done


async def _beat(box: Box, thing: Thing, holder: str) -> None:
    while True:
        await asyncio.sleep(BEAT)
        params = thing.names | {"holder": holder, "until": _text(box, LASTS)}
        try:
            await box.database.write(
                lambda w, params=params: w.execute(  # type: ignore[misc]
                    f"update proxy_fetch set until = :until{_WHERE} and holder = :holder", params
                )
            )
        except Exception as error:  # noqa: BLE001  (the worst of it: it is fetched twice)
            log.warning("a lease could not be kept: %s", type(error).__name__)


def _text(box: Box, later: timedelta) -> str:
    return (box.clock() + later).isoformat(timespec="microseconds")
