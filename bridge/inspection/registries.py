"""Looks whether a source's schema registry answers and lets us in: one request, for a schema that may not be there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bridge.decoding.schema_registry import SchemaRegistry
from bridge.errors import ConfigError, SchemasUnavailable
from bridge.finding import Finding

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from bridge.decoding.settings import RegistrySettings

_ANY_ID = 1


async def inspect(settings: RegistrySettings) -> AsyncGenerator[Finding, None]:
    """Whether it answers."""
    asked = f"schema registry {settings.url}"
    try:
        registry = SchemaRegistry(settings)
    except ConfigError as error:
        yield Finding(asked, good=False, answer=str(error))
        return
    try:
        await registry.by_id(_ANY_ID)
    except SchemasUnavailable as error:
        advice = "check registry.url, auth_file and ca_file; until it answers the source waits, and nothing is lost"
        yield Finding(asked, good=False, answer=str(error), advice=advice)
    else:
        yield Finding(asked, good=True, answer="answers")
    finally:
        await registry.close()
