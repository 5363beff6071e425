"""Both kinds of store, the object store on moto's server on this machine's loopback."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from conformance.server import free_port
from dicomweb_box.storage import BlobStore, open_store

CREDENTIALS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_REGION": "us-east-1"}
BUCKET = "blobs"


@contextmanager
def s3_server() -> Iterator[str]:
    """The address of a running S3 of this process, with an empty bucket."""
    from moto.server import ThreadedMotoServer

    port = free_port()
    server = ThreadedMotoServer("127.0.0.1", port, verbose=False)
    server.start()
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.stop()


def make_bucket(endpoint: str) -> None:
    """The bucket, made by a plain request."""
    import httpx

    httpx.put(f"{endpoint}/{BUCKET}", headers={"Host": "127.0.0.1"}, timeout=60).raise_for_status()


def cloud_store(endpoint: str, spool: Path, prefix: str) -> BlobStore:
    """A store below a prefix of its own in the bucket."""
    options = {**CREDENTIALS, "AWS_ENDPOINT_URL": endpoint}
    return open_store(f"s3://{BUCKET}/{prefix}", spool=spool, options=options)
