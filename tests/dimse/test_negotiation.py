"""What of a proposal is accepted."""

import pytest
from pydicom.uid import (
    JPEG2000,
    CTImageStorage,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEGBaseline8Bit,
)

from dicomweb_box.dimse.negotiation import identifier_syntax, is_storage, storage_syntax

PRIVATE = "1.2.826.0.1.3680043.10.1511.77"


@pytest.mark.parametrize(
    ("uid", "storage"),
    [
        (CTImageStorage, True),
        ("1.2.840.10008.5.1.4.38.1", True),  # Hanging Protocol Storage
        ("1.2.840.10008.5.1.4.1.1.12.77", True),  # retired, without a name
        ("1.2.840.10008.5.1.4.1.1.999.1", True),  # newer than this program
        (PRIVATE, True),
        ("1.2.840.10008.1.1", False),  # Verification
        ("1.2.840.10008.1.20.1", False),  # Storage Commitment Push Model
        ("1.2.840.10008.1.3.10", False),  # Media Storage Directory Storage
        ("1.2.840.10008.5.1.4.1.2.2.1", False),  # Study Root FIND
        ("1.2.840.10008.5.1.1.1", False),  # Basic Film Session
        (ExplicitVRLittleEndian, False),
        ("", False),
        ("1.2.three", False),
        ("1." * 40 + "1", False),
    ],
)
@pytest.mark.dicom("PS3.4 B.5")
def test_each_class_that_is_not_known_for_something_else_can_be_stored(uid: str, storage: bool) -> None:
    assert is_storage(uid) is storage


@pytest.mark.parametrize(
    ("proposed", "chosen"),
    [
        ([JPEG2000, ExplicitVRLittleEndian], JPEG2000),
        ([ExplicitVRLittleEndian, JPEG2000], ExplicitVRLittleEndian),
        ([ExplicitVRBigEndian, ImplicitVRLittleEndian], ExplicitVRBigEndian),
        ([DeflatedExplicitVRLittleEndian], DeflatedExplicitVRLittleEndian),
        ([PRIVATE, ImplicitVRLittleEndian], ImplicitVRLittleEndian),
        ([PRIVATE], PRIVATE),
        (["1.2.840.10008.1.2.6.2"], None),  # XML Encoding
        ([CTImageStorage], None),
        (["no uid"], None),
        ([], None),
    ],
)
@pytest.mark.dicom("PS3.8 9.3.3.2")
def test_the_senders_order_of_transfer_syntaxes_decides(proposed: list[str], chosen: str | None) -> None:
    assert storage_syntax(proposed) == chosen


def test_a_peer_that_decodes_nothing_is_given_what_is_not_compressed() -> None:
    assert storage_syntax([JPEGBaseline8Bit, ImplicitVRLittleEndian], uncompressed_only=True) == (
        ImplicitVRLittleEndian
    )
    assert storage_syntax([JPEGBaseline8Bit, PRIVATE], uncompressed_only=True) is None


def test_identifiers_are_taken_in_the_three_syntaxes_that_are_not_compressed() -> None:
    assert identifier_syntax([DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian]) == ExplicitVRBigEndian
    assert identifier_syntax([JPEGBaseline8Bit]) is None
