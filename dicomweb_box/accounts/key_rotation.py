"""A new master key, everything sealed with it anew; and which keys there are."""

from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass

from dicomweb_box.accounts import key_sources, keys
from dicomweb_box.accounts.keys import MARK, Ring
from dicomweb_box.box import Box, in_thread
from dicomweb_box.database import Reader, Writer
from dicomweb_box.errors import BadSetting, Damaged


@dataclass(frozen=True, kw_only=True, slots=True)
class Column:
    """A column of sealed texts; the purpose of each is `purpose`, a space, and the row's key."""

    table: str
    key: str
    column: str
    purpose: str


SEALED = (
    Column(table="account", key="id", column="second_factor", purpose="second factor"),
    Column(table="session", key="id", column="id_token", purpose="id token"),
)
"""Every place in the database where something is sealed: whoever seals elsewhere adds a line."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Rotated:
    """What a rotation did."""

    key: str
    """Name of the key that seals now."""
    sealed: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Sealing:
    """A key by its name, and how much is sealed with it."""

    id: str
    sealed: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Report:
    """Which keys there are."""

    origin: str
    keys: tuple[Sealing, ...]
    lost: tuple[str, ...]
    """What none of them opens, as table, column and key of the row."""


async def rotate(box: Box) -> Rotated:
    """Make a new key, and seal everything with it in one transaction; one that was interrupted goes on.

    Where the keys are kept elsewhere, the operator has put the new one in front. Older keys stay: signatures
    of before hold by them. Raises BadSetting where there is no new key to rotate to, Damaged where a secret
    cannot be unsealed.
    """
    ring = await keys.ring(box)
    mark = await box.database.fetch_value("select value from mark where name = :name", {"name": MARK})
    if ring.names[0] == mark:
        ring = await _with_new_key(box, ring)

    async def work(w: Writer) -> int:
        count = 0
        async for column, key, text in _sealed(w):
            purpose = f"{column.purpose} {key}"
            await w.execute(
                f"update {column.table} set {column.column} = :text where {column.key} = :key",
                {"text": ring.seal(purpose, ring.unseal(purpose, text)), "key": key},
            )
            count += 1
        await w.execute(
            "update mark set value = :value where name = :name", {"value": ring.names[0], "name": MARK}
        )
        return count

    return Rotated(sealed=await box.database.write(work), key=ring.names[0])


async def check(box: Box) -> Report:
    """Which keys there are, what they seal, and what none of them opens; raises BadSetting without keys."""
    ring = await keys.ring(box)

    async def work(r: Reader) -> Report:
        counts, lost = Counter[str](), list[str]()
        async for column, key, text in _sealed(r):
            try:
                ring.unseal(f"{column.purpose} {key}", text)
                counts[keys.name_in(text)] += 1
            except Damaged:
                lost.append(f"{column.table} {column.column} {key}")
        sealing = tuple(Sealing(id=name, sealed=counts[name]) for name in ring.names)
        return Report(origin=ring.origin, keys=sealing, lost=tuple(lost))

    return await box.database.read(work)


async def _with_new_key(box: Box, ring: Ring) -> Ring:
    if box.settings.key is not None or box.settings.key_command is not None:
        raise BadSetting(f"put a new key before the others in {ring.origin}, then rotate")
    found = await in_thread(box, key_sources.find, box.settings)
    assert found is not None  # noqa: S101  (the ring was read from it)
    await in_thread(box, key_sources.prepend, box.settings, found.keys)
    return await keys.ring(box)


async def _sealed(r: Reader) -> AsyncIterator[tuple[Column, str, str]]:
    """Every sealed text there is, with where it is."""
    for column in SEALED:
        for key, text in await r.fetch_all(
            f"select {column.key}, {column.column} from {column.table}"
            f" where {column.column} is not null order by {column.key}"
        ):
            yield column, key, text
