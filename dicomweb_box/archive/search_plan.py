"""A Query as one SQL select: where its rows start, what they must satisfy, and how they are ordered.

SQLite has no statistics and is told where to start, by the order of its cross joins; PostgreSQL decides
itself.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from dicomweb_box.accounts.access import Scope
from dicomweb_box.archive import conditions, visibility
from dicomweb_box.archive.conditions import Parameters
from dicomweb_box.archive.declared import Declared
from dicomweb_box.archive.labelled import Labelled
from dicomweb_box.database.statements import Dialect
from dicomweb_box.dicom.attribute_path import LABELS, AttributePath
from dicomweb_box.dicom.attributes import BY_TAG, LEVELS, SERIES_LEVEL_TAGS, STUDY_LEVEL_TAGS, Level
from dicomweb_box.dicom.matches import Combined, Empty, Exact, Match
from dicomweb_box.dicom.matching import Order, Query
from dicomweb_box.errors import BadQuery

Table = Literal["study", "series", "instance"]

_STUDY_ORDER = (Order("00080020", descending=True), Order("00080030", descending=True), Order("0020000D"))
# Within the default order of studies; what has no number comes first.
_TAILS = {
    "study": "study.study_date desc, study.study_time desc, study.study_uid",
    "series": "series.series_number nulls first, series.series_uid",
    "instance": "instance.instance_number nulls first, instance.instance_uid",
}
_COUNTERS = {
    "00201206": "study.series_count",
    "00201208": "study.instance_count",
    "00201209": "series.instance_count",
}
_REQUESTS = {
    "00400275.00400009": "scheduled_procedure_step_id",
    "00400275.00401001": "requested_procedure_id",
}
_TABLES: dict[Level, dict[Table, tuple[Table, ...]]] = {
    "study": {"study": ("study",)},
    "series": {"study": ("study", "series"), "series": ("series", "study")},
    "instance": {
        "study": ("study", "series", "instance"),
        "series": ("series", "study", "instance"),
        "instance": ("instance", "series", "study"),
    },
}
_JOINS = {"series": "series.study_id = study.id", "instance": "instance.series_id = series.id"}


@dataclass(kw_only=True)
class Plan:
    """The parts of the select, gathered key by key."""

    query: Query
    scope: Scope
    dialect: Dialect
    bind: Parameters = field(default_factory=Parameters)
    conditions: list[str] = field(default_factory=list)
    start: Table = "study"
    hits: str | None = None
    """A select of the ids, in table `start`, that can match at all."""
    in_scope: str | None = None
    """The same for the studies that the scope names; used where nothing narrower is known."""
    by_modality: str | None = None
    """The condition on Modalities in Study, dropped where the start is those studies alone."""
    columns: dict[str, Match] = field(default_factory=dict)
    """The keys that became conditions, by table and column."""
    verify: list[tuple[str, Match]] = field(default_factory=list)
    """Keys whose condition lets too much through, with the column to look at."""
    scan: list[Match | Combined] = field(default_factory=list)
    """Keys without a column, looked up in the rows' DICOM JSON."""
    ignored: list[str] = field(default_factory=list)
    """A sentence for each key that cannot be matched here."""

    @property
    def tables(self) -> tuple[Table, ...]:
        """The tables joined, in the order they are walked."""
        return _TABLES[self.query.level][self.start]

    @property
    def default_order(self) -> bool:
        """Whether rows come by study date, newest first."""
        return not self.query.order or self.query.order == _STUDY_ORDER[: len(self.query.order)]

    def select(self, columns: str, more: str = "", *, hits: str | None = None) -> str:
        """The select of these columns, without order."""
        hits = hits or self.hits or (self.in_scope if self.start == "study" else None)
        tables = list(self.tables)
        where = [*self.conditions, *(_JOINS[table] for table in tables if table != "study")]
        if self.by_modality:
            where.append(self.by_modality)
        source = " cross join ".join(tables)
        if hits:
            source = f"({hits}) as hit cross join {source}"
            where.append(f"{tables[0]}.id = hit.id")
        return f"select {columns} from {source} where {' and '.join(where)}{more}"

    def order_by(self) -> str:
        """The total order: as asked, then by study, series and instance."""
        parts = [] if self.default_order else [self._ordering(order) for order in self.query.order]
        parts.extend(_TAILS[level] for level in LEVELS[: LEVELS.index(self.query.level) + 1])
        return " order by " + ", ".join(parts)

    def _ordering(self, order: Order) -> str:
        attribute = BY_TAG.get(order.tag)
        if attribute and attribute.kind != "number":
            return f"{attribute.level}.{attribute.column}" + (" desc" if order.descending else "")
        column = f"{attribute.level}.{attribute.column}" if attribute else self._counter(order.tag)
        return column + (" desc nulls last" if order.descending else " nulls first")

    def _counter(self, tag: str) -> str:
        if self.scope.whole or tag == "00201209":
            return _COUNTERS[tag]
        # The maintained counters would tell of series that this actor may not see.
        sql, _ = visibility.series_condition(self.scope, series="counted")
        what = "count(*)" if tag == "00201206" else "sum(counted.instance_count)"
        return f"(select {what} from series as counted where counted.study_id = study.id and {sql})"


