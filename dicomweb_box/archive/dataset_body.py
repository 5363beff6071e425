"""Instances as data sets alone, without File Meta Information: what a C-STORE carries (PS3.7 9.1.1)."""

from collections.abc import Sequence

from dicomweb_box.archive.body import Body, Piece, settle_first
from dicomweb_box.archive.explicit_body import can_be_explicit, explicit_body, implicit_body, stored_body
from dicomweb_box.archive.retrieve import Instance
from dicomweb_box.archive.transcoding import transcoded_body
from dicomweb_box.box import Box
from dicomweb_box.dicom.uids import EXPLICIT_LITTLE, IMPLICIT_LITTLE

UNCOMPRESSED = (EXPLICIT_LITTLE, IMPLICIT_LITTLE)
"""What any instance that can be decoded can be given in, the better one first."""


def uncompressed(transfer_syntax_uid: str) -> tuple[str, ...]:
    """The uncompressed transfer syntaxes in which instances stored so can be given."""
    return UNCOMPRESSED if can_be_explicit(transfer_syntax_uid) else ()


async def dataset_body(box: Box, instance: Instance, transfer_syntax_uid: str) -> list[Body]:
    """The data set in the instance's `given_syntax`, one of `uncompressed` or of `transcoding.targets`.

    Its first frame is decoded or encoded now, where any has to be. Raises UnreadableInstance, Damaged or
    NotFound where its bytes cannot be followed, OutOfResources where too many wait.
    """
    if transfer_syntax_uid == instance.transfer_syntax_uid and instance.overlay is None:
        at = instance.dataset_offset
        return [Piece(instance.blob_key, at, instance.size - at)]
    if transfer_syntax_uid == EXPLICIT_LITTLE:
        return await settle_first(_bare(await explicit_body(box, instance)))
    if transfer_syntax_uid == IMPLICIT_LITTLE:
        return await settle_first(_bare(await implicit_body(box, instance)))
    if transfer_syntax_uid == instance.given_syntax:
        return _bare(await stored_body(box, instance))
    return _bare(await transcoded_body(box, instance, transfer_syntax_uid))


def _bare(body: Sequence[Body]) -> list[Body]:
    """Without what a rewritten object begins with: a text of preamble and File Meta Information."""
    if not isinstance(body[0], bytes) or body[0][128:132] != b"DICM":
        raise TypeError("the body does not begin with File Meta Information")
    return list(body[1:])
