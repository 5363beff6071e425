"""What an actor's scope means in SQL; every query of the archive carries it."""

from typing import Any

from dicomweb_box.accounts.access import Scope
from dicomweb_box.database import in_list


def series_condition(
    scope: Scope, *, study: str = "study", series: str = "series"
) -> tuple[str, dict[str, Any]]:
    """A condition on joined study and series rows, true where the series is visible; and its parameters.

    A series of several sources is visible only if all of them are.
    """
    conditions: list[str] = []
    params: dict[str, Any] = {}
    if scope.studies is not None:
        names, more = in_list("scope_study", sorted(scope.studies))
        conditions.append(f"{study}.study_uid in {names}")
        params |= more
    if scope.sources is not None and not scope.sources:
        conditions.append("1 = 0")
    elif scope.sources is not None:
        names, more = in_list("scope_source", sorted(scope.sources))
        conditions.append(
            "not exists (select 1 from series_source where series_source.series_id ="
            f" {series}.id and series_source.source not in {names})"
        )
        params |= more
    return " and ".join(conditions) or "1 = 1", params
