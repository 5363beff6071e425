"""What the audit calls a service that was asked for by who may not; `outbound.services` says who may."""

from dicomweb_box.accounts.audit_words import Action
from dicomweb_box.outbound.services import Service

ACTION: dict[Service, Action | None] = {
    Service.ECHO: None,
    Service.STORE: Action.STORE,
    Service.FIND: Action.SEARCH,
    Service.RETRIEVE: Action.RETRIEVE,
    Service.MOVE: Action.EXPORT,
    Service.COMMIT: Action.RETRIEVE,
    Service.WORKLIST: Action.SEARCH,
    Service.MPPS: Action.CHANGE,
}
"""The audit's word; None: it is not noted."""
