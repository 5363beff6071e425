"""Forgetting a patient of a project: the key of its entries is destroyed, and the entries with it."""

from dicomweb_box.accounts import audit
from dicomweb_box.accounts.access import Actor
from dicomweb_box.accounts.audit_words import Action
from dicomweb_box.box import Box, in_thread
from dicomweb_box.database import Writer
from dicomweb_box.deid.pseudonyms import Patient
from dicomweb_box.errors import Conflict, NotFound
from dicomweb_box.vault import entries
from dicomweb_box.vault.entries import PATIENT
from dicomweb_box.vault.lookup import HANDLE, checked, naming_entries, refuse_naming
from dicomweb_box.vault.projects import Project


async def forget(
    box: Box, project: Project, value: str, *, issuer: str | None = None, actor: Actor, reason: str
) -> int:
    """Forget the patient with this Patient ID, or pseudonym; how many entries there were.

    The key goes first: what is left after a kill can be read by nobody, and goes when it is asked again. What
    comes of the patient later is held back. Raises NotFound, Conflict where several patients have the ID and
    no issuer is named, or BadRequest without a reason, or with one that names whom it is about.
    """
    checked(reason)
    refuse_naming(reason, value, ())
    await audit.opened(box)
    patient = await _meant(box, project, value, issuer)
    refuse_naming(reason, value, await naming_entries(box, project, [patient]))
    await in_thread(box, project.data_keys.forget, patient)

    made_at = box.clock().isoformat(timespec="seconds")

    async def work(w: Writer) -> int:
        await entries.retire(w, project.name, patient, made_at)
        rows = await w.fetch_all(
            "delete from pseudonym where project = :project and patient = :patient returning kind",
            {"project": project.name, "patient": patient},
        )
        about = {"project": project.name, "reason": reason, "patient": patient[:HANDLE]}
        await audit.record(
            w, box, audit.Entry(actor=actor, action=Action.FORGET, about=about, count=len(rows))
        )
        return len(rows)

    return await box.database.write(work)


async def _meant(box: Box, project: Project, value: str, issuer: str | None) -> str:
    """The index of the patient that is meant."""
    params = {
        "project": project.name,
        "word": entries.word(project.keys, PATIENT, value),
        "pseudonym": entries.stands(project.keys, value),
    }
    rows = await box.database.fetch_all(
        "select patient from pseudonym where project = :project and kind = 'patient'"
        " and (word = :word or pseudonym = :pseudonym) order by patient",
        params,
    )
    found = {str(row["patient"]) for row in rows}
    given = project.keys.whose(Patient(patient_id=value, issuer=issuer or ""))
    if issuer is not None:
        found &= {given}
    # A kill may have left the key without a row, or a restored database may not know the patient any more.
    if not found and await in_thread(box, project.data_keys.knows, given):
        found = {given}
    if not found:
        raise NotFound("There is no such patient in this project's vault.")
    if len(found) > 1:
        raise Conflict("Several patients are meant: name the issuer of the Patient ID.")
    return found.pop()
