"""Several studies and series as one ZIP archive of instances as they were stored, written while it is sent.

Each study is looked up when its turn comes: nobody waits until the last is found, and only one is held.
"""

from collections.abc import Sequence
from functools import partial

from dicomweb_box.accounts import audit
from dicomweb_box.accounts.access import Actor, Scope
from dicomweb_box.accounts.audit_words import Action
from dicomweb_box.archive import retrieve
from dicomweb_box.archive.body import Body, Later
from dicomweb_box.archive.explicit_body import stored_body
from dicomweb_box.archive.selections import Members
from dicomweb_box.archive.zip_body import ZipWriter, name_of
from dicomweb_box.box import Box
from dicomweb_box.errors import NotFound


async def tell(box: Box, members: Members, *, actor: Actor) -> None:
    """Record for each study that it is given out: before it is."""
    parts: dict[str, list[str]] = {study: [] for study in members.studies}
    for study, series in members.series:
        if study not in members.studies:
            parts.setdefault(study, []).append(series)
    entries = [
        audit.Entry(
            actor=actor, action=Action.EXPORT, study=study, about={"series": series} if series else {}
        )
        for study, series in parts.items()
    ]
    await audit.recorded(box, *entries)


def archive(box: Box, members: Members, *, scope: Scope, actor: Actor) -> list[Body]:
    """The body of the archive; what is removed before its turn is left out."""
    writer = ZipWriter(box)
    whole = set(members.studies)
    pairs: list[tuple[str, str | None]] = [(study, None) for study in members.studies]
    pairs += [(study, series) for study, series in members.series if study not in whole]

    async def of_one(study_uid: str, series_uid: str | None) -> Sequence[Body]:
        try:
            found = await retrieve.instances(box, study_uid, series_uid, scope=scope, actor=actor)
        except NotFound:
            return []
        numbers = await retrieve.series_numbers(box, study_uid, scope=scope)
        return [writer.member(name_of(one, numbers), partial(stored_body, box, one)) for one in found]

    return [*(Later(partial(of_one, study, series)) for study, series in pairs), writer.end()]
