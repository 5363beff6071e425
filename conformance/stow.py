"""Storing over plain HTTP, and reading the answer."""

from typing import Any

import httpx

from conformance.objects import multipart

RELATED = 'multipart/related; type="application/dicom"; boundary=conformance-part'


def post(
    http: httpx.Client,
    content: Any,
    *,
    path: str = "/studies",
    content_type: str = RELATED,
    accept: str = "application/dicom+json",
) -> httpx.Response:
    """One store request with any body."""
    return http.post(path, content=content, headers={"Content-Type": content_type, "Accept": accept})


def store(http: httpx.Client, parts: list[bytes], *, path: str = "/studies") -> dict[str, Any]:
    """Stores `parts` in one request; its answer. Raises AssertionError unless all were stored."""
    response = post(http, multipart(parts), path=path)
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    assert len(stored(answer)) == len(parts)
    return answer


def stored(answer: dict[str, Any]) -> list[str]:
    """SOP Instance UIDs of Referenced SOP Sequence."""
    return [item["00081155"]["Value"][0] for item in answer.get("00081199", {}).get("Value", [])]


def failures(answer: dict[str, Any]) -> list[int]:
    """Failure Reasons of Failed SOP Sequence and of Other Failures Sequence, for what has no UIDs."""
    items = answer.get("00081198", {}).get("Value", []) + answer.get("0008119A", {}).get("Value", [])
    return [item["00081197"]["Value"][0] for item in items]
