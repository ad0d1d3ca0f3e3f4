"""What differs between the configuration in use and a new one, and what has to be done about it; pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from bridge.config.values import settings_of
from bridge.document import dotted
from bridge.errors import Problem

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from pydantic import BaseModel

    from bridge.config import Config
    from bridge.routing.settings import RuleSettings

TRANSLATED = frozenset({"unmatched", "ignore_older_than"})  # settings of a source that its connection knows nothing of
COMPARED = frozenset({"sources", "rules", "targets"})  # sections that are compared name by name
TAKEN_OVER = frozenset(
    {"vars", "log", "shutdown", "redact", "reload", "shadow"}
)  # sections that may change while the bridge runs
UNUSED = frozenset({"tests"})  # sections that a running bridge does not look at
NAMES_SHOWN = 50
RESTART = "cannot change while the bridge runs: put the old value back, or restart the bridge"


class Plan(NamedTuple):
    """How to get from one configuration to another; each tuple holds names, in the order of the new configuration."""

    start: tuple[str, ...] = ()  # sources that are new
    restart: tuple[str, ...] = ()  # sources that are read in another way now
    stop: tuple[str, ...] = ()  # sources that are gone
    reread: tuple[str, ...] = ()  # sources that are read as before, and whose schemas or authorities are others now
    connect: tuple[str, ...] = ()  # targets that are new, or reached in another way now
    targets_removed: tuple[str, ...] = ()  # what waits for them is still delivered
    rules_added: tuple[str, ...] = ()
    rules_removed: tuple[str, ...] = ()
    rules_changed: tuple[str, ...] = ()
    others: tuple[str, ...] = ()  # what else changed, and can: sections, "rules (order)", "sources (unmatched …)"
    refused: tuple[Problem, ...] = ()  # what changed and cannot: the plan must not be carried out

    @property
    def changes(self) -> Mapping[str, Sequence[str]]:
        """What a log line says of it: the parts that are not empty, of each the first names."""
        named = {
            "sources_started": self.start,
            "sources_restarted": self.restart,
            "sources_stopped": self.stop,
            "sources_files_reread": self.reread,
            "targets_connected": self.connect,
            "targets_removed": self.targets_removed,
            "rules_added": self.rules_added,
            "rules_removed": self.rules_removed,
            "rules_changed": self.rules_changed,
            "others": self.others,
        }
        return {name: _shown(names) for name, names in named.items() if names}


def _shown(names: Sequence[str]) -> Sequence[str]:
    left_out = len(names) - NAMES_SHOWN
    return list(names) if left_out <= 0 else [*names[:NAMES_SHOWN], f"and {left_out} more"]


def plan_for(old: Config, new: Config) -> Plan:
    """The way from ``old``, which is in use, to ``new``, which is right by itself. Without any change it is empty."""
    rules_before, rules_after = _by_name(old.rules), _by_name(new.rules)
    kept = [name for name in new.sources if name in old.sources]
    restart = tuple(name for name in kept if _connection(old.sources[name]) != _connection(new.sources[name]))
    return Plan(
        start=_without(new.sources, old.sources),
        restart=restart,
        stop=_without(old.sources, new.sources),
        reread=tuple(name for name in kept if name not in restart and _files_differ(old, new, ("sources", name))),
        connect=tuple(
            name
            for name, target in new.targets.items()
            if old.targets.get(name) != target or _files_differ(old, new, ("targets", name))
        ),
        targets_removed=_without(old.targets, new.targets),
        rules_added=_without(rules_after, rules_before),
        rules_removed=_without(rules_before, rules_after),
        rules_changed=tuple(n for n, rule in rules_after.items() if n in rules_before and rules_before[n] != rule),
        others=tuple(_others(old, new)),
        refused=tuple(_refused(old, new)),
    )


def _by_name(rules: Iterable[RuleSettings]) -> dict[str, RuleSettings]:
    return {rule.name: rule for rule in rules}


def _without(names: Iterable[str], others: Mapping[str, object]) -> tuple[str, ...]:
    return tuple(name for name in names if name not in others)


def _files_differ(old: Config, new: Config, part: tuple[str, str]) -> bool:
    return old.contents.get(part) != new.contents.get(part)


def _connection(source: BaseModel) -> dict[str, object]:
    """What a source has to be opened anew for."""
    return source.model_dump(exclude=set(TRANSLATED))


def _others(old: Config, new: Config) -> Iterable[str]:
    kept_before = [rule.name for rule in old.rules if rule.name in _by_name(new.rules)]
    kept_after = [rule.name for rule in new.rules if rule.name in _by_name(old.rules)]
    if kept_before != kept_after:
        yield "rules (order)"
    for name in new.sources.keys() & old.sources.keys():
        before, after = old.sources[name], new.sources[name]
        if before != after and _connection(before) == _connection(after):
            yield f"sources.{name}"
    for section in type(new).model_fields:
        if section in TAKEN_OVER and getattr(old, section) != getattr(new, section):
            yield section
    if old.shadow == new.shadow and old.shadow_text != new.shadow_text:
        yield "shadow"


def _refused(old: Config, new: Config) -> Iterable[Problem]:
    """A setting that nobody has said may change is one that may not."""
    before, after = dict(settings_of(old)), dict(settings_of(new))
    for path in dict.fromkeys((*before, *after)):
        if path[0] not in COMPARED | TAKEN_OVER | UNUSED and before.get(path, ...) != after.get(path, ...):
            yield Problem(dotted(path), RESTART)
