"""Which rules can match a message: a lookup by what it holds, instead of a test of every rule."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from operator import attrgetter
from typing import TYPE_CHECKING, NamedTuple

from bridge.routing.equality import Place, Test, all_of, operands_of, tests_of
from bridge.routing.values import ABSENT, Value

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from bridge.message import Message
    from bridge.routing.outcome import Tally
    from bridge.routing.rule import Act, Condition, Rule
    from bridge.routing.variables import Headers

Read = Callable[["Message", Value], Value]  # message, body -> what stands at a place, ABSENT where nothing does


class Candidate(NamedTuple):
    """A rule as it is tried on a message; ``test`` is what the index has not answered, None: nothing."""

    position: int
    name: str
    test: Condition | None
    act: Act
    final: bool


Candidates = tuple[Candidate, ...]
_by_position = attrgetter("position")


class Table:
    """The rules that test one place, by the values that they want there."""

    def __init__(self, read: Read) -> None:
        self.read = read
        self.by_value: dict[Value, Candidates] = {}
        self.if_absent: Candidates = ()
        self.unanswered: list[str] = []  # rules that are false, and counted so, where nothing stands at the place
        self.misses = 0  # messages without anything at the place, since the last ``count_misses``

    def add(self, candidate: Candidate, test: Test) -> None:
        """Put a rule under its values."""
        for value in set(test.values):
            self.by_value[value] = (*self.by_value.get(value, ()), candidate)
        if test.default is ABSENT:
            self.unanswered.append(candidate.name)
        elif test.default in test.values:
            self.if_absent = (*self.if_absent, candidate)

    def join(self, always: Candidates) -> None:
        """Take in the rules that are tried on every message."""
        for value, found in self.by_value.items():
            self.by_value[value] = _in_order((*always, *found))
        self.if_absent = _in_order((*always, *self.if_absent))

    def find(self, message: Message, body: Value, otherwise: Candidates) -> Candidates:
        """The rules whose value stands at the place, or ``otherwise``."""
        value = self.read(message, body)
        if value is ABSENT:
            self.misses += 1
            return self.if_absent
        try:
            return self.by_value.get(value, otherwise)
        except TypeError:  # a list or a map, which equals no constant
            return otherwise

    def count_misses(self, tally: Tally) -> None:
        """Note the conditions that were false for want of a field."""
        if self.misses:
            for name in self.unanswered:
                tally.errors[name] += self.misses
            self.misses = 0


class Plan:
    """The rules of one source, arranged."""

    def __init__(self, always: Candidates, tables: Sequence[Table]) -> None:
        self._tables = tables
        self._always = always
        if len(tables) == 1:
            tables[0].join(always)
            self.candidates = self._by_one_table()
        else:
            self.candidates = self._from_tables if tables else (lambda _message, _body: always)

    def _by_one_table(self) -> Callable[[Message, Value], Candidates]:
        table, always = self._tables[0], self._always
        read, by_value = table.read, table.by_value

        def candidates(message: Message, body: Value) -> Candidates:
            value = read(message, body)
            if value is ABSENT:
                table.misses += 1
                return table.if_absent
            try:
                return by_value.get(value, always)
            except TypeError:  # a list or a map, which equals no constant
                return always

        return candidates

    def _from_tables(self, message: Message, body: Value) -> Candidates:
        """The rules that can match, in file order."""
        found = [self._always] if self._always else []
        for table in self._tables:
            rules = table.find(message, body, ())
            if rules:
                found.append(rules)
        if len(found) < 2:  # noqa: PLR2004  one is in order already
            return found[0] if found else ()
        return _in_order(candidate for rules in found for candidate in rules)

    def count_misses(self, tally: Tally) -> None:
        """Note the conditions that were false for want of a field, since the last time."""
        for table in self._tables:
            table.count_misses(tally)


def _in_order(candidates: Iterable[Candidate]) -> Candidates:
    return tuple(sorted(candidates, key=_by_position))


def plan_for(rules: Sequence[Rule], constants: Mapping[str, Value], headers: Headers) -> Plan:
    """The plan for a source's rules, which are in file order."""
    tests = {rule.position: tests_of(rule.when, constants) for rule in rules}
    popular = Counter(place for found in tests.values() for place in {test.place for test in found})
    always: list[Candidate] = []
    tables: dict[Place, Table] = {}
    for rule in rules:
        chosen = max(tests[rule.position], key=lambda test: popular[test.place], default=None)
        if chosen is None:
            always.append(_candidate(rule, None))
            continue
        if chosen.place not in tables:
            tables[chosen.place] = Table(_reader(chosen.place, headers))
        tables[chosen.place].add(_candidate(rule, chosen), chosen)
    return Plan(tuple(always), list(tables.values()))


def _candidate(rule: Rule, answered: Test | None) -> Candidate:
    operands = list(operands_of(rule.when))
    if answered is not None and answered.exact and answered.default is ABSENT:
        del operands[answered.operand]
    return Candidate(rule.position, rule.name, rule.condition(all_of(operands)), rule.act, rule.final)


def _reader(place: Place, headers: Headers) -> Read:
    variable, path = place
    field = path[-1] if path else ""
    if variable == "body" and len(path) > 1:
        return _nested(path)
    if variable == "body":
        return lambda _message, body: body.get(field, ABSENT) if type(body) is dict else ABSENT
    if variable == "headers":
        return lambda message, _body: headers.last(message).get(field, ABSENT)
    if variable == "channel":
        return lambda message, _body: message.channel
    if variable == "source":
        return lambda message, _body: message.source
    return lambda message, _body: message.attributes.get(variable, ABSENT)


def _nested(path: Sequence[str]) -> Read:
    def read(_message: Message, body: Value) -> Value:
        for step in path:
            if type(body) is not dict:
                return ABSENT
            body = body.get(step, ABSENT)
        return body

    return read
