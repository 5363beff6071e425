"""Blobs in an object store: S3 and its like, Google Cloud Storage, Azure; all through obstore."""

import contextlib
import ipaddress
import itertools
import mmap
from collections.abc import Iterable, Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, Self, cast
from urllib.parse import urlsplit

import obstore
from obstore.exceptions import BaseError
from obstore.store import from_url

from dicomweb_box.errors import BadSetting, NotFound, OutOfResources
from dicomweb_box.storage.blobs import checked
from dicomweb_box.storage.spool import File, Spool

PART = 8 << 20
"""Bytes of one part of a multi-part upload; S3 takes 10,000 parts of at least 5 MiB."""
PARTS_AT_ONCE = 4
CONNECT = {"connect_timeout": "10s", "timeout": "120s"}
RETRY: Any = {"max_retries": 4, "retry_timeout": timedelta(seconds=30)}

# The variables that say where the store is and who we are; others of the provider are not for us.
KNOWN = {
    "s3": frozenset(
        {
            "AWS_ACCESS_KEY_ID",
            "AWS_SECRET_ACCESS_KEY",
            "AWS_SESSION_TOKEN",
            "AWS_REGION",
            "AWS_DEFAULT_REGION",
        }
        | {"AWS_ENDPOINT", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_VIRTUAL_HOSTED_STYLE_REQUEST"}
        | {"AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_ROLE_ARN", "AWS_ROLE_SESSION_NAME", "AWS_SKIP_SIGNATURE"}
        | {
            "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
            "AWS_CONTAINER_CREDENTIALS_FULL_URI",
            "AWS_REQUEST_PAYER",
        }
        | {"AWS_SERVER_SIDE_ENCRYPTION", "AWS_SSE_KMS_KEY_ID"}
    ),
    "gs": frozenset(
        {"GOOGLE_SERVICE_ACCOUNT", "GOOGLE_SERVICE_ACCOUNT_PATH", "GOOGLE_SERVICE_ACCOUNT_KEY"}
        | {"GOOGLE_APPLICATION_CREDENTIALS", "GOOGLE_BASE_URL", "GOOGLE_SKIP_SIGNATURE"}
    ),
    "az": frozenset(
        {
            "AZURE_STORAGE_ACCOUNT_NAME",
            "AZURE_STORAGE_ACCOUNT_KEY",
            "AZURE_STORAGE_SAS_KEY",
            "AZURE_STORAGE_TOKEN",
        }
        | {
            "AZURE_STORAGE_CLIENT_ID",
            "AZURE_STORAGE_CLIENT_SECRET",
            "AZURE_STORAGE_TENANT_ID",
            "AZURE_TENANT_ID",
        }
        | {"AZURE_STORAGE_ENDPOINT", "AZURE_ENDPOINT", "AZURE_CLIENT_ID", "AZURE_FEDERATED_TOKEN_FILE"}
        | {"AZURE_STORAGE_USE_EMULATOR"}
    ),
}


@contextlib.contextmanager
def _worded() -> Iterator[None]:
    """Turn the client's errors into ours: not there, or out of reach for now."""
    try:
        yield
    except FileNotFoundError as error:
        raise NotFound("the blob is not in the store") from error
    except BaseError as error:
        # The client's own text names addresses and keys, and can be pages long: its kind is enough.
        raise OutOfResources(
            f"the object store does not do what is asked ({type(error).__name__})"
        ) from error


@contextlib.contextmanager
def _missing_bucket() -> Iterator[None]:
    """What is not found while something is written is the place to write to."""
    try:
        yield
    except FileNotFoundError as error:
        raise OutOfResources("the object store has no such bucket") from error


class CloudStore:
    """A BlobStore in a bucket; a key is an object's name below the address's prefix."""

    def __init__(
        self, address: str, spool: Path, options: Mapping[str, str], *, insecure_http: bool = False
    ) -> None:
        config = {
            name.lower(): options[name] for name in KNOWN[urlsplit(address).scheme] if options.get(name)
        }
        client: Any = {**CONNECT, "allow_http": _may_use_http(config, insecure_http=insecure_http)}
        try:
            self._store: Any = from_url(
                address, config=cast(Any, config), client_options=client, retry_config=RETRY
            )
        except (BaseError, ValueError) as error:
            raise BadSetting(f"setting 'blob_url' cannot be meant: {type(error).__name__}") from error
        self._spool = Spool(spool)

    def put(self, key: str, pieces: Iterable[bytes | bytearray | memoryview]) -> None:
        """Store the pieces under the key, in parts as they come; acknowledged by the store on return."""
        remaining = iter(pieces)
        first = _gather(remaining, PART)
        with _worded(), _missing_bucket():
            if len(first) < PART:
                obstore.put(self._store, checked(key), first, use_multipart=False)
            else:
                self._put_parts(checked(key), itertools.chain([first], remaining))

    def adopt(self, key: str, spool: Path) -> None:
        """Upload the spool file and delete it once the store has acknowledged it."""
        with _worded(), _missing_bucket():
            if spool.stat().st_size < PART:
                obstore.put(self._store, checked(key), spool.read_bytes(), use_multipart=False)
            else:
                self._put_parts(checked(key), spool)
        spool.unlink(missing_ok=True)

    def _put_parts(self, key: str, source: Any) -> None:
        obstore.put(
            self._store, key, source, use_multipart=True, chunk_size=PART, max_concurrency=PARTS_AT_ONCE
        )

    def spool(self) -> File:
        """A new file in the local spool folder."""
        return self._spool.new()

    def open(self, key: str) -> "CloudBlob":
        """The blob; NotFound if there is none."""
        with _worded():
            size = obstore.head(self._store, checked(key))["size"]
        return CloudBlob(self._store, self._spool, key, size)

    def open_now(self, key: str) -> None:
        """None: asking for a blob's size waits for the network."""

    def local_path(self, key: str) -> None:
        """None: nothing lies on a local disk."""
        checked(key)

    def delete(self, key: str) -> None:
        """Remove the blob, if it is there."""
        with _worded(), contextlib.suppress(FileNotFoundError):
            obstore.delete(self._store, checked(key))

    def keys(self, prefix: str = "") -> Iterator[tuple[str, int]]:
        """Each key that begins with prefix, with its size, in the store's order (sorted on S3)."""
        # The client's prefix is a folder, ours the beginning of a key.
        folder = prefix.rpartition("/")[0]
        with _worded():
            for page in obstore.list(self._store, prefix=folder or None):
                for entry in page:
                    if entry["path"].startswith(prefix):
                        yield entry["path"], entry["size"]

    def probe(self) -> None:
        """Ask the store for one name; OutOfResources if it does not answer or does not let us in."""
        with _worded():
            next(iter(obstore.list(self._store, prefix="probe", chunk_size=1)), None)

    def sweep(self) -> int:
        """Delete the spool files of dead processes; how many."""
        return self._spool.sweep()

    def trim(self) -> None:
        """Nothing is held."""

    def close(self) -> None:
        """Nothing is held."""


class CloudBlob:
    """An opened blob in an object store."""

    __slots__ = ("_file", "_key", "_mapped", "_spool", "_store", "size")

    def __init__(self, store: Any, spool: Spool, key: str, size: int) -> None:
        self._store = store
        self._spool = spool
        self._key = key
        self._file: File | None = None
        self._mapped: mmap.mmap | None = None
        self.size = size

    def pread(self, offset: int, length: int) -> bytes:
        """The bytes at offset, by a range request; fewer at the end."""
        length = min(length, self.size - offset)
        if length <= 0:
            return b""
        if self._mapped is not None:
            return self._mapped[offset : offset + length]
        with _worded():
            return bytes(obstore.get_range(self._store, self._key, start=offset, length=length))

    def pread_now(self, offset: int, length: int) -> None:
        """None: a network always has to be waited for."""

    def buffer(self) -> memoryview | mmap.mmap:
        """The whole blob, downloaded to a spool file and mapped; valid until close."""
        if not self.size:
            return memoryview(b"")
        if self._mapped is None:
            file = self._spool.new()
            try:
                with _worded():
                    for piece in obstore.get(self._store, self._key).stream(min_chunk_size=1 << 20):
                        file.write(memoryview(piece))
                self._mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            finally:
                # Without a name it is gone with this process, however that ends.
                file.discard()
        return self._mapped

    def close(self) -> None:
        """Let go; safe to call twice."""
        if self._mapped is not None:
            with contextlib.suppress(BufferError):
                self._mapped.close()
            self._mapped = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def _gather(pieces: Iterator[bytes | bytearray | memoryview], enough: int) -> bytes:
    """The first pieces, joined, until there are `enough` bytes or no more."""
    taken: list[bytes | bytearray | memoryview] = []
    size = 0
    for piece in pieces:
        taken.append(piece)
        size += len(piece)
        if size >= enough:
            break
    return b"".join(taken)


def _may_use_http(config: Mapping[str, str], *, insecure_http: bool) -> bool:
    for name in (
        "aws_endpoint_url_s3",
        "aws_endpoint_url",
        "aws_endpoint",
        "google_base_url",
        "azure_storage_endpoint",
    ):
        endpoint = urlsplit(config.get(name, ""))
        if endpoint.scheme == "http":
            if insecure_http or _is_loopback(endpoint.hostname or ""):
                return True
            raise BadSetting(
                f"{name.upper()} is plain HTTP beyond loopback, which needs the setting insecure_http"
            )
    return False


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
