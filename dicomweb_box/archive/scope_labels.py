"""Where a search begins within a scope of labels: with what has them, where that is little."""

from typing import Any

from dicomweb_box.accounts.access import Scope
from dicomweb_box.archive.conditions import Parameters
from dicomweb_box.archive.visibility import label_names, series_condition
from dicomweb_box.database import Reader

_LOOKED_AT, _ENOUGH = 4000, 30
FEW = 3000
"""Up to so many studies and series are listed and sorted; more are met often enough on a walk by date."""


async def rarest(reader: Reader, scope: Scope) -> tuple[int, bool]:
    """Which of the scope's sets of labels was given least often, and whether that is `FEW` times at most."""
    held = [await _given(reader, scope, number) for number in range(len(scope.labels))]
    number = min(range(len(held)), key=held.__getitem__)
    return number, held[number] <= FEW


async def _given(reader: Reader, scope: Scope, number: int) -> int:
    names, params = label_names(scope, number)
    count = await reader.fetch_value(
        f"select count(*) from (select 1 from {_MEMBERS} and scope_label.folded in {names}"
        f" limit {FEW + 1}) as given",
        {**params, "realm": scope.realm},
    )
    return int(count)


async def start(reader: Reader, scope: Scope, bind: Parameters) -> str | None:
    """A select of the ids of studies to begin with; None where a walk by date meets what is visible soon."""
    number, few = await rarest(reader, scope)
    if not few and await _is_met(reader, scope):
        return None
    return studies_with(scope, number, bind)


async def _is_met(reader: Reader, scope: Scope) -> bool:
    """Whether enough of the newest studies are visible."""
    sql, params = newest_seen(scope, _ENOUGH)
    count = await reader.fetch_value(f"select count(*) from ({sql}) as met", params)
    return int(count) == _ENOUGH


def newest_seen(scope: Scope, most: int) -> tuple[str, dict[str, Any]]:
    """A select of the ids of those of the newest studies that are visible, and its parameters."""
    condition, params = series_condition(scope, series="seen")
    return (
        "select study.id from (select id from study where realm = :scope_realm"
        f" order by study_date desc, study_time desc, study_uid limit {_LOOKED_AT}) as newest"
        " cross join study where study.id = newest.id and exists"
        f" (select 1 from series as seen where seen.study_id = study.id and {condition}) limit {most}"
    ), {**params, "scope_realm": scope.realm}


def studies_with(scope: Scope, number: int, bind: Parameters) -> str:
    """A select of the ids of the studies of which something has a label of this set."""
    names, params = label_names(scope, number)
    bind.values.update(params)
    return (
        f"select distinct scope_study.id from {_MEMBERS.replace(':realm', bind(scope.realm))}"
        f" and scope_label.folded in {names}"
    )


_MEMBERS = (
    "label as scope_label cross join label_member as scope_member cross join study as scope_study"
    " where scope_label.realm = :realm and scope_member.label_id = scope_label.id"
    " and scope_study.realm = :realm and scope_study.study_uid = scope_member.study_uid"
)
