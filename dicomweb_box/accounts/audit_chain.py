"""A chain of audit rows: each row's code covers it and the code before it (HMAC-SHA256).

Each process writes a chain of its own. Its first row names the data folder, and the chains that none named
before, so that a whole chain that is gone is missed too.
"""

import hmac
import json
import logging
import secrets
import threading
from dataclasses import dataclass
from functools import partial
from typing import Any

import orjson

from dicomweb_box.accounts import audit_heads
from dicomweb_box.accounts.audit_heads import Head
from dicomweb_box.accounts.audit_key import audit_keys
from dicomweb_box.accounts.audit_words import Action
from dicomweb_box.box import Box
from dicomweb_box.database import Writer

log = logging.getLogger(__name__)

COLUMNS = (
    "moment", "chain", "sequence", "actor", "kind", "address", "action", "outcome", "study_uid", "about",
    "count",
)  # fmt: skip
"""What a row's code covers, in this order."""
INSERT = (
    f"insert into audit ({', '.join(COLUMNS)}, mac)"
    f" values ({', '.join(f':{name}' for name in COLUMNS)}, :mac)"
)


def mac_of(key: bytes, before: bytes, row: Any) -> bytes:
    """The code of a row (by column name) behind the code before it."""
    return hmac.digest(key, before + orjson.dumps([row[name] for name in COLUMNS]), "sha256")


def first_mac(key: bytes, chain: str) -> bytes:
    """What stands before a chain's first row."""
    return hmac.digest(key, b"chain " + chain.encode(), "sha256")


@dataclass(slots=True)
class _Open:
    """A transaction that is not known to have ended, and how far it brought the chain."""

    writer: Writer
    head: Head


class Chain:
    """The chain that this process writes; it has no row until something is recorded."""

    def __init__(self, box: Box) -> None:
        self.id = secrets.token_urlsafe(9)
        self._settings = box.settings
        self._key = audit_keys(box.settings)[0]
        self._place = audit_heads.place(box.settings)
        self._lock = threading.Lock()
        self._settled = Head(sequence=0, mac=first_mac(self._key, self.id))
        self._open: _Open | None = None
        audit_heads.begin(box.settings, self.id, self._settled)

    @property
    def begun(self) -> bool:
        """Whether it has rows."""
        return self._settled.sequence > 0

    async def begin(self, w: Writer, moment: str) -> None:
        """Write its first row, if it has none."""
        if not self.begun:
            here = await self._here(w)
            here.head = await self._begun(w, here.head, moment)

    async def append(self, w: Writer, row: dict[str, Any]) -> None:
        """Put a row of every other column behind the last one, in a transaction."""
        here = await self._here(w)
        here.head = await self._begun(w, here.head, str(row["moment"]))
        here.head = await self._insert(w, here.head, row)

    async def _here(self, w: Writer) -> "_Open":
        here = self._open
        if here is None or here.writer is not w:
            here = self._open = _Open(w, await self._head(w))
            w.after_commit(partial(self._committed, here))
        return here

    async def _begun(self, w: Writer, head: Head, moment: str) -> Head:
        return head if head.sequence else await self._insert(w, head, await self._first_row(w, moment))

    async def _head(self, w: Writer) -> Head:
        if self._open is None:
            return self._settled
        # That transaction failed, or nobody has told us yet that it did not: the database knows.
        found = await w.fetch_one(
            "select sequence, mac from audit where chain = :chain order by sequence desc limit 1",
            {"chain": self.id},
        )
        if found is None:
            return Head(sequence=0, mac=first_mac(self._key, self.id))
        return Head(sequence=found["sequence"], mac=found["mac"])

    async def _insert(self, w: Writer, head: Head, row: dict[str, Any]) -> Head:
        row = {**row, "chain": self.id, "sequence": head.sequence + 1}
        row["mac"] = mac_of(self._key, head.mac, row)
        await w.execute(INSERT, row)
        return Head(sequence=row["sequence"], mac=row["mac"])

    async def _first_row(self, w: Writer, moment: str) -> dict[str, Any]:
        rows = await w.fetch_all("select chain from audit_chain where named = 0 order by chain")
        await w.execute("update audit_chain set named = 1 where named = 0")
        await w.execute("insert into audit_chain (chain, named) values (:chain, 0)", {"chain": self.id})
        about = {"before": [row["chain"] for row in rows], "place": self._place}
        return {
            "moment": moment, "actor": "dicomweb_box", "kind": "system", "address": "",
            "action": Action.START.value, "outcome": "success", "study_uid": "",
            "about": json.dumps(about), "count": 1,
        }  # fmt: skip

    def _committed(self, done: "_Open") -> None:
        with self._lock:
            if done.head.sequence > self._settled.sequence:
                self._settled = done.head
                self._write_head()
            if self._open is done:
                self._open = None

    def _write_head(self) -> None:
        try:
            audit_heads.write(self._settings, self.id, self._settled)
        except OSError as error:
            # What was committed stays so; the head lags until the next row.
            log.error("the head of the audit chain could not be written: %s", error.strerror)  # noqa: TRY400

    async def close(self) -> None:
        """Nothing is held open."""


_MAKING = threading.Lock()


def chain_of(box: Box) -> Chain:
    """The chain of this process; asked for in the database's thread too, therefore behind a lock."""
    found = box.resources.get(Chain)
    if found is not None:
        return found  # type: ignore[no-any-return]
    with _MAKING:
        return box.resource(Chain, Chain)
