"""UIDs that PS3.6 Annex A registers: they say what something is, never whose."""

from typing import Final

from pydicom._uid_dict import UID_dictionary

REGISTERED: Final = frozenset(UID_dictionary)
SOP_CLASSES: Final = frozenset(uid for uid, said in UID_dictionary.items() if said[1] == "SOP Class")
TRANSFER_SYNTAXES: Final = frozenset(
    uid for uid, said in UID_dictionary.items() if said[1] == "Transfer Syntax"
)
