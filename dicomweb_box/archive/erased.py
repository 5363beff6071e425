"""What people decided about what is erased goes with it: nothing of it may stay."""

from collections.abc import Sequence

from dicomweb_box.archive import labelling
from dicomweb_box.database import Row, Writer, chunks, in_list

_AT_ONCE = 500


async def forget_decisions(w: Writer, realm: str, rows: Sequence[Row]) -> None:
    """Forget labels and corrections of the studies of these erased instances that are gone as a whole.

    What is still rejected is not gone: it may come back.
    """
    await labelling.forget_gone(w, realm, {(row["study_uid"], row["series_uid"]) for row in rows})
    for studies in chunks(sorted({row["study_uid"] for row in rows}), _AT_ONCE):
        names, params = in_list("study", studies)
        await w.execute(
            f"delete from corrected_value where realm = :realm and study_uid in {names}"
            " and not exists (select 1 from study where study.realm = corrected_value.realm"
            " and study.study_uid = corrected_value.study_uid)"
            " and not exists (select 1 from rejected_instance rejected where rejected.realm ="
            " corrected_value.realm and rejected.study_uid = corrected_value.study_uid)",
            {**params, "realm": realm},
        )
    await w.execute(
        "delete from correction where realm = :realm and not exists"
        " (select 1 from corrected_value where correction_id = correction.id)",
        {"realm": realm},
    )
