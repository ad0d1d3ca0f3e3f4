"""What is suspicious in a configuration that is right, each with its place; see also ``checks.notes``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bridge.config.ordering import unordered
from bridge.config.problems import placed
from bridge.decoding import known_fields
from bridge.errors import ConfigError
from bridge.routing.review import Known, looks, review

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from bridge.config.model import Config
    from bridge.config.sources import SourceSettings
    from bridge.decoding import Fields
    from bridge.document import Document, Keys
    from bridge.errors import Problem
    from bridge.routing.settings import RuleSettings

# Where any value may stand, so that only its spelling says what was meant.
_FREE = {("create", "params"), ("event", "payload")}


def warnings(config: Config, document: Document, rules: Mapping[int, RuleSettings]) -> list[Problem]:
    """Findings in the rules, and values whose spelling may mean another one.

    rules: those in which nothing is wrong, by their numbers in the document.
    """
    sources = [_known(name, source) for name, source in config.sources.items()]
    looked = looks(rules, config.vars, sources, tuple(config.targets))
    return placed([*review(looked), *unordered(looked, config.sources), *_spellings(document)], document)


def _known(name: str, source: SourceSettings) -> Known:
    topics = getattr(source, "topics", None) if source.type == "kafka" else None
    return Known(name, source.type, tuple(topics) if topics else None, _fields(source))


def _fields(source: SourceSettings) -> Fields | None:
    """What the source's schema file tells; None where it has none, or one that is a problem of its own."""
    try:
        return known_fields(source)
    except ConfigError:
        return None


def _spellings(document: Document) -> Iterator[Problem]:
    for keys in sorted(document.words, key=str):
        if _is_free(keys):
            word = document.words[keys]
            constant = "true" if word.lower() in {"yes", "on", "y"} else "false"
            what = f"{word} is a text here, no boolean: write {constant} for that, or '{word}' for the text"
            yield document.problem(keys, what)
    for keys, text in document.texts.items():
        value = _at(document.value, keys)
        if _is_free(keys) and isinstance(value, int | float) and not isinstance(value, bool) and _shortens(text, value):
            what = f"{text} is the number {value} here: write {value}, or '{text}' in quotes for the text"
            yield document.problem(keys, what)


def _is_free(keys: Keys) -> bool:
    return keys[0] == "vars" or (keys[0] == "rules" and tuple(keys[2:4]) in _FREE)


def _shortens(text: str, value: float) -> bool:
    """Whether the number is written with something that it does not keep: ``1.10``, ``0012``, ``0x1F``."""
    return "e" not in text.lower() and text != str(value) and text.lstrip("+-") != str(abs(value))


def _at(value: object, keys: Keys) -> object:
    for key in keys:
        try:
            value = value[key]  # type: ignore[index]  # a place of the document
        except (KeyError, IndexError, TypeError):
            return None
    return value
