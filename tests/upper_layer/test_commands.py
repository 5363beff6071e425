"""Command sets to bytes and back; pydicom and pynetdicom are the referees."""

import contextlib
from io import BytesIO

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pynetdicom.dimse_messages import _COMMAND_SET_KEYWORDS
from pynetdicom.dsutils import decode as decode_by_pynetdicom
from pynetdicom.dsutils import encode as encode_by_pynetdicom

from dicomweb_box.upper_layer import commands

uids = st.lists(st.integers(0, 10**12), min_size=1, max_size=5).map(lambda parts: ".".join(map(str, parts)))
titles = st.text(st.characters(min_codepoint=33, max_codepoint=91), min_size=1, max_size=16)
words = st.text(st.sampled_from("abc DEF 019"), min_size=1, max_size=64).map(str.strip).filter(bool)
numbers = st.integers(0, 0xFFFF)
tags = st.lists(st.integers(0, 0xFFFFFFFF), min_size=1, max_size=8)
VALUES = {"UI": uids, "US": numbers, "AE": titles, "LO": words, "AT": tags.map(tuple)}


def _strategy(keywords: tuple[str, ...]) -> st.SearchStrategy[dict[str, object]]:
    ours = {
        keyword: VALUES[commands._ELEMENTS[keyword][1]]
        for keyword in keywords
        if keyword in commands._ELEMENTS
    }
    ours.pop("CommandDataSetType")
    required = {"CommandField": ours.pop("CommandField")}
    return st.fixed_dictionaries(required, optional=ours)


unhurried = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
command_sets = st.one_of(*map(_strategy, _COMMAND_SET_KEYWORDS.values()))


def dataset_of(command: dict[str, object], has_data: bool) -> Dataset:
    dataset = Dataset()
    for keyword, value in command.items():
        setattr(dataset, keyword, list(value) if isinstance(value, tuple) else value)
    dataset.CommandDataSetType = 1 if has_data else 0x0101
    return dataset


def group_length(data: bytes) -> bytes:
    return b"\0\0\0\0\4\0\0\0" + len(data).to_bytes(4, "little") + data


@pytest.mark.dicom("PS3.7 6.3.1")
@unhurried
@given(command_sets, st.booleans())
def test_we_write_what_pynetdicom_writes(command: dict[str, object], has_data: bool):
    theirs = encode_by_pynetdicom(dataset_of(command, has_data), True, True)
    assert commands.encode(command, has_data=has_data) == group_length(theirs)
    assert commands.encode(dataset_of(command, has_data), has_data=has_data) == group_length(theirs)


@pytest.mark.dicom("PS3.7 6.3.1")
@unhurried
@given(command_sets, st.booleans())
def test_we_read_what_pynetdicom_reads(command: dict[str, object], has_data: bool):
    written = commands.encode(command, has_data=has_data)
    ours = commands.decode(written)
    theirs = decode_by_pynetdicom(BytesIO(written), True, True)
    assert set(ours) == {element.keyword for element in theirs} - {"CommandGroupLength"}
    for keyword, value in ours.items():
        their = getattr(theirs, keyword)
        if isinstance(value, tuple):
            assert value == ((int(their),) if isinstance(their, int) else tuple(map(int, their)))
        else:
            assert value == their
    assert {**ours, "CommandDataSetType": None} == {**command, "CommandDataSetType": None}


@given(st.binary(max_size=200))
def test_bytes_that_are_no_command_set_are_malformed_or_read(data: bytes):
    try:
        command = commands.decode(data)
    except commands.Malformed:
        return
    assert isinstance(command.CommandField, int)


@unhurried
@given(command_sets, st.data())
def test_a_command_set_that_is_cut_short_is_malformed(command: dict[str, object], data: st.DataObject):
    whole = commands.encode(command, has_data=False)
    cut = data.draw(st.integers(13, len(whole) - 1))
    with contextlib.suppress(commands.Malformed):
        assert set(commands.decode(whole[:cut])) < set(commands.decode(whole))


def test_elements_of_no_command_set_are_refused():
    with pytest.raises(ValueError, match="PatientName"):
        commands.encode({"CommandField": 1, "PatientName": "x"}, has_data=False)


def test_elements_without_a_value_are_left_out():
    assert commands.decode(commands.encode({"CommandField": 1, "MessageID": None}, has_data=True)) == {
        "CommandField": 1,
        "CommandDataSetType": 1,
    }


def test_elements_are_attributes():
    command = commands.Command(MessageID=5)
    assert command.MessageID == 5
    assert not hasattr(command, "Status")
