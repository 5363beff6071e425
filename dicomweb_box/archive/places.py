"""Where a series or an instance is that only its own UID names."""

from dicomweb_box.accounts.access import Actor, Scope
from dicomweb_box.archive import visibility
from dicomweb_box.archive.missing import missing
from dicomweb_box.box import Box
from dicomweb_box.errors import BadRequest

_SERIES = (
    "select study.study_uid, series.series_uid from series join study on study.id = series.study_id"
    " where series.realm = :realm and series.series_uid = :uid and series.instance_count > 0"
)
_INSTANCE = (
    "select study.study_uid, series.series_uid from instance"
    " join series on series.id = instance.series_id join study on study.id = instance.study_id"
    " where instance.realm = :realm and instance.instance_uid = :uid and instance.state = 'current'"
)


async def of_series(box: Box, series_uid: str, *, scope: Scope, actor: Actor) -> tuple[str, str]:
    """The study's and series' UID; NotFound, or BadRequest where several studies have such a series."""
    found = await _place(box, _SERIES, series_uid, scope, actor)
    if found is None:
        raise await missing(box, "there is no such series", series_uid=series_uid, scope=scope)
    return found


async def of_instance(box: Box, instance_uid: str, *, scope: Scope, actor: Actor) -> tuple[str, str]:
    """The UIDs of the study and series that the instance is in; NotFound."""
    found = await _place(box, _INSTANCE, instance_uid, scope, actor)
    if found is None:
        raise await missing(box, "there is no such instance", instance_uid=instance_uid, scope=scope)
    return found


async def _place(box: Box, sql: str, uid: str, scope: Scope, actor: Actor) -> tuple[str, str] | None:
    del actor  # reading is not recorded; the scope says what may be seen
    where, params = visibility.series_condition(scope)
    rows = await box.database.fetch_all(
        f"{sql} and {where} limit 2", params | {"realm": scope.realm, "uid": uid}
    )
    if not rows:
        return None
    if len(rows) > 1:
        raise BadRequest("Several studies have a series of this UID: the address must name the study.")
    return rows[0][0], rows[0][1]
