"""Series that a viewer can be tried on: each slice tells by its grey which one it is."""

import struct
from typing import Any

import numpy as np

from tests.builders import make_dataset, new_uid, part10

SIDE = 128


def slices(
    count: int,
    *,
    study: str,
    series: str,
    frame_of_reference: str | None = None,
    gap: float = 2.0,
    **attributes: Any,
) -> list[bytes]:
    """A CT of `count` slices, 0.5 mm between columns and 1 mm between rows, from the feet up."""
    made = []
    for number in range(1, count + 1):
        given: dict[str, Any] = {
            "PatientName": "Viewer^Vera",
            "Rows": SIDE,
            "Columns": SIDE,
            "RescaleSlope": 1,
            "RescaleIntercept": 0,
            "WindowCenter": "128",
            "WindowWidth": "256",
            "PixelSpacing": ["1", "0.5"],
            "ImageOrientationPatient": ["1", "0", "0", "0", "1", "0"],
            "ImagePositionPatient": ["0", "0", str(gap * (number - 1))],
            "FrameOfReferenceUID": frame_of_reference or f"{series}.1",
            "InstanceNumber": number,
            "PixelData": cells(number),
        }
        given = {name: value for name, value in (given | attributes).items() if value is not None}
        made.append(part10(make_dataset(study=study, series=series, instance=new_uid(), **given)))
    return made


def cells(number: int) -> bytes:
    """Cells of one grey, its lower right quarter white."""
    picture = np.full((SIDE, SIDE), level(number), "<u2")
    picture[SIDE // 2 :, SIDE // 2 :] = 255
    return picture.tobytes()


def level(number: int) -> int:
    """The grey of a slice."""
    return 4 * number


def cine(*, study: str, series: str, frames: int = 6, milliseconds: str = "40") -> bytes:
    """A multi-frame instance of 8-bit frames."""
    from pydicom.uid import MultiFrameGrayscaleByteSecondaryCaptureImageStorage

    data = b"".join(struct.pack("B", 30 * number) * SIDE * SIDE for number in range(1, frames + 1))
    return part10(
        make_dataset(
            study=study,
            series=series,
            PatientName="Viewer^Vera",
            SOPClassUID=MultiFrameGrayscaleByteSecondaryCaptureImageStorage,
            Modality="US",
            SeriesNumber=2,
            SeriesDescription="Cine",
            Rows=SIDE,
            Columns=SIDE,
            BitsAllocated=8,
            BitsStored=8,
            HighBit=7,
            NumberOfFrames=frames,
            FrameTime=milliseconds,
            LossyImageCompression="01",
            PixelData=data,
        )
    )
