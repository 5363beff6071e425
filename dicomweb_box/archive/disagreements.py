"""Where the instances of one study or series do not say the same about it."""

from dataclasses import dataclass

from dicomweb_box.box import Box

NOTHING: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Disagreements:
    """Tags whose values differ between instances, for a study and for each of its series that has any."""

    study: tuple[str, ...] = NOTHING
    series: dict[str, tuple[str, ...]]


async def of_study(box: Box, study_uid: str, *, realm: str = "main") -> Disagreements:
    """The disagreements below one study; none where there is no such study. Ask only for what the
    actor may see.
    """
    found = {"realm": realm, "study_uid": study_uid}
    study = await box.database.fetch_value(
        "select disagreement from study where realm = :realm and study_uid = :study_uid", found
    )
    series = await box.database.fetch_all(
        "select series.series_uid, series.disagreement from series join study on study.id = series.study_id"
        " where study.realm = :realm and study.study_uid = :study_uid and series.disagreement <> ''",
        found,
    )
    return Disagreements(
        study=_tags(study), series={row["series_uid"]: _tags(row["disagreement"]) for row in series}
    )


def _tags(joined: str | None) -> tuple[str, ...]:
    return tuple(joined.split(",")) if joined else NOTHING
