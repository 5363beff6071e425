"""What is said of a study, series or instance that is not there: never was, or was rejected."""

from typing import Any

from dicomweb_box.accounts.access import Scope
from dicomweb_box.archive.visibility import labels_condition
from dicomweb_box.box import Box
from dicomweb_box.database import in_list
from dicomweb_box.errors import Gone, NotFound

_LEVELS = ("study_uid", "series_uid", "instance_uid")


async def missing(
    box: Box,
    sentence: str,
    study_uid: str | None = None,
    series_uid: str | None = None,
    instance_uid: str | None = None,
    *,
    scope: Scope,
) -> NotFound:
    """The error to raise where nothing is served under these UIDs: Gone where what was there is rejected."""
    where, params = rejected_condition(scope)
    named = zip(_LEVELS, (study_uid, series_uid, instance_uid), strict=True)
    uids = {level: uid for level, uid in named if uid is not None}
    conditions = "".join(f" and rejected.{level} = :{level}" for level in uids)
    found = await box.database.fetch_value(
        f"select 1 from rejected_instance rejected where rejected.realm = :realm{conditions}"
        f" and {where} limit 1",
        {**params, **uids, "realm": scope.realm},
    )
    if found is None:
        return NotFound(sentence)
    return Gone("it was rejected and is not given out; it may still be restored")


def rejected_condition(scope: Scope) -> tuple[str, dict[str, Any]]:
    """True for `rejected` (a row of rejected_instance) where its series was visible; and its parameters."""
    conditions: list[str] = []
    params: dict[str, Any] = {}
    if scope.studies is not None and not scope.studies:
        conditions.append("1 = 0")  # see visibility.series_condition
    elif scope.studies is not None:
        names, more = in_list("scope_study", sorted(scope.studies))
        conditions.append(f"rejected.study_uid in {names}")
        params |= more
    if scope.series is not None:
        names, more = in_list("scope_series", sorted(scope.series))
        conditions.append(f"rejected.series_uid in {names}")
        params |= more
    if scope.sources is not None:
        # As of what is served: a series of several sources is visible only if all of them are.
        names, more = in_list("scope_source", sorted(scope.sources))
        foreign = f"not in {names}" if scope.sources else "is not null"
        conditions.append(
            "not exists (select 1 from rejected_instance foreign_one where foreign_one.realm = rejected.realm"
            " and foreign_one.study_uid = rejected.study_uid and foreign_one.series_uid = rejected.series_uid"
            f" and foreign_one.source {foreign})"
        )
        conditions.append(
            "not exists (select 1 from study served_study join series served on served.study_id ="
            " served_study.id join series_source served_source on served_source.series_id = served.id"
            " where served_study.realm = rejected.realm and served_study.study_uid = rejected.study_uid"
            f" and served.series_uid = rejected.series_uid and served_source.source {foreign})"
        )
        params |= more
    held, more = labels_condition(
        scope, realm="rejected.realm", study_uid="rejected.study_uid", series_uid="rejected.series_uid"
    )
    conditions += held
    params |= more
    return " and ".join(conditions) or "1 = 1", params
