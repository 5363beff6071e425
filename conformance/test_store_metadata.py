"""STOW-RS of metadata and bulk data: PS3.18 10.5.1, with what dicomweb-client retrieves."""

import io
import json
import re
from typing import Any
from xml.etree import ElementTree

import httpx
import pydicom
import pytest
from dicomweb_client.api import DICOMwebClient
from pydicom.encaps import generate_frames

from conformance import multiparts
from conformance.objects import Object, plain, uid
from conformance.stow import failures, post, stored

NATIVE = "http://dicom.nema.org/PS3.19/models/NativeDICOM"
BOUNDARY = "conformance-part"


def related(kind: str) -> str:
    return f'multipart/related; type="{kind}"; boundary={BOUNDARY}'


def joined(parts: list[tuple[str, bytes]]) -> bytes:
    """(header lines, data) of each part as one body."""
    return (
        b"".join(f"--{BOUNDARY}\r\n{head}\r\n\r\n".encode() + data + b"\r\n" for head, data in parts)
        + f"--{BOUNDARY}--\r\n".encode()
    )


def bulk_uris(dataset: dict[str, Any]) -> list[str]:
    """Every BulkDataURI of the data set, those in sequences too."""
    found = []
    for element in dataset.values():
        if "BulkDataURI" in element:
            found.append(element["BulkDataURI"])
        elif element["vr"] == "SQ":
            found += [uri for item in element.get("Value", []) for uri in bulk_uris(item)]
    return found


def retrieved(
    client: DICOMwebClient, http: httpx.Client, made: Object
) -> tuple[Any, list[tuple[str, bytes]]]:
    """Metadata by dicomweb-client under a new SOP Instance UID, and all its bulk data."""
    path = f"{http.base_url}{made.path.lstrip('/')}/metadata"
    metadata = client.retrieve_instance_metadata(made.study_uid, made.series_uid, made.instance_uid)
    metadata["00080018"]["Value"] = [uid(made.instance_uid + "again")]
    parts = []
    for uri in bulk_uris(metadata):
        address = httpx.URL(path).join(uri)
        (data,) = client.retrieve_bulkdata(str(address))
        parts.append((f"Content-Type: application/octet-stream\r\nContent-Location: {uri}", data))
    return metadata, parts


def as_stored(http: httpx.Client, made: Object, instance_uid: str) -> pydicom.Dataset:
    path = made.path.replace(made.instance_uid, instance_uid)
    got = http.get(path, headers={"Accept": "application/dicom; transfer-syntax=*"})
    assert got.status_code == 200, got.text
    return pydicom.dcmread(io.BytesIO(got.content))


@pytest.mark.dicom("PS3.18 10.5.1")
@pytest.mark.row(101)
@pytest.mark.parametrize("name", ["ENC/explicit", "ENC/native8", "BULK/private", "BULK/pdf"])
def test_it_stores_the_metadata_and_bulk_data_that_it_gave(
    client: DICOMwebClient, http: httpx.Client, objects: dict[str, Object], name: str
):
    made = objects[name]
    metadata, parts = retrieved(client, http, made)
    head = ("Content-Type: application/dicom+json", json.dumps([metadata]).encode())
    answer = post(http, joined([head, *parts]), content_type=related("application/dicom+json"))
    assert answer.status_code == 200, answer.text
    (instance_uid,) = stored(answer.json())
    again = as_stored(http, made, instance_uid)
    again.SOPInstanceUID = again.file_meta.MediaStorageSOPInstanceUID = made.instance_uid
    before = as_stored(http, made, made.instance_uid)
    assert values(again) == values(before)


@pytest.mark.row(101)
@pytest.mark.parametrize("name", ["ENC/rle", "ENC/j2k", "ENC/jls", "ENC/jpeg", "ENC/rle2", "ENC/onebit"])
def test_it_stores_the_compressed_frames_that_it_gave_in_the_types_it_named(
    client: DICOMwebClient, http: httpx.Client, objects: dict[str, Object], name: str
):
    made = objects[name]
    metadata = client.retrieve_instance_metadata(made.study_uid, made.series_uid, made.instance_uid)
    metadata["00080018"]["Value"] = [uid(made.instance_uid + "again")]
    uri = metadata["7FE00010"]["BulkDataURI"]
    got = http.get(
        f"{made.path}/{uri}", headers={"Accept": 'multipart/related; type="*/*"; transfer-syntax=*'}
    )
    frames = [
        (f"Content-Type: {part.content_type}\r\nContent-Location: {uri}", part.content)
        for part in multiparts.parts(got)
    ]
    head = ("Content-Type: application/dicom+json", json.dumps([metadata]).encode())
    answer = post(http, joined([head, *frames]), content_type=related("application/dicom+json"))
    assert answer.status_code == 200, answer.text
    again, before = (as_stored(http, made, one) for one in (*stored(answer.json()), made.instance_uid))
    assert again.file_meta.TransferSyntaxUID == before.file_meta.TransferSyntaxUID
    assert frames_of(again) == frames_of(before)


