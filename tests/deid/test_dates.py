"""Dates moved by whole days."""

import pytest

from dicomweb_box.deid.dates import moved


@pytest.mark.parametrize(
    ("text", "vr", "days", "after"),
    [
        ("20240229", "DA", 366, "20250301"),
        ("20231231", "DA", 1, "20240101"),
        ("2024.02.28", "DA", 1, "20240229"),
        ("20240101\\20240102", "DA", -1, "20231231\\20240101"),
        ("20240101-20240102", "DA", 1, "20240102-20240103"),
        ("-20240102", "DA", 1, "-20240103"),
        ("20240229235959.999999+0200", "DT", 1, "20240301235959.999999+0200"),
        ("2024022923", "DT", 1, "2024030123"),
        ("2024", "DT", 10, "2024"),
        ("202401", "DT", 31, "202402"),
        ("202401-0500", "DT", 31, "202402-0500"),
        ("235959.5", "TM", 100, "235959.5"),
        ("", "DA", 5, ""),
        ("99991231", "DA", 1, None),
        ("00010101", "DA", -1, None),
        ("20230229", "DA", 1, None),
        ("-", "DA", 1, None),
        ("yesterday", "DA", 1, None),
        ("20240101 Doe", "DT", 1, None),
        ("20240101256060", "DT", 1, None),
        ("2560", "TM", 1, None),
    ],
)
def test_a5_dates_move_by_days_and_times_stay(text: str, vr: str, days: int, after: str | None):
    assert moved(text, vr, days) == after
