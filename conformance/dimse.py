"""Other people's DIMSE programs, and a sender that leaves a file's data set as it is."""

import contextlib
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pydicom
import pytest
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pynetdicom import AE, _config
from pynetdicom.presentation import build_context

AE_TITLE = "DICOMWEB_BOX"
VERIFICATION = "1.2.840.10008.1.1"


def program(name: str) -> str:
    """Where one of DCMTK's programs is; skips where there is none."""
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"{name} of DCMTK is not installed")
    return found


def run(*arguments: str | Path, expected: int | None = 0) -> str:
    """What a program says; it must end with the `expected` code, where one is given."""
    done = subprocess.run(
        list(map(str, arguments)), capture_output=True, text=True, timeout=300, check=False, errors="replace"
    )
    said = done.stdout + done.stderr
    assert expected is None or done.returncode == expected, said
    return said


def dcmtk(name: str, port: int, *arguments: str | Path, expected: int | None = 0) -> str:
    """What one of DCMTK's programs says that talks to the box."""
    return run(program(name), "-v", "-aec", AE_TITLE, "127.0.0.1", str(port), *arguments, expected=expected)


def pynetdicom_app(name: str, port: int, *arguments: str | Path, expected: int | None = 0) -> str:
    """What one of pynetdicom's applications says that talks to the box."""
    more = [sys.executable, "-W", "ignore", "-m", "pynetdicom", name, "127.0.0.1", str(port)]
    return run(*more, *arguments, "-aec", AE_TITLE, "-v", expected=expected)


@dataclass(frozen=True, kw_only=True)
class Part10:
    """A file as it is: what its File Meta Information says, and the bytes behind it."""

    path: Path
    sop_class_uid: str
    instance_uid: str
    transfer_syntax_uid: str
    dataset: bytes


def part10(path: Path) -> Part10:
    """Reads one; raises whatever pydicom does where it is none."""
    data = path.read_bytes()
    meta = pydicom.filereader.read_file_meta_info(path)
    return Part10(
        path=path,
        sop_class_uid=meta.MediaStorageSOPClassUID,
        instance_uid=meta.MediaStorageSOPInstanceUID,
        transfer_syntax_uid=meta.TransferSyntaxUID,
        dataset=dataset_of(data),
    )


def with_meta(path: Path, folder: Path) -> Part10:
    """The same for a file without a whole Part 10 header: one is written before its data set."""
    found = pydicom.dcmread(path, force=True)
    data, (implicit, little) = path.read_bytes(), found.original_encoding
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = found.SOPClassUID, found.SOPInstanceUID
    plain = ImplicitVRLittleEndian if implicit else ExplicitVRLittleEndian if little else ExplicitVRBigEndian
    meta.TransferSyntaxUID = found.file_meta.get("TransferSyntaxUID", plain)
    written = folder / path.name
    with written.open("wb") as file:
        file.write(bytes(128) + b"DICM")
        pydicom.filewriter.write_file_meta_info(file, meta)
        file.write(_behind_meta(data, 132 if data[128:132] == b"DICM" else 0))
    return part10(written)


def dataset_of(data: bytes) -> bytes:
    """The bytes of a Part 10 file that follow its File Meta Information."""
    assert data[128:132] == b"DICM"
    return _behind_meta(data, 132)


def _behind_meta(data: bytes, at: int) -> bytes:
    while data[at : at + 2] == b"\2\0":
        long = data[at + 4 : at + 6] in (b"OB", b"OW", b"UN", b"SQ", b"UT")
        length = int.from_bytes(data[at + 8 : at + 12] if long else data[at + 6 : at + 8], "little")
        at += (12 if long else 8) + length
    return data[at:]


@contextlib.contextmanager
def association(
    port: int,
    contexts: Sequence[tuple[str, str | Sequence[str]]],
    *,
    calling: str = "MODALITY1",
    called: str = AE_TITLE,
    **more: Any,
) -> Iterator[Any]:
    """An association of pynetdicom's with the box, for contexts of class and transfer syntaxes."""
    ae = AE(calling)
    ae.requested_contexts = [build_context(uid, syntaxes) for uid, syntaxes in contexts]
    ae.acse_timeout = ae.dimse_timeout = ae.network_timeout = 60
    made = ae.associate("127.0.0.1", port, ae_title=called, **more)
    try:
        yield made
    finally:
        if made.is_established:
            made.release()


@contextlib.contextmanager
def as_it_is() -> Iterator[None]:
    """Lets pynetdicom send the bytes of a file's data set, where it would write it anew."""
    before, _config.STORE_SEND_CHUNKED_DATASET = _config.STORE_SEND_CHUNKED_DATASET, True
    try:
        yield
    finally:
        _config.STORE_SEND_CHUNKED_DATASET = before


def store_as_it_is(port: int, files: Sequence[Part10], *, calling: str = "MODALITY1") -> list[Any]:
    """The response to each file, sent over one association with a context for each kind."""
    pairs = list(dict.fromkeys((one.sop_class_uid, one.transfer_syntax_uid) for one in files))
    with as_it_is(), association(port, pairs, calling=calling) as made:
        assert made.is_established
        return [made.send_c_store(one.path) for one in files]
