"""What it is to ask an address, in the audit's words: by method and path, as the table of rights has them.

Changes are recorded by the rooms that make them; here stands what only looks, and what was refused.
"""

import re

from dicomweb_box.accounts.audit_words import Action

_PARAMETER = re.compile(r"\{[^}]*\}")

_UNTOLD = re.compile(
    r"\w+ /(healthz|readyz|metrics|events|transfers/events|static/.*|ohif.*|login.*|logout|profile.*"
    r"|dicom-web/(openapi\.json)?)?"
)
"""What tells nothing of anybody: how the box fares, scripts, forms; logging in is recorded as it happens."""

_READS = (
    (Action.EXPORT, r"/download"),
    (Action.AUDIT, r"/audit.*"),
    (Action.SEARCH, r"/dicom-web/(.*/)?(studies|series|instances|patients)(/count)?"),
    (Action.SEARCH, r"/peers/x/query(\.json)?"),
    (Action.SEARCH, r"/(studies|series|patients)(\.json)?"),
    (Action.VIEW, r"/dicom-web/.*/(rendered|thumbnail)"),
    (Action.RETRIEVE, r"/dicom-web/.*|/wado"),
    (Action.VIEW, r".*"),
)
_CHANGES = (
    (Action.STORE, r"POST /dicom-web/studies.*"),
    (Action.UPLOAD, r"\w+ /upload.*"),
    (Action.ERASE, r"DELETE /dicom-web/.*|POST .*/?erase"),
    (Action.REJECT, r"POST .*/?reject"),
    (Action.RESTORE, r"POST .*/restore"),
    (Action.CORRECT, r"POST .*(/correct|/corrections/.*)"),
    (Action.DECIDE, r"POST /(held|disagreements)/.*"),
    (Action.LABEL, r"\w+ /labels.*"),
    (Action.RULE, r"\w+ /rules.*"),
    (Action.TRANSFER, r"POST /(transfers/.*|peers/x/retrieve)"),
    (Action.ACCOUNT, r"\w+ /users.*"),
    (Action.ROLE, r"\w+ /roles.*"),
    (Action.TOKEN, r"\w+ /tokens.*"),
    (Action.LINK, r"\w+ /shares.*"),
    (Action.PEER, r"\w+ /peers.*"),
    (Action.LOG_IN, r"\w+ /shared/x"),
    (Action.CHANGE, r".*"),
)


def action_of(address: str) -> Action | None:
    """What asking an address of the table is, as `GET /studies/{study_uid}`; None for what is not told."""
    plain = _PARAMETER.sub("x", address)
    if _UNTOLD.fullmatch(plain):
        return None
    method, _, path = plain.partition(" ")
    if method == "GET":
        return next(action for action, form in _READS if re.fullmatch(form, path))
    return next(action for action, form in _CHANGES if re.fullmatch(form, plain))
