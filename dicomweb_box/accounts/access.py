"""Who acts, what they may do, and what part of the archive is theirs."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Self

from dicomweb_box.accounts.rights import EVERY_RIGHT, NO_RIGHT, Right
from dicomweb_box.errors import BadRequest

Kind = Literal["anonymous", "user", "token", "peer", "link", "system"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Actor:
    """Who does something: a person, a program, a peer, whoever has a link, or the box itself."""

    name: str
    kind: Kind
    address: str = field(default="", compare=False)
    """Network address that it acts from; empty: none."""
    administers: bool = field(default=False, compare=False)
    """It has the right to say who may do what, and sees what others are at."""

    @property
    def own_name(self) -> str:
        """A name that nobody else has: no account has a colon in its own."""
        return self.name if self.kind in ("anonymous", "user", "system") else f"{self.kind}:{self.name}"


ANONYMOUS = Actor(name="anonymous", kind="anonymous")
SYSTEM = Actor(name="dicomweb_box", kind="system")


@dataclass(frozen=True, kw_only=True, slots=True)
class Scope:
    """The part of one realm that an actor may see; decided per series.

    A series is visible when its study is in `studies` (None: every study), itself in `series` (None: every
    series), each source that contributed to it in `sources` (None: every source), and it has a label of each
    set in `labels`: itself, or by its study.
    """

    realm: str = "main"
    studies: frozenset[str] | None = None
    series: frozenset[str] | None = None
    sources: frozenset[str] | None = None
    labels: tuple[frozenset[str], ...] = ()
    """Names of labels, case-folded."""
    identities: bool = True
    """Whether what is seen of it says who the patients are."""

    @property
    def whole(self) -> bool:
        """Whether everything in the realm is visible."""
        return self.studies is None and not self.by_series

    @property
    def by_series(self) -> bool:
        """Whether of one study some series can be visible and others not."""
        return self.series is not None or self.sources is not None or bool(self.labels)

    def within(self, other: "Scope") -> "Scope":
        """What both see."""
        return Scope(
            realm=self.realm,
            studies=_both(self.studies, other.studies),
            series=_both(self.series, other.series),
            sources=_both(self.sources, other.sources),
            labels=tuple(sorted({*self.labels, *other.labels}, key=sorted)),
            identities=self.identities and other.identities,
        )

    @classmethod
    def from_json(cls, kept: Mapping[str, Any]) -> Self:
        """The scope that `to_json` wrote; raises BadRequest where it is none."""
        unknown = set(kept) - {"studies", "series", "sources", "labels"}
        if unknown or not all(isinstance(names, list) for names in kept.values()):
            raise BadRequest("A scope names lists of studies, series, sources and labels.")
        labels = frozenset(str(name).casefold() for name in kept.get("labels", ()))
        return cls(
            studies=frozenset(map(str, kept["studies"])) if "studies" in kept else None,
            series=frozenset(map(str, kept["series"])) if "series" in kept else None,
            sources=frozenset(map(str, kept["sources"])) if "sources" in kept else None,
            labels=(labels,) if "labels" in kept else (),
        )


def _both(one: frozenset[str] | None, other: frozenset[str] | None) -> frozenset[str] | None:
    if one is None or other is None:
        return one if other is None else other
    return one & other


EVERYTHING = Scope()
NOTHING = Scope(studies=frozenset())


@dataclass(frozen=True, kw_only=True, slots=True)
class Identity:
    """Who a request is from, as far as it proves it."""

    actor: Actor
    scope: Scope
    rights: frozenset[Right]
    account: str | None = None
    """Key of the account that acts, or that stands behind a token."""
    session: str | None = None
    """Key of the log-in, where a person acts in a browser."""
    token: str | None = None
    link: str | None = None
    """Key of the share link that was opened."""
    must_change: bool = False
    """The person has to choose a password before anything else."""
    must_enrol: bool = False
    """… has to set up a second factor."""

    def at(self, address: str) -> "Identity":
        """The same, acting from an address."""
        # Not by `replace`: each request asks for it, and this costs a fifth.
        return Identity(
            actor=Actor(
                name=self.actor.name,
                kind=self.actor.kind,
                address=address,
                administers=Right.ADMINISTER in self.rights,
            ),
            scope=self.scope,
            rights=self.rights,
            account=self.account,
            session=self.session,
            token=self.token,
            link=self.link,
            must_change=self.must_change,
            must_enrol=self.must_enrol,
        )

    def may(self, right: Right) -> bool:
        """Whether it has a right."""
        return right in self.rights


NOBODY = Identity(actor=ANONYMOUS, scope=NOTHING, rights=NO_RIGHT)
"""A request that proves nothing."""
ANYBODY = Identity(actor=ANONYMOUS, scope=EVERYTHING, rights=EVERY_RIGHT)
"""Whoever asks, where the box runs without accounts."""
