"""Where blobs rest: local disk or an object store, behind one protocol."""

# Not empty as elsewhere: callers say `storage.open_store` and need not know the kinds, nor load the object
# store's client.
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import unquote, urlsplit

from dicomweb_box.storage.blobs import Blob, BlobStore, SpoolFile
from dicomweb_box.storage.local import LocalStore

__all__ = ["Blob", "BlobStore", "LocalStore", "SpoolFile", "open_store"]


def open_store(
    address: str | Path,
    *,
    spool: Path | None = None,
    options: Mapping[str, str] | None = None,
    insecure_http: bool = False,
    open_blobs: int = 256,
) -> BlobStore:
    """The store at a path, a `file:` URL, or `s3://bucket/prefix`, `gs://…`, `az://…`.

    An object store spools in the folder `spool` and takes the provider's environment variables as `options`;
    plain HTTP to it is for loopback, or for `insecure_http`.
    Raises BadSetting for an address that cannot be meant.
    """
    url = urlsplit(str(address))
    if url.scheme in ("s3", "gs", "az"):
        from dicomweb_box.storage.cloud import CloudStore

        if spool is None:
            raise TypeError("an object store needs a spool folder")
        return CloudStore(str(address), spool, options or {}, insecure_http=insecure_http)
    path = Path(unquote(url.path)) if url.scheme == "file" else Path(address)
    return LocalStore(path, open_blobs=open_blobs)
