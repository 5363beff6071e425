"""Is the audit whole: is every row what it was, is none missing, is every chain there?"""

from collections.abc import Sequence
from functools import partial

import orjson

from dicomweb_box.accounts import audit_heads
from dicomweb_box.accounts.audit_chain import COLUMNS, first_mac, mac_of
from dicomweb_box.accounts.audit_heads import Head
from dicomweb_box.accounts.audit_key import audit_keys
from dicomweb_box.accounts.audit_words import Action
from dicomweb_box.box import Box, in_thread
from dicomweb_box.database import Row

_BATCH = 2000
_USED = "select count(*) from account where seen_at is not null"


async def verify(box: Box) -> list[str]:
    """A sentence for each chain that is not what was written; empty where all are.

    A chain that this data folder began has its head here; those of other machines have theirs there. SQLite
    has no other machines: every chain's head is here.
    """
    # Before the rows: what is written meanwhile runs ahead of the heads, as it may.
    heads = await in_thread(box, audit_heads.read, box.settings)
    keys = await in_thread(box, audit_keys, box.settings)
    place = await in_thread(box, audit_heads.place, box.settings)
    chains = [
        row["chain"]
        for row in await box.database.fetch_all("select distinct chain from audit order by chain")
    ]
    found, named = [], dict[str, str]()
    for chain in chains:
        walk = _Walk(chain, keys, heads.get(chain))
        if (said := await walk.through(box)) is None:
            own = box.database.dialect == "sqlite" or walk.place == place
            said = await in_thread(box, _headless, box, walk, own, chain in heads)
        if said is not None:
            found.append(f"chain {chain}: {said}")
        named.update(dict.fromkeys(walk.before, chain))
    for chain, head in heads.items():
        if chain not in chains and (head is None or head.sequence > 0):
            found.append(f"chain {chain}: all of its rows are gone")
    if not chains and not heads and await box.database.fetch_value(_USED):
        found.append("nothing is left of it, though somebody has logged in")
    gone = {chain: by for chain, by in named.items() if chain not in chains and chain not in heads}
    return found + [f"chain {chain}: all of its rows are gone; {by} names it" for chain, by in gone.items()]


def _headless(box: Box, walk: "_Walk", own: bool, head_read: bool) -> str | None:
    if head_read and walk.head is None:
        return "its head is damaged"
    # Of one that began after the heads were read, there is one by now.
    if not head_read and own and not audit_heads.exists(box.settings, walk.chain):
        return "its head is gone"
    return None


class _Walk:
    """Through the rows of one chain, in their order."""

    def __init__(self, chain: str, keys: list[bytes], head: Head | None) -> None:
        self.chain, self.head = chain, head
        self.place = ""
        self.before: list[str] = []
        """Chains that its first row names."""
        self._keys = keys
        self._key = keys[0]
        self._sequence, self._mac = 0, b""
        self._head_met = head is None or head.sequence == 0

    async def through(self, box: Box) -> str | None:
        """What is wrong, at the first place where something is."""
        while rows := await self._next(box):
            if (said := await in_thread(box, partial(self._look, rows))) is not None:
                return said
        if not self._head_met and self.head is not None:
            return f"rows {self._sequence + 1} to {self.head.sequence} are gone"
        return None

    async def _next(self, box: Box) -> Sequence[Row]:
        return await box.database.fetch_all(
            f"select {', '.join(COLUMNS)}, mac from audit where chain = :chain and sequence > :last"
            " order by sequence limit :most",
            {"chain": self.chain, "last": self._sequence, "most": _BATCH},
        )

    def _look(self, rows: Sequence[Row]) -> str | None:
        for row in rows:
            if row["sequence"] != self._sequence + 1:
                return f"row {self._sequence + 1} is gone"
            mac = bytes(row["mac"])
            if self._sequence == 0:
                self._begin(row, mac)
            if mac_of(self._key, self._mac, row) != mac:
                return f"row {row['sequence']} is not what was written"
            self._sequence, self._mac = row["sequence"], mac
            if self.head is not None and self._sequence == self.head.sequence:
                if mac != self.head.mac:
                    return f"row {self._sequence} is not the one that its head names"
                self._head_met = True
        return None

    def _begin(self, row: Row, mac: bytes) -> None:
        """Find the key that the chain was made with, and what its first row says."""
        self._mac = first_mac(self._key, self.chain)
        for key in self._keys:
            if mac_of(key, first_mac(key, self.chain), row) == mac:
                self._key, self._mac = key, first_mac(key, self.chain)
                if row["action"] == Action.START:
                    about = orjson.loads(row["about"])
                    self.place, self.before = about["place"], about["before"]
                return
