"""What a rejection or an erasure would take: counted before a person decides."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from dicomweb_box.accounts.access import Actor, Scope
from dicomweb_box.archive import visibility
from dicomweb_box.archive.missing import missing
from dicomweb_box.archive.reject import Target
from dicomweb_box.box import Box
from dicomweb_box.database import Reader, Row, in_list

SHOWN = 100
_CHUNK = 200


@dataclass(frozen=True, kw_only=True, slots=True)
class Series:
    """One series of which something would go."""

    study_uid: str
    series_uid: str
    number: int | None
    description: str
    modality: str
    instances: int
    size: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Going:
    """How much would go, and how much that is not served lies beside it."""

    studies: int
    series: int
    instances: int
    size: int
    earlier: int
    """Earlier versions of these instances, which are erased with them."""
    earlier_size: int
    held: int
    """Versions of these instances that wait for a decision, which stay."""
    shown: tuple[Series, ...]
    """The series, up to `SHOWN` of them."""


async def going(box: Box, targets: Sequence[Target], *, scope: Scope, actor: Actor) -> Going:
    """What is there of these studies, series and instances, each counted once.

    Raises NotFound where that is nothing, Gone where it is rejected already.
    """
    del actor

    async def work(reader: Reader) -> tuple[list[Row], dict[str, tuple[int, int]]]:
        series: list[Row] = []
        beside = {"earlier": (0, 0), "held": (0, 0)}
        for condition, params in _chosen(targets):
            where, more = visibility.series_condition(scope)
            chosen = f"study.realm = :realm and instance.state = 'current' and {condition} and {where}"
            params = {**params, **more, "realm": scope.realm}
            series += await reader.fetch_all(_SERIES.format(chosen), params)
            for state, count, size in await reader.fetch_all(_BESIDE.format(chosen), params):
                beside[state] = (beside[state][0] + count, beside[state][1] + int(size))
        return series, beside

    rows, beside = await box.database.read(work)
    if not rows:
        uids = targets[0].uids if targets else (None, None, None)
        raise await missing(box, "there is no such study, series or instance", *uids, scope=scope)
    series = [Series(**{name: row[name] for name in Series.__dataclass_fields__}) for row in rows]
    return Going(
        studies=len({one.study_uid for one in series}),
        series=len({(one.study_uid, one.series_uid) for one in series}),
        instances=sum(one.instances for one in series),
        size=sum(int(one.size) for one in series),
        earlier=beside["earlier"][0],
        earlier_size=beside["earlier"][1],
        held=beside["held"][0],
        shown=tuple(series[:SHOWN]),
    )


_JOINED = (
    " from study join series on series.study_id = study.id join instance on instance.series_id = series.id"
)
_SERIES = (
    "select study.study_uid, series.series_uid, series.series_number as number,"
    " series.series_description as description, series.modality, count(*) as instances,"
    f" sum(instance.size) as size{_JOINED} where {{}}"
    " group by study.study_uid, series.series_uid, series.series_number, series.series_description,"
    " series.modality order by study.study_uid, series.series_number is null, series.series_number,"
    " series.series_uid"
)
_BESIDE = (
    f"select beside.state, count(*), sum(beside.size){_JOINED}"
    " join instance beside on beside.realm = instance.realm and beside.instance_uid = instance.instance_uid"
    " and beside.state in ('earlier', 'held') and beside.state <> 'current'"
    " where {} group by beside.state"
)


def _chosen(targets: Sequence[Target]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Conditions that together hold for each instance below the targets, none for one twice."""
    studies = sorted({one.study_uid for one in targets if one.series_uid is None})
    rest = {one for one in targets if one.study_uid not in set(studies)}
    series = {one for one in rest if one.instance_uid is None}
    whole = {one.uids[:2] for one in series}
    instances = {one for one in rest - series if one.uids[:2] not in whole}
    for start in range(0, len(studies), _CHUNK):
        names, params = in_list("chosen", studies[start : start + _CHUNK])
        yield f"study.study_uid in {names}", params
    for level, below in (("series", series), ("instance", instances)):
        # Several studies may have a series of one UID.
        pairs = sorted({(str(one.uids[1 if level == "series" else 2]), one.study_uid) for one in below})
        for start in range(0, len(pairs), _CHUNK):
            chunk = list(enumerate(pairs[start : start + _CHUNK]))
            either = " or ".join(
                f"({level}.{level}_uid = :chosen{number} and study.study_uid = :owner{number})"
                for number, _ in chunk
            )
            params = {f"chosen{number}": uid for number, (uid, _) in chunk}
            yield f"({either})", params | {f"owner{number}": owner for number, (_, owner) in chunk}
