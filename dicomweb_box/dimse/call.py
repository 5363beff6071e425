"""What every service of the door is handed beside the message."""

from collections import Counter
from dataclasses import dataclass, field

from dicomweb_box.box import Box
from dicomweb_box.outbound.admission import Caller
from dicomweb_box.upper_layer.association import Association


@dataclass(frozen=True, kw_only=True, slots=True)
class Call:
    """One association, and who is at its other end."""

    box: Box
    association: Association
    caller: Caller
    counts: Counter[str] = field(default_factory=Counter)
    """What was done over the association so far, in words; told to the log at its end."""
