"""What is particular to object stores: out of reach, plain HTTP, addresses."""

import time
from pathlib import Path

import pytest

from dicomweb_box.errors import BadSetting, OutOfResources
from dicomweb_box.storage import open_store
from tests.storage.stores import BUCKET, CREDENTIALS, cloud_store


def test_nothing_is_had_without_waiting(s3: str, tmp_path: Path) -> None:
    store = cloud_store(s3, tmp_path, "waits")
    store.put("a", [b"x"])

    with store.open("a") as blob:
        assert blob.pread_now(0, 1) is None
    assert store.local_path("a") is None


def test_a_downloaded_blob_leaves_no_spool_file(s3: str, tmp_path: Path) -> None:
    store = cloud_store(s3, tmp_path, "download")
    store.put("a", [b"x" * 5_000_000])

    with store.open("a") as blob:
        assert blob.buffer()[4_999_999] == ord("x")
        assert blob.pread(10, 5) == b"xxxxx"
        assert list(tmp_path.iterdir()) == []


def test_stores_below_two_prefixes_of_a_bucket_do_not_meet(s3: str, tmp_path: Path) -> None:
    one, other = cloud_store(s3, tmp_path, "one"), cloud_store(s3, tmp_path, "other")

    one.put("a", [b"x"])

    assert list(other.keys()) == []
    assert list(one.keys()) == [("a", 1)]


def test_a_store_that_does_not_answer_is_out_of_resources(tmp_path: Path) -> None:
    store = cloud_store("http://127.0.0.1:9", tmp_path, "away")
    began = time.monotonic()

    with pytest.raises(OutOfResources) as caught:
        store.probe()

    assert "127.0.0.1" not in str(caught.value)
    assert time.monotonic() - began < 60


def test_a_missing_bucket_is_out_of_resources(s3: str, tmp_path: Path) -> None:
    store = open_store("s3://nowhere/x", spool=tmp_path, options={**CREDENTIALS, "AWS_ENDPOINT_URL": s3})

    with pytest.raises(OutOfResources):
        store.put("a", [b"x"])


def test_plain_http_beyond_loopback_needs_leave(tmp_path: Path) -> None:
    options = {**CREDENTIALS, "AWS_ENDPOINT_URL": "http://store.example:9000"}

    with pytest.raises(BadSetting, match="insecure_http"):
        open_store(f"s3://{BUCKET}", spool=tmp_path, options=options)
    open_store(f"s3://{BUCKET}", spool=tmp_path, options=options, insecure_http=True)


@pytest.mark.parametrize(
    ("address", "options"),
    [
        ("gs://bucket/prefix", {"GOOGLE_SKIP_SIGNATURE": "true"}),
        (
            "az://container/prefix",
            {"AZURE_STORAGE_ACCOUNT_NAME": "box", "AZURE_STORAGE_ACCOUNT_KEY": "Ym94"},
        ),
    ],
)
def test_google_and_azure_addresses_are_understood(
    tmp_path: Path, address: str, options: dict[str, str]
) -> None:
    assert open_store(address, spool=tmp_path, options=options).local_path("a") is None
