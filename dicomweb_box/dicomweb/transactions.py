"""What each route of the DICOMweb door does, in the standard's terms: for programs that ask.

Described by the form of a path, so that a route cannot be forgotten: one of an unknown form is an error.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from starlette.routing import BaseRoute, Route

from dicomweb_box.archive.documents import TEXTS
from dicomweb_box.dicom.attributes import BY_LEVEL, Level
from dicomweb_box.dicom.display import raster
from dicomweb_box.dicom.media.consumer_media import MEDIA_TYPES
from dicomweb_box.dicomweb.frame_types import FRAME_TYPES, OCTETS, VIDEO_TYPES
from dicomweb_box.dicomweb.search_forms import FORMS
from dicomweb_box.dicomweb.wado_zip import ZIP

_JSON, _XML = "application/dicom+json", "application/dicom+xml"
_DICOM = "application/dicom"
_PARTS_OF_DICOM = f'multipart/related; type="{_DICOM}"'
_PARTS_OF_XML = f'multipart/related; type="{_XML}"'
_PICTURES = raster.MEDIA_TYPES
SEARCH = (
    "includefield", "fuzzymatching", "emptyvaluematching", "multiplevaluematching", "limit",
    "offset", "orderby",
)  # fmt: skip
VIEW = ("viewport", "window", "quality", "annotation", "iccprofile")
_LEVEL: dict[str, Level] = {"studies": "study", "series": "series", "instances": "instance"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Transaction:
    """One method of one address."""

    method: str
    path: str
    name: str
    """Unique among all; after the standard's name of the transaction."""
    summary: str
    parameters: tuple[str, ...] = ()
    """Query parameters beyond `accept`, which every GET takes."""
    takes: tuple[str, ...] = ()
    """Media types of the request's body."""
    gives: tuple[str, ...] = ()
    """Media types of the answer, the default first."""
    status: int = 200

    @property
    def segments(self) -> list[str]:
        """The path's parts; a parameter stands in braces by its name alone."""
        return [segment.replace(":path}", "}") for segment in self.path.split("/") if segment]

    @property
    def path_parameters(self) -> list[str]:
        """Names of the parameters within the path."""
        return [segment[1:-1] for segment in self.segments if segment.startswith("{")]


def transactions(routes: Sequence[BaseRoute]) -> list[Transaction]:
    """Every method of every route but HEAD, which goes with GET, and OPTIONS, which tells of the others."""
    return [
        _transaction(method, route.path)
        for route in routes
        if isinstance(route, Route)
        for method in sorted(route.methods or ())
        if method not in ("HEAD", "OPTIONS")
    ]


def _transaction(method: str, path: str) -> Transaction:
    segments = [segment for segment in path.split("/") if segment]
    last = segments[-1]
    level = _level(segments)
    within = "".join(_within(segments))
    if method == "POST":
        return Transaction(
            method=method, path=path, name=f"Store{within}Instances",
            summary="Store instances (PS3.18 10.5)",
            takes=(
                _PARTS_OF_DICOM, _DICOM, f'multipart/related; type="{_JSON}"', _PARTS_OF_XML,
                # What joins a study, where the address names one.
                *(sorted(MEDIA_TYPES) if last == "{study}" else ()),
            ),
            gives=(_JSON, _XML),
        )  # fmt: skip
    if method == "DELETE":
        return Transaction(
            method=method, path=path, name=f"Delete{within}", status=204,
            summary=f"Delete a {level}, for good",
        )  # fmt: skip
    if method != "GET":
        raise ValueError(f"nothing is known of {method} {path}")
    if segments[0] != "studies" and (last not in _LEVEL and last != "count"):
        return _other(path, segments)
    if last == "count":
        return Transaction(
            method=method, path=path, name=f"CountFor{_titled(segments[:-1])}",
            summary="How many results a search has", parameters=_keys(_LEVEL[segments[-2]]),
            gives=("application/json",),
        )  # fmt: skip
    if last in _LEVEL:
        return Transaction(
            method=method, path=path, name=f"SearchFor{_titled(segments)}",
            summary="Search (PS3.18 10.6)", parameters=_keys(_LEVEL[last]) + SEARCH,
            gives=tuple(map(str, FORMS)),
        )  # fmt: skip
    return _retrieve(path, segments, within)


