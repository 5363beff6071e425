"""Whose an instance is and where it belongs, before it is de-identified: what a vault remembers of it."""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Final

from dicomweb_box.deid.doubt import Doubt
from dicomweb_box.deid.elements import Glance
from dicomweb_box.deid.identity import IDENTIFYING, PATIENT_NAME, STUDY_ID, Identity, identity
from dicomweb_box.deid.mapped import mapped
from dicomweb_box.deid.pseudonyms import Patient
from dicomweb_box.dicom.header_tables import Encoding
from dicomweb_box.dicom.part10 import open_part10
from dicomweb_box.errors import UnreadableInstance

_INSTANCE_UID, _STUDY_UID, _SERIES_UID, _FRAME_OF_REFERENCE_UID = (
    0x00080018,
    0x0020000D,
    0x0020000E,
    0x00200052,
)
_WANTED: Final = IDENTIFYING | {_INSTANCE_UID, _SERIES_UID, _FRAME_OF_REFERENCE_UID}


@dataclass(frozen=True, kw_only=True, slots=True)
class Originals:
    """Who and where, as the instance says itself; empty where it does not."""

    identity: Identity
    study_uid: str
    series_uid: str
    instance_uid: str
    frame_of_reference_uid: str
    name: str
    study_id: str

    @property
    def patient(self) -> Patient:
        """Whose it is."""
        return self.identity.patient


def originals(path: Path) -> Originals:
    """What the file says; raises Doubt where it cannot be read."""
    with mapped(path) as data:
        try:
            opened = open_part10(data, len(data))
        except UnreadableInstance as error:
            raise Doubt("it is not a DICOM instance that can be read") from error
        size = min(opened.size, len(opened.data))
        return _told(identity(_glance(opened.encoding).values(opened.data, opened.start, size)))


def _told(found: Identity) -> Originals:
    return Originals(
        identity=found,
        study_uid=found.text(_STUDY_UID),
        series_uid=found.text(_SERIES_UID),
        instance_uid=found.text(_INSTANCE_UID),
        frame_of_reference_uid=found.text(_FRAME_OF_REFERENCE_UID),
        name=found.text(PATIENT_NAME),
        study_id=found.text(STUDY_ID),
    )


@lru_cache
def _glance(encoding: Encoding) -> Glance:
    return Glance(encoding, _WANTED, _FRAME_OF_REFERENCE_UID)
