"""A server with something on every page, and the pages that its links lead to."""

import re
from collections.abc import Iterator
from html.parser import HTMLParser
from typing import Any
from urllib.parse import urljoin, urlsplit

import httpx
from starlette.routing import Route

from conformance.objects import multipart
from conformance.server import Server
from conformance.shown_objects import shown
from dicomweb_box.web.routes import routes
from tests.builders import make_instance, new_uid

PARTS = {"Content-Type": 'multipart/related; type="application/dicom"; boundary=conformance-part'}
NAME, OTHER = "Everywhere^Eve", "Elsewhere^Ed"
NO_PAGES = re.compile(r"/(dicom-web|wado|ohif|static|healthz|readyz|metrics|events|transfers/events)(/|$)")
MOST_OF_A_KIND = 3


def populate(server: Server) -> None:
    """Studies of all kinds, labels, a selection, an upload, something held, in dispute, rejected."""
    study, series, instance = new_uid(), new_uid(), new_uid()
    uids = {"StudyInstanceUID": study, "SeriesInstanceUID": series}
    objects = [
        make_instance(**uids, SOPInstanceUID=instance, PatientName=NAME, PatientID="EVE"),
        make_instance(**uids, InstanceNumber=2, PatientName=NAME, PatientID="OTHER"),
        make_instance(**uids, InstanceNumber=3, PatientName=NAME, PatientID="EVE"),
        *(one.data for one in shown().values()),
    ]
    rejected = new_uid()
    objects.append(make_instance(StudyInstanceUID=rejected, PatientName=OTHER))
    with httpx.Client(base_url=server.url, timeout=60, headers={"Accept": "application/json"}) as client:
        _done(client.post("/dicom-web/studies", content=multipart(objects), headers=PARTS))
        _done(client.post("/labels", data={"name": "seen"}))
        _done(client.post("/labels/apply", data={"study": study, "add": "seen"}))
        rule = {"name": "All CT", "attribute": "Modality", "value": "CT", "label": "ct"}
        _done(client.post("/rules", json=rule))
        _done(client.post("/selections", data={"study": study}))
        _done(client.post("/upload", data={"name": "A trial"}))
        _done(client.post("/users", json={"name": "reader", "role": "viewer", "labels": ["seen"]}))
        _done(client.post("/shares", json={"study": study, "name": "Second opinion"}))
        _done(client.post("/tokens", json={"name": "notebook", "rights": ["see"]}))
        peer = {"name": "CT 2", "ae_title": "CT2", "host": "192.0.2.1", "port": 104, "may": ["echo", "store"]}
        _done(client.post("/peers", json=peer))
        # Nothing listens there.
        north = {"name": "north", "ae_title": "NORTH", "host": "127.0.0.1", "port": 9, "may": ["echo"]}
        _done(client.post("/peers", json=north))
        _done(client.post("/peers/north/retrieve", data={"study": new_uid()}))
        patient = {"patient_name": NAME, "patient_id": "EVE", "description": "Chest"}
        step = {"ae_title": "CT2", "modality": "CT", "start_date": "2026-01-05", "start_time": "09:30"}
        _done(client.post("/worklist", json=patient | step))
        _done(client.post("/reject", data={"study": rejected, "reason": "113001"}))
    with httpx.Client(transport=httpx.HTTPTransport(local_address="127.0.0.9"), timeout=60) as other:
        held = make_instance(**uids, SOPInstanceUID=instance, PatientName=OTHER)
        _done(other.post(f"{server.dicomweb}/studies", content=multipart([held]), headers=PARTS), 409)


def _done(answer: httpx.Response, *expected: int) -> None:
    assert answer.status_code in (expected or (200, 201, 202)), f"{answer.request.url}: {answer.text[:500]}"


class _Links(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self.form = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag == "a" and given.get("href") and "download" not in given:
            self.found.append(given["href"] or "")


def pages(server: Server) -> dict[str, str]:
    """Address and content of pages that links lead to from the first one, up to three of each route."""
    found: dict[str, str] = {}
    kinds: dict[str, int] = {}
    waiting = ["/studies"]
    with httpx.Client(base_url=server.url, timeout=60, headers={"Accept": "text/html"}) as client:
        waiting += _without_links(client)
        while waiting:
            address = waiting.pop(0)
            kind = route_of(urlsplit(address).path)
            if address in found or kind is None or kinds.get(kind, 0) >= MOST_OF_A_KIND:
                continue
            answer = client.get(address, follow_redirects=True)
            assert answer.status_code == 200, f"{address}: {answer.status_code}"
            if not answer.headers["content-type"].startswith("text/html"):
                continue
            kinds[kind] = kinds.get(kind, 0) + 1
            found[address] = answer.text
            links = _Links()
            links.feed(answer.text)
            waiting += [_local(address, link) for link in links.found if _is_page(link)]
    return found


def _without_links(client: httpx.Client) -> list[str]:
    """Pages that forms lead to, and addresses that people write: with a study, a series, two instances."""
    found = client.get("/dicom-web/instances?PatientID=EVE", headers={"Accept": "application/json"}).json()
    first, second = (one["00080018"]["Value"][0] for one in found[:2])
    study, series = (found[0][tag]["Value"][0] for tag in ("0020000D", "0020000E"))
    of_series = f"/studies/{study}/series/{series}"
    instance = f"{of_series}/instances/{first}"
    return [
        f"{instance}/compare?with={second}",
        f"/studies/{study}/correct",
        *(f"{level}/reject" for level in (f"/studies/{study}", of_series, instance)),
    ]


def _is_page(link: str) -> bool:
    parts = urlsplit(link)
    return not parts.netloc and not link.startswith("#") and not NO_PAGES.match(parts.path)


def _local(address: str, link: str) -> str:
    return urljoin(address, link).partition("#")[0]


def page_routes() -> Iterator[Route]:
    """Every route that people get a page from."""
    for route in routes():
        if not isinstance(route, Route) or "GET" not in (route.methods or ()) or route.path == "/":
            continue
        if not route.path.endswith(".json") and not NO_PAGES.match(route.path):
            yield route


def route_of(path: str) -> str | None:
    """The pattern of the page's route; None where there is none."""
    for route in page_routes():
        scope: dict[str, Any] = {"type": "http", "path": path, "method": "GET"}
        if route.matches(scope)[0].name == "FULL":
            return route.path
    return None
