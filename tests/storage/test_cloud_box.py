"""A started server whose blobs lie in an object store."""

from io import BytesIO
from pathlib import Path

import httpx
import pydicom
import pytest

from conformance.server import started
from tests.builders import make_instance
from tests.storage.stores import BUCKET, CREDENTIALS


@pytest.mark.dicom("PS3.18 10.5")
def test_instances_rest_in_the_bucket_and_come_back_bit_for_bit(s3: str, tmp_path: Path) -> None:
    small = make_instance()
    large = make_instance(NumberOfFrames=280_000, PixelData=bytes(8_960_000))
    settings = {**CREDENTIALS, "AWS_ENDPOINT_URL": s3, "DICOMWEB_BOX_BLOB_URL": f"s3://{BUCKET}/box"}
    with started(tmp_path / "data", "--workers", "1", settings=settings) as server:
        for content in (small, large):
            headers = {"Content-Type": "application/dicom"}
            stored = httpx.post(f"{server.dicomweb}/studies", content=content, headers=headers, timeout=30)
            assert stored.status_code == 200

            returned = httpx.get(
                _address(server.dicomweb, content), headers={"Accept": "application/dicom"}, timeout=60
            )

            assert returned.content == content
        assert httpx.get(f"{server.url}/readyz", timeout=60).status_code == 200

    assert list((tmp_path / "data").glob("blobs")) == []
    assert list((tmp_path / "data" / "spool").iterdir()) == []


def _address(base: str, content: bytes) -> str:
    ds = pydicom.dcmread(BytesIO(content), stop_before_pixels=True)
    return f"{base}/studies/{ds.StudyInstanceUID}/series/{ds.SeriesInstanceUID}/instances/{ds.SOPInstanceUID}"
