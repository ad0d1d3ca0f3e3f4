"""Secrets of a configuration: where they may not stand, and which values they have."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import SecretStr

from bridge.config.environment import variable
from bridge.config.schema import names_at, secrets_in
from bridge.config.values import settings_of
from bridge.secrecy import parts, password_of, read_secret

if TYPE_CHECKING:
    from bridge.config.model import Config
    from bridge.document import Document, Keys
    from bridge.errors import Problem

SECRET_FILES = ("token_file", "password_file", "url_file", "auth_file")  # the ends of such settings' names
_NONE = "-"  # stands for a secret that is not there


def inline_secrets(document: Document, from_environment: set[Keys]) -> list[Problem]:
    """A problem for every secret that stands in a file. An address without a password is none."""
    problems = []
    for path, text in secrets_in(document.value):
        if path in from_environment or (text.count("://") and not password_of(text)):
            continue
        file = f"{path[-1]}_file"
        ways = f"the variable {variable(path)}"
        if file in names_at(document.value, path[:-1]):
            ways = f"{file} or {ways}"
        problems.append(document.problem(path, f"a secret does not belong into the file; use {ways}"))
    return problems


def stand_in(value: dict[str, Any]) -> None:
    """Put something in the place of each secret that is not there, for a machine on which the bridge does not run."""
    for target in _mappings(value.get("targets")):
        if not {"api_token", "api_token_file"} & target.keys():
            target |= {"api_token": _NONE}
    for source in _mappings(value.get("sources")):
        if source.get("type") == "rabbitmq" and not {"url", "url_file"} & source.keys():
            source["url"] = "amqp://no-address-is-given.invalid"  # a name that is never found
        for sasl in _mappings({"sasl": source.get("sasl")}):
            if "username" in sasl and not {"password", "password_file"} & sasl.keys():
                sasl |= {"password": _NONE}


def _mappings(value: object) -> list[dict[str, Any]]:
    return [held for held in value.values() if isinstance(held, dict)] if isinstance(value, dict) else []


def secrets_of(config: Config) -> list[str]:
    """The values that must not be shown, those in files included, where these can be read."""
    found: set[str] = set()
    for path, value in settings_of(config):
        if isinstance(value, SecretStr):
            found.update(parts(value.get_secret_value()))
        elif isinstance(value, Path) and str(path[-1]).endswith(SECRET_FILES):
            with contextlib.suppress(OSError):
                found.update(parts(read_secret(value)))
    return sorted(found - {""})
