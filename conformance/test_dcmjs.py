"""dicomweb-client for JavaScript, which OHIF and SLIM use, under node: one user's session."""

import functools
import hashlib
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from pydicom.encaps import generate_frames

from conformance.objects import Object, plain

NODE = Path(__file__).parent / "node"
REQUIRED = {"node": 18, "npm": 8}
"""Versions from which `fetch` and version 3 of the lock file are there."""


@functools.lru_cache(maxsize=1)
def missing() -> str | None:
    """What is not there of node and npm."""
    for program, least in REQUIRED.items():
        found = shutil.which(program)
        if found is None:
            return f"{program} is not installed"
        said = subprocess.run([found, "--version"], capture_output=True, text=True, check=True).stdout
        if int(said.strip().lstrip("v").partition(".")[0]) < least:
            return f"{program} is older than {least}"
    return None


@pytest.fixture(scope="session")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the pinned client in it, its integrity checked by npm."""
    if reason := missing():
        pytest.skip(reason)
    folder = tmp_path_factory.mktemp("node")
    for name in ("package.json", "package-lock.json"):
        shutil.copy(NODE / name, folder)
    done = subprocess.run(
        ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"],
        cwd=folder, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    if done.returncode:
        pytest.skip(f"npm cannot install the client: {done.stderr.strip().splitlines()[-1]}")
    return folder


@pytest.fixture(scope="session")
def session(
    installed: Path, base_url: str, shown: dict[str, Object], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Any]:
    """What each step of the session got."""
    stored = plain("stored", study="DCMJS", series="stored")
    file = tmp_path_factory.mktemp("dcmjs") / "stored.dcm"
    file.write_bytes(stored.data)

    def uids(one: Object) -> dict[str, str]:
        return {"study": one.study_uid, "series": one.series_uid, "instance": one.instance_uid}

    plan = {name: uids(shown[name]) for name in ("image", "pdf", "report", "video")}
    plan |= {"compressed": uids(shown["rle"]), "stored": uids(stored)}
    done = subprocess.run(
        ["node", str(NODE / "session.mjs"), str(installed), base_url, json.dumps(plan | {"file": str(file)})],
        capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    got: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    failed = {name: step for name, step in got.items() if "failed" in step}
    assert not failed
    return got


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def uid_of(found: list[dict[str, Any]], tag: str) -> list[str]:
    return [value for one in found for value in one[tag]["Value"]]


def test_no_request_of_the_session_fails(session: dict[str, Any]):
    asked = [one for step in session.values() for one in step["asked"]]

    assert len(asked) >= len(session)
    assert {one["status"] for one in asked} <= {200, 206}


@pytest.mark.row(99, 104)
def test_dcmjs_stores_an_instance_and_finds_it(session: dict[str, Any]):
    assert session["store"]["value"] == "string"
    stored = plain("stored", study="DCMJS", series="stored")
    assert uid_of(session["storedStudy"]["value"], "0020000D") == [stored.study_uid]


@pytest.mark.row(1, 2, 4, 8, 34)
def test_dcmjs_searches_at_every_level(session: dict[str, Any], shown: dict[str, Object]):
    image = shown["image"]

    assert uid_of(session["studies"]["value"], "0020000D") == [image.study_uid]
    assert session["nothing"]["value"] == []
    assert set(uid_of(session["series"]["value"], "0020000E")) == {one.series_uid for one in shown.values()}
    assert uid_of(session["instances"]["value"], "00080018") == [image.instance_uid]


@pytest.mark.row(57)
def test_dcmjs_retrieves_metadata(session: dict[str, Any], shown: dict[str, Object]):
    assert session["studyMetadata"]["value"] == len(shown)
    assert session["seriesMetadata"]["value"] == 1
    assert uid_of(session["instanceMetadata"]["value"], "00080018") == [shown["image"].instance_uid]


@pytest.mark.row(44, 45)
def test_dcmjs_retrieves_instances_series_and_studies(session: dict[str, Any], shown: dict[str, Object]):
    assert session["instance"]["value"] == digest(shown["image"].data)
    assert session["seriesObjects"]["value"] == 1
    # A video cannot be made Explicit VR Little Endian: the others come (206), and a warning names it.
    assert session["study"]["value"] == len(shown) - 1
    assert session["study"]["asked"][0]["status"] == 206


@pytest.mark.row(69, 71, 72, 73)
def test_dcmjs_retrieves_frames_native_and_as_stored(session: dict[str, Any], shown: dict[str, Object]):
    dataset = shown["rle"].dataset
    stored = list(generate_frames(dataset.PixelData, number_of_frames=6))
    native = [shown["cine"].dataset.PixelData[n * 384 : (n + 1) * 384] for n in range(6)]

    assert session["frames"]["value"] == [digest(frame) for frame in native[:3]]
    assert session["framesAsStored"]["value"][0] in {digest(native[1]), digest(stored[1])}
    assert session["framesOfOneSyntax"]["value"] == [digest(stored[2])]


@pytest.mark.row(65, 68, 77)
def test_dcmjs_retrieves_bulk_data_and_ranges_of_them(session: dict[str, Any], shown: dict[str, Object]):
    pixels = shown["image"].dataset.PixelData

    assert session["bulk"]["value"] == [digest(pixels)]
    assert session["bulkOfItsType"]["value"] == [digest(shown["pdf"].dataset.EncapsulatedDocument)]
    assert session["bulkRange"]["asked"][0]["status"] == 206
    assert session["bulkRange"]["value"] == [digest(pixels[10:110])]


@pytest.mark.row(80, 81, 82)
def test_dcmjs_retrieves_renderings(session: dict[str, Any]):
    assert session["rendered"]["value"].startswith("\xff\xd8\xff")
    assert session["renderedPng"]["value"].startswith("\x89PNG")
    assert session["renderedFrames"]["value"].startswith("\xff\xd8\xff")
    assert session["renderedText"]["value"].startswith("<!DOCTYPE html>")
    assert session["renderedVideo"]["value"][4:8] == "ftyp"


@pytest.mark.row(89)
def test_dcmjs_retrieves_thumbnails(session: dict[str, Any]):
    assert session["thumbnail"]["value"].startswith("\xff\xd8\xff")
    assert session["frameThumbnail"]["value"].startswith("\x89PNG")
