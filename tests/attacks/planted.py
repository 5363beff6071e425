"""Plants markup and scripts in everything that somebody else can write: objects, labels, names."""

import warnings

import httpx

from conformance.objects import multipart
from conformance.server import Server
from tests.browser.populated import PARTS
from tests.builders import make_instance, new_uid

ELEMENT = '"><xss-probe>'
ATTRIBUTE = "' xss-probe='1"
QUOTED = '" onerror="x()'
SCRIPT = "</script><script>alert(1)</script>"
SCHEME = "javascript:alert(1)"
FORMULA = "=1+cmd|' /C calc'!A0"


def plant(server: Server) -> None:
    """Objects and records whose every free text is an attack; those that are refused are refused in words."""
    study = new_uid()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pydicom knows what the values should be like
        objects = _objects(study)
    with httpx.Client(base_url=server.url, timeout=60, headers={"Accept": "application/json"}) as client:
        stored = client.post("/dicom-web/studies", content=multipart(objects), headers=PARTS)
        assert stored.status_code == 200, stored.text
        for text in (ELEMENT, ATTRIBUTE, QUOTED, SCRIPT, SCHEME, FORMULA):
            rule = {"name": text, "attribute": "Modality", "value": text, "label": text}
            asked = [
                client.post("/labels", data={"name": text}),
                client.post("/labels/apply", data={"study": study, "add": text}),
                client.post("/rules", json=rule),
                client.post("/upload", data={"name": text}),
                client.post(
                    "/users", json={"name": text, "role": "viewer", "full_name": text, "labels": [text]}
                ),
                client.post("/roles", json={"name": text, "rights": ["see"]}),
                client.post("/tokens", json={"name": text, "rights": ["see"]}),
                client.post("/shares", json={"study": study, "name": text}),
                client.post("/peers", json={"name": text, "ae_title": text[:16], "host": text, "port": text}),
                client.post("/peers", json=_peer(text)),
                client.post("/worklist", json=_step(text)),
            ]
            assert all(answer.status_code < 500 for answer in asked)


def _peer(title: str) -> dict[str, object]:
    """A peer whose AE title is as much of an attack as fits, if it can be one."""
    return {"name": title.encode().hex()[:32], "ae_title": title[:16], "addresses": ["any"], "may": ["echo"]}


def _step(text: str) -> dict[str, str]:
    """A step on the worklist whose texts are an attack as far as it fits."""
    told = {
        "patient_name": text[:64],
        "patient_id": text[:64],
        "description": text[:64],
        "procedure": text[:64],
    }
    return told | {
        "modality": "CT",
        "ae_title": text[:16] or "CT1",
        "start_date": "20260105",
        "start_time": "09",
    }


def _objects(study: str) -> list[bytes]:
    return [
        make_instance(
            StudyInstanceUID=study,
            PatientName=f"{ELEMENT}^{ATTRIBUTE}",
            PatientID=f"EVIL{ELEMENT}",
            IssuerOfPatientID=QUOTED,
            AccessionNumber=ELEMENT,
            StudyID=ATTRIBUTE,
            StudyDescription=SCRIPT,
            SeriesDescription=QUOTED,
            ProtocolName=SCHEME,
            BodyPartExamined='"><XSS-PROBE>'[:16],
            ReferringPhysicianName=f"{SCRIPT}^{ELEMENT}",
            InstitutionName=FORMULA,
            StationName=ELEMENT,
            ManufacturerModelName=SCHEME,
            PatientComments=SCRIPT + QUOTED,
            ImageComments=ELEMENT,
            RetrieveURL=SCHEME,
        )
        for _ in range(2)
    ]
