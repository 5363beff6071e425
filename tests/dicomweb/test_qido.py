"""QIDO-RS over HTTP."""

import csv
import io
from collections.abc import AsyncIterator

import httpx
import pytest

from dicomweb_box.accounts.access import ANONYMOUS
from dicomweb_box.app import assemble
from dicomweb_box.archive import ingest
from dicomweb_box.box import Box
from dicomweb_box.dicom.xml_model import to_xml
from tests.asgi.served import client_of
from tests.builders import make_instance, new_uid, pieces
from tests.dicomweb.retrieving import parts_of


@pytest.fixture
async def client(box: Box) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(assemble(box)) as client:
        yield client


async def store(box: Box, **attributes: object) -> None:
    received = await ingest.receive(box, pieces(make_instance(**attributes)))
    await ingest.store(box, received, source="test", actor=ANONYMOUS)


@pytest.mark.row(8)
@pytest.mark.row(34)
@pytest.mark.parametrize(
    "path",
    [
        "/studies", "/series", "/instances", "/studies/1.2/series", "/studies/1.2/instances",
        "/studies/1.2/series/1.3/instances",
    ],
)  # fmt: skip
async def test_every_resource_answers_an_empty_list_with_the_exact_media_type(
    client: httpx.AsyncClient, path: str
) -> None:
    answer = await client.get("/dicom-web" + path)

    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/dicom+json"
    assert answer.json() == []
    assert "warning" not in answer.headers


@pytest.mark.row(33)
@pytest.mark.row(36)
async def test_a_warning_says_that_results_remain_and_count_says_how_many(
    box: Box, client: httpx.AsyncClient
) -> None:
    for _ in range(3):
        await store(box, PatientID="P1")

    first = await client.get("/dicom-web/studies?limit=2")
    last = await client.get("/dicom-web/studies?limit=2&offset=2")
    none = await client.get("/dicom-web/studies?limit=0")
    counted = await client.get("/dicom-web/studies/count?PatientID=P1&limit=1")

    assert (len(first.json()), len(last.json()), len(none.json())) == (2, 1, 0)
    assert first.headers["warning"].startswith("299 ")
    assert "additional results" in first.headers["warning"]
    assert "warning" not in last.headers
    assert counted.json() == {"count": 3}


async def test_it_answers_ohif_and_weasis_as_they_ask(box: Box, client: httpx.AsyncClient) -> None:
    study = new_uid()
    await store(box, study=study, PatientName="Doe^Jane", Modality="MR")
    await store(box, PatientName="Roe^Rob", Modality="US")

    ohif = await client.get(
        "/dicom-web/studies?limit=101&offset=0&fuzzymatching=true"
        "&includefield=00081030%2C00080060%2C00080090%2C00100030&PatientName=%2Ado%2A&ModalitiesInStudy=CT%2CMR"
    )
    listed = await client.get(f"/dicom-web/studies?StudyInstanceUID=1.2%5C%5C{study}")
    weasis = await client.get(
        "/dicom-web/studies?&includefield=00100010&00100021=&limit=10&offset=0",
        headers={"Accept": "application/dicom+json"},
    )

    assert [row["0020000D"]["Value"] for row in ohif.json()] == [[study]]
    assert ohif.json()[0]["00080061"]["Value"] == ["MR"]
    assert len(listed.json()) == 1
    assert len(weasis.json()) == 2
    assert "warning" not in ohif.headers


@pytest.mark.row(38)
async def test_unknown_parameters_warn_and_bad_ones_are_refused_by_name(client: httpx.AsyncClient) -> None:
    ignored = await client.get("/dicom-web/studies?bogus=1&_=1699")
    strict = await client.get("/dicom-web/studies?bogus=1&strict=1")
    bad = await client.get("/dicom-web/studies?StudyDate=Doe")

    assert len(ignored.headers.get_list("warning")) == 2
    assert (strict.status_code, bad.status_code) == (400, 400)
    assert "StudyDate" in bad.json()["error"]
    assert "Doe" not in bad.text


@pytest.mark.row(39)
async def test_an_unchanged_answer_is_not_sent_again(box: Box, client: httpx.AsyncClient) -> None:
    await store(box)
    first = await client.get("/dicom-web/studies")

    again = await client.get("/dicom-web/studies", headers={"If-None-Match": first.headers["etag"]})
    await store(box)
    changed = await client.get("/dicom-web/studies", headers={"If-None-Match": first.headers["etag"]})

    assert (again.status_code, again.content) == (304, b"")
    assert changed.status_code == 200


