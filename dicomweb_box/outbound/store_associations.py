"""The associations over which instances are stored to one peer: asked for when needed, a few kept open."""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from dicomweb_box.archive import transcoding
from dicomweb_box.archive.retrieve import Instance
from dicomweb_box.archive.retrieve_keys import Kind
from dicomweb_box.box import Box
from dicomweb_box.outbound import store_contexts
from dicomweb_box.outbound.particulars import Syntaxes
from dicomweb_box.upper_layer.association import Association
from dicomweb_box.upper_layer.errors import Rejected, Unreachable
from dicomweb_box.upper_layer.message import Context
from dicomweb_box.upper_layer.requestor import Proposed

MOST_OPEN = 4
"""Associations that one who sends keeps open: instances of more than 128 contexts may take turns."""

Open = Callable[[Sequence[Proposed]], Awaitable[Association]]


class NoWay(Exception):
    """An instance cannot be sent; the message says why, `again` whether that may change."""

    def __init__(self, words: str, *, again: bool, everything: bool = False) -> None:
        super().__init__(words)
        self.again = again
        self.everything = everything
        """It is so of every instance: there is no association."""


@dataclass(frozen=True, slots=True)
class Way:
    """Where an instance goes: over which association, in which of its contexts."""

    association: Association
    context: Context


class Ways(Protocol):
    """Finds ways for instances."""

    async def way(self, instance: Instance) -> Way:
        """The way of an instance; raises NoWay."""

    async def lost(self, association: Association) -> bool:
        """The association has ended by itself; whether there can be another."""

    def stands(self, association: Association) -> bool:
        """Whether nothing is known of its end."""


class OneAssociation:
    """All over one association that is there already: C-GET."""

    def __init__(self, box: Box, association: Association) -> None:
        self._box, self._association = box, association
        self._accepted = store_contexts.accepted(association.contexts.values())

    async def way(self, instance: Instance) -> Way:
        """The way of an instance; raises NoWay."""
        found = await chosen(self._box, instance, self._accepted)
        if found is None:
            raise NoWay(_no_syntax(instance, self._accepted), again=False)
        return Way(self._association, found)

    async def lost(self, association: Association) -> bool:
        """There is no other."""
        return False

    def stands(self, association: Association) -> bool:
        """What has ended says so itself."""
        return True


class Associations:
    """Associations with a peer that are asked for as instances need them."""

    def __init__(self, box: Box, opener: Open, kinds: Iterable[Kind], *, syntaxes: Syntaxes = "any") -> None:
        """`kinds`: what is to come; others are proposed as they come, in associations of their own."""
        self._box, self._open, self._syntaxes = box, opener, syntaxes
        self._proposed: list[list[Proposed]] = []
        self._group_of: dict[Kind, int] = {}
        self._encoded: dict[str, int] = {}
        """By SOP class, the group that proposes what instances can be encoded in."""
        self._opened: OrderedDict[int, Association] = OrderedDict()
        self._refused: dict[int, NoWay] = {}
        self._opening = asyncio.Lock()
        self._expect(kinds)

    async def open_first(self) -> bool:
        """Ask for the first association now; whether there is one."""
        try:
            async with self._opening:
                return bool(self._proposed) and await self._association(0) is not None
        except NoWay:
            return False

    def _expect(self, kinds: Iterable[Kind]) -> None:
        new = {kind for kind in kinds if kind not in self._group_of}
        for group in store_contexts.groups(new, self._syntaxes):
            classes = {one.abstract_syntax for one in group}
            self._group_of |= {kind: len(self._proposed) for kind in new if kind.sop_class_uid in classes}
            self._proposed.append(group)

    async def way(self, instance: Instance) -> Way:
        """The way of an instance; raises NoWay."""
        async with self._opening:
            kind = Kind(instance.sop_class_uid, instance.given_syntax)
            self._expect((kind,))
            if (group := self._group_of.get(kind)) is not None:
                found = await self._in_group(group, instance)
                if found is not None:
                    return found
            found = await self._in_encoded_group(instance)
            if found is None:
                raise NoWay(_no_syntax(instance, {}), again=False)
            return found

    async def _in_group(self, group: int, instance: Instance) -> Way | None:
        association = await self._association(group)
        if association is None:
            return None
        accepted = store_contexts.accepted(association.contexts.values())
        context = await chosen(self._box, instance, accepted)
        return None if context is None else Way(association, context)

    async def _in_encoded_group(self, instance: Instance) -> Way | None:
        """The way of an instance to a receiver that took it neither as it is nor uncompressed."""
        if self._syntaxes == "uncompressed" or not await transcoding.targets(self._box, instance):
            return None
        uid = instance.sop_class_uid
        if uid not in self._encoded:
            self._encoded[uid] = len(self._proposed)
            self._proposed.append(store_contexts.encoded_of_class(uid))
        return await self._in_group(self._encoded[uid], instance)

    async def _association(self, group: int) -> Association | None:
        """The association of a group; None where the peer took none of its contexts. Raises NoWay."""
        if (found := self._opened.get(group)) is not None:
            self._opened.move_to_end(group)
            return found
        if (refusal := self._refused.get(group)) is not None:
            if refusal.everything:
                raise refusal
            return None
        try:
            opened = await self._open(self._proposed[group])
        except Rejected as error:
            nothing = error.result == 0
            self._refused[group] = NoWay(str(error), again=error.transient, everything=not nothing)
            if nothing:
                return None
            raise self._refused[group] from error
        except Unreachable as error:
            self._refused[group] = NoWay(str(error), again=True, everything=True)
            raise self._refused[group] from error
        self._opened[group] = opened
        while len(self._opened) > MOST_OPEN:
            await self._opened.popitem(last=False)[1].release()
        return opened

    async def lost(self, association: Association) -> bool:
        """Forget an association that has ended; another can be asked for."""
        for group, one in list(self._opened.items()):
            if one is association:
                del self._opened[group]
        await association.abort()
        return True

    def stands(self, association: Association) -> bool:
        """Whether nothing is known of its end."""
        return any(one is association for one in self._opened.values())

    async def close(self, *, release: bool = True) -> None:
        """End them, at once where they are not to be released."""
        opened, self._opened = [*self._opened.values()], OrderedDict()
        for association in opened:
            await (association.release() if release else association.abort())


async def chosen(box: Box, instance: Instance, accepted: store_contexts.Accepted) -> Context | None:
    """The context that an instance goes in; None where it cannot be given in any."""
    found = store_contexts.context_of(instance, accepted)
    if found is None and any(uid == instance.sop_class_uid for uid, _ in accepted):
        targets = await transcoding.targets(box, instance)
        found = store_contexts.encoded_context_of(instance, accepted, targets)
    return found


def _no_syntax(instance: Instance, accepted: store_contexts.Accepted) -> str:
    if accepted and not any(uid == instance.sop_class_uid for uid, _ in accepted):
        return "the receiver does not take its SOP class"
    return "the receiver takes none of the transfer syntaxes it can be given in"
