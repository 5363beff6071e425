"""What a share link shows: the studies and series that somebody named, as a scope."""

from dicomweb_box.accounts.access import Actor, Scope
from dicomweb_box.archive import visibility
from dicomweb_box.archive.selections import Members
from dicomweb_box.box import Box
from dicomweb_box.database import Reader, in_list
from dicomweb_box.errors import Conflict, NotFound

MOST = 2000
"""Studies, and series, of one link: each request that comes by it carries them."""


async def part(box: Box, members: Members, *, scope: Scope, actor: Actor) -> dict[str, list[str]]:
    """The scope of these, as JSON keeps it.

    Raises NotFound where none of them is visible, Conflict for too many.
    Whole studies stay whole: what arrives of them later is shown too. Where single series are named, or where
    `scope` may hide some of a study, it is the series that are visible now.
    """
    del actor
    studies = sorted({*members.studies, *(study for study, _ in members.series)})
    _few(len(studies), "studies")
    if not members.series and not scope.by_series:
        return {"studies": studies}
    seen, params = visibility.series_condition(scope)
    names, more = in_list("shared", studies)

    async def work(r: Reader) -> list[tuple[str, str]]:
        rows = await r.fetch_all(
            "select study.study_uid, series.series_uid from study join series on series.study_id = study.id"
            f" where study.realm = :realm and study.study_uid in {names} and {seen} limit :most",
            {**params, **more, "realm": scope.realm, "most": 10 * MOST},
        )
        return [(row[0], row[1]) for row in rows]

    whole, single = set(members.studies), set(members.series)
    found = [pair for pair in await box.database.read(work) if pair[0] in whole or pair in single]
    if not found:
        raise NotFound("there is no such study or series")
    _few(len(found), "series")
    return {"studies": sorted({study for study, _ in found}), "series": sorted(series for _, series in found)}


def _few(number: int, what: str) -> None:
    if number > MOST:
        raise Conflict(f"A link shows at most {MOST} {what}.")
