"""The Capabilities Description of PS3.18 Annex H: a WADL document, and the same tree in JSON."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from xml.sax.saxutils import quoteattr

import orjson

from dicomweb_box.dicomweb.transactions import Transaction

_NAMESPACE = "http://wadl.dev.java.net/2009/02"


@dataclass(frozen=True, slots=True)
class _Element:
    """One element of the document."""

    name: str
    attributes: Mapping[str, str]
    children: list["_Element"] = field(default_factory=list)


def as_xml(transactions: Sequence[Transaction], base: str) -> bytes:
    """The document in XML; `base` is the address of the service."""
    text = "".join(_xml(_document(transactions, base)))
    return f'<?xml version="1.0" encoding="UTF-8"?>{text}'.encode()


def as_json(transactions: Sequence[Transaction], base: str) -> bytes:
    """The same in JSON: attributes begin with "@", children of one name are a list."""
    return orjson.dumps({"application": _json(_document(transactions, base))})


def _document(transactions: Sequence[Transaction], base: str) -> _Element:
    resources = _Element("resources", {"base": base})
    for transaction in transactions:
        at = resources
        for segment in transaction.segments:
            at = _child(at, segment)
        at.children.append(_method(transaction))
    return _Element("application", {"xmlns": _NAMESPACE}, [resources])


def _child(parent: _Element, segment: str) -> _Element:
    """The resource of that path below another; made where it is not there yet."""
    for child in parent.children:
        if child.name == "resource" and child.attributes["path"] == segment:
            return child
    made = _Element("resource", {"path": segment})
    if segment.startswith("{"):
        name = segment[1:-1]
        made.children.append(_param(name, "template", required=True))
    parent.children.append(made)
    return made


def _method(transaction: Transaction) -> _Element:
    request = _Element("request", {})
    if transaction.gives:
        options = [_Element("option", {"value": kind}) for kind in transaction.gives]
        accept = {"name": "Accept", "style": "header", "default": transaction.gives[0]}
        request.children.append(_Element("param", accept, options))
    if transaction.method == "GET":
        names = ("accept", *transaction.parameters)
        request.children.extend(_param(name, "query") for name in names)
    request.children.extend(_representations(transaction.takes))
    response = _Element("response", {"status": str(transaction.status)})
    response.children.extend(_representations(transaction.gives))
    children = [request] if request.children else []
    return _Element("method", {"name": transaction.method, "id": transaction.name}, [*children, response])


def _param(name: str, style: str, *, required: bool = False) -> _Element:
    more = {"required": "true"} if required else {}
    return _Element("param", {"name": name, "style": style, **more})


def _representations(kinds: Iterable[str]) -> list[_Element]:
    return [_Element("representation", {"mediaType": kind}) for kind in kinds]


def _xml(element: _Element) -> Iterable[str]:
    attributes = "".join(f" {name}={quoteattr(value)}" for name, value in element.attributes.items())
    if not element.children:
        yield f"<{element.name}{attributes}/>"
        return
    yield f"<{element.name}{attributes}>"
    for child in element.children:
        yield from _xml(child)
    yield f"</{element.name}>"


def _json(element: _Element) -> dict[str, Any]:
    made: dict[str, Any] = {f"@{name}": value for name, value in element.attributes.items()}
    for child in element.children:
        made.setdefault(child.name, []).append(_json(child))
    return made
