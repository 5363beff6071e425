"""What is to be rejected or erased: studies, series and selections as every action takes them, and instances.

`instance=<study uid>/<series uid>/<instance uid>`, any number of times; or all from the address itself.
"""

from dataclasses import dataclass
from urllib.parse import urlencode

from starlette.requests import Request

from dicomweb_box.archive.reject import Target
from dicomweb_box.errors import BadRequest
from dicomweb_box.web.forms import Fields
from dicomweb_box.web.targets import targets

_NAMES = ("study", "series", "selection")
_MOST_INSTANCES = 5000


@dataclass(frozen=True, kw_only=True, slots=True)
class Aims:
    """What is meant, and how a form or an address says the same again."""

    targets: tuple[Target, ...]
    fields: tuple[tuple[str, str], ...]

    @property
    def query(self) -> str:
        """The same as the query of an address."""
        return urlencode(self.fields)

    @property
    def back(self) -> str:
        """The page to return to where nothing was done."""
        if self.fields[0][0] == "selection":
            return f"/selections/{self.fields[0][1]}"
        return f"/studies/{self.targets[0].study_uid}" if len(self.targets) == 1 else "/studies"


async def aims(request: Request, fields: Fields) -> Aims:
    """What the address or the fields name; BadRequest where that is nothing, NotFound where it is gone."""
    path = request.path_params
    if "study_uid" in path:
        target = Target(
            study_uid=path["study_uid"],
            series_uid=path.get("series_uid"),
            instance_uid=path.get("instance_uid"),
        )
        return Aims(targets=(target,), fields=(_field(target),))
    instances = tuple(_instance(text) for text in dict.fromkeys(fields.all("instance")))
    if len(instances) > _MOST_INSTANCES:
        raise BadRequest(f"More than {_MOST_INSTANCES} instances are named one by one.")
    found: list[Target] = []
    said: list[tuple[str, str]] = []
    if not instances or any(fields.all(name) for name in _NAMES):
        given = await targets(request, fields)
        found += [Target(study_uid=study) for study in given.studies]
        found += [Target(study_uid=study, series_uid=series) for study, series in given.series]
        said += given.fields
    return Aims(targets=(*found, *instances), fields=(*said, *map(_field, instances)))


def _instance(text: str) -> Target:
    parts = text.split("/")
    if len(parts) != 3 or not all(parts):
        raise BadRequest("An instance is named as <study UID>/<series UID>/<SOP Instance UID>.")
    return Target(study_uid=parts[0], series_uid=parts[1], instance_uid=parts[2])


def _field(target: Target) -> tuple[str, str]:
    level = "instance" if target.instance_uid else "series" if target.series_uid else "study"
    return level, "/".join(uid for uid in target.uids if uid is not None)