def make_plan(
    query: Query,
    scope: Scope,
    dialect: Dialect,
    declared: Sequence[Declared],
    labelled: Labelled | None = None,
) -> Plan:
    """The plan of a query; raises BadQuery for a strict one that asks what cannot be matched."""
    plan = Plan(query=query, scope=scope, dialect=dialect)
    _bound(plan)
    _visible(plan)
    ready = {str(attribute.path): attribute for attribute in declared}
    for key in query.keys:
        if key.tests and key.path == LABELS and labelled:
            _add_labels(plan, labelled)
        elif key.tests:
            _add(plan, key, ready.get(str(key.path)))
    for combined in query.combined:
        _add_combined(plan, combined)
    _check_order(plan)
    if plan.ignored and query.strict:
        raise BadQuery(plan.ignored[0])
    return plan


def _bound(plan: Plan) -> None:
    query, bind = plan.query, plan.bind
    plan.conditions.append(f"study.realm = {bind(plan.scope.realm)}")
    if query.study_uid is not None:
        plan.conditions.append(f"study.study_uid = {bind(query.study_uid)}")
    if query.series_uid is not None:
        plan.conditions.append(f"series.series_uid = {bind(query.series_uid)}")
    if query.level == "instance":
        plan.conditions.append("instance.state = 'current'")


def _visible(plan: Plan) -> None:
    if plan.scope.whole:
        return
    table = "visible" if plan.query.level == "study" else "series"
    sql, params = visibility.series_condition(plan.scope, series=table)
    plan.bind.values.update(params)
    if plan.query.level == "study":
        sql = f"exists (select 1 from series as visible where visible.study_id = study.id and {sql})"
    plan.conditions.append(sql)
    if plan.scope.studies is not None and plan.query.study_uid is None:
        names = ", ".join(f":{name}" for name in params if name.startswith("scope_study"))
        realm = plan.bind(plan.scope.realm)
        plan.in_scope = f"select id from study where realm = {realm} and study_uid in ({names or 'null'})"


def _add(plan: Plan, key: Match, declared: Declared | None) -> None:
    attribute = BY_TAG.get(key.path.head) if len(key.path.steps) == 1 else None
    path = str(key.path)
    if attribute and LEVELS.index(attribute.level) <= LEVELS.index(plan.query.level):
        _add_column(plan, key, f"{attribute.level}.{attribute.column}")
    elif path == "00080061":
        _add_modalities(plan, key)
    elif path in _REQUESTS and plan.query.level != "study":
        _add_request(plan, key, _REQUESTS[path])
    elif declared and declared.ready:
        _add_declared(plan, key, declared)
    elif _scannable(plan.query, key.path):
        plan.scan.append(key)
    else:
        _ignore(plan, key, declared)


def has_index(path: AttributePath, level: Level) -> bool:
    """Whether an attribute of this level's rows, or of those above, is searched without being declared."""
    attribute = BY_TAG.get(path.head) if len(path.steps) == 1 else None
    if attribute:
        return LEVELS.index(attribute.level) <= LEVELS.index(level)
    return str(path) == "00080061" or (str(path) in _REQUESTS and level != "study")


def _ignore(plan: Plan, key: Match, declared: Declared | None) -> None:
    why = "is still being indexed" if declared else "is not indexed for search at this level"
    plan.ignored.append(f"{key.name} {why} and is ignored.")


def _add_column(plan: Plan, key: Match, column: str) -> None:
    condition = conditions.on_column(key, column, plan.bind, plan.dialect)
    plan.conditions.append(condition.sql)
    plan.columns[column] = key
    if not condition.exact:
        plan.verify.append((column, key))
    if column in ("series.series_uid", "instance.instance_uid") and _is_exact(key):
        _start_at(plan, "instance" if column.startswith("instance") else "series")


def _start_at(plan: Plan, table: Table) -> None:
    """Start from rows of this table that a condition names by UID, unless the start is narrow already."""
    if plan.hits is None and plan.start != "instance":
        plan.start = table
        plan.conditions.append(f"{table}.realm = {plan.bind(plan.scope.realm)}")


def _is_exact(key: Match) -> bool:
    return all(isinstance(test, Exact) for test in key.tests)


