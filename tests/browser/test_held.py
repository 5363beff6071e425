"""Deciding about held versions, as people do."""

import re
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from playwright.sync_api import expect

from conformance.objects import multipart
from conformance.server import Server
from tests.browser.checks import overflows, violations
from tests.builders import make_instance, new_uid

KIND = {"Content-Type": 'multipart/related; type="application/dicom"; boundary=conformance-part'}


@pytest.fixture
def instance_uid(server: Server, store: Callable[..., None]) -> str:
    """An instance that is served; `make run` from another address sent other bytes, which are held."""
    uids = {name: new_uid() for name in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")}
    store(make_instance(**uids, PatientName="First^Came"))
    with httpx.Client(transport=httpx.HTTPTransport(local_address="127.0.0.9"), timeout=60) as other:
        sent = multipart([make_instance(**uids, PatientName="Second^Came")])
        answer = other.post(f"{server.dicomweb}/studies", content=sent, headers=KIND)
        assert answer.status_code == 409, answer.text
    return uids["SOPInstanceUID"]


def decide(page: Any, instance_uid: str) -> None:
    page.goto("/held")
    assert not overflows(page)
    page.get_by_role("row", name=instance_uid).get_by_role("link").first.click()
    expect(page.locator(".pairs tbody tr")).to_have_count(1)
    page.get_by_role("button", name="Serve this version").click()
    page.wait_for_url("**/held")
    expect(page.get_by_text(instance_uid)).to_have_count(0)
    page.get_by_role("link", name="Earlier versions").click()
    expect(page.get_by_text(instance_uid)).to_have_count(1)


def test_a_held_version_is_served(page: Any, instance_uid: str) -> None:
    page.goto("/held")
    assert violations(page) == []
    decide(page, instance_uid)


def test_a_held_version_is_served_without_scripts(plain_page: Any, instance_uid: str) -> None:
    decide(plain_page, instance_uid)


def test_disagreements_are_accessible(page: Any, store: Callable[..., None]) -> None:
    uids = {name: new_uid() for name in ("StudyInstanceUID", "SeriesInstanceUID")}
    store(make_instance(**uids, PatientID="ONE"), make_instance(**uids, PatientID="TWO"))

    page.goto("/disagreements")
    assert violations(page) == []
    assert not overflows(page)
    section = page.locator("section", has_text=uids["StudyInstanceUID"])
    section.get_by_role("button", name="Leave what is served").click()

    expect(page.get_by_text(uids["StudyInstanceUID"])).to_have_count(0)
    expect(page).to_have_url(re.compile("/disagreements$"))
