"""The command set that answers a request (PS3.7 9.3, 10.3)."""

from collections.abc import Mapping
from typing import Any, Final

from dicomweb_box.upper_layer.commands import RESPONSE
from dicomweb_box.upper_layer.message import Message

_LONGEST_COMMENT: Final = 64  # PS3.7 C.4: VR LO


def response(message: Message, status: int, comment: str = "", **more: Any) -> Mapping[str, Any]:
    """What is to be sent in the request's context; a comment never holds a patient attribute."""
    command = message.command
    return {
        "AffectedSOPClassUID": command.get("AffectedSOPClassUID") or command.get("RequestedSOPClassUID"),
        "CommandField": command["CommandField"] | RESPONSE,
        "MessageIDBeingRespondedTo": command.get("MessageID", 0),
        "Status": status,
        "ErrorComment": comment[:_LONGEST_COMMENT] or None,
        "AffectedSOPInstanceUID": (
            command.get("AffectedSOPInstanceUID") or command.get("RequestedSOPInstanceUID")
        ),
        **more,
    }
