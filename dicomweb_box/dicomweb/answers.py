"""Answers of the DICOMweb door: data sets as JSON or XML, and the Store Instances Response Module."""

from collections.abc import Mapping, Sequence
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response

from dicomweb_box.archive.outcomes import Outcome, Refused, Stored
from dicomweb_box.asgi.errors import Fault
from dicomweb_box.dicom.media_types import Offer, choose, parse_accept
from dicomweb_box.dicom.xml_model import to_xml
from dicomweb_box.errors import FailureReason

JSON = Offer(media_type="application/dicom+json")
XML = Offer(media_type="application/dicom+xml")

PRIVATE_CREATOR = "DICOMWEB_BOX"
# PS3.18 Table I.2-1
COERCED = 0xB000
DISCARDED = 0xB006
DATA_SET_WARNING = 0xB007  # the data set does not match its SOP Class

Element = Mapping[str, Any]
DataSet = dict[str, Element]


def chosen(request: Request, offered: Sequence[Offer]) -> Offer:
    """The representation that the request's Accept means; NotAcceptable where none of them."""
    return choose(
        parse_accept(request.headers.getlist("accept"), request.query_params.get("accept")), offered
    )


def service_url(request: Request) -> str:
    """Where /dicom-web is, for URLs within answers: below `public_url`, else an absolute path.

    Never made from the Host header: a client that leaves the port out of it would get a wrong address.
    """
    public_url: str | None = request.app.state.box.settings.public_url
    return (public_url or "").rstrip("/") + str(request.scope.get("root_path", ""))


def data_set_answer(
    dataset: DataSet, representation: Offer, status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    """One data set, as JSON or XML; no parameters follow the media type: clients compare it as text."""
    body = orjson.dumps(dataset) if representation == JSON else to_xml(dataset)
    return Response(body, status, {**(headers or {}), "Content-Type": representation.media_type})


def store_answer(
    outcomes: Sequence[Outcome],
    representation: Offer,
    *,
    service: str,
    study_uid: str | None = None,
    broken: Fault | None = None,
    remarks: Sequence[str] = (),
) -> Response:
    """The answer of a Store transaction (PS3.18 10.5.3) for the parts of a request, in their order.

    `broken`: why the body ended too early, after what is reported here. `remarks`: sentences about the
    request as a whole.
    """
    status = broken.status if broken else _status(outcomes)
    dataset = _module(outcomes, service=service, study_uid=study_uid, broken=broken)
    refused = [one for one in outcomes if isinstance(one, Refused)]
    headers = dict(broken.headers) if broken else {}
    said = list(remarks)
    if refused or broken:
        why = broken.sentence if broken else refused[0].message
        said.insert(0, f"{len(refused)} of {len(outcomes)} instances were not stored: {why}")
    if said:
        headers["Warning"] = f'299 dicomweb_box: "{_quotable("; ".join(said))}"'
    return data_set_answer(dataset, representation, status, headers)


def _status(outcomes: Sequence[Outcome]) -> int:
    """PS3.18 Table 10.5.3-1; 507 and 500 where trying again later may help."""
    refused = [one for one in outcomes if isinstance(one, Refused)]
    if not refused:
        return 200
    if len(refused) < len(outcomes):
        return 202
    reasons = {one.reason for one in refused}
    return {FailureReason.OUT_OF_RESOURCES: 507, FailureReason.PROCESSING_FAILURE: 500}.get(
        reasons.pop() if len(reasons) == 1 else FailureReason.CANNOT_UNDERSTAND, 409
    )


def _module(
    outcomes: Sequence[Outcome], *, service: str, study_uid: str | None, broken: Fault | None
) -> DataSet:
    """The Store Instances Response Module (PS3.18 Table I.1-1)."""
    stored, failed, others = [], [], []
    for part, outcome in enumerate(outcomes, 1):
        if isinstance(outcome, Stored):
            stored.append(_stored_item(outcome, service))
        elif outcome.instance_uid and outcome.sop_class_uid:
            failed.append(_failed_item(outcome, part))
        else:  # what has no name of its own is known by its place and its digest
            others.append(_failed_item(outcome, part))
    if broken:
        reason = FailureReason.CANNOT_UNDERSTAND
        others.append(_failed_item(Refused(reason=reason, message=broken.sentence), len(outcomes) + 1))
    studies: set[str | None] = {one.study_uid for one in outcomes if isinstance(one, Stored)} or {study_uid}
    study = studies.pop() if len(studies) == 1 else None
    dataset: DataSet = {
        "00081190": {"vr": "UR", "Value": [f"{service}/studies/{study}"]} if study else {"vr": "UR"}
    }
    for tag, items in (("00081198", failed), ("00081199", stored), ("0008119A", others)):
        if items:
            dataset[tag] = {"vr": "SQ", "Value": items}
    return dataset


def _stored_item(stored: Stored, service: str) -> DataSet:
    url = f"{service}/studies/{stored.study_uid}/series/{stored.series_uid}/instances/{stored.instance_uid}"
    item: DataSet = {
        "00081150": {"vr": "UI", "Value": [stored.sop_class_uid]},
        "00081155": {"vr": "UI", "Value": [stored.instance_uid]},
        "00081190": {"vr": "UR", "Value": [url]},
    }
    if warning := _warning_reason(stored):
        item["00081196"] = {"vr": "US", "Value": [warning]}
    remarks = [*stored.coerced, *stored.discarded, *stored.warnings]
    if stored.replaced:
        remarks.append(
            "other bytes were served under this SOP Instance UID; they are kept as an earlier version"
        )
    return item | _private(remarks=remarks)


def _warning_reason(stored: Stored) -> int | None:
    """The one Warning Reason there is room for: what was changed before what was left out."""
    if stored.coerced:
        return COERCED
    if stored.discarded:
        return DISCARDED
    return DATA_SET_WARNING if stored.warnings else None


def _failed_item(refused: Refused, part: int) -> DataSet:
    item: DataSet = {}
    if refused.sop_class_uid:
        item["00081150"] = {"vr": "UI", "Value": [refused.sop_class_uid]}
    if refused.instance_uid:
        item["00081155"] = {"vr": "UI", "Value": [refused.instance_uid]}
    item["00081197"] = {"vr": "US", "Value": [int(refused.reason)]}
    return item | _private(part=part, sha256=refused.sha256, remarks=[refused.message])


def _private(*, part: int | None = None, sha256: str | None = None, remarks: Sequence[str] = ()) -> DataSet:
    """Our own attributes (0009,xx01) number of the part, (0009,xx02) SHA-256, (0009,xx03) sentences."""
    block: DataSet = {}
    if part is not None:
        block["00091001"] = {"vr": "UL", "Value": [part]}
    if sha256:
        block["00091002"] = {"vr": "LO", "Value": [sha256]}
    if remarks:
        block["00091003"] = {"vr": "UT", "Value": ["\n".join(remarks)]}
    return {"00090010": {"vr": "LO", "Value": [PRIVATE_CREATOR]}, **block} if block else {}


def _quotable(text: str) -> str:
    """The text as the inside of a quoted string in a header (RFC 9110 5.6.4)."""
    plain = text.encode("ascii", "replace").decode("ascii")
    return "".join(" " if character < " " or character in '"\\\x7f' else character for character in plain)
