"""Reading the attributes of an instance, and comparing two."""

from collections.abc import Callable
from typing import Any

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

    assert page.locator(".tree .value", has_text="Brain").is_visible()
    assert page.locator(".tree", has_text="Patient ID").count() == 0
    assert page.locator(".tree summary").first.inner_text().startswith("(0008,2218)")


def test_a_sequence_folds_and_the_filter_works_without_scripts(
    plain_page: Any, store: Callable[..., None]
) -> None:
    first, _ = kept(store)
    plain_page.goto(first)
    assert not plain_page.get_by_text("Brain").is_visible()

    plain_page.locator("summary", has_text="Anatomic Region Sequence").click()
    assert plain_page.get_by_text("Brain").is_visible()

    plain_page.get_by_label("Show only what contains").fill("leser")
    plain_page.get_by_role("button", name="Filter").click()
    assert plain_page.locator(".tree .name").all_inner_texts() == ["Patient's Name PatientName"]


def test_two_instances_are_compared(page: Any, store: Callable[..., None]) -> None:
    first, second = kept(store)
    page.goto(first)

    page.get_by_label("Compare with").fill(second.rpartition("/")[2])
    page.get_by_role("button", name="Compare").click()

    named = page.locator(".pairs tbody th").all_inner_texts()
    assert [name.split("\n")[-1].strip() for name in named] == ["SOP Instance UID", "Instance Number"]
    assert violations(page) == []
    assert not overflows(page)
    page.get_by_role("link", name="Show all attributes").click()
    assert page.locator(".pairs tbody th", has_text="Patient's Name").is_visible()


def test_the_metadata_are_copied(page: Any, store: Callable[..., None]) -> None:
    first, _ = kept(store)
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.goto(first)

    page.get_by_role("button", name="Copy as JSON").click()
    page.get_by_text("Copied.").wait_for()

    assert '"Brain"' in page.evaluate("navigator.clipboard.readText()")
