"""Who acts, and what part of the archive they may see."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, kw_only=True, slots=True)
class Actor:
    """Who does something: a person, a program, a peer, or the box itself."""

    name: str
    kind: Literal["anonymous", "user", "token", "peer", "system"]


ANONYMOUS = Actor(name="anonymous", kind="anonymous")
SYSTEM = Actor(name="dicomweb_box", kind="system")


@dataclass(frozen=True, kw_only=True, slots=True)
class Scope:
    """The part of one realm that an actor may see; decided per series.

    A series is visible when its study is in `studies` (None: every study) and each source that contributed to
    it is in `sources` (None: every source).
    """

    realm: str = "main"
    studies: frozenset[str] | None = None
    sources: frozenset[str] | None = None

    @property
    def whole(self) -> bool:
        """Whether everything in the realm is visible."""
        return self.studies is None and self.sources is None


EVERYTHING = Scope()
