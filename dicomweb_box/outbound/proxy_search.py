"""A search of QIDO-RS as questions to a peer: over one association, level below level, within limits."""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from dicomweb_box.box import Box
from dicomweb_box.dicom import remote_query
from dicomweb_box.dicom.attributes import LEVELS, Level
from dicomweb_box.dicom.qido_over_find import UNIQUE, Question, first, is_named, row_of
from dicomweb_box.errors import PeerUnreachable
from dicomweb_box.outbound import dimse_scu
from dicomweb_box.outbound.dimse_scu import FIND, PLAIN, sentence
from dicomweb_box.outbound.known_peers import Peer
from dicomweb_box.outbound.proxy import proxies
from dicomweb_box.upper_layer.association import Association
from dicomweb_box.upper_layer.errors import UpperLayerError
from dicomweb_box.upper_layer.requestor import Proposed

MOST_QUESTIONS: Final = 100
"""Of one search: who asks for the series of every study is answered for so many studies."""
MOST_ANSWERS: Final = 10_000
"""To one question, those that an offset passes over included."""

Row = dict[str, Any]


@dataclass(kw_only=True)
class Page:
    """What a peer has of what was asked."""

    rows: list[Row] = field(default_factory=list)
    more: bool = False
    """There is more than the page holds."""
    unsupported: bool = False
    """The peer does not support a key, so that more matches than was asked for."""
    cut: bool = False
    """It would have taken too many questions, or answers: what is behind them is not known."""


async def search(box: Box, peer: Peer, question: Question, *, limit: int, base: str) -> Page:
    """The page; raises PeerUnreachable, PeerRefused, OutOfResources, and BadQuery for a value that cannot be.

    `base` is what Retrieve URLs begin with.
    """
    questions = {level: _asked(level, question) for level in LEVELS[: LEVELS.index(question.level) + 1]}
    async with proxies(box).turn(peer):
        proposed = [Proposed(abstract_syntax=FIND, transfer_syntaxes=PLAIN)]
        association = await dimse_scu.called(box, peer, proposed)
        try:
            asking = _Asking(peer, association, question, questions, limit, base)
            return await asking.page()
        except UpperLayerError as error:
            raise PeerUnreachable(sentence(error)) from error
        finally:
            await dimse_scu.ended(association)


def _asked(level: Level, question: Question) -> remote_query.RemoteQuery:
    keys = {f"{tag:08X}": text for tag, text in question.keys[level].items()}
    return remote_query.remote_query(level, keys)


class _Asking:
    """One search over an open association."""

    def __init__(
        self,
        peer: Peer,
        association: Association,
        question: Question,
        questions: Mapping[Level, remote_query.RemoteQuery],
        limit: int,
        base: str,
    ) -> None:
        self._peer, self._association, self._question = peer, association, question
        self._questions, self._limit, self._base = questions, limit, base
        self._page = Page()
        self._count = 0

    async def page(self) -> Page:
        """All rows up to the limit, and whether there are more."""
        passed = 0
        async for row in self._rows(self._question.level):
            if not all(one.accepts(row) for one in self._question.filters):
                continue
            passed += 1
            if passed <= self._question.offset:
                continue
            if len(self._page.rows) == self._limit:
                self._page.more = True
                break
            self._page.rows.append(row)
        return self._page

    async def _rows(self, level: Level) -> AsyncIterator[Row]:
        async for above in self._above(level):
            if self._count == MOST_QUESTIONS:
                self._page.cut = True
                return
            for row in await self._find(level, above):
                yield row

    async def _above(self, level: Level) -> AsyncIterator[Row]:
        """Each row of the level above, or what is known of the one that is meant."""
        place = LEVELS.index(level)
        if place == 0:
            yield {}
            return
        higher = LEVELS[place - 1]
        if any(self._question.is_asked(one) for one in LEVELS[:place]):
            async for row in self._rows(higher):
                yield row
            return
        uids = {UNIQUE[one]: self._question.uids[one] for one in LEVELS[:place]}
        yield {tag: {"vr": "UI", "Value": [uid]} for tag, uid in uids.items()}

    async def _find(self, level: Level, above: Row) -> list[Row]:
        self._count += 1
        keys = dict(self._questions[level].keys)
        for one in LEVELS[: LEVELS.index(level)]:
            keys[int(UNIQUE[one], 16)] = first(above, UNIQUE[one])
        found = await dimse_scu.find(
            self._association,
            remote_query.RemoteQuery(level=level, keys=keys),
            charset=self._peer.charset,
            most=self._most(level),
            message_id=self._count,
        )
        self._page.unsupported |= found.unsupported
        own = level == self._question.level
        if found.more and (not own or self._most(level) == MOST_ANSWERS):
            self._page.cut = True
        return [row_of(one, above, level, self._base) for one in found.rows if is_named(one, level)]

    def _most(self, level: Level) -> int:
        """Answers to take: as many as the page can use."""
        if level != self._question.level:
            return MOST_QUESTIONS
        if self._question.filters:
            return MOST_ANSWERS
        return min(MOST_ANSWERS, self._question.offset + self._limit + 1)
