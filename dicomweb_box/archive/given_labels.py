"""Which labels studies and series have, and who gave them."""

from collections.abc import Sequence
from dataclasses import dataclass

from dicomweb_box.accounts.access import Actor, Scope
from dicomweb_box.archive.label_name import fold
from dicomweb_box.archive.labelling import Target, visible
from dicomweb_box.box import Box
from dicomweb_box.database import Reader, Row, chunks, in_list

_AT_ONCE = 500


@dataclass(frozen=True, kw_only=True, slots=True)
class Given:
    """A label of one study or series, and who gave it."""

    id: str
    name: str
    by_hand: bool
    actor: str
    """Who gave it by hand first; "" where nobody did."""
    at: str
    rules: tuple[tuple[str, str], ...]
    """Id and name of each rule that gave it."""


async def of_studies(
    box: Box, study_uids: Sequence[str], *, scope: Scope, actor: Actor
) -> dict[Target, list[Given]]:
    """The labels of these studies ("" as Series Instance UID) and of their series, by target, by name.

    Of what the scope does not see there are none.
    """
    del actor

    async def work(read: Reader) -> dict[Target, list[Given]]:
        studies, params = in_list("study", study_uids)
        rows = await read.fetch_all(
            "select label.id, label.name, member.study_uid, member.series_uid, member.actor, member.at,"
            " member.rule_id, rule.name as rule_name from label_member as member"
            " join label on label.id = member.label_id left join rule on rule.id = member.rule_id"
            f" where member.realm = :realm and member.study_uid in {studies}"
            " order by label.folded, member.rule_id",
            {**params, "realm": scope.realm},
        )
        grouped: dict[Target, dict[str, list[Row]]] = {}
        for row in rows:
            target = (row["study_uid"], row["series_uid"])
            grouped.setdefault(target, {}).setdefault(row["id"], []).append(row)
        seen = await visible(read, list(grouped), scope)
        return {
            target: [_given(held) for held in by_label.values()]
            for target, by_label in grouped.items()
            if target in seen
        }

    return await box.database.read(work)


def _given(rows: Sequence[Row]) -> Given:
    by_hand = next((row for row in rows if not row["rule_id"]), None)
    return Given(
        id=rows[0]["id"],
        name=rows[0]["name"],
        by_hand=by_hand is not None,
        actor=by_hand["actor"] if by_hand else "",
        at=(by_hand or rows[0])["at"],
        rules=tuple((row["rule_id"], row["rule_name"]) for row in rows if row["rule_name"] is not None),
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Spread:
    """How many of some studies and series have a label by hand, and by rules alone."""

    name: str
    by_hand: int
    by_rule: int


async def spread(box: Box, targets: Sequence[Target], *, scope: Scope, actor: Actor) -> list[Spread]:
    """The labels that any of these studies and series has, by name."""
    wanted, counted = set(targets), dict[str, list[int]]()
    for some in chunks(sorted({study for study, _ in targets}), _AT_ONCE):
        for target, held in (await of_studies(box, some, scope=scope, actor=actor)).items():
            for one in held if target in wanted else ():
                counted.setdefault(one.name, [0, 0])[0 if one.by_hand else 1] += 1
    return [
        Spread(name=name, by_hand=by_hand, by_rule=by_rule)
        for name, (by_hand, by_rule) in sorted(counted.items(), key=lambda item: fold(item[0]))
    ]
