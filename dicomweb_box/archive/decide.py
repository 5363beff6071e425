"""What a study or series says from now on, given what its arriving and leaving instances carry."""

from dataclasses import dataclass, field

import orjson

from dicomweb_box.archive import levels
from dicomweb_box.archive.levels import Chosen, Element, Level, Tally, Vote
from dicomweb_box.database import Writer


@dataclass(slots=True)
class Owner:
    """A study or series row while a transaction changes it."""

    level: Level
    id: int
    is_new: bool
    attributes: str = "{}"
    disagreement: str = ""
    instance_count: int = 0
    size: int = 0
    added: int = 0
    added_size: int = 0
    arrived: dict[str, Vote] = field(default_factory=dict)
    recount: bool = False

    def add(self, values: str, instance_uid: str, size: int) -> None:
        """Count one more current instance, which carries these values."""
        vote = self.arrived.get(values)
        if vote is None:
            self.arrived[values] = Vote(1, instance_uid)
        else:
            vote.count += 1
            vote.first = min(vote.first, instance_uid)
        self.added += 1
        self.added_size += size

    def take(self, size: int) -> None:
        """Count one current instance less."""
        # Whose value it was, and whether another instance still has it, only the others can tell.
        self.recount = True
        self.added -= 1
        self.added_size -= size

    @property
    def is_empty(self) -> bool:
        """Whether no current instance is left."""
        return self.instance_count + self.added <= 0

    @property
    def is_stillborn(self) -> bool:
        """Whether it was prepared for instances that did not come."""
        return self.is_new and self.is_empty

    @property
    def as_before(self) -> bool:
        """Whether all that arrived carries just what is served already, with nothing in dispute."""
        return (
            not self.is_new
            and not self.recount
            and not self.disagreement
            and all(values == self.attributes for values in self.arrived)
        )


@dataclass(slots=True)
class Decision:
    """What a study or series says from now on, and the votes to be kept for it."""

    chosen: Chosen
    votes: Tally


async def decide(w: Writer, owner: Owner) -> Decision:
    """Choose each attribute's value; votes of an existing owner are recorded on the way."""
    level, arrived = owner.level, levels.tally(owner.arrived)
    if owner.is_new or owner.recount:
        votes = arrived
        if not owner.is_new:
            await w.execute(f"delete from {level}_vote where {level}_id = :id", {"id": owner.id})
            votes = levels.merge(await levels.scan(w, level, owner.id), arrived)
        disputed = {tag: values for tag, values in votes.items() if len(values) > 1}
        elements = {tag: levels.elected(values) for tag, values in votes.items()}
        if not owner.is_new:
            await levels.record(w, level, owner.id, disputed)
        return Decision(levels.describe(level, elements, disputed), disputed)
    return await _decide_on_top(w, owner, arrived)


async def _decide_on_top(w: Writer, owner: Owner, arrived: Tally) -> Decision:
    """The same for arrivals at a study or series that has its values: only what differs needs looking at."""
    level = owner.level
    elements: dict[str, Element] = orjson.loads(owner.attributes)
    disputed = set(filter(None, owner.disagreement.split(",")))
    fresh = set()
    for tag, values in arrived.items():
        if tag not in disputed:
            served = {orjson.dumps(elements[tag]).decode()} if tag in elements else set()
            if len(served | values.keys()) > 1:
                fresh.add(tag)
            else:
                elements[tag] = levels.elected(values)
    if fresh:
        await levels.record(w, level, owner.id, await levels.scan(w, level, owner.id, frozenset(fresh)))
    disputed |= fresh
    await levels.record(w, level, owner.id, {tag: arrived[tag] for tag in disputed if tag in arrived})
    for tag in disputed:
        if tag in arrived:
            elements[tag] = await levels.winner(w, level, owner.id, tag)
    return Decision(levels.describe(level, elements, disputed), {})
