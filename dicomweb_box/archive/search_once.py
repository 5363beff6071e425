"""Pages of studies that take one statement, which PostgreSQL plans once for whatever values are asked.

A transaction around two statements, each planned anew, costs more CPU than most pages do. What is here has
one way to its rows, and its text leaves PostgreSQL no other. SQLite finds names in its own text index.
"""

from collections.abc import Sequence

from dicomweb_box.archive.search_brief import name_window
from dicomweb_box.archive.search_days import is_deep
from dicomweb_box.archive.search_plan import Plan
from dicomweb_box.archive.search_windows import LISTED, modality_window
from dicomweb_box.dicom.matches import Exact, Pattern, Sounds

_DATE = "study.study_date"
_NAME = "study.patient_name"
_MODALITY = "study_modality.modality"
_MOST_MODALITIES = 20


def once(plan: Plan, columns: str, limit: int) -> str | None:
    """The statement that gives the page and one row more; None, with nothing bound, where it takes more."""
    if plan.query.level != "study" or not _is_plain(plan):
        return None
    keys = plan.columns.keys()
    window = modality_window(plan)
    if window and keys <= {_DATE, _MODALITY} and len(window.modalities) <= _MOST_MODALITIES:
        return _by_modality(plan, columns, limit, window.modalities)
    if plan.dialect == "sqlite":
        return _by_date(plan, columns, limit) if keys <= {_DATE} else None
    if keys & set(LISTED):
        return _listed(plan, columns, limit)
    if keys <= {_DATE, _NAME}:
        return _by_name(plan, columns, limit) if _NAME in keys else _by_date(plan, columns, limit)
    return None


def by_id(plan: Plan, columns: str, chosen: str) -> str:
    """The rows of the studies of these ids; as an array, they cost PostgreSQL a third of the planning."""
    if plan.dialect == "sqlite":
        hits = f"from ({chosen}) as hit cross join study where study.id = hit.id"
        return f"select {columns} {hits}{plan.order_by()}"
    return f"select {columns} from study where study.id = any(array({chosen})){plan.order_by()}"


def part_of_page(plan: Plan, offset: int, limit: int | None) -> str:
    """The clause for the page and one row more."""
    if limit is not None:
        return f" limit {plan.bind(limit + 1)} offset {plan.bind(offset)}"
    # SQLite takes an offset with a limit alone.
    return f" limit {plan.bind(2**62)} offset {plan.bind(offset)}" if offset else ""


def _is_plain(plan: Plan) -> bool:
    """Whether every key is a condition on a column of studies, and the order is that of their dates."""
    query = plan.query
    asked = sum(1 for key in query.keys if key.tests)
    dates = all(combined.date.path.head == "00080020" for combined in query.combined)
    whole = plan.scope.whole and query.study_uid is None and plan.start == "study" and plan.hits is None
    return (
        whole
        and dates
        and asked == len(plan.columns)
        and plan.default_order
        and not (plan.verify or plan.scan)
    )


def _listed(plan: Plan, columns: str, limit: int) -> str | None:
    """Of keys that few studies share the value of."""
    tests = [test for key in plan.columns.values() for test in key.tests]
    exact = any(
        len(key.tests) == 1 and isinstance(key.tests[0], Exact)
        for column, key in plan.columns.items()
        if column in LISTED
    )
    if not exact or any(isinstance(test, Pattern | Sounds) for test in tests):
        return None
    # Said aloud, so that an index that leaves out empty values is of use.
    held = "".join(f" and {column} <> ''" for column in sorted(plan.columns.keys() & set(LISTED)))
    return plan.select(columns, held) + plan.order_by() + part_of_page(plan, plan.query.offset, limit)


def _by_name(plan: Plan, columns: str, limit: int) -> str:
    part = part_of_page(plan, plan.query.offset, limit)
    window = name_window(plan)
    if window:
        return by_id(plan, columns, window.page(part))
    # Too short for trigrams, and therefore common: within the index on the date, which holds names.
    return by_id(plan, columns, plan.select("study.id") + plan.order_by() + part)


def _by_date(plan: Plan, columns: str, limit: int) -> str | None:
    offset = plan.query.offset
    if is_deep(plan):
        return _deep(plan, columns, limit) if _DATE not in plan.columns else None
    part = part_of_page(plan, offset, limit)
    if offset:
        # Within the index: what is skipped need not be read.
        return by_id(plan, columns, plan.select("study.id") + plan.order_by() + part)
    return plan.select(columns) + plan.order_by() + part


def _deep(plan: Plan, columns: str, limit: int) -> str:
    """A page behind an offset that is counted down by periods, then by days, then by studies."""
    realm, most = plan.bind(plan.scope.realm), plan.bind(limit + 1)
    offset = f"cast({plan.bind(plan.query.offset)} as bigint)"
    return (
        "with counted as ("
        "select period, lag(period, 1, '9999') over newest as next,"
        " sum(study_count) over newest as upto, study_count"
        f" from study_period where realm = {realm} window newest as (order by period desc)"
        "), chosen as ("
        "select period, next, upto - study_count as before from counted"
        f" where upto > {offset} order by period desc limit 1"
        "), days as ("
        "select study_date, before + sum(study_count) over (order by study_date desc) as upto, study_count"
        f" from study_day, chosen where realm = {realm} and study_date >= period and study_date < next"
        "), place as ("
        "select study_date, cast(upto - study_count as bigint) as before from days"
        f" where upto > {offset} order by study_date desc limit 1"
        ") "
    ) + by_id(
        plan,
        columns,
        f"select id from study where realm = {realm} and study_date <= (select study_date from place)"
        " order by study_date desc, study_time desc, study_uid"
        f" limit {most} offset coalesce({offset} - (select before from place), 0)",
    )


def _by_modality(plan: Plan, columns: str, limit: int, modalities: Sequence[str]) -> str:
    """A page within the index of `study_modality`, which holds all that it is chosen and sorted by."""
    offset = plan.query.offset
    if len(modalities) == 1:
        return by_id(plan, columns, _of_modality(plan, "", modalities[0]) + part_of_page(plan, offset, limit))
    # The page lies within the first of each, in which a study of several modalities comes several times.
    order = ", study.study_date, study.study_time, study.study_uid"
    most = plan.bind(offset + limit + 1)
    parts = [f"({_of_modality(plan, order, modality)} limit {most})" for modality in modalities]
    each = " union ".join(f"select * from {part} as of_{number}" for number, part in enumerate(parts))
    chosen = f"select study.id from ({each}) as study{plan.order_by()}"
    return by_id(plan, columns, chosen + part_of_page(plan, offset, limit))


def _of_modality(plan: Plan, more: str, modality: str) -> str:
    where = " and ".join([*plan.conditions, f"study.modality = {plan.bind(modality)}"])
    return f"select study.study_id as id{more} from study_modality as study where {where}{plan.order_by()}"
