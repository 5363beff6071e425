"""Up, usable, counted."""

import shutil
from pathlib import Path

import httpx

from dicomweb_box.archive import status
from dicomweb_box.box import Box
from dicomweb_box.web.tally import Tally


async def test_a_working_box_is_up_and_ready(client: httpx.AsyncClient) -> None:
    assert (await client.get("/healthz")).json() == {"status": "up"}
    assert (await client.get("/readyz")).json() == {"status": "ready"}


async def test_a_broken_blob_store_is_up_but_not_ready(box: Box, client: httpx.AsyncClient) -> None:
    root = Path(box.settings.blob_address)
    shutil.rmtree(root, ignore_errors=True)
    root.write_text("a file where the folder was")

    answer = await client.get("/readyz")

    assert answer.status_code == 503
    assert list(answer.json()["trouble"]) == ["blobs"]
    assert (await client.get("/healthz")).status_code == 200


async def test_a_closed_database_is_not_ready(box: Box, client: httpx.AsyncClient) -> None:
    await box.database.write(lambda writer: writer.execute("drop table mark"))

    answer = await client.get("/readyz")

    assert answer.status_code == 503
    assert list(answer.json()["trouble"]) == ["database"]


async def test_metrics_are_prometheus_text_without_patients(box: Box, client: httpx.AsyncClient) -> None:
    await client.get("/healthz")
    await client.get("/nothing")

    answer = await client.get("/metrics")

    lines = answer.text.splitlines()
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert "dicomweb_box_studies 0" in lines
    assert 'dicomweb_box_http_requests_total{process="web-0",status="2xx"} 1' in lines
    assert 'dicomweb_box_http_requests_total{process="web-0",status="4xx"} 1' in lines
    assert 'dicomweb_box_http_requests_running{process="web-0"} 1' in lines
    named = {line.split("{")[0].split()[0] for line in lines if not line.startswith("#")}
    explained = {line.split()[2] for line in lines if line.startswith("# HELP")}
    assert named == explained


async def test_numbers_of_an_empty_box_are_zero(box: Box) -> None:
    assert await status.numbers(box) == status.Numbers(studies=0, waiting=0, removals=0, changes=0)


def test_a_process_that_begins_again_has_nothing_running_and_keeps_its_counts() -> None:
    tally = Tally(2)
    tally.claim(1)
    tally.began()
    tally.ended(200)
    tally.began()

    tally.claim(1)

    assert tally.running(1) == 0
    assert tally.answered(1)["2xx"] == 1
    assert sum(tally.answered(0).values()) == 0
