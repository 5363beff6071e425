"""What attributes were before they were replaced: the Original Attributes Sequence (PS3.3 C.12.1.1.9)."""

from collections.abc import Mapping
from datetime import datetime
from typing import Literal

from dicomweb_box.dicom.json_model import Dataset, Element
from dicomweb_box.dicom.media.medium import text

SEQUENCE = "04000561"
_LONGEST = 64  # LO


def record(
    dataset: Dataset,
    originals: Mapping[str, Element],
    *,
    at: datetime,
    system: str,
    source: str,
    reason: Literal["COERCE", "CORRECT"] = "COERCE",
) -> None:
    """Add one item that keeps the original elements; `system` changed what came from `source`.

    Items of earlier systems stay before it.
    """
    if not originals:
        return
    item = {
        "04000550": {"vr": "SQ", "Value": [dict(sorted(originals.items()))]},
        "04000562": text("DT", f"{at:%Y%m%d%H%M%S.%f%z}"),
        "04000563": text("LO", system[:_LONGEST]),
        "04000564": text("LO", source[:_LONGEST]),
        "04000565": text("CS", reason),
    }
    before = dataset.get(SEQUENCE, {}).get("Value")
    items = before if isinstance(before, list) else []
    dataset[SEQUENCE] = {"vr": "SQ", "Value": [*items, item]}
