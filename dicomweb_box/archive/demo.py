"""A handful of real objects that pydicom ships, for someone who opens an empty box for the first time."""

import importlib.util
import logging
from collections.abc import AsyncIterator
from pathlib import Path

from dicomweb_box.accounts.access import SYSTEM
from dicomweb_box.archive.ingest import receive, store
from dicomweb_box.archive.outcomes import Stored
from dicomweb_box.box import Box, in_thread
from dicomweb_box.database import Writer

log = logging.getLogger(__name__)

SOURCE = "demo"
MARK = "demo loaded"
# Plain and compressed, grey and colour, still and moving, and objects without pixels.
OBJECTS = (
    "CT_small.dcm",
    "MR_small.dcm",
    "JPEG-lossy.dcm",
    "examples_jpeg2k.dcm",
    "examples_overlay.dcm",
    "examples_rgb_color.dcm",
    "examples_ybr_color.dcm",
    "liver_1frame.dcm",
    "rtdose.dcm",
    "rtplan.dcm",
    "test-SR.dcm",
    "waveform_ecg.dcm",
    "dicomdirtests/77654033/CR*/*",
    "dicomdirtests/77654033/CT2/*",
    "dicomdirtests/98892003/MR*/*",
)


async def load(box: Box) -> int:
    """How many objects were loaded; none where they were before, even if they were removed since."""
    if (
        await box.database.fetch_value("select value from mark where name = :name", {"name": MARK})
        is not None
    ):
        return 0
    loaded = 0
    for path in await in_thread(box, _paths):
        received = await receive(box, _whole(box, path))
        outcome = await store(box, received, source=SOURCE, actor=SYSTEM)
        loaded += isinstance(outcome, Stored)
    await box.database.write(_mark)
    log.info("loaded %d demonstration objects", loaded)
    return loaded


def _paths() -> list[Path]:
    # By its place, not through pydicom's own look-up: that one asks the network for what it does not find.
    spec = importlib.util.find_spec("pydicom")
    if spec is None or not spec.submodule_search_locations:
        return []
    folder = Path(spec.submodule_search_locations[0]) / "data" / "test_files"
    return [path for pattern in OBJECTS for path in sorted(folder.glob(pattern)) if path.is_file()]


async def _whole(box: Box, path: Path) -> AsyncIterator[bytes]:
    yield await in_thread(box, path.read_bytes)


async def _mark(writer: Writer) -> None:
    await writer.execute(
        "insert into mark (name, value) values (:name, :value) on conflict (name) do nothing",
        {"name": MARK, "value": "1"},
    )
