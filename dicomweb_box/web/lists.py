"""Lists of studies and series as pages show them: rows, the fields to search by, the ways to other pages."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlencode

from starlette.requests import Request

from dicomweb_box.archive import browse, browse_filters, given_labels, labels
from dicomweb_box.archive.browse import Entry, Listed, Total
from dicomweb_box.archive.browse_filters import Choices
from dicomweb_box.asgi.identity import identify
from dicomweb_box.dicom.words.modalities import MEANINGS
from dicomweb_box.web import columns, days
from dicomweb_box.web.columns import Column
from dicomweb_box.web.views import KEYS, SIZES, View, ask_of, sealed


@dataclass(frozen=True, kw_only=True)
class Row:
    """One row: where it leads, what it is called for an action, and the value of each column."""

    href: str
    field: str
    """`study` or `series`, as `web.targets` reads it."""
    target: str
    values: tuple[tuple[Column, Any], ...]
    disagreement: bool


@dataclass(frozen=True, kw_only=True)
class Table:
    """One page of a list."""

    view: View
    rows: tuple[Row, ...] = ()
    entries: tuple[Entry, ...] = ()
    total: Total | None = None
    newer: str | None = None
    older: str | None = None
    message: str | None = None

    @property
    def invalid(self) -> str | None:
        """The field that the message is about: it begins with its name."""
        names = ("q", *KEYS[self.view.level], "source")
        return next((name for name in names if self.message and self.message.startswith(name)), None)


async def table(request: Request, view: View) -> Table:
    """The page that a view asks for; raises BadQuery for what cannot be meant."""
    box = request.app.state.box
    actor, scope = identify(request)
    found = await browse.listed(box, await ask_of(box, view), scope=scope, actor=actor)
    names: Mapping[tuple[str, str], Sequence[given_labels.Given]] = {}
    if found.entries and any(column.kind == "labels" for column in view.columns):
        uids = list(dict.fromkeys(entry.study_uid for entry in found.entries))
        names = await given_labels.of_studies(box, uids, scope=scope, actor=actor)
    newer, older = await _ways(request, view, found)
    return Table(
        view=view,
        rows=tuple(_row(entry, view, names) for entry in found.entries),
        entries=found.entries,
        total=found.total,
        newer=newer,
        older=older,
    )


async def _ways(request: Request, view: View, found: Listed) -> tuple[str | None, str | None]:
    box, first = request.app.state.box, view.first()
    if not found.entries:
        # Everything behind (or before) this place is gone: the way on is the first page.
        return (first.address if view.after or view.before else None), None
    newer = older = None
    if found.before:
        newer = replace(first, before=await sealed(box, view, found.entries[0].place)).address
    if found.behind:
        older = replace(first, after=await sealed(box, view, found.entries[-1].place)).address
    return newer, older


def _row(entry: Entry, view: View, names: Mapping[tuple[str, str], Sequence[given_labels.Given]]) -> Row:
    given = names.get((entry.study_uid, entry.series_uid or ""), ())
    values = tuple(
        (column, tuple(one.name for one in given) if column.kind == "labels" else column.read(entry))
        for column in view.columns
    )
    study = f"/studies/{entry.study_uid}"
    if entry.series_uid is None:
        href, field, target = study, "study", entry.study_uid
    else:
        href, field = f"{study}/series/{entry.series_uid}", "series"
        target = f"{entry.study_uid}/{entry.series_uid}"
    return Row(href=href, field=field, target=target, values=values, disagreement=entry.disagreement)


async def form(request: Request, view: View) -> dict[str, Any]:
    """What the search form of a list offers."""
    actor, scope = identify(request)
    box = request.app.state.box
    found = await browse_filters.choices(box, scope=scope, actor=actor)
    day = view.given.get("StudyDate", "")
    today = box.clock().astimezone().date()
    keys = [key for key in view.keys(today) if view.level == "series" or key[0] != "BodyPartExamined"]
    service = "/dicom-web/studies" if view.level == "study" else "/dicom-web/series"
    return {
        "alternate": f"{service}?{urlencode(keys)}" if keys else service,
        "choices": _choices(view, found),
        "label_names": await labels.names(box, scope=scope, actor=actor),
        "presets": [(name, words) for name, (words, _) in days.PRESETS.items()],
        "dates": days.ends(day),
        "other_days": "" if day in days.PRESETS or any(days.ends(day)) else day,
        "modality_field": "ModalitiesInStudy" if view.level == "study" else "Modality",
        "description_field": "StudyDescription" if view.level == "study" else "SeriesDescription",
        "every_column": columns.OF_LEVEL[view.level] if view.identities else (),
        "sizes": SIZES,
    }


def _choices(view: View, found: Choices) -> dict[str, list[tuple[str, str]]]:
    """Values to choose from by field, each with what it says; what the address asks for among them."""
    modality = "ModalitiesInStudy" if view.level == "study" else "Modality"
    offered = {
        modality: [(name, _modality(name)) for name in found.modalities],
        "BodyPartExamined": [(name, name) for name in found.body_parts],
        "source": [(name, name) for name in found.sources],
    }
    for name, values in offered.items():
        asked = view.given.get(name)
        if asked and asked not in (value for value, _ in values):
            values.append((asked, asked))
    return offered


def _modality(name: str) -> str:
    meaning = MEANINGS.get(name)
    return f"{name} – {meaning}" if meaning else name


def resource(found: Table) -> dict[str, Any]:
    """A page of a list for programs."""
    return {
        ("studies" if found.view.level == "study" else "series"): [_entry(one) for one in found.entries],
        "total": None if found.total is None else {"count": found.total.count, "more": found.total.more},
        "newer": _twin(found.newer),
        "older": _twin(found.older),
    }


def _twin(address: str | None) -> str | None:
    if address is None:
        return None
    path, mark, query = address.partition("?")
    return f"{path}.json{mark}{query}"


def _entry(entry: Entry) -> dict[str, Any]:
    # When it came is not told to those who may not know whose it is.
    stamps = {name: getattr(entry, name) for name in ("stored_at", "changed_at") if getattr(entry, name)}
    plain = stamps | {
        "study_uid": entry.study_uid,
        "study": entry.study,
        "modalities": entry.modalities,
        "instance_count": entry.instance_count,
        "size": entry.size,
        "disagreement": entry.disagreement,
    }
    if entry.series_uid is None:
        return plain | {"series_count": entry.series_count}
    return plain | {"series_uid": entry.series_uid, "series": entry.series, "body_part": entry.body_part}
