"""How the conformance tests search, and what they read of the answers."""

from typing import Any

import httpx
from dicomweb_client.api import DICOMwebClient

from conformance.objects import Object

JSON = "application/dicom+json"
Objects = dict[str, Object]
SEARCHED = {"CONF-A", "CONF-B", "CONF-C", "CONF-D"}


def values(found: list[dict[str, Any]], tag: str) -> list[Any]:
    """The first value of `tag` in each result, None where it has none."""
    return [(result.get(tag, {}).get("Value") or [None])[0] for result in found]


def studies(client: DICOMwebClient, **filters: str) -> set[str]:
    """The searching studies (by PatientID) that match `filters`."""
    return set(values(client.search_for_studies(search_filters=filters), "00100020")) & SEARCHED


def ask(http: httpx.Client, path: str, *pairs: tuple[str, str]) -> httpx.Response:
    """A search, its parameters as given and in order."""
    return http.get(path, params=list(pairs), headers={"Accept": JSON})
