"""The Box: opened, shared, closed."""

import threading
from pathlib import Path

import pytest

from dicomweb_box import setting_sources
from dicomweb_box.box import Box, in_thread, open_box
from dicomweb_box.errors import BadSetting
from dicomweb_box.storage import LocalStore


class Resource:
    """Notes that it was closed."""

    closed: list[str] = []  # noqa: RUF012

    def __init__(self, box: Box) -> None:
        self.box = box

    async def close(self) -> None:
        self.closed.append(type(self).__name__)


class Other(Resource):
    """A second kind."""


async def test_a_resource_is_made_once_and_closed_with_the_box_in_reverse(tmp_path: Path) -> None:
    Resource.closed.clear()
    async with open_box(setting_sources.load({"data": tmp_path / "data"}, {})) as box:
        first = box.resource(Resource, Resource)
        box.resource(Other, Other)

        assert box.resource(Resource, Resource) is first
        assert first.box is box

    assert Resource.closed == ["Other", "Resource"]


async def test_file_work_runs_in_a_thread_of_the_box(tmp_path: Path) -> None:
    async with open_box(setting_sources.load({"data": tmp_path / "data"}, {})) as box:
        assert (await in_thread(box, threading.current_thread)).name.startswith("files")
        with pytest.raises(ZeroDivisionError):
            await in_thread(box, lambda: 1 // 0)


async def test_opening_makes_the_data_folder_migrates_and_keeps_blobs_in_it(tmp_path: Path) -> None:
    async with open_box(setting_sources.load({"data": tmp_path / "deep" / "data"}, {})) as box:
        assert await box.database.fetch_value("select count(*) from study") == 0
        assert isinstance(box.blobs, LocalStore)
        assert box.blobs.root == tmp_path / "deep" / "data" / "blobs"
        assert box.clock().tzinfo is not None


async def test_a_box_that_cannot_be_opened_leaves_no_thread(tmp_path: Path) -> None:
    before = threading.active_count()
    given = {"data": tmp_path, "blob_url": "s3://bucket"}
    plain = {"AWS_ENDPOINT_URL": "http://store.example"}

    with pytest.raises(BadSetting):
        async with open_box(setting_sources.load(given, plain)):
            pass

    assert threading.active_count() <= before + 1  # asyncio's own