def _retrieve(path: str, segments: list[str], within: str) -> Transaction:
    """A GET below a study (PS3.18 10.4)."""
    what, gives, parameters = _retrieved(segments)
    return Transaction(
        method="GET", path=path, name=f"Retrieve{within}{what}", summary="Retrieve (PS3.18 10.4)",
        parameters=parameters, gives=gives,
    )  # fmt: skip


def _retrieved(segments: list[str]) -> tuple[str, tuple[str, ...], tuple[str, ...]]:
    """What of the resource is given, in which media types, and by which parameters."""
    last, alone = segments[-1], "{instance}" in segments
    match last:
        case "metadata":
            return "Metadata", (_JSON, _PARTS_OF_XML, *((_XML,) if alone else ())), ()
        case "rendered":
            kinds = (*_PICTURES, *TEXTS, "application/pdf", "video/mp4", "video/mpeg")
            parts = tuple(map(_parts, kinds))
            return "Rendered", (*kinds, *parts) if alone else parts, VIEW
        case "thumbnail":
            return "Thumbnail", (raster.JPEG, raster.PNG), ("viewport",)
        case "bulkdata":
            return "Bulkdata", (_parts(OCTETS),), ()
        case "pixeldata":
            return "PixelData", _frames(alone=False), ()
        case "frames":
            return "AllFrames", _frames(alone=False), ()
        case "{frames}":
            return "", _frames(alone=True), ()
    if "bulkdata" in segments:
        return "BulkdataValue", (OCTETS, _parts(OCTETS)), ()
    gives = (_PARTS_OF_DICOM, ZIP)
    return "", (_DICOM, *gives) if alone else gives, ("deflate",)


def _other(path: str, segments: list[str]) -> Transaction:
    """What the standard does not have."""
    if path == "/openapi.json":
        return Transaction(
            method="GET", path=path, name="RetrieveOpenAPI",
            summary="This description of the service", gives=("application/json",),
        )  # fmt: skip
    if segments[0] in ("series", "instances", "patients"):
        name = "Patients" if segments[0] == "patients" else "".join(_within(segments))
        return Transaction(
            method="GET", path=path, name=f"Find{name}{'Below' if ':path}' in path else ''}",
            summary="The way to where the resource is", status=307,
        )  # fmt: skip
    raise ValueError(f"nothing is known of GET {path}")


def _frames(*, alone: bool) -> tuple[str, ...]:
    kinds = tuple(dict.fromkeys((OCTETS, *FRAME_TYPES.values(), *VIDEO_TYPES.values())))
    return (*map(_parts, kinds), *(kinds if alone else ()))


def _parts(kind: str) -> str:
    return f'multipart/related; type="{kind}"'


def _keys(level: Level) -> tuple[str, ...]:
    """Matching keys by keyword: those of the level and of the levels above."""
    levels: dict[Level, tuple[Level, ...]] = {
        "study": ("study",), "series": ("study", "series"), "instance": ("study", "series", "instance"),
    }  # fmt: skip
    keys = tuple(attribute.keyword for one in levels[level] for attribute in BY_LEVEL[one])
    return (*keys, "ModalitiesInStudy") if level == "study" else keys


def _within(segments: list[str]) -> Iterator[str]:
    """The levels that the path names: Study, Series, Instance, Frames."""
    for segment in segments:
        if segment.startswith("{") and segment in ("{study}", "{series}", "{instance}", "{frames}"):
            yield segment[1:-1].title()


def _level(segments: list[str]) -> str:
    named = [segment[1:-1] for segment in segments if segment in ("{study}", "{series}", "{instance}")]
    return named[-1] if named else "study"


def _titled(segments: list[str]) -> str:
    """Studies, StudySeries, StudySeriesInstances."""
    return "".join(_within(segments)) + segments[-1].title()
