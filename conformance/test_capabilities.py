"""The service's descriptions of itself, tried out."""

import re
import xml.etree.ElementTree as ET
from collections.abc import Iterator

import httpx
import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

WADL = "{http://wadl.dev.java.net/2009/02}"
EXAMPLES = {"frames": "1", "path": "7FE00010", "rest": "metadata"}


def methods(element: ET.Element, path: str = "") -> Iterator[tuple[str, str]]:
    for child in element:
        if child.tag == WADL + "resource":
            yield from methods(child, f"{path}/{child.attrib['path']}")
        elif child.tag == WADL + "method":
            yield child.attrib["name"], path


def filled(path: str) -> str:
    """A path with UIDs that nothing has."""
    return re.sub(r"\{(\w+)\}", lambda found: EXAMPLES.get(found[1], "1.2.3.99"), path)


@pytest.mark.row(123)
@pytest.mark.dicom("PS3.18 8.9, Annex H")
def test_each_method_of_the_capabilities_is_answered_and_no_other(http: httpx.Client) -> None:
    answer = http.request("OPTIONS", "/", headers={"Accept": "application/vnd.sun.wadl+xml"})
    told: dict[str, set[str]] = {}
    (resources,) = ET.fromstring(answer.text)
    for method, path in methods(resources):
        told.setdefault(path, set()).add(method)

    assert resources.attrib["base"] == str(http.base_url).rstrip("/")
    assert {"/studies", "/studies/{study}", "/studies/{study}/series/{series}/metadata"} <= set(told)
    for path, known in told.items():
        allowed = http.request("OPTIONS", filled(path)).headers["allow"].split(", ")
        assert set(allowed) - {"HEAD", "OPTIONS"} >= known, path
        if "GET" in known and path != "/series/{series}/{rest}":
            assert http.get(filled(path)).status_code in (200, 307, 404, 406), path


@pytest.mark.row(123)
def test_the_capabilities_come_in_the_form_asked_for(http: httpx.Client) -> None:
    json = http.request("OPTIONS", "/", headers={"Accept": "application/json"})
    refused = http.request("OPTIONS", "/", headers={"Accept": "image/png"})

    assert json.json()["application"]["resources"][0]["resource"]
    assert refused.status_code == 406


@pytest.mark.row(132)
def test_the_openapi_document_is_valid_and_tells_of_the_same(http: httpx.Client) -> None:
    document = http.get("/openapi.json").json()
    (resources,) = ET.fromstring(http.request("OPTIONS", "/").text)

    OpenAPIV31SpecValidator(document).validate()
    described = {
        (method.upper(), path.removeprefix("/dicom-web"))
        for path, operations in document["paths"].items()
        for method in operations
    }
    assert set(methods(resources)) <= described
    assert ("GET", "/wado") in described
