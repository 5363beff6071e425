"""Who may read a peer as a proxy: whoever sees the whole archive and who its patients are."""

from typing import Any

import httpx
import pytest

from dicomweb_box.app import assemble
from dicomweb_box.box import Box
from tests.accounts import callers
from tests.outbound.pacs import pacs
from tests.outbound.remote import dataset, north


@pytest.mark.parametrize("scope", [{"labels": ["trial"]}, {"sources": ["north"]}, {"studies": ["1.2"]}])
async def test_who_has_a_part_of_the_archive_is_refused(guarded: Box, scope: dict[str, Any]) -> None:
    one = dataset()
    whole, part = await callers.token(guarded, "whole"), await callers.token(guarded, "part", scope=scope)
    place = f"/studies/{one.StudyInstanceUID}"
    with pacs(one) as there:
        await north(guarded, there, proxy=True)
        async with httpx.AsyncClient(
            transport=httpx.ASGITransport(assemble(guarded)),
            base_url="http://localhost/dicom-web/proxy/north",
        ) as client:
            seen = await client.get(place, headers=callers.bearer(whole))
            for where in ("/studies", place, f"{place}/metadata"):
                refused = await client.get(where, headers=callers.bearer(part))
                assert refused.status_code == 403
                assert "the whole archive" in refused.json()["error"]
            nobody = await client.get(place)

    assert seen.status_code == 200
    assert nobody.status_code == 401
