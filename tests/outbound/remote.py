"""Data sets that a PACS of the tests holds, and the peer that it is."""

from typing import Any

from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

from dicomweb_box.accounts.access import SYSTEM
from dicomweb_box.box import Box
from dicomweb_box.outbound import peers
from dicomweb_box.outbound.known_peers import Peer
from dicomweb_box.outbound.particulars import Particulars
from tests.builders import make_dataset, new_uid
from tests.outbound.pacs import TITLE, Pacs


def dataset(**attributes: Any) -> Dataset:
    made = make_dataset(**attributes)
    made.file_meta = FileMetaDataset()
    made.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    return made


def study(count: int, **attributes: Any) -> list[Dataset]:
    """A study of two series."""
    study_uid, series = new_uid(), [new_uid(), new_uid()]
    return [
        dataset(study=study_uid, series=series[number % 2], InstanceNumber=number, **attributes)
        for number in range(count)
    ]


async def north(box: Box, there: Pacs, **more: Any) -> Peer:
    told = Particulars(name="north", ae_title=TITLE, host="127.0.0.1", port=there.port, **more)
    return await peers.add(box, told, actor=SYSTEM)
