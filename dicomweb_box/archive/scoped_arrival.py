"""Whether an arriving instance would touch what its sender may not.

Who sees a part of the archive must not change the rest: neither put an instance into a study that they do not
see, nor another version beside an instance, nor a source into a series (which would hide it from others).
"""

from collections.abc import Sequence
from typing import Protocol

from dicomweb_box.accounts.access import Scope
from dicomweb_box.archive import visibility
from dicomweb_box.database import Row, Writer


class Arriving(Protocol):
    """What there is to know of it."""

    @property
    def realm(self) -> str: ...
    @property
    def study_uid(self) -> str: ...
    @property
    def series_uid(self) -> str: ...
    @property
    def instance_uid(self) -> str: ...
    @property
    def source(self) -> str: ...
    @property
    def scope(self) -> Scope: ...


async def is_outside(w: Writer, arrival: Arriving, versions: Sequence[Row]) -> bool:
    """Whether it is for a study, series or instance that is there and that its sender does not see.

    What came from the same source alone is its sender's own, seen or not. Where a scope names studies or
    sources, what is not among them is outside, there or not.
    """
    scope = arrival.scope
    if scope.studies is not None and arrival.study_uid not in scope.studies:
        return True
    if scope.sources is not None and arrival.source not in scope.sources:
        return True
    if versions and all(row["state"] != "current" for row in versions):
        return True  # of what is rejected or held alone nobody can say whose it is
    visible, params = visibility.series_condition(scope)
    visible = f"({visible} or {_OWN})"
    row = await w.fetch_one(
        _TOUCHED.replace("{visible}", visible),
        {
            **params,
            "source": arrival.source,
            "realm": arrival.realm,
            "study": arrival.study_uid,
            "series": arrival.series_uid,
            "instance": arrival.instance_uid,
        },
    )
    return row is not None and bool((row["there"] and not row["seen"]) or row["hidden"] or row["others"])


_OWN = (
    "not exists (select 1 from series_source where series_source.series_id = series.id"
    " and series_source.source <> :source)"
)
_SERIES = "from series join study on study.id = series.study_id where study.realm = :realm"
_TOUCHED = (
    "select (select count(*) from study where realm = :realm and study_uid = :study) as there,"
    f" (select count(*) {_SERIES} and study.study_uid = :study and {{visible}}) as seen,"
    f" (select count(*) {_SERIES} and study.study_uid = :study and series.series_uid = :series"
    " and not ({visible})) as hidden,"
    " (select count(*) from instance join series on series.id = instance.series_id"
    " join study on study.id = series.study_id where instance.realm = :realm"
    " and instance.instance_uid = :instance and instance.state = 'current' and not ({visible})) as others"
)
