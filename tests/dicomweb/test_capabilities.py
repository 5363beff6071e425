"""What the service says of itself is what it does."""

import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from dicomweb_box.box import Box
from dicomweb_box.dicom import matching
from dicomweb_box.dicom.display import view
from dicomweb_box.dicomweb import wado_uri
from dicomweb_box.dicomweb.routes import ROUTES, routes
from dicomweb_box.dicomweb.transactions import SEARCH, VIEW, transactions
from tests.dicomweb.retrieving import client_of

WADL = "{http://wadl.dev.java.net/2009/02}"
Method = tuple[str, str]


@pytest.fixture
async def client(box: Box) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(box) as opened:
        yield opened


def there_are(table: Any = ROUTES) -> set[Method]:
    """Method and path of every route; HEAD goes with GET."""
    return {
        (method, route.path.replace(":path}", "}"))
        for route in table
        for method in route.methods - {"HEAD", "OPTIONS"}
    }


def of_xml(element: ET.Element, path: str = "") -> Iterator[Method]:
    for child in element:
        if child.tag == WADL + "resource":
            yield from of_xml(child, f"{path}/{child.attrib['path']}")
        elif child.tag == WADL + "method":
            yield child.attrib["name"], path


def of_json(element: dict[str, Any], path: str = "") -> Iterator[Method]:
    for child in element.get("resource", []):
        yield from of_json(child, f"{path}/{child['@path']}")
    for method in element.get("method", []):
        yield method["@name"], path


@pytest.mark.dicom("PS3.18 Annex H")
async def test_the_capabilities_are_the_routes_and_nothing_else(client: httpx.AsyncClient) -> None:
    answer = await client.options("/", headers={"Accept": "application/vnd.sun.wadl+xml"})

    application = ET.fromstring(answer.text)
    (resources,) = application
    assert answer.headers["content-type"].partition(";")[0] == "application/vnd.sun.wadl+xml"
    assert application.tag == WADL + "application"
    assert resources.attrib["base"] == "http://localhost:8080/dicom-web"
    found = list(of_xml(resources))
    assert set(found) == there_are()
    assert len(found) == len(set(found))


async def test_they_are_told_in_json_too(client: httpx.AsyncClient) -> None:
    answer = await client.options("/", headers={"Accept": "application/json"})

    (resources,) = answer.json()["application"]["resources"]
    assert answer.headers["content-type"] == "application/json"
    assert set(of_json(resources)) == there_are()


@pytest.mark.dicom("PS3.18 8.9")
async def test_without_a_wish_they_come_as_wadl_and_other_forms_are_refused(
    client: httpx.AsyncClient,
) -> None:
    plain = await client.options("/", headers={"Accept": "*/*"})
    refused = await client.options("/", headers={"Accept": "text/html"})

    assert plain.headers["content-type"].startswith("application/vnd.sun.wadl+xml")
    assert refused.status_code == 406
    assert refused.json()["offered"] == ["application/vnd.sun.wadl+xml", "application/json"]


async def test_each_method_says_what_it_takes_and_gives(client: httpx.AsyncClient) -> None:
    answer = await client.options("/", headers={"Accept": "application/vnd.sun.wadl+xml"})

    methods = {one.attrib["id"]: one for one in ET.fromstring(answer.text).iter(WADL + "method")}
    search = methods["SearchForStudies"]
    names = {param.attrib["name"] for param in search.iter(WADL + "param")}
    kinds = [one.attrib["mediaType"] for one in search.iter(WADL + "representation")]
    assert {"PatientName", "StudyDate", "ModalitiesInStudy", "limit", "offset", "includefield"} <= names
    assert kinds[0] == "application/dicom+json"
    store = methods["StoreInstances"].find(f"{WADL}request/{WADL}representation")
    assert store is not None
    assert store.attrib["mediaType"] == 'multipart/related; type="application/dicom"'
    taken = [one.attrib["mediaType"] for one in methods["StoreStudyInstances"].iter(WADL + "representation")]
    assert {"image/jpeg", "application/pdf", 'multipart/related; type="application/dicom+json"'} <= set(taken)


async def test_any_resource_tells_its_methods(client: httpx.AsyncClient) -> None:
    answer = await client.options("/studies/1.2.3")

    assert (answer.status_code, answer.headers["allow"]) == (204, "DELETE, GET, HEAD, OPTIONS, POST")


async def test_the_openapi_document_is_valid_and_equal_to_the_routes(client: httpx.AsyncClient) -> None:
    answer = await client.get("/openapi.json")

    document = answer.json()
    OpenAPIV31SpecValidator(document).validate()
    assert document["openapi"].startswith("3.1")
    found = {
        (method.upper(), path.removeprefix("/dicom-web"))
        for path, operations in document["paths"].items()
        for method in operations
    }
    (services,) = routes(None)  # type: ignore[arg-type]
    expected = there_are(services.routes) | there_are(wado_uri.ROUTES)  # type: ignore[attr-defined]
    assert found == expected | {("OPTIONS", "/")}
    again = await client.get("/openapi.json", headers={"If-None-Match": answer.headers["etag"]})
    assert again.status_code == 304


async def test_its_addresses_are_those_of_a_proxy_where_one_is_set(make_box: Any) -> None:
    async with make_box(public_url="https://archive.example/") as box, client_of(box) as client:
        capabilities = await client.options("/", headers={"Accept": "application/json"})
        document = (await client.get("/openapi.json")).json()

    (resources,) = capabilities.json()["application"]["resources"]
    assert resources["@base"] == "https://archive.example/dicom-web"
    assert document["servers"] == [{"url": "https://archive.example/"}]


def test_every_transaction_has_a_name_of_its_own() -> None:
    names = Counter(one.name for one in transactions(ROUTES))

    assert [name for name, times in names.items() if times > 1] == []


def test_the_parameters_told_of_are_those_that_are_read() -> None:
    assert set(VIEW) == set(view._READERS)
    read = {*matching._FLAGS, *matching._OTHERS} - {"accept", "charset", "strict"}
    assert set(SEARCH) == read


async def nothing(request: Request) -> Response:
    return Response()


@pytest.mark.parametrize(
    "route", [Route("/surprise", nothing), Route("/studies", nothing, methods=["PATCH"])]
)
def test_a_route_of_an_unknown_kind_cannot_be_forgotten(route: Route) -> None:
    with pytest.raises(ValueError, match="nothing is known"):
        transactions([route])
