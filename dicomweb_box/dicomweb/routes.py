"""The services of the DICOMweb door at their addresses, in the order of PS3.18 10.3.

One look-up by path segments instead of one regular expression for each route: it costs the same for the last
route as for the first, and knows every method of an address, for 405 and Allow.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from starlette._utils import get_route_path
from starlette.datastructures import URLPath
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import BaseRoute, Match, NoMatchFound, Route
from starlette.types import Receive, Scope, Send

from dicomweb_box.box import Box
from dicomweb_box.dicomweb import aliases, qido, removal, stow, wado
from dicomweb_box.dicomweb.capabilities import described

ROUTES = (*qido.ROUTES, *wado.ROUTES, *stow.ROUTES, *removal.ROUTES, *aliases.ROUTES)


def routes(box: Box) -> list[BaseRoute]:
    """What `app` mounts at /dicom-web."""
    return [Services(described(ROUTES))]


@dataclass(slots=True)
class Node:
    """One segment of the paths; `rest` takes all that remain."""

    literal: dict[str, "Node"] = field(default_factory=dict)
    parameter: "Node | None" = None
    rest: "Node | None" = None
    methods: dict[str, Route] = field(default_factory=dict)


class Services(BaseRoute):
    """Several routes as one; a literal segment beats a parameter, a trailing slash means nothing."""

    def __init__(self, routes: Iterable[BaseRoute]) -> None:
        self.routes = [route for route in routes if isinstance(route, Route)]
        self.root = Node()
        for route in self.routes:
            node = self.root
            for segment in _segments(route.path):
                node = _child(node, segment)
            for method in route.methods or {"GET", "HEAD"}:
                if node.methods.setdefault(method, route) is not route:
                    raise ValueError(f"{method} {route.path} has two handlers")

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """FULL where an address of ours is asked for, by whatever method."""
        if scope["type"] != "http":
            return Match.NONE, {}
        segments = _segments(get_route_path(scope))
        node = _find(self.root, segments, 0)
        if node is None:
            return Match.NONE, {}
        method = "GET" if scope["method"] == "HEAD" else scope["method"]
        route = node.methods.get(method)
        parameters = dict(scope.get("path_params", {}))
        if route is not None:
            parameters.update(_parameters(route.path, segments))
        return Match.FULL, {
            "path_params": parameters,
            "endpoint": route.endpoint if route else None,
            "dicomweb_box.node": node,
        }

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Call the handler of the method; 405 with Allow where there is none."""
        methods: dict[str, Route] = scope.pop("dicomweb_box.node").methods
        route = methods.get("GET" if scope["method"] == "HEAD" else scope["method"])
        if route is not None:
            scope["route"] = route
            await route.app(scope, receive, send)
            return
        allow = {"Allow": ", ".join(sorted({*methods, "OPTIONS"}))}
        if scope["method"] != "OPTIONS":
            raise HTTPException(405, headers=allow)
        await Response(status_code=204, headers=allow)(scope, receive, send)

    def url_path_for(self, name: str, /, **path_params: Any) -> URLPath:
        """The path of the route of that name; NoMatchFound where there is none."""
        for route in self.routes:
            try:
                return route.url_path_for(name, **path_params)
            except NoMatchFound:
                continue
        raise NoMatchFound(name, path_params)


def _segments(path: str) -> list[str]:
    return path.strip("/").split("/") if path.strip("/") else []


def _child(node: Node, segment: str) -> Node:
    if segment.endswith(":path}"):
        node.rest = node.rest or Node()
        return node.rest
    if segment.startswith("{"):
        node.parameter = node.parameter or Node()
        return node.parameter
    return node.literal.setdefault(segment, Node())


def _find(node: Node, segments: list[str], at: int) -> Node | None:
    if at == len(segments):
        return node if node.methods else None
    literal = node.literal.get(segments[at])
    found = _find(literal, segments, at + 1) if literal else None
    if found is None and node.parameter is not None and segments[at]:
        found = _find(node.parameter, segments, at + 1)
    return found or node.rest


def _parameters(path: str, segments: list[str]) -> Iterator[tuple[str, str]]:
    for at, name in enumerate(_segments(path)):
        if name.endswith(":path}"):
            yield name[1:-6], "/".join(segments[at:])
        elif name.startswith("{"):
            yield name[1:-1], segments[at]
