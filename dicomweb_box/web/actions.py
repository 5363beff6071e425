"""What can be done with studies, series and selections: the list that their pages offer.

An action is a page (GET, with what it is about in its query: `web.targets`) that says what will be done and
has a form for it. Who builds one adds a line to ACTIONS; the pages show it in this order.
"""

from dataclasses import dataclass
from typing import Literal

On = Literal["study", "series", "selection"]
_ANYWHERE: frozenset[On] = frozenset(("study", "series", "selection"))


@dataclass(frozen=True, kw_only=True, slots=True)
class Action:
    """One thing to do."""

    address: str
    """Of its page, which takes targets as its query."""
    name: str
    """A verb first, as a button says it."""
    on: frozenset[On] = _ANYWHERE
    """Whose pages offer it."""
    grave: bool = False
    """It takes something away; shown apart from the others."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Offer:
    """An action as a link for some targets."""

    href: str
    name: str
    grave: bool


ACTIONS: tuple[Action, ...] = (
    Action(address="/download", name="Download (ZIP)", on=frozenset(("series", "selection"))),
    Action(address="/labels/apply", name="Label"),
    Action(address="/shares/new", name="Share"),
    Action(address="/correct", name="Correct", on=frozenset(("study",))),
    Action(address="/reject", name="Reject", grave=True),
    Action(address="/erase", name="Erase", grave=True),
)


def offered(on: On, query: str) -> list[Offer]:
    """The actions for what the query names (`Targets.query`)."""
    return [
        Offer(href=f"{action.address}?{query}", name=action.name, grave=action.grave)
        for action in ACTIONS
        if on in action.on
    ]
