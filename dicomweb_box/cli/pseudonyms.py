"""Where a command that de-identifies has its pseudonyms from: a forgotten key, a project's, or its vault."""

import hmac
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from dicomweb_box import settings
from dicomweb_box.cli.running import held, there_is_one

if TYPE_CHECKING:
    from dicomweb_box.deid.policy import Policy
    from dicomweb_box.deid.pseudonyms import Pseudonyms
    from dicomweb_box.outbound.identity_client import IdentityClient
    from dicomweb_box.vault.projects import Project

Source = Callable[[Path], tuple["Pseudonyms", Callable[[], None]]]
"""For a file: its pseudonyms, and what to call when they have been given, before anything is written."""


@contextmanager
def pseudonyms_of(chosen: settings.Settings, project: str | None, policy: "Policy") -> Iterator[Source]:
    """The source for a project; without one, a key that is forgotten.

    A project that has a vault is never de-identified past it. Raises BadSetting for a project whose keys are
    not what they should be.
    """
    from dicomweb_box.accounts.key_memory import keep_memory_to_ourselves

    keep_memory_to_ourselves()
    if project is None:
        # What is written can be joined with nothing else.
        yield _keyed(secrets.token_bytes(32))
        return
    with _vault(chosen, project, policy) as source:
        if source is not None:
            yield source
            return
    from dicomweb_box.accounts.project_keys import project_key

    yield _keyed(project_key(chosen, project))


def _keyed(key: bytes) -> Source:
    from dicomweb_box.deid.pseudonyms import Keyed

    pseudonyms = Keyed(key)
    return lambda path: (pseudonyms, _nothing)


def _nothing() -> None:
    """What a key alone has given is entered nowhere."""


@contextmanager
def _vault(chosen: settings.Settings, project: str, policy: "Policy") -> Iterator[Source | None]:
    """Pseudonyms that are entered in the project's vault; None where it has none."""
    from dicomweb_box.accounts.project_keys import vault_folder

    if not vault_folder(chosen, project).exists() and not there_is_one(chosen):
        yield None
        return
    from dicomweb_box.deid.originals import originals
    from dicomweb_box.vault import projects
    from dicomweb_box.vault.entering import Run
    from dicomweb_box.vault.policies import refuse_past_vault

    with held(chosen) as (box, wait):
        if not wait(projects.has_vault(box, project)):
            yield None
            return
        opened = wait(projects.opened(box, project))
        refuse_past_vault(policy)
        service = _service(chosen, opened)
        run = Run(box, opened, service)

        def source(path: Path) -> tuple["Pseudonyms", Callable[[], None]]:
            found = originals(path)
            noted = wait(run.begin(found, policy.pattern))
            return noted, lambda: wait(run.enter(found, noted))

        try:
            yield source
        finally:
            if service is not None:
                wait(service.close())


def _service(chosen: settings.Settings, project: "Project") -> "IdentityClient | None":
    """Who says what patients are called, where the project asks somebody."""
    if project.pattern is None or not project.pattern.asks:
        return None
    from dicomweb_box.outbound.identity_client import IdentityClient, read_service

    return IdentityClient(read_service(chosen, project.name))


def check_project(chosen: settings.Settings, project: str | None) -> None:
    """Raises BadSetting for a name that no project can have."""
    from dicomweb_box.accounts.project_keys import vault_folder

    if project is not None:
        vault_folder(chosen, project)


def key_id(chosen: settings.Settings, project: str | None) -> str | None:
    """16 digits that tell a project's key from others; None for a key that was forgotten."""
    if project is None:
        return None
    from dicomweb_box.accounts.project_keys import project_key

    return hmac.digest(project_key(chosen, project), b"key id", "sha256").hex()[:16]
