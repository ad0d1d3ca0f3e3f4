"""The OpenAPI document of the admin API, made from its routes."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter

from bridge import __version__
from bridge.console.routes import PREFIX

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bridge.console.routes import Route

ERROR = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["code", "problem", "advice"],
            "properties": {
                "code": {"type": "string", "description": "A constant word, for programs."},
                "problem": {"type": "string", "description": "What is wrong."},
                "advice": {"type": "string", "description": "What to do about it."},
            },
        }
    },
}


def document(routes: Sequence[Route]) -> dict[str, Any]:
    """OpenAPI 3.1."""
    schemas: dict[str, Any] = {"Error": ERROR}
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        paths.setdefault(PREFIX + route.path, {})[route.method.lower()] = _operation(route, schemas)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "workflow-bridge: the operator's API",
            "version": __version__,
            "description": "Loopback, or a bearer token. What acts takes JSON and the operator's token.",
        },
        "paths": paths,
        "components": {"schemas": schemas, "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}}},
        "security": [{"token": []}, {}],
    }


def _operation(route: Route, schemas: dict[str, Any]) -> dict[str, Any]:
    names = re.findall(r"{(\w+)}", route.path)
    text = {"type": "string"}
    parameters = [{"name": name, "in": "path", "required": True, "schema": text} for name in names]
    parameters += [
        {"name": name, "in": "query", "required": False, "schema": text, "description": what}
        for name, what in route.query.items()
    ]
    operation: dict[str, Any] = {
        "operationId": f"{route.method.lower()}_{re.sub(r'[^a-z]+', '_', route.path).strip('_')}",
        "summary": route.summary,
        "description": "For operators." if route.acts else "For everybody who may look.",
        "parameters": parameters,
        "responses": {
            "200": {"description": "Done.", "content": _content(route, schemas)},
            "default": {
                "description": "It is not done, and why.",
                "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}},
            },
        },
    }
    if route.takes is not None:
        schema = _schema(route.takes, schemas)
        operation["requestBody"] = {"required": True, "content": {"application/json": {"schema": schema}}}
    return operation


def _content(route: Route, schemas: dict[str, Any]) -> dict[str, Any]:
    if route.gives is None:
        return {"text/event-stream": {"schema": {"type": "string"}}}
    return {"application/json": {"schema": _schema(route.gives, schemas)}}


def _schema(shape: type, schemas: dict[str, Any]) -> dict[str, str]:
    made = TypeAdapter(shape).json_schema(ref_template="#/components/schemas/{model}")
    schemas.update(made.pop("$defs", {}))
    schemas[shape.__name__] = made
    return {"$ref": f"#/components/schemas/{shape.__name__}"}
