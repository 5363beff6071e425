"""Whose turn it is to have a password looked at: argon2id is dear, and who guesses must not take all of it.

Who was right before has a thread that strangers cannot fill. Of strangers one is looked at at a time; a few
of one address wait, and a few dozen of all: more are told to come back, at no cost.
"""

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping

from dicomweb_box.box import Box
from dicomweb_box.errors import TooMany

OF_A_PAIR = 2
"""Attempts of one name from one address that may be under way."""
OF_AN_ADDRESS = 8
"""Of strangers at one address."""
OF_ALL = 64
"""Of strangers, and of those who were right before."""
KNOWN, STRANGERS = "known", "strangers"


class Turns:
    """The attempts under way in this process."""

    def __init__(self, box: Box) -> None:
        del box
        self._strangers = asyncio.Semaphore(1)
        self._under_way: Counter[str] = Counter()

    def __len__(self) -> int:
        return self._under_way[KNOWN] + self._under_way[STRANGERS]

    @contextlib.contextmanager
    def of_a_pair(self, pair: str) -> Iterator[None]:
        """An attempt of one name from one place; raises TooMany where too many are under way."""
        with self._counted({pair: OF_A_PAIR}):
            yield

    @contextlib.contextmanager
    def of_a_place(self, address: str, *, known: bool) -> Iterator[None]:
        """An attempt of somebody known there, or of a stranger; raises TooMany as well."""
        with self._counted({KNOWN: OF_ALL} if known else {STRANGERS: OF_ALL, address: OF_AN_ADDRESS}):
            yield

    @contextlib.contextmanager
    def _counted(self, limits: Mapping[str, int]) -> Iterator[None]:
        if any(self._under_way[key] >= most for key, most in limits.items()):
            raise TooMany("Too many try to log in; wait a moment.", seconds=1)
        self._under_way.update(limits.keys())
        try:
            yield
        finally:
            self._under_way.subtract(limits.keys())
            for key in limits:
                if not self._under_way[key]:
                    del self._under_way[key]

    @contextlib.asynccontextmanager
    async def looking(self, *, known: bool) -> AsyncIterator[None]:
        """The time in which the password is looked at; strangers queue for it, each in turn."""
        if known:
            yield
            return
        async with self._strangers:
            yield

    async def close(self) -> None:
        """Nothing to let go of."""


def turns(box: Box) -> Turns:
    """The turns of this process."""
    return box.resource(Turns, Turns)
