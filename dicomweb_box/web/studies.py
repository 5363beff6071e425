"""Pages: the list of studies and one study; each with its JSON twin."""

import json
from collections.abc import Sequence
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from dicomweb_box.archive import browse, corrections, disagreements, patients
from dicomweb_box.archive.browse import Ask, Entry
from dicomweb_box.archive.corrections import Correction
from dicomweb_box.archive.missing import missing
from dicomweb_box.archive.query import search
from dicomweb_box.asgi.identity import identify
from dicomweb_box.dicom.attributes import Level
from dicomweb_box.dicom.matching import from_parameters
from dicomweb_box.errors import NotFound
from dicomweb_box.web import correct, labels, listing, ohif, words
from dicomweb_box.web.actions import offered
from dicomweb_box.web.page import page
from dicomweb_box.web.selected import selected
from dicomweb_box.web.targets import Targets

SERIES_SHOWN = 1000


async def index(request: Request) -> Response:
    """The studies that match, a page at a time."""
    return await listing.answer(request, "study", "/studies", more={"heading": "Studies"})


async def show(request: Request) -> Response:
    """One study with its series; NotFound where there is none that this actor may see."""
    study_uid = request.path_params["study_uid"]
    box = request.app.state.box
    actor, scope = identify(request)
    study = await entry(request, study_uid)
    series = await _entries(request, Ask(level="series", keys=_of(study_uid), limit=SERIES_SHOWN))
    return page(
        request,
        "studies/show.html",
        study=_study(study),
        patient=await patients.key_of(box, *study.patient) if study.patient[1] else None,
        series=[_series(one) for one in series],
        disagreements=await disagreements.of_study(box, study_uid, scope=scope, actor=actor),
        labels=await labels.of_study(request, study_uid),
        label_names=await labels.names(request),
        selection=await selected(request),
        corrections=[correct.shown(one) for one in await _corrections(request, study_uid)],
        actions=offered("study", Targets(studies=(study_uid,)).query),
        viewer=ohif.address(study_uid) if await ohif.installed(request) else None,
    )


async def _corrections(request: Request, study_uid: str) -> Sequence[Correction]:
    actor, scope = identify(request)
    return await corrections.of_study(request.app.state.box, study_uid, scope=scope, actor=actor)


async def show_json(request: Request) -> Response:
    """One study and its series, as DICOM JSON."""
    study_uid = request.path_params["study_uid"]
    studies = await _found(request, "study", [("StudyInstanceUID", study_uid)])
    if not studies:
        raise await _missing(request, study_uid)
    series = await _found(request, "series", [], {"study": study_uid})
    actor, scope = identify(request)
    found = await disagreements.of_study(request.app.state.box, study_uid, scope=scope, actor=actor)
    size = (await entry(request, study_uid)).size
    body = {
        "study": studies[0],
        "series": series,
        "size": size,
        "disagreement": {"study": found.study, "series": found.series},
    }
    return _json(body)


async def entry(request: Request, study_uid: str) -> Entry:
    """One study as lists hold it; NotFound where there is none that this actor may see."""
    found = await _entries(request, Ask(level="study", keys=_of(study_uid), limit=1))
    if not found:
        raise await _missing(request, study_uid)
    return found[0]


async def _missing(request: Request, study_uid: str) -> NotFound:
    _, scope = identify(request)
    return await missing(request.app.state.box, "there is no such study", study_uid, scope=scope)


async def _entries(request: Request, ask: Ask) -> tuple[Entry, ...]:
    actor, scope = identify(request)
    return (await browse.listed(request.app.state.box, ask, scope=scope, actor=actor)).entries


def _of(study_uid: str) -> tuple[tuple[str, str], ...]:
    return (("StudyInstanceUID", study_uid),)


async def _found(
    request: Request, level: Level, asked: list[tuple[str, str]], path_uids: dict[str, str] | None = None
) -> list[dict[str, Any]]:
    actor, scope = identify(request)
    query, _ = from_parameters(level, [*asked, ("limit", str(SERIES_SHOWN))], path_uids or {})
    answer = await search(request.app.state.box, query, scope=scope, actor=actor)
    return [json.loads(row) for row in answer.rows]


def _study(study: Entry) -> dict[str, Any]:
    row = study.study
    return {
        "uid": study.study_uid,
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
        "modalities": study.modalities,
        "series_count": study.series_count,
        "instance_count": study.instance_count,
        "size": study.size,
        "stored_at": study.stored_at,
    }


def _series(series: Entry) -> dict[str, Any]:
    row = series.series or {}
    return {
        "uid": series.series_uid,
        "number": words.first(row, "00200011"),
        "modality": words.first(row, "00080060"),
        "description": words.first(row, "0008103E"),
        "body_part": series.body_part,
        "date": words.first(row, "00400244"),
        "time": words.first(row, "00400245"),
        "instance_count": series.instance_count,
        "size": series.size,
    }


def _json(body: Any) -> Response:
    content = json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()
    return Response(content, media_type="application/json", headers={"Cache-Control": "no-store"})


ROUTES = [
    Route("/studies", index, name="studies"),
    Route("/studies.json", index, name="studies_json"),
    Route("/studies/{study_uid}.json", show_json, name="study_json"),
    Route("/studies/{study_uid}", show, name="study"),
]
