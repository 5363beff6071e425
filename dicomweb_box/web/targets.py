"""What an action is to be done with: studies and series by UID, or all of a selection.

Every action takes them alike, in the query of its page and in what is posted: `study=<uid>` and
`series=<study uid>/<series uid>`, each any number of times, or `selection=<id>`.
"""

from dataclasses import dataclass
from urllib.parse import urlencode

from starlette.requests import Request

from dicomweb_box.archive import selections
from dicomweb_box.archive.selections import Members
from dicomweb_box.asgi.identity import identify
from dicomweb_box.errors import BadRequest
from dicomweb_box.web.forms import Fields


@dataclass(frozen=True, kw_only=True, slots=True)
class Targets:
    """Studies, and series of other studies, that the asking actor sees."""

    studies: tuple[str, ...] = ()
    series: tuple[tuple[str, str], ...] = ()
    """Study and series UID; none of a study that is there as a whole."""
    selection: str | None = None
    """Whose members they are."""

    @property
    def fields(self) -> list[tuple[str, str]]:
        """The names and values that say the same again, for a form or an address."""
        if self.selection is not None:
            return [("selection", self.selection)]
        of_series = [("series", f"{study}/{series}") for study, series in self.series]
        return [*(("study", study) for study in self.studies), *of_series]

    @property
    def query(self) -> str:
        """The same as the query of an address."""
        return urlencode(self.fields)


def asked(request: Request) -> Fields:
    """The query's fields, for a page that is reached by GET."""
    found: dict[str, list[str]] = {}
    for name, value in request.query_params.multi_items():
        found.setdefault(name, []).append(value)
    return Fields(found)


async def targets(request: Request, fields: Fields) -> Targets:
    """What the fields name; BadRequest where that is nothing, NotFound where some of it is not there."""
    actor, scope = identify(request)
    box = request.app.state.box
    given, key = named(fields), fields.one("selection") or None
    if key is not None:
        if given.count:
            raise BadRequest("Name either a selection, or studies and series.")
        found = await selections.members(box, key, scope=scope, actor=actor)
        if not found.count:
            raise BadRequest("The selection holds nothing that is still there.")
        return _targets(found, key)
    if not given.count:
        raise BadRequest("Name what it is about, by study, series or selection.")
    await selections.require(box, given, scope=scope, actor=actor)
    return _targets(given, None)


def named(fields: Fields) -> Members:
    """The studies and series that fields name, each once; BadRequest for a series without its study."""
    pairs = []
    for text in fields.all("series"):
        study, slash, series = text.partition("/")
        if not (study and slash and series) or "/" in series:
            raise BadRequest("A series is named as <Study Instance UID>/<Series Instance UID>.")
        pairs.append((study, series))
    return Members(studies=tuple(dict.fromkeys(fields.all("study"))), series=tuple(dict.fromkeys(pairs)))


def _targets(found: Members, key: str | None) -> Targets:
    whole = set(found.studies)
    others = tuple((study, series) for study, series in found.series if study not in whole)
    return Targets(studies=found.studies, series=others, selection=key)
