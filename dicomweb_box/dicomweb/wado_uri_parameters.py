"""The query parameters of WADO-URI (PS3.18 9.1.2, 9.4.1.2, 9.5.1.2): read and checked."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil

from dicomweb_box.dicom.display.view import ANNOTATIONS, QUALITY, Annotation, View
from dicomweb_box.dicom.display.viewport import MOST_PIXELS, MOST_SIDE, Viewport
from dicomweb_box.dicom.display.voi import Window
from dicomweb_box.dicom.uids import clean_uid
from dicomweb_box.errors import BadRequest

UIDS = ("studyUID", "seriesUID", "objectUID")
OF_PICTURES = (
    "frameNumber", "rows", "columns", "region", "windowCenter", "windowWidth", "imageQuality",
    "imageAnnotation", "annotation", "presentationSeriesUID", "presentationUID",
)  # fmt: skip
OF_DICOM = ("transferSyntax", "anonymize")
KNOWN = ("requestType", *UIDS, "contentType", "charset", *OF_PICTURES, *OF_DICOM)

Region = tuple[float, float, float, float]


@dataclass(frozen=True, kw_only=True, slots=True)
class Asked:
    """What a request means; None where it does not say."""

    study_uid: str
    series_uid: str
    instance_uid: str
    content_type: str | None = None
    charset: str | None = None
    transfer_syntax: str | None = None
    frame: int | None = None
    state: tuple[str, str] | None = None
    """Series and instance UID of the presentation state to be applied."""
    rows: int | None = None
    columns: int | None = None
    region: Region | None = None
    window: Window | None = None
    quality: int = QUALITY
    annotation: tuple[Annotation, ...] = ()
    given: frozenset[str] = frozenset()
    """Names of all parameters that were sent."""

    def view(self, height: int, width: int) -> View:
        """How a picture of so many rows and columns is to be shown."""
        return View(
            window=self.window,
            viewport=_viewport(self, height, width),
            quality=self.quality,
            annotation=self.annotation,
        )


def parse(parameters: Sequence[tuple[str, str]]) -> Asked:
    """What the parameters mean; raises BadRequest that names the one that cannot be, and its rule.

    Unknown parameters are passed over (PS3.18 8.3.2); an empty one is as good as none.
    """
    twice = [name for name, times in Counter(name for name, _ in parameters).items() if times > 1]
    if known := next((name for name in twice if name in KNOWN), None):
        raise BadRequest(f"{known} is given twice")
    sent = {name: value.strip() for name, value in parameters if value.strip()}
    if sent.get("requestType") != "WADO":
        raise BadRequest("requestType is WADO, and must be given")
    _refuse_conflicts(sent)
    study, series, instance = (_uid(sent, name) for name in UIDS)
    state = None
    if "presentationUID" in sent:
        state = (_uid(sent, "presentationSeriesUID"), _uid(sent, "presentationUID"))
    syntax = sent.get("transferSyntax")
    return Asked(
        study_uid=study,
        series_uid=series,
        instance_uid=instance,
        content_type=sent.get("contentType"),
        charset=sent.get("charset"),
        transfer_syntax=syntax if syntax in (None, "*") else _uid(sent, "transferSyntax"),
        frame=_whole(sent, "frameNumber", 2**31 - 1),
        state=state,
        rows=_whole(sent, "rows", MOST_SIDE),
        columns=_whole(sent, "columns", MOST_SIDE),
        region=_region(sent.get("region")),
        window=_window(sent),
        quality=_whole(sent, "imageQuality", 100) or QUALITY,
        annotation=_annotation(sent.get("imageAnnotation") or sent.get("annotation") or ""),
        given=frozenset(sent),
    )


def _refuse_conflicts(sent: Mapping[str, str]) -> None:
    if "anonymize" in sent:
        if sent["anonymize"] != "yes":
            raise BadRequest("anonymize is yes, or not given")
        raise BadRequest("anonymize=yes cannot be answered: this box has no policy of de-identification yet")
    for one, other in (("windowCenter", "windowWidth"), ("windowWidth", "windowCenter")):
        if one in sent and other not in sent:
            raise BadRequest(f"{one} is only understood together with {other}")
    if ("presentationUID" in sent) != ("presentationSeriesUID" in sent):
        raise BadRequest("presentationUID and presentationSeriesUID are only understood together")
    if "presentationUID" in sent and "windowCenter" in sent:
        # PS3.18 9.5.1.2.6: the presentation state has a window of its own.
        raise BadRequest("windowCenter and windowWidth cannot be given together with presentationUID")


def _uid(sent: Mapping[str, str], name: str) -> str:
    if name not in sent:
        raise BadRequest(f"{name} must be given")
    found = clean_uid(sent[name].encode())
    if found is None:
        raise BadRequest(f"{name} is no UID")
    return found


def _whole(sent: Mapping[str, str], name: str, most: int) -> int | None:
    text = sent.get(name)
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and 1 <= int(text[:12]) <= most):
        raise BadRequest(f"{name} is a whole number from 1 to {most}")
    return int(text)


def _decimals(text: str, count: int) -> list[float]:
    """That many numbers, parted by commas; ValueError where it is something else."""
    found = [float(one) for one in text.split(",")]
    if len(found) != count or not all(abs(one) < 1e12 for one in found):  # not a number is not below either
        raise ValueError(text)
    return found


def _region(text: str | None) -> Region | None:
    """PS3.18 9.5.1.2.5: left, top, right and bottom, as fractions of the picture."""
    if text is None:
        return None
    try:
        left, top, right, bottom = _decimals(text, 4)
    except ValueError:
        left = top = right = bottom = -1.0
    if not (0 <= left < right <= 1 and 0 <= top < bottom <= 1):
        raise BadRequest("region is left,top,right,bottom in fractions of the picture from 0 to 1")
    return left, top, right, bottom


def _window(sent: Mapping[str, str]) -> Window | None:
    if "windowCenter" not in sent:
        return None
    try:
        (center,), (width,) = _decimals(sent["windowCenter"], 1), _decimals(sent["windowWidth"], 1)
    except ValueError:
        raise BadRequest("windowCenter and windowWidth are decimal numbers") from None
    if width < 1:  # PS3.3 C.11.2.1.2.1
        raise BadRequest("windowWidth is at least 1")
    return Window(center=center, width=width, function="LINEAR")


def _annotation(text: str) -> tuple[Annotation, ...]:
    words = [word.strip() for word in text.split(",") if word.strip()]
    if not set(words) <= set(ANNOTATIONS):
        raise BadRequest("imageAnnotation is patient, technique, or both")
    return tuple(word for word in ANNOTATIONS if word in words)


def _viewport(asked: Asked, height: int, width: int) -> Viewport | None:
    """The size that the region must fit; one side alone decides the other (PS3.18 9.5.1.2.4)."""
    if asked.region is None and asked.rows is None and asked.columns is None:
        return None
    left, top, right, bottom = asked.region or (0.0, 0.0, 1.0, 1.0)
    across, down = max(1.0, (right - left) * width), max(1.0, (bottom - top) * height)
    if asked.rows is not None:
        columns, rows = asked.columns or MOST_SIDE, asked.rows
    elif asked.columns is not None:
        columns, rows = asked.columns, MOST_SIDE
    else:
        columns, rows = ceil(across), ceil(down)
    scale = min(columns / across, rows / down)
    if across * scale * down * scale > MOST_PIXELS:
        raise BadRequest(f"rows and columns ask for more than {MOST_PIXELS} pixels")
    if asked.region is None:
        return Viewport(width=columns, height=rows)
    return Viewport(
        width=columns,
        height=rows,
        left=min(left * width, width - 1.0),
        top=min(top * height, height - 1.0),
        region_width=across,
        region_height=down,
    )