def frames_of(dataset: pydicom.Dataset) -> list[bytes]:
    """Each compressed frame without its padding, or all native ones."""
    if not dataset.file_meta.TransferSyntaxUID.is_compressed:
        return [dataset.PixelData]
    count = int(dataset.get("NumberOfFrames", 1))
    return [frame.rstrip(b"\0") for frame in generate_frames(dataset.PixelData, number_of_frames=count)]


def values(dataset: pydicom.Dataset) -> list[Any]:
    """Every attribute's tag, VR and value: as text, for what is no number equals nothing.

    JSON has numbers for decimals, and no zeros at their end.
    """
    return [
        (str(one.tag), one.VR, re.sub(r"(\.\d*?)0+\b", r"\1", repr(one.value))) for one in dataset.iterall()
    ]


def xml(dataset: dict[str, Any]) -> bytes:
    """Flat metadata as a Native DICOM Model document, written without the product's own code."""
    root = ElementTree.Element("NativeDicomModel", xmlns=NATIVE)
    for tag, element in dataset.items():
        attribute = ElementTree.SubElement(root, "DicomAttribute", tag=tag, vr=element["vr"])
        if "BulkDataURI" in element:
            ElementTree.SubElement(attribute, "BulkData", uri=element["BulkDataURI"])
        for number, value in enumerate(element.get("Value", []), 1):
            if element["vr"] == "PN":
                name = ElementTree.SubElement(attribute, "PersonName", number=str(number))
                group = ElementTree.SubElement(name, "Alphabetic")
                family, _, given = value["Alphabetic"].partition("^")
                ElementTree.SubElement(group, "FamilyName").text = family
                ElementTree.SubElement(group, "GivenName").text = given
            else:
                ElementTree.SubElement(attribute, "Value", number=str(number)).text = str(value)
    return ElementTree.tostring(root)


@pytest.mark.row(102)
def test_it_stores_xml_metadata_and_bulk_data(http: httpx.Client):
    made = [plain(f"xml{n}", study="XMLMETA", series="s", InstanceNumber=n) for n in range(2)]
    parts = []
    for number, one in enumerate(made):
        metadata = one.dataset.to_json_dict()
        pixels = metadata.pop("7FE00010", None)
        assert pixels is None or "InlineBinary" in pixels
        if pixels is not None:
            metadata["7FE00010"] = {"vr": pixels["vr"], "BulkDataURI": f"pixels/{number}"}
            parts.append(
                (
                    f"Content-Type: application/octet-stream\r\nContent-Location: pixels/{number}",
                    one.dataset.PixelData,
                )
            )
        parts.append(("Content-Type: application/dicom+xml", xml(metadata)))
    answer = post(http, joined(parts[::-1]), content_type=related("application/dicom+xml"))
    assert answer.status_code == 200, answer.text
    assert sorted(stored(answer.json())) == sorted(one.instance_uid for one in made)
    assert as_stored(http, made[1], made[1].instance_uid) == made[1].dataset


@pytest.mark.row(101, 102)
def test_it_refuses_a_document_type_in_xml_metadata(http: httpx.Client):
    bomb = b'<!DOCTYPE x [<!ENTITY a "aaaa">]><NativeDicomModel>&a;</NativeDicomModel>'
    body = joined([("Content-Type: application/dicom+xml", bomb)])
    answer = post(http, body, content_type=related("application/dicom+xml"))
    assert (answer.status_code, failures(answer.json())) == (409, [0xC000])


@pytest.mark.row(101)
def test_it_refuses_only_the_instance_whose_bulk_data_did_not_come(http: httpx.Client):
    made = [plain(f"bulk{n}", study="BULKMETA", series="s", InstanceNumber=n) for n in range(2)]
    metadata = [one.dataset.to_json_dict() for one in made]
    metadata[1]["00091001"] = {"vr": "UN", "BulkDataURI": "cid:nowhere"}
    body = joined([("Content-Type: application/dicom+json", json.dumps(metadata).encode())])
    answer = post(http, body, content_type=related("application/dicom+json"))
    assert (answer.status_code, stored(answer.json())) == (202, [made[0].instance_uid])
    assert failures(answer.json()) == [0xA922]
