"""The days of a search's studies: the range asked within, and the histogram that deep pages are found by."""

from collections.abc import Sequence
from typing import Any

from dicomweb_box.archive.search_plan import Plan
from dicomweb_box.database import Reader, Row
from dicomweb_box.dicom.matches import Combined, Exact, Range

# An offset beyond which skipping rows costs more than looking into the histogram of days.
_DEEP = 500


def day_range(plan: Plan) -> tuple[str | None, str | None]:
    """The first and last day that study dates are asked within, by a single range or day."""
    for combined in plan.query.combined:
        if combined.date.path.head == "00080020":
            return _days_of(combined)
    key = plan.columns.get("study.study_date")
    if key is None or len(key.tests) != 1:
        return None, None
    match key.tests[0]:
        case Range(low=low, high=high):
            return low, high
        case Exact(day):
            return day, day
    return None, None


def _days_of(combined: Combined) -> tuple[str | None, str | None]:
    low, high = combined.low, combined.high
    return (low[:8] if low else None), (high[:8] if high else None)


def by_day_alone(plan: Plan) -> bool:
    """Whether every study (of some days) is asked for in date order: the histogram counts those."""
    query = plan.query
    keys = [key for key in query.keys if key.tests]
    days_only = all(
        str(key.path) == "00080020" and len(key.tests) == 1 and isinstance(key.tests[0], Range | Exact)
        for key in keys
    )
    whole = query.level == "study" and plan.scope.whole and query.study_uid is None
    return whole and plan.default_order and days_only and not query.combined


def is_deep(plan: Plan) -> bool:
    """Whether the page lies so far behind that its day is looked for first."""
    return plan.query.offset >= _DEEP and by_day_alone(plan)


def days_where(plan: Plan) -> str:
    low, high = day_range(plan)
    where = [f"realm = {plan.bind(plan.scope.realm)}"]
    if low or high:
        where.append("study_date <> ''")
    if low:
        where.append(f"study_date >= {plan.bind(low)}")
    if high:
        where.append(f"study_date <= {plan.bind(high)}")
    return " and ".join(where)


async def sum_of_days(reader: Reader, plan: Plan) -> int:
    sql = f"select coalesce(sum(study_count), 0) from study_day where {days_where(plan)}"
    return int(await reader.fetch_value(sql, plan.bind.values))


async def place_of_offset(reader: Reader, plan: Plan) -> tuple[str, int] | None:
    """The day that the offset falls in, and how many of its studies come before; None behind the end."""
    where, params = days_where(plan), plan.bind.values
    left = plan.query.offset
    if reader.dialect == "postgresql":
        return await _place_by_years(reader, where, params, left)
    last = await reader.fetch_value(f"select max(study_date) from study_day where {where}", params)
    # Year by year, then day by day: sums within the index cost far less than rows.
    while last is not None:
        bounds = f"{where} and study_date <= :last and study_date >= :year"
        of_year = {**params, "last": last, "year": last[:4]}
        held = await reader.fetch_value(f"select sum(study_count) from study_day where {bounds}", of_year)
        if held > left:
            days = await reader.fetch_all(
                f"select study_date, study_count from study_day where {bounds} order by study_date desc",
                of_year,
            )
            return _place_within(days, left)
        left -= int(held)
        before = f"select max(study_date) from study_day where {where} and study_date < :year"
        last = await reader.fetch_value(before, of_year) if last else None
    return None


async def _place_by_years(
    reader: Reader, where: str, params: dict[str, Any], left: int
) -> tuple[str, int] | None:
    """The same with all years at once: on PostgreSQL a round trip costs more than their sums."""
    years = await reader.fetch_all(
        "select left(study_date, 4) as year, cast(sum(study_count) as bigint) as held from study_day"
        f" where {where} group by 1 order by 1 desc",
        params,
    )
    for year, held in years:
        if held > left:
            days = await reader.fetch_all(
                f"select study_date, study_count from study_day where {where} and study_date >= :year"
                " and study_date <= :end order by study_date desc",
                {**params, "year": year, "end": f"{year}9999" if year else ""},
            )
            return _place_within(days, left)
        left -= held
    return None


def _place_within(days: Sequence[Row], left: int) -> tuple[str, int]:
    for row in days:
        if row["study_count"] > left:
            return row["study_date"], left
        left -= row["study_count"]
    raise AssertionError("the histogram changed within one snapshot")
