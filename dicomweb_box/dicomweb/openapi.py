"""The service as an OpenAPI 3.1 document, made from its routes."""

from collections.abc import Iterable, Sequence
from typing import Any

from dicomweb_box import __version__
from dicomweb_box.dicomweb import wado_uri_parameters
from dicomweb_box.dicomweb.transactions import Transaction

ROOT = "/dicom-web"
_DESCRIPTION = (
    "PS3.18 Web Services of one archive. A path parameter is a UID; frames are numbers such as 1,2,7;"
    " path is that of an attribute, such as 7FE00010 or 00081140/1/00091001. Every GET takes HEAD, too."
)
_ERRORS = {
    "400": "What was asked cannot be understood.",
    "404": "Nothing there that may be seen.",
    "406": "None of the asked representations can be given; what can is listed.",
    "503": "Too much to do; Retry-After says when to ask again.",
}


def document(transactions: Sequence[Transaction], server: str) -> dict[str, Any]:
    """The document; `server` is where the paths begin, "/" or `public_url`."""
    paths: dict[str, dict[str, Any]] = {}
    for one in transactions:
        path = ROOT + "/" + "/".join(one.segments)
        paths.setdefault(path, {})[one.method.lower()] = _operation(one)
    paths[ROOT + "/"] = {"options": _capabilities()}
    paths["/wado"] = {"get": _wado()}
    return {
        "openapi": "3.1.0",
        "info": {"title": "dicomweb_box", "version": __version__, "description": _DESCRIPTION},
        "servers": [{"url": server}],
        "paths": paths,
        "components": {"schemas": {"Error": _ERROR}},
    }


_ERROR = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {"type": "string", "description": "a sentence"},
        "offered": {"type": "array", "items": {"type": "string"}, "description": "media types to be had"},
    },
}


def _operation(one: Transaction) -> dict[str, Any]:
    parameters = [_parameter(name, "path") for name in one.path_parameters]
    if one.method == "GET" and one.gives:
        parameters += [_parameter(name, "query") for name in ("accept", *one.parameters)]
    made: dict[str, Any] = {
        "operationId": one.name,
        "summary": one.summary,
        "parameters": parameters,
        "responses": {str(one.status): _answer(one.gives), **_errors()},
    }
    if one.takes:
        made["requestBody"] = {"required": True, "content": {kind: {} for kind in one.takes}}
    return made


def _capabilities() -> dict[str, Any]:
    return {
        "operationId": "RetrieveCapabilities",
        "summary": "Retrieve Capabilities (PS3.18 8.9)",
        "responses": {
            "200": _answer(("application/vnd.sun.wadl+xml", "application/json")),
            "406": _errors()["406"],
        },
    }


def _wado() -> dict[str, Any]:
    must = ("requestType", *wado_uri_parameters.UIDS)
    kinds = (
        "image/jpeg",
        "image/png",
        "image/gif",
        "text/html",
        "application/pdf",
        "video/mp4",
        "application/dicom",
    )
    return {
        "operationId": "RetrieveByURI",
        "summary": "WADO-URI: one instance (PS3.18 9)",
        "parameters": [
            {**_parameter(name, "query"), "required": name in must} for name in wado_uri_parameters.KNOWN
        ],
        "responses": {"200": _answer(kinds), **_errors()},
    }


def _parameter(name: str, place: str) -> dict[str, Any]:
    return {"name": name, "in": place, "required": place == "path", "schema": {"type": "string"}}


def _answer(kinds: Iterable[str]) -> dict[str, Any]:
    content: dict[str, Any] = {kind: {} for kind in kinds}
    return {"description": "What was asked for.", **({"content": content} if content else {})}


def _errors() -> dict[str, Any]:
    schema = {"schema": {"$ref": "#/components/schemas/Error"}}
    return {
        status: {"description": said, "content": {"application/json": schema}}
        for status, said in _ERRORS.items()
    }
