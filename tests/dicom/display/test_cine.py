"""How long frames are shown."""

from typing import Any

import pytest

from dicomweb_box.dicom.display.cine import durations, starts

RECOMMENDED, CINE, TIME, VECTOR = "00082144", "00180040", "00181063", "00181065"


def dataset(**said: Any) -> dict[str, Any]:
    values = {name: value if isinstance(value, list) else [value] for name, value in said.items()}
    return {name.lstrip("t"): {"vr": "DS", "Value": value} for name, value in values.items()}


@pytest.mark.dicom("PS3.3 C.7.6.5")
@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ({f"t{TIME}": 33.3}, [33.3] * 3),
        ({f"t{CINE}": 25}, [40.0] * 3),
        ({f"t{RECOMMENDED}": 20, f"t{CINE}": 50, f"t{TIME}": 10}, [50.0] * 3),
        ({f"t{VECTOR}": [0, 30, 50]}, [30, 50, 40]),
        ({f"t{VECTOR}": [0, 30, 50], f"t{TIME}": 10}, [30, 50, 40]),
        ({f"t{VECTOR}": [0, 30], f"t{TIME}": 10}, [10.0] * 3),
        ({f"t{VECTOR}": [0, -30, 50]}, [100.0] * 3),
        ({f"t{TIME}": 0, f"t{CINE}": 10}, [100.0] * 3),
        ({f"t{TIME}": "12,5"}, [100.0] * 3),
        ({f"t{RECOMMENDED}": 100_000}, [1000 / 240] * 3),
        ({f"t{TIME}": 1e12}, [60_000.0] * 3),
        ({}, [100.0] * 3),
    ],
)
def test_a_frame_is_shown_as_long_as_its_instance_says(said: dict[str, Any], shown: list[float]) -> None:
    assert list(durations(dataset(**said), 3)) == pytest.approx(shown)


def test_frames_begin_where_those_before_them_end() -> None:
    assert list(starts([10, 20, 30])) == [0, 10, 30, 60]