def _add_modalities(plan: Plan, key: Match) -> None:
    wanted = tuple(test for test in key.tests if not isinstance(test, Empty))
    parts = []
    if wanted:
        parts.append(_has_modality(plan, Match(key.path, wanted, key.name)))
        if len(wanted) == len(key.tests) and not plan.by_modality:
            plan.columns["study_modality.modality"] = key
    if len(wanted) < len(key.tests):
        parts.append("not " + _has_modality(plan, None))
    if plan.by_modality:
        # A second key, which has to match as well (PS3.4 C.2.2.2.8): only one can be where the search begins.
        plan.conditions.append("(" + " or ".join(parts) + ")")
    else:
        plan.by_modality = "(" + " or ".join(parts) + ")"


def _has_modality(plan: Plan, key: Match | None) -> str:
    if plan.scope.whole:
        table, column, more = "study_modality", "study_modality.modality", ""
    else:
        sql, _ = visibility.series_condition(plan.scope, series="other")
        table, column, more = "series as other", "other.modality", f" and {sql}"
    name = table.split()[-1]
    test = conditions.on_column(key, column, plan.bind, plan.dialect).sql if key else f"{column} <> ''"
    return f"exists (select 1 from {table} where {name}.study_id = study.id and {test}{more})"


def _add_request(plan: Plan, key: Match, column: str) -> None:
    if any(isinstance(test, Empty) for test in key.tests):
        plan.scan.append(key)
        return
    condition = conditions.on_column(key, column, plan.bind, plan.dialect)
    _start_with(plan, "series", f"select distinct series_id as id from series_request where {condition.sql}")


def _add_declared(plan: Plan, key: Match, declared: Declared) -> None:
    level = plan.query.level
    owner = f"attribute_value.{level}_id"
    select = f"select distinct {owner} as id from attribute_value"
    where = f" where attribute_value.attribute_id = {plan.bind(declared.id)}"
    if not plan.scope.whole and level == "study":
        sql, _ = visibility.series_condition(plan.scope, series="declared_in", study="declared_of")
        select += (
            " join series as declared_in on declared_in.id = attribute_value.series_id"
            " join study as declared_of on declared_of.id = attribute_value.study_id"
        )
        where += f" and {sql}"
    wanted = [test for test in key.tests if not isinstance(test, Empty)]
    absent = f"{level}.id not in ({select}{where})"
    if len(wanted) < len(key.tests) and not wanted:
        plan.conditions.append(absent)
        return
    condition = conditions.on_text(key, "attribute_value.value", plan.bind, plan.dialect)
    if not condition.exact:
        _ignore(plan, key, None)
        return
    hits = f"{select}{where} and {condition.sql}"
    if len(wanted) < len(key.tests):
        plan.conditions.append(f"({absent} or {level}.id in ({hits}))")
    else:
        _start_with(plan, level, hits)


def _add_labels(plan: Plan, labelled: Labelled) -> None:
    level = plan.query.level
    plan.conditions.append(labelled.condition(level, plan.scope, plan.bind))
    hits = labelled.hits(level, plan.bind)
    if hits:
        _start_with(plan, "study" if level == "study" else "series", hits)


def _start_with(plan: Plan, table: Table, hits: str) -> None:
    """Start from these rows, or only require them where the start is known already."""
    if plan.hits is None and plan.start == "study":
        plan.start, plan.hits = table, hits
    else:
        plan.conditions.append(f"{table}.id in ({hits})")


def _scannable(query: Query, path: AttributePath) -> bool:
    """Whether the search is narrow enough to read each row's DICOM JSON: within named studies or series."""
    named = {key.path.head for key in query.keys if key.tests and _is_exact(key)}
    if query.study_uid is None and not named & {"0020000D", "0020000E"}:
        return False
    if query.level == "instance":
        return True
    kept = STUDY_LEVEL_TAGS if query.level == "study" else STUDY_LEVEL_TAGS | SERIES_LEVEL_TAGS
    return path.head in kept


def _add_combined(plan: Plan, combined: Combined) -> None:
    date = BY_TAG.get(combined.date.path.head)
    time = BY_TAG.get(combined.time.path.head)
    if date and time and LEVELS.index(date.level) <= LEVELS.index(plan.query.level):
        names = (f"{date.level}.{date.column}", f"{time.level}.{time.column}")
        plan.conditions.append(conditions.on_moment(combined, *names, plan.bind))
    elif _scannable(plan.query, combined.date.path):
        plan.scan.append(combined)
    else:
        _ignore(plan, combined.date, None)


def _check_order(plan: Plan) -> None:
    for order in plan.query.order:
        level = BY_TAG[order.tag].level if order.tag in BY_TAG else _COUNTERS[order.tag].split(".")[0]
        if level not in LEVELS[: LEVELS.index(plan.query.level) + 1]:
            raise BadQuery("orderby names an attribute of a lower level.")
