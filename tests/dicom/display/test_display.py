"""What an instance's metadata say of how it is shown."""

import orjson
import pytest

from dicomweb_box.dicom.display.display import display_of, is_known, key_of
from dicomweb_box.dicom.display.grey import Rescale
from dicomweb_box.errors import NotFound

EXPLICIT = "1.2.840.10008.1.2.1"
SHAPE = {"00280010": 4, "00280011": 4, "00280100": 16, "00280101": 12, "00280002": 1}


def nothing(path: str) -> bytes:
    raise AssertionError(f"nothing is bulk here: {path}")


def described(**elements: object) -> bytes:
    whole = {tag: {"vr": "US", "Value": [value]} for tag, value in SHAPE.items()} | elements
    return orjson.dumps(whole)


def values(*of: object) -> dict[str, object]:
    return {"vr": "DS", "Value": list(of)}


def test_many_thousand_frames_each_keep_their_transformation():
    filler = {"00081140": values({"00081155": values("1.2.3" * 30)})}
    frames = [
        {"00289145": values({"00281053": values(number % 3 + 1), "00281052": values(0)})} | filler
        for number in range(25_000)
    ]
    json = described(**{"52009230": values(*frames)})
    assert len(json) > 4 << 20

    display = display_of(json, EXPLICIT, nothing)

    assert [display.grey(number).modality for number in (1, 2, 24_999, 25_000)] == [
        Rescale(slope=1), Rescale(slope=2), Rescale(slope=3), Rescale(slope=1)
    ]  # fmt: skip
    assert len(display.greys) == 3


def test_what_is_written_as_text_or_not_at_all_does_no_harm():
    display = display_of(
        described(
            **{
                "00281053": values("1,5"),
                "00281052": values("x"),
                "00281050": values(None),
                "00281051": values(3),
            }
        ),
        EXPLICIT,
        nothing,
    )

    assert display.grey(1).modality == Rescale(slope=1.5)
    assert display.grey(1).voi is None


def test_a_slope_of_zero_is_not_meant():
    assert display_of(described(**{"00281053": values(0)}), EXPLICIT, nothing).grey(1).modality == Rescale()


def test_without_rows_there_is_nothing_to_show():
    with pytest.raises(NotFound):
        display_of(described(**{"00280010": values()}), EXPLICIT, nothing)


def test_instances_that_are_shown_alike_share_one_description():
    first, second = (
        display_of(described(**{"00200013": values(number), "00280107": values(number)}), EXPLICIT, nothing)
        for number in (1, 2)
    )
    other = display_of(described(**{"00281053": values(2)}), EXPLICIT, nothing)

    assert first is second
    assert other.grey(1).modality == Rescale(slope=2)


def test_what_lies_apart_is_never_shared():
    def lut(data: bytes) -> object:
        table = {"00283002": values(2, 0, 16), "00283006": {"vr": "OW", "BulkDataURI": "bulkdata/1"}}
        json = described(**{"00283000": {"vr": "SQ", "Value": [table]}})
        return display_of(json, EXPLICIT, lambda path: data).grey(1).modality

    assert lut(b"\1\0\2\0") != lut(b"\1\0\3\0")


def test_a_key_is_that_of_all_who_are_shown_alike_and_of_nobody_else():
    def key(**elements: object) -> str | None:
        json = described(**elements)
        return key_of(orjson.loads(json), len(json))

    window = {"00281050": values(40), "00281051": values(400)}
    shown = key(**window)

    assert is_known(shown)
    assert key(**window, **{"00280106": values(3), "00200013": values(7)}) == shown
    assert shown not in (key(**window | {"00281051": values(401)}), key())


def test_there_is_no_key_where_a_table_does_not_stand_in_the_metadata():
    table = {
        "00283002": values(4096, 0, 16),
        "00283006": {"vr": "OW", "BulkDataURI": "instances/1/bulkdata/x"},
    }
    json = described(**{"00283010": values(table)})

    assert key_of(orjson.loads(json), len(json)) is None


def test_a_key_of_a_version_that_looked_at_other_attributes_is_not_relied_on():
    assert not is_known("0 " + "0" * 32)
    assert not is_known(None)
