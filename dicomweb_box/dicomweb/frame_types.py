"""The media types of stored frames (PS3.18 Table 8.7.3-5)."""

from collections.abc import Sequence

from dicomweb_box.archive.explicit_body import can_be_explicit
from dicomweb_box.dicom.image import ENCAPSULATED_UNCOMPRESSED, NATIVE
from dicomweb_box.dicom.media_types import Accepted, Offer, asks_for_more
from dicomweb_box.dicom.transcode import TARGETS
from dicomweb_box.dicom.uids import EXPLICIT_LITTLE

OCTETS = "application/octet-stream"
_UID = "1.2.840.10008.1.2."

FRAME_TYPES = {
    **dict.fromkeys((_UID + "4.50", _UID + "4.51", _UID + "4.57", _UID + "4.70"), "image/jpeg"),
    **dict.fromkeys((_UID + "4.80", _UID + "4.81"), "image/jls"),
    **dict.fromkeys((_UID + "4.90", _UID + "4.91"), "image/jp2"),
    **dict.fromkeys((_UID + "4.92", _UID + "4.93"), "image/jpx"),
    **dict.fromkeys((_UID + "4.201", _UID + "4.202", _UID + "4.203"), "image/jphc"),
    **dict.fromkeys((_UID + "4.110", _UID + "4.111", _UID + "4.112"), "image/jxl"),
    _UID + "5": "image/dicom-rle",
}
VIDEO_TYPES = {
    **dict.fromkeys((_UID + "4.100", _UID + "4.100.1", _UID + "4.101", _UID + "4.101.1"), "video/mpeg"),
    **{
        f"{_UID}4.{number}{fragmentable}": "video/mp4"
        for number in range(102, 109)
        for fragmentable in ("", ".1")
    },
}


def frame_offers(stored: str, *, alone: bool, anything: bool) -> list[Offer]:
    """What can be given of frames stored so; first what a client gets that takes anything.

    `anything`: it takes any transfer syntax, so it is given what is stored; else native frames, which every
    client can read and the metadata describe.
    """
    native = [(OCTETS, EXPLICIT_LITTLE)] if can_be_explicit(stored) else []
    as_stored: list[tuple[str, str]] = []
    if stored not in NATIVE and stored != ENCAPSULATED_UNCOMPRESSED:
        kinds = filter(None, (FRAME_TYPES.get(stored) or VIDEO_TYPES.get(stored), OCTETS))
        as_stored = [(kind, stored) for kind in kinds]
    return _forms(as_stored + native if anything else native + as_stored, alone=alone)


def encoded_offers(targets: tuple[str, ...], *, alone: bool) -> list[Offer]:
    """What can be given of frames by encoding them in these transfer syntaxes."""
    return _forms([(kind, one) for one in targets for kind in (FRAME_TYPES[one], OCTETS)], alone=alone)


def asks_for_encoding(accepted: Sequence[Accepted], offers: Sequence[Offer]) -> bool:
    """Whether a client that is offered these would like frames encoded otherwise."""
    return asks_for_more(accepted, offers, _ENCODED)


def _forms(kinds: list[tuple[str, str]], *, alone: bool) -> list[Offer]:
    return [
        Offer(media_type=kind, multipart=form, transfer_syntax=syntax)
        for kind, syntax in kinds
        for form in ((False, True) if alone else (True,))
    ]


_ENCODED = encoded_offers(TARGETS, alone=True)
