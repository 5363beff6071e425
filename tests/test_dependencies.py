"""Each locked dependency is listed with a licence that may be used."""

import re

import pytest

from tests import dependencies
from tests.dependencies import (
    ALLOWED,
    LOCKS,
    ROOT,
    Locked,
    installed_licence,
    licences,
    listed,
    locked,
)


def test_the_list_is_that_of_the_locks() -> None:
    assert [(one.name, one.versions, one.uses) for one in listed()] == [
        (one.name, one.versions, one.uses) for one in locked()
    ]
    assert len(listed()) > 50


def test_what_is_installed_has_the_licence_that_is_listed() -> None:
    looked = {one.name: installed_licence(one.name) for one in listed()}
    assert sum(found is not None for found in looked.values()) > 40
    assert {
        one.name: (one.licence, looked[one.name])
        for one in listed()
        if looked[one.name] is not None and looked[one.name] != one.licence
    } == {}


@pytest.mark.parametrize("one", listed(), ids=lambda one: one.name)
def test_each_licence_may_be_used(one: Locked) -> None:
    assert licences(one.licence)
    assert licences(one.licence) <= ALLOWED


@pytest.mark.parametrize("lock", LOCKS)
def test_each_locked_release_is_pinned_by_hashes(lock: str) -> None:
    entries = re.split(r"^(?=[\w.-]+==)", (ROOT / lock).read_text(), flags=re.MULTILINE)[1:]
    assert len(entries) > 10
    assert all("--hash=sha256:" in entry for entry in entries)
    assert not re.search(r"https?:|\s@\s|--index", (ROOT / lock).read_text())


def test_a_licence_that_is_not_allowed_is_seen() -> None:
    assert not licences("AGPL-3.0") <= dependencies.ALLOWED
    assert licences("MPL-2.0 AND (Apache-2.0 OR MIT)") == {"MPL-2.0", "Apache-2.0", "MIT"}
