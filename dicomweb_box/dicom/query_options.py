"""What Query/Retrieve agrees on beyond its SOP classes: extended negotiation of C-FIND (PS3.4 C.5.1.1)."""

from dataclasses import dataclass

_SUPPORTED = (True, True, True, False, False, True, True)
"""Relational queries, combined date and time, fuzzy matching, timezone adjustment, conversion of enhanced
multi-frame instances, empty value matching, multiple value matching: the order of Table C.5-1."""
_WORKLIST = (True, True, True, False)
"""The first two of Table K.5-1 are reserved and always 1."""


@dataclass(frozen=True, kw_only=True, slots=True)
class QueryOptions:
    """What was agreed on for the queries of an association; without negotiation nothing."""

    relational: bool = False
    """Keys of any level, without the unique keys of those above."""
    combined: bool = False
    """A date and a time range are one range."""
    fuzzy: bool = False
    empty_values: bool = False
    multiple_values: bool = False


def answer(proposed: bytes) -> bytes:
    """The Service-class-application-information of the acceptor for that of a requestor of C-FIND."""
    return _accepted(proposed, _SUPPORTED)


def answer_worklist(proposed: bytes) -> bytes:
    """The same for Modality Worklist (PS3.4 K.5.1)."""
    return _accepted(proposed, _WORKLIST)


def _accepted(proposed: bytes, supported: tuple[bool, ...]) -> bytes:
    # C.5.1.1.2: no more bytes than were offered; each one what was asked for, or 0.
    return bytes(
        int(bool(asked) and number < len(supported) and supported[number])
        for number, asked in enumerate(proposed)
    )


def agreed(answered: bytes | None) -> QueryOptions:
    """The options that an answer stands for; missing bytes are 0, and so is an answer that was not given."""
    given = [bool(one) for one in (answered or b"").ljust(len(_SUPPORTED), b"\0")]
    return QueryOptions(
        relational=given[0],
        combined=given[1],
        fuzzy=given[2],
        empty_values=given[5],
        multiple_values=given[6],
    )
