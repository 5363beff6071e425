"""C-STORE as SCU (PS3.4 B): instances of the archive to a peer, and what became of each."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Mapping
from contextlib import aclosing, suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from dicomweb_box.archive.chunks import Chunk, Chunks, chunks
from dicomweb_box.archive.dataset_body import dataset_body
from dicomweb_box.archive.retrieve import Instance
from dicomweb_box.archive.retrieve_keys import Kind
from dicomweb_box.box import Box
from dicomweb_box.errors import BoxError, OutOfResources
from dicomweb_box.outbound import store_statuses
from dicomweb_box.outbound.calling import associate
from dicomweb_box.outbound.known_peers import Peer
from dicomweb_box.outbound.store_associations import Associations, NoWay, Way, Ways
from dicomweb_box.outbound.store_statuses import Verdict
from dicomweb_box.upper_layer import commands
from dicomweb_box.upper_layer.errors import Aborted
from dicomweb_box.upper_layer.message import Message

READ_AHEAD = 1 << 20
"""Bytes of the next instance that are read while one is being sent."""
LOOK_AHEAD = 64
"""Instances whose kinds are known before the first association, where nobody told of kinds."""
MOST_ABORTED = 3
"""Instances in a row that a peer may end associations at; the rest is then not tried."""
ENDING = "the peer ended the association instead of answering"


@dataclass(frozen=True, kw_only=True, slots=True)
class Result:
    """What became of one instance."""

    instance: Instance
    status: int | None = None
    """What the receiver answered; None: nothing, or it was not sent."""
    words: str
    """The same as a clause, without any attribute of a patient."""
    transfer_syntax_uid: str = ""
    """The one it was sent in; empty: it was not sent."""
    again: bool = False
    """Whether trying again may help."""
    unreached: bool = False
    """There was no association: so it would have been with any instance."""
    comment: str = field(default="", repr=False)
    """What the receiver says of it itself; may hold anything."""

    @property
    def verdict(self) -> Verdict:
        """Whether it is stored."""
        return "failed" if self.status is None else store_statuses.verdict(self.status)


@dataclass(frozen=True, kw_only=True, slots=True)
class Originator:
    """Whoever asked for it by a C-MOVE (PS3.7 9.1.1.1.6, .7)."""

    ae_title: str
    message_id: int
    priority: int = 0


async def store_to(
    box: Box,
    peer: Peer,
    instances: AsyncIterator[Instance],
    *,
    kinds: Iterable[Kind] = (),
    originator: Originator | None = None,
    parallel: int = 1,
) -> AsyncGenerator[Result]:
    """Store instances to a peer, and give what became of each, in the order of their ends.

    `kinds` are those that are to come, where that is known; `parallel`: so many associations at once, at most
    as many as the peer takes. An instance that an association ends at is tried once more over a fresh one.
    Where the peer cannot be reached each instance fails as `unreached`. Close it to stop: what is being sent
    then is given up.
    """
    told = _told(originator)
    shared = _Shared(instances)
    seen = {*kinds} or await shared.look_ahead(LOOK_AHEAD)
    lanes = [
        Associations(box, partial(associate, box, peer), seen, syntaxes=peer.syntaxes)
        for _ in range(max(1, min(parallel, peer.associations)))
    ]
    done: asyncio.Queue[Result | Exception | None] = asyncio.Queue(2 * len(lanes))
    first, *others = lanes
    if others and not await first.open_first():
        others = []  # it comes first: there may be no more than one place
    tasks = [asyncio.create_task(_lane(store_over(box, first, shared, told), done))]
    tasks += [asyncio.create_task(_lane(_helping(box, lane, shared, told), done)) for lane in others]
    left = len(tasks)
    try:
        while left:
            result = await done.get()
            if isinstance(result, Exception):
                raise result
            if result is None:
                left -= 1
            else:
                yield result
        async for result in store_over(box, first, shared.back(), told):
            yield result
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.gather(*(lane.close(release=not left) for lane in lanes))


async def _lane(results: AsyncGenerator[Result], done: "asyncio.Queue[Result | Exception | None]") -> None:
    try:
        async with aclosing(results):
            async for result in results:
                await done.put(result)
        await done.put(None)
    except Exception as error:  # noqa: BLE001  (raised by who takes the results)
        await done.put(error)


async def _helping(
    box: Box, ways: Associations, shared: "_Shared", told: Mapping[str, Any]
) -> AsyncGenerator[Result]:
    """Take part in the storing, where the peer takes one more association while there is something to do.

    Many serve one at a time and let others wait; what such an association cannot do is left to the first.
    """
    if not await _opened_in_time(ways, shared):
        return
    tap = _Tap(shared)
    async for result in store_over(box, ways, tap, told):
        if result.unreached:
            tap.closed = True
            shared.give_back(result.instance)
        else:
            yield result


async def _opened_in_time(ways: Associations, shared: "_Shared") -> bool:
    opening, over = asyncio.ensure_future(ways.open_first()), asyncio.ensure_future(shared.ended.wait())
    try:
        await asyncio.wait((opening, over), return_when=asyncio.FIRST_COMPLETED)
        return opening.done() and not opening.cancelled() and opening.result()
    finally:
        for task in (opening, over):
            task.cancel()
        await asyncio.gather(opening, over, return_exceptions=True)


async def store_over(
    box: Box, ways: Ways, instances: AsyncIterator[Instance], told: Mapping[str, Any]
) -> AsyncGenerator[Result]:
    """Store one instance after another, the next one read while one is sent; what became of each.

    `told`: what else the commands say.
    """
    sender = _Sender(box, ways, told)
    following = asyncio.ensure_future(_next(sender, instances))
    try:
        while (ready := await following) is not None:
            following = asyncio.ensure_future(_next(sender, instances))
            yield await sender.send(ready)
    finally:
        following.cancel()
        with suppress(asyncio.CancelledError, Exception):
            if (unsent := await following) is not None:
                await unsent.close()


async def _next(sender: "_Sender", instances: AsyncIterator[Instance]) -> "_Ready | None":
    instance = await anext(instances, None)
    return None if instance is None else await sender.ready(instance)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Ready:
    """An instance that can be sent, or why it cannot."""

    instance: Instance
    way: Way | None = None
    first: list[Chunk] = field(default_factory=list, repr=False)
    rest: Chunks | None = None
    """What does not fit into READ_AHEAD."""
    failed: Result | None = None

    async def close(self) -> None:
        """Let go of what it reads from."""
        if self.rest is not None:
            await self.rest.aclose()

    @property
    def data(self) -> list[Chunk] | AsyncIterator[Chunk]:
        """The data set."""
        return self.first if self.rest is None else _joined(self.first, self.rest)


async def _joined(first: list[Chunk], rest: Chunks) -> AsyncIterator[Chunk]:
    while first:
        yield first.pop(0)
    async for chunk in rest:
        yield chunk


class _Sender:
    """Sends instances, and remembers how the peer takes it."""

    def __init__(self, box: Box, ways: Ways, told: Mapping[str, Any]) -> None:
        self._box, self._ways, self._told = box, ways, told
        self._aborted = 0
        """Instances in a row that an association ended at."""

    async def ready(self, instance: Instance) -> _Ready:
        """The instance with its way and the beginning of its bytes."""
        if self._aborted >= MOST_ABORTED:
            return _Ready(instance=instance, failed=_failed(instance, ENDING, again=True))
        try:
            way = await self._ways.way(instance)
            body = await dataset_body(self._box, instance, way.context.transfer_syntax)
            first, rest = await _begun(chunks(self._box, body))
        except NoWay as error:
            return _Ready(instance=instance, failed=_no_way(instance, error))
        except BoxError as error:
            return _Ready(instance=instance, failed=_unreadable(instance, error))
        return _Ready(instance=instance, way=way, first=first, rest=rest)

    async def send(self, ready: _Ready) -> Result:
        """What became of the instance, after a second try over a fresh association where one is needed."""
        try:
            if ready.way is not None and not self._ways.stands(ready.way.association):
                await ready.close()
                ready = await self.ready(ready.instance)
            if (first := await self._try(ready)) is not None:
                return first
            await ready.close()
            ready = await self.ready(ready.instance)
            if (second := await self._try(ready)) is not None:
                return second
            self._aborted += 1
            return _failed(ready.instance, ENDING, again=True)
        finally:
            await ready.close()

    async def _try(self, ready: _Ready) -> Result | None:
        """What became of it; None where the association ended and another may do."""
        if ready.failed is not None or ready.way is None:
            return ready.failed
        way, instance = ready.way, ready.instance
        command = {
            "AffectedSOPClassUID": instance.sop_class_uid,
            "CommandField": commands.C_STORE_RQ,
            "AffectedSOPInstanceUID": instance.instance_uid,
            **self._told,
        }
        try:
            answer = await way.association.ask_one(way.context, command, ready.data)
        except Aborted:
            if await self._ways.lost(way.association):
                return None
            raise
        except BoxError as error:
            # The association was aborted with it: the peer waits for bytes that nobody has.
            if await self._ways.lost(way.association):
                return _unreadable(instance, error)
            raise
        self._aborted = 0
        return _answered(instance, way, answer)


async def _begun(body: Chunks) -> tuple[list[Chunk], Chunks | None]:
    """The first chunks of a body, and the rest of it if there is more."""
    first: list[Chunk] = []
    length = 0
    async for chunk in body:
        first.append(chunk)
        length += len(chunk)
        if length >= READ_AHEAD:
            return first, body
    return first, None


def _answered(instance: Instance, way: Way, answer: Message) -> Result:
    status = int(answer.command.get("Status", 0x0110))
    return Result(
        instance=instance,
        status=status,
        words=store_statuses.words(status),
        transfer_syntax_uid=way.context.transfer_syntax,
        again=store_statuses.helps_again(status),
        comment=str(answer.command.get("ErrorComment", "")),
    )


def _failed(instance: Instance, words: str, *, again: bool) -> Result:
    return Result(instance=instance, words=words, again=again)


def _no_way(instance: Instance, error: NoWay) -> Result:
    return Result(instance=instance, words=str(error), again=error.again, unreached=error.everything)


def _unreadable(instance: Instance, error: BoxError) -> Result:
    return _failed(instance, f"it cannot be given: {error}", again=isinstance(error, OutOfResources))


class _Shared:
    """Instances that several take from, one at a time."""

    def __init__(self, instances: AsyncIterator[Instance]) -> None:
        self.ended = asyncio.Event()
        """There are no more."""
        self._instances = instances
        self._seen: list[Instance] = []
        self._back: list[Instance] = []
        self._taking = asyncio.Lock()

    async def look_ahead(self, most: int) -> set[Kind]:
        """The kinds of the first ones."""
        while len(self._seen) < most and (one := await anext(self._instances, None)) is not None:
            self._seen.append(one)
        self._seen.reverse()
        return {Kind(one.sop_class_uid, one.given_syntax) for one in self._seen}

    def give_back(self, instance: Instance) -> None:
        """Leave an instance to somebody else."""
        self._back.append(instance)

    async def back(self) -> AsyncIterator[Instance]:
        """Those that were given back."""
        for instance in self._back:
            yield instance

    def __aiter__(self) -> "_Shared":
        return self

    async def __anext__(self) -> Instance:
        async with self._taking:
            if self._seen:
                return self._seen.pop()
            try:
                return await anext(self._instances)
            except StopAsyncIteration:
                self.ended.set()
                raise


class _Tap:
    """Takes from what is shared until it is closed."""

    def __init__(self, shared: _Shared) -> None:
        self.closed = False
        self._shared = shared

    def __aiter__(self) -> "_Tap":
        return self

    async def __anext__(self) -> Instance:
        if self.closed:
            raise StopAsyncIteration
        return await anext(self._shared)


def _told(originator: Originator | None) -> Mapping[str, Any]:
    if originator is None:
        return {"Priority": 0}
    return {
        "Priority": originator.priority,
        "MoveOriginatorApplicationEntityTitle": originator.ae_title,
        "MoveOriginatorMessageID": originator.message_id,
    }
