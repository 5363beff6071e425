"""A peer that gives another thing than it was asked for, or had it elsewhere a moment ago."""

from copy import deepcopy
from typing import Any

import pytest
from pydicom.dataset import Dataset

from dicomweb_box.box import Box
from tests.dicomweb.doors import client_of
from tests.dicomweb.proxied import path, proxy
from tests.outbound.remote import dataset, study


def moved(one: Dataset, **to: str) -> Dataset:
    other = deepcopy(one)
    for keyword, value in to.items():
        setattr(other, keyword, value)
    return other


@pytest.mark.parametrize("keyword", ["StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"])
async def test_what_was_not_asked_for_is_served_for_nothing(
    box: Box, keyword: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = dataset()
    given = moved(asked, **{keyword: "1.2.826.0.1.3680043.10.999"})
    async with proxy(box, asked) as (there, client):

        def lie(event: Any) -> Any:
            yield 1
            yield 0xFF00, given

        monkeypatch.setattr(there, "_given", lie)
        answers = [
            await client.get(where)
            for where in (path(asked), f"/studies/{asked.StudyInstanceUID}", f"{path(asked)}/metadata")
        ]
        async with client_of(box) as own:
            archive = await own.get("/studies")

    assert {one.status_code for one in answers} <= {404, 502}
    assert archive.json() == []


async def test_a_study_is_not_whole_by_what_is_cached_of_another_one(box: Box) -> None:
    kept, gone = study(4)[:2]
    async with proxy(box, kept, gone) as (there, client):
        before = await client.get(path(gone))
        there.held[1] = moved(gone, StudyInstanceUID="1.2.826.0.1.3680043.10.998")
        after = await client.get("/studies/1.2.826.0.1.3680043.10.998")

    assert before.status_code == 200
    assert after.status_code in {200, 502}
    assert after.status_code == 502 or after.content.count(b"DICM") == 1
