"""Searches and rows for somebody who may not know whose they are (the right “identities”)."""

from dataclasses import replace

from dicomweb_box.accounts.access import Scope
from dicomweb_box.dicom.matching import Order, Query
from dicomweb_box.dicom.unidentifying import telling
from dicomweb_box.errors import Forbidden

BY_UID = "StudyInstanceUID"
_ORDER = (Order("0020000D"),)


def permitted(query: Query, scope: Scope) -> Query:
    """The query as this scope may ask it; raises Forbidden where what it matches would tell who patients are.

    Rows come by UID where no order is named: their usual one tells which study was made before which.
    """
    if scope.identities:
        return query
    if name := telling(query):
        raise refusal(name)
    return query if query.order else replace(query, order=_ORDER)


def refusal(name: str) -> Forbidden:
    """What is said where an attribute is searched or sorted by that tells who patients are."""
    return Forbidden(
        f"{name} may tell who patients are: searching or sorting by it needs the right “identities”."
    )
