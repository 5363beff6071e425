"""What an audit row says was done, and what came of it."""

from enum import StrEnum
from typing import Literal

Outcome = Literal["success", "refused", "not found", "failed"]
OUTCOMES: tuple[Outcome, ...] = ("success", "refused", "not found", "failed")


class Action(StrEnum):
    """One kind of act; the words stand in the table, so that none is ever renamed."""

    START = "start"
    """A process began to write here."""
    STOP = "stop"
    LOG_IN = "log in"
    LOG_OUT = "log out"
    PASSWORD = "change password"  # noqa: S105  (a word)
    ACCOUNT = "change account"
    ROLE = "change role"
    TOKEN = "change token"  # noqa: S105
    LINK = "change link"
    """A share link was made or revoked; who opens one logs in."""
    PEER = "change peer"
    WORKLIST = "change worklist"
    """A step that is to be done, or was."""
    SESSION = "end session"
    SEARCH = "search"
    """Lists of what there is."""
    VIEW = "view"
    """A page, a picture or a report of it."""
    RETRIEVE = "retrieve"
    """Objects, their metadata or parts of them."""
    EXPORT = "export"
    """Whole studies, series or selections as a file."""
    STORE = "store"
    TRANSFER = "ask for a transfer"
    """To or from a peer: asked for, cancelled, tried again."""
    SEND = "send"
    """Instances that a peer has taken."""
    REJECT = "reject"
    RESTORE = "restore"
    ERASE = "erase"
    CORRECT = "correct"
    DECIDE = "decide"
    """Which version or value counts."""
    LABEL = "label"
    RULE = "change rule"
    UPLOAD = "upload"
    VAULT = "read vault"
    """Who stands behind a pseudonym, or what stands for somebody."""
    VAULT_CHANGED = "change vault"
    FORGET = "forget patient"
    DECLARE = "declare attribute"
    CHANGE = "change"
    """What has no word of its own."""
    AUDIT = "read audit"
    ALERT = "alert"
    """The audit itself is not what it was."""
    LOST = "reads lost"
    """So many reads could not be written."""