async def test_what_is_not_json_is_not_acceptable(client: httpx.AsyncClient) -> None:
    refused = await client.get("/dicom-web/studies", headers={"Accept": "image/png"})
    chosen = await client.get("/dicom-web/studies?accept=application/json", headers={"Accept": "image/png"})

    assert refused.status_code == 406
    assert chosen.status_code == 200


@pytest.mark.row(42)
async def test_retrieve_urls_do_not_follow_the_host_header(box: Box, client: httpx.AsyncClient) -> None:
    await store(box)

    row = (await client.get("/dicom-web/series", headers={"Host": "localhost"})).json()[0]

    assert row["00081190"]["Value"][0].startswith("/dicom-web/studies/")
    assert (await client.get(row["00081190"]["Value"][0] + "/instances")).json()


@pytest.mark.row(9)
@pytest.mark.dicom("PS3.18 10.6.3.3")
@pytest.mark.parametrize("path", ["/studies", "/series", "/instances"])
async def test_each_result_is_a_document_of_xml_where_that_is_asked(
    box: Box, client: httpx.AsyncClient, path: str
) -> None:
    for name in ("Doe^Jane", "Roe & <Son>"):
        await store(box, PatientName=name)
    accept = {"Accept": 'multipart/related; type="application/dicom+xml"'}

    answer = await client.get(f"/dicom-web{path}", headers=accept)
    json = await client.get(f"/dicom-web{path}")
    none = await client.get(f"/dicom-web{path}?PatientID=nobody", headers=accept)
    again = await client.get(f"/dicom-web{path}", headers={**accept, "If-None-Match": answer.headers["etag"]})

    assert [body for _, body in parts_of(answer)] == [to_xml(row) for row in json.json()]
    assert answer.headers["vary"] == json.headers["vary"] == "Accept"
    assert (none.status_code, parts_of(none)) == (200, [])
    assert again.status_code == 304
    assert answer.headers["etag"] != json.headers["etag"]


@pytest.mark.row(10)
async def test_results_are_a_table_where_that_is_asked(box: Box, client: httpx.AsyncClient) -> None:
    study = new_uid()
    for number in (1, 2):
        await store(box, study=study, PatientName="=cmd()^Jane", InstanceNumber=number)

    answer = await client.get("/dicom-web/studies", params={"accept": "text/csv"})
    series = await client.get(f"/dicom-web/studies/{study}/series", headers={"Accept": "text/csv"})

    [row] = csv.DictReader(io.StringIO(answer.text, newline=""))
    assert answer.headers["content-type"] == "text/csv; charset=utf-8; header=present"
    assert answer.headers["content-disposition"] == 'attachment; filename="study.csv"'
    assert (row["StudyInstanceUID"], row["PatientName"]) == (study, "'=cmd()^Jane")
    assert (row["NumberOfStudyRelatedSeries"], row["NumberOfStudyRelatedInstances"]) == ("2", "2")
    assert len(series.text.splitlines()) == 3


async def test_what_a_search_cannot_be_answered_in_is_refused_with_what_it_can(
    client: httpx.AsyncClient,
) -> None:
    refused = await client.get("/dicom-web/studies", headers={"Accept": "text/html"})

    assert refused.status_code == 406
    assert refused.json()["offered"] == [
        "application/dicom+json",
        'multipart/related; type="application/dicom+xml"',
        "text/csv",
    ]


@pytest.mark.row(36)
async def test_a_page_says_how_many_results_there_are_where_that_is_asked(
    box: Box, client: httpx.AsyncClient
) -> None:
    for _ in range(3):
        await store(box, PatientID="P1")

    told = await client.get("/dicom-web/studies?PatientID=P1&limit=1&total=true")
    untold = await client.get("/dicom-web/studies?PatientID=P1&limit=1")
    strict = await client.get("/dicom-web/studies?total=1&strict=1", headers={"Accept": "text/csv"})
    bad = await client.get("/dicom-web/studies?total=perhaps")

    assert (told.headers["x-total-count"], len(told.json())) == ("3", 1)
    assert "x-total-count" not in untold.headers
    assert (strict.status_code, strict.headers["x-total-count"]) == (200, "3")
    assert bad.status_code == 400
