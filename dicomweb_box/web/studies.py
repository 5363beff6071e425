"""Pages: the list of studies and one study; each with its JSON twin."""

import json
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response

from dicomweb_box.archive import disagreements
from dicomweb_box.archive.missing import missing
from dicomweb_box.archive.query import search
from dicomweb_box.asgi.identity import identify
from dicomweb_box.box import Box
from dicomweb_box.dicom.attributes import Level
from dicomweb_box.dicom.matching import from_parameters
from dicomweb_box.errors import BadQuery
from dicomweb_box.web import labels, ohif, words
from dicomweb_box.web.actions import offered
from dicomweb_box.web.page import page
from dicomweb_box.web.targets import Targets

PAGE_SIZE = 25
SERIES_SHOWN = 1000
# The names are QIDO's: a page's query string can be pasted after /dicom-web/studies.
FIELDS = (
    ("PatientName", "Patient name", "Doe* or *jane*"),
    ("PatientID", "Patient ID", ""),
    ("StudyDate", "Study date", "20260101-20260131"),
    ("ModalitiesInStudy", "Modality", "CT"),
    ("AccessionNumber", "Accession number", ""),
    ("StudyDescription", "Description", "*knee*"),
    ("Labels", "Label", "research"),
)
NAMES = tuple(name for name, _, _ in FIELDS)


async def index(request: Request) -> Response:
    """The studies that match, newest first; a page at a time, by links."""
    given = [(name, value) for name, value in request.query_params.multi_items() if value.strip()]
    offset = _offset(request)
    asked = [(name, value) for name, value in given if name in NAMES]
    message: str | None = None
    rows: list[dict[str, Any]] = []
    more = False
    try:
        rows, more = await _found(request, "study", asked, PAGE_SIZE, offset)
    except BadQuery as error:
        message = str(error)
    return page(
        request,
        "studies/index.html",
        fragment="study_rows",
        status=200 if message is None else 400,
        fields=FIELDS,
        given=dict(asked),
        message=message,
        # Such a message begins with the name of what it is about.
        invalid=next((name for name in NAMES if message is not None and message.startswith(name)), None),
        alternate=_link(asked, 0, "/dicom-web/studies"),
        studies=[_study(row) for row in rows],
        first=offset + 1,
        last=offset + len(rows),
        newer=_link(asked, max(0, offset - PAGE_SIZE)) if offset else None,
        older=_link(asked, offset + PAGE_SIZE) if more else None,
    )


async def index_json(request: Request) -> Response:
    """The studies that match, as DICOM JSON, a page at a time."""
    asked = [
        (name, value) for name, value in request.query_params.multi_items() if name in NAMES and value.strip()
    ]
    rows, _ = await _found(request, "study", asked, PAGE_SIZE, _offset(request))
    return _json(rows)


async def show(request: Request) -> Response:
    """One study with its series; NotFound where there is none that this actor may see."""
    study_uid = request.path_params["study_uid"]
    study, series = await _one(request, study_uid)
    found = await disagreements.of_study(_box(request), study_uid)
    return page(
        request,
        "studies/show.html",
        study=_study(study),
        series=[_series(row) for row in series],
        disagreements=found,
        labels=await labels.of_study(request, study_uid),
        label_names=await labels.names(request),
        actions=offered("study", Targets(studies=(study_uid,)).query),
        viewer=ohif.address(study_uid) if await ohif.installed(request) else None,
    )


async def show_json(request: Request) -> Response:
    """One study and its series, as DICOM JSON."""
    study_uid = request.path_params["study_uid"]
    study, series = await _one(request, study_uid)
    found = await disagreements.of_study(_box(request), study_uid)
    body = {"study": study, "series": series, "disagreement": {"study": found.study, "series": found.series}}
    return _json(body)


async def _one(request: Request, study_uid: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    studies, _ = await _found(request, "study", [("StudyInstanceUID", study_uid)], 1, 0)
    if not studies:
        _, scope = identify(request)
        raise await missing(_box(request), "there is no such study", study_uid, scope=scope)
    series, _ = await _found(request, "series", [], SERIES_SHOWN, 0, {"study": study_uid})
    return studies[0], series


async def _found(
    request: Request,
    level: Level,
    asked: Sequence[tuple[str, str]],
    limit: int,
    offset: int,
    path_uids: dict[str, str] | None = None,
) -> tuple[list[dict[str, Any]], bool]:
    actor, scope = identify(request)
    pairs = [*asked, ("limit", str(limit)), ("offset", str(offset))]
    query, _ = from_parameters(level, pairs, path_uids or {})
    answer = await search(_box(request), query, scope=scope, actor=actor)
    return [json.loads(row) for row in answer.rows], answer.more


def _study(row: dict[str, Any]) -> dict[str, Any]:
    return {
        "uid": words.first(row, "0020000D"),
        "patient_name": words.first(row, "00100010"),
        "patient_id": words.first(row, "00100020"),
        "birth_date": words.first(row, "00100030"),
        "sex": words.first(row, "00100040"),
        "date": words.first(row, "00080020"),
        "time": words.first(row, "00080030"),
        "accession_number": words.first(row, "00080050"),
        "study_id": words.first(row, "00200010"),
        "description": words.first(row, "00081030"),
        "referrer": words.first(row, "00080090"),
        "modalities": words.values(row, "00080061"),
        "series_count": words.first(row, "00201206") or 0,
        "instance_count": words.first(row, "00201208") or 0,
    }


def _series(row: dict[str, Any]) -> dict[str, Any]:
    return {
        "uid": words.first(row, "0020000E"),
        "number": words.first(row, "00200011"),
        "modality": words.first(row, "00080060"),
        "description": words.first(row, "0008103E"),
        "body_part": words.first(row, "00180015"),
        "date": words.first(row, "00400244"),
        "time": words.first(row, "00400245"),
        "instance_count": words.first(row, "00201209") or 0,
    }


def _offset(request: Request) -> int:
    text = request.query_params.get("offset", "0")
    return int(text) if text.isdecimal() and len(text) <= 9 else 0


def _link(asked: Sequence[tuple[str, str]], offset: int, path: str = "/studies") -> str:
    pairs = [*asked, *([("offset", str(offset))] if offset else [])]
    return f"{path}?{urlencode(pairs)}" if pairs else path


def _box(request: Request) -> Box:
    box: Box = request.app.state.box
    return box


def _json(body: Any) -> Response:
    content = json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()
    return Response(content, media_type="application/json", headers={"Cache-Control": "no-store"})
