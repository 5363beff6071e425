"""What an actor's scope means in SQL; every query of the archive carries it."""

from typing import Any

from dicomweb_box.accounts.access import Scope
from dicomweb_box.archive.label_name import fold, written
from dicomweb_box.database import in_list


def series_condition(
    scope: Scope, *, study: str = "study", series: str = "series"
) -> tuple[str, dict[str, Any]]:
    """A condition on joined study and series rows, true where the series is visible; and its parameters.

    A series of several sources is visible only if all of them are. The parameters are the same for whatever
    tables are named.
    """
    conditions: list[str] = []
    params: dict[str, Any] = {}
    if scope.studies is not None and not scope.studies:
        # Not `in (null)`: that is neither true nor false, and stays so under `not`.
        conditions.append("1 = 0")
    elif scope.studies is not None:
        names, more = in_list("scope_study", sorted(scope.studies))
        conditions.append(f"{study}.study_uid in {names}")
        params |= more
    if scope.series is not None:
        names, more = in_list("scope_series", sorted(scope.series))
        conditions.append(f"{series}.series_uid in {names}")
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
    held, more = labels_condition(
        scope, realm=f"{study}.realm", study_uid=f"{study}.study_uid", series_uid=f"{series}.series_uid"
    )
    return " and ".join([*conditions, *held]) or "1 = 1", params | more


def labels_condition(
    scope: Scope, *, realm: str, study_uid: str, series_uid: str
) -> tuple[list[str], dict[str, Any]]:
    """Conditions that the series of these UIDs, or its study, has a label of each set; and their parameters.

    By hand or by a rule; a name that no label has gives nothing.
    """
    conditions: list[str] = []
    params: dict[str, Any] = {}
    for number in range(len(scope.labels)):
        names, more = label_names(scope, number)
        # Crossed: SQLite would otherwise begin with all that has one of the labels.
        conditions.append(
            "exists (select 1 from label_member as scope_member cross join label as scope_label"
            f" where scope_member.realm = {realm} and scope_member.study_uid = {study_uid}"
            f" and scope_member.series_uid in ('', {series_uid})"
            f" and scope_label.id = scope_member.label_id and scope_label.folded in {names})"
        )
        params |= more
    return conditions, params


def label_names(scope: Scope, number: int) -> tuple[str, dict[str, Any]]:
    """The names of one of the scope's sets of labels as `column in …`, with its parameters."""
    return in_list(f"scope_label{number}_", sorted(fold(written(name)) for name in scope.labels[number]))
