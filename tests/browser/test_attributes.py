"""Reading the attributes of an instance, and comparing two."""

from collections.abc import Callable
from typing import Any

from playwright.sync_api import expect
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from tests.browser.checks import overflows, violations
from tests.builders import make_instance, new_uid


def kept(store: Callable[..., None]) -> tuple[str, str]:
    """Two instances of one series that differ; their addresses."""
    study, series, first, second = (new_uid() for _ in range(4))
    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = "T-A0100", "SRT", "Brain"
    common = {
        "StudyInstanceUID": study,
        "SeriesInstanceUID": series,
        "AnatomicRegionSequence": Sequence([code]),
    }
    store(
        make_instance(**common, SOPInstanceUID=first, InstanceNumber=1, PatientName="Leser^Lena"),
        make_instance(**common, SOPInstanceUID=second, InstanceNumber=2, PatientName="Leser^Lena"),
    )
    base = f"/studies/{study}/series/{series}/instances/"
    return base + first, base + second


def test_the_attributes_are_filtered_while_typing(page: Any, store: Callable[..., None]) -> None:
    first, _ = kept(store)
    page.goto(first)
    assert violations(page) == []
    assert not overflows(page)

    page.keyboard.press("/")
    page.keyboard.type("code meaning")
    page.wait_for_url("**find=code+meaning")

    expect(page.locator(".tree", has_text="Patient ID")).to_have_count(0)
    expect(page.locator(".tree .value", has_text="Brain")).to_be_visible()
    expect(page.locator(".tree summary .tag").first).to_have_text("(0008,2218)")


def test_a_sequence_folds_and_the_filter_works_without_scripts(
    plain_page: Any, store: Callable[..., None]
) -> None:
    first, _ = kept(store)
    plain_page.goto(first)
    expect(plain_page.get_by_text("Brain")).to_be_hidden()

    plain_page.locator("summary", has_text="Anatomic Region Sequence").click()
    expect(plain_page.get_by_text("Brain")).to_be_visible()

    plain_page.get_by_label("Show only what contains").fill("leser")
    plain_page.get_by_role("button", name="Filter").click()
    expect(plain_page.locator(".tree .name")).to_have_text(["Patient's Name PatientName"])


def test_two_instances_are_compared(page: Any, store: Callable[..., None]) -> None:
    first, second = kept(store)
    page.goto(first)

    page.get_by_label("Compare with").fill(second.rpartition("/")[2])
    page.get_by_role("button", name="Compare").click()

    named = ["(0008,0018) SOP Instance UID", "(0020,0013) Instance Number"]
    expect(page.locator(".pairs tbody th")).to_have_text(named)
    assert violations(page) == []
    assert not overflows(page)
    page.get_by_role("link", name="Show all attributes").click()
    expect(page.locator(".pairs tbody th", has_text="Patient's Name")).to_be_visible()


def test_the_metadata_are_copied(page: Any, store: Callable[..., None]) -> None:
    first, _ = kept(store)
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.goto(first)

    page.get_by_role("button", name="Copy as JSON").click()
    expect(page.locator("#copied")).to_have_text("Copied.")

    assert '"Brain"' in page.evaluate("navigator.clipboard.readText()")
