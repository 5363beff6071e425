"""Accept headers as clients really send them, for each kind of resource: answered, with what the label says.

`accepts.tsv` has a line for each: the resource, who sends it, the header (`-`: none), and the media type that
is due, of the parts where it is multipart (`*`: one of several that are taken equally); or 406 where nothing
else is possible.
"""

import re
from fnmatch import fnmatchcase
from pathlib import Path

import httpx
import pytest

from conformance.labels import mislabelled
from conformance.objects import Object

CORPUS = [
    line.split("\t")
    for line in (Path(__file__).parent / "accepts.tsv").read_text().splitlines()
    if line and not line.startswith("#")
]
RESOURCES = {
    "search": ("image", "/studies?StudyInstanceUID={study}"),
    "metadata": ("image", "{instance}/metadata"),
    "instance": ("image", "{instance}"),
    "study": ("image", "/studies/{study}"),
    "frame": ("image", "{instance}/frames/1"),
    "frame-rle": ("rle", "{instance}/frames/2"),
    "frame-jpeg": ("jpeg", "{instance}/frames/1"),
    "frames": ("cine", "{instance}/frames/1,2,3"),
    "bulk": ("tiles", "{instance}/bulkdata/00480105/1/00282000"),
    "bulk-pdf": ("pdf", "{instance}/bulkdata/00420011"),
    "bulk-video": ("video", "{instance}/bulkdata/7FE00010"),
    "rendered": ("image", "{instance}/rendered"),
    "rendered-frame": ("cine", "{instance}/frames/2/rendered"),
    "rendered-cine": ("cine", "{instance}/rendered"),
    "rendered-pdf": ("pdf", "{instance}/rendered"),
    "rendered-report": ("report", "{instance}/rendered"),
    "rendered-video": ("video", "{instance}/rendered"),
    "thumbnail": ("image", "{instance}/thumbnail"),
}


def ask(http: httpx.Client, shown: dict[str, Object], resource: str, accept: str) -> httpx.Response:
    name, pattern = RESOURCES[resource]
    path = pattern.format(study=shown[name].study_uid, instance=shown[name].path)
    request = http.build_request("GET", path)
    del request.headers["accept"]
    if accept != "-":
        request.headers["Accept"] = accept.replace("\\t", "\t")
    return http.send(request)


def given(response: httpx.Response) -> str:
    """The answer as the corpus writes it: a media type, of the parts where it is multipart, or the status."""
    # A study may hold what cannot come in the asked form: the rest comes, with a warning.
    if response.status_code not in (200, 206):
        return str(response.status_code)
    label = response.headers["content-type"]
    parts = re.match(r'multipart/related; type="([^"]+)"', label)
    return f"multipart {parts[1]}" if parts else str(label.partition(";")[0])


@pytest.mark.row(53, 55, 56, 77, 81)
@pytest.mark.parametrize("resource", RESOURCES)
def test_every_accept_header_of_a_client_is_answered_with_what_is_due(
    http: httpx.Client, shown: dict[str, Object], resource: str
):
    lines = [line[1:] for line in CORPUS if line[0] == resource]
    wrong = []
    for client, accept, due in lines:
        response = ask(http, shown, resource, accept)
        if not fnmatchcase(given(response), due):
            wrong.append(f"{client}: {accept}: {given(response)}, not {due}")
        elif due == "406":
            assert response.json()["offered"], accept
        elif fault := mislabelled(response):
            wrong.append(f"{client}: {accept}: {fault}")

    assert len(lines) >= 9
    assert not wrong, "\n".join(wrong)


def test_the_corpus_holds_more_than_two_hundred_headers():
    assert len({accept for _, _, accept, _ in CORPUS}) >= 200
    assert {resource for resource, *_ in CORPUS} == set(RESOURCES)
    impossible = [client for _, client, _, due in CORPUS if due == "406"]
    assert all("impossible" in client for client in impossible), impossible
