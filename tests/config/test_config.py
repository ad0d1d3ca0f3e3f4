from __future__ import annotations

import copy
import os
import re
import sys
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bridge.config import load_config, secrets_of
from bridge.config.checks import notes
from bridge.config.problems import FORMS
from bridge.config.schema import json_schema
from bridge.errors import ConfigError
from bridge.outbox.settings import SqliteSettings
from tests.config.files import RIGHT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.config.files import Folder

RABBIT: dict[str, Any] = {"type": "rabbitmq", "url": "amqp://broker/", "queue": "orders"}

MEMORY: dict[str, Any] = {"outbox": {"type": "memory"}, "dead_letters": "discard"}
HELD: dict[str, Any] = {**MEMORY, "sources": {"pay": RABBIT}}
KAFKA_TO: dict[str, Any] = {"type": "kafka", "bootstrap_servers": ["kafka:9092"], "topic": "dead"}
NUMBER: dict[str, Any] = {"mechanism": "PLAIN", "username": "u", "password": 12345}
EVENT: dict[str, Any] = {"workflow": "w", "id": "x", "type": "paid", "if_missing": "wait 1h"}
GROUP_NOTE = (
    "source orders: partitions are shared by the group, so order per lane holds within one process; for several "
    "processes fix the partitions with assign"
)
HERE = Path(__file__).parent


def test_a_configuration_with_many_mistakes_names_them_all(folder: Folder) -> None:
    """One run of ``check`` is enough: every mistake has its path, its file and its line, and says what to do."""
    folder.environ = {"WORKFLOW_BRIDGE_LOG__LEVEL": "loud", "WORKFLOW_BRIDGE_TARGTS__A__B": "1"}
    folder.write((HERE / "many_mistakes.yaml").read_text())
    problems = folder.refuse()
    assert "".join(problem + "\n" for problem in problems) == (HERE / "many_mistakes.txt").read_text()
    assert "hunter2" not in "".join(problems)


def test_a_file_of_rules_with_twenty_mistakes_names_all_twenty(folder: Folder) -> None:
    """One in each rule, those included where YAML swallows CEL: one problem each, with its line and its fix."""
    text = (HERE / "twenty_mistakes.yaml").read_text()
    folder.write(text)
    problems = folder.refuse()
    assert "".join(problem + "\n" for problem in problems) == (HERE / "twenty_mistakes.txt").read_text()
    rules = [problem.split(": ")[1].partition(".")[0] for problem in problems]
    assert rules == [f"rules[{number}]" for number in range(20)]


def test_with_the_fixes_that_are_shown_the_twenty_mistakes_are_gone(folder: Folder) -> None:
    """Each line that a problem names is replaced by what the problem says to write, and nothing else is changed."""
    folder.write((HERE / "twenty_mistakes.yaml").read_text())
    lines = (HERE / "twenty_mistakes.yaml").read_text().splitlines()
    for problem in folder.refuse():
        place, _, hint = problem.partition("put it in quotes: ")
        if hint:
            number, fix = int(place.split(":")[1]) - 1, re.sub(r"^\w+: ", "", hint)
            meant = fix[1:-1].replace("''", "'")
            written = next(text for text in (f'"{meant}"', meant) if text in lines[number])
            lines[number] = lines[number].replace(written, fix)
    folder.write("\n".join(lines))
    left = folder.refuse()
    assert [problem.split(": ")[1].partition(".")[0] for problem in left] == [
        f"rules[{place}]" for place in range(7, 20)
    ]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"sources.orders.topic": "x"}, "sources.orders.topic: is not known here; did you mean topics?"),
        ({"sources.orders.topics": "orders"}, "sources.orders.topics: should be a list (it is 'orders')"),
        ({"sources.orders.type": None}, "sources.orders: needs type: one of kafka, rabbitmq"),
        ({"sources.orders.group_id": None}, "sources.orders.group_id: is needed here"),
        ({"sources.bad name": RABBIT}, "sources.bad name: is no name: letters, digits, - and _, at most 64"),
        ({"sources": {}}, "sources: needs at least one"),
        ({"rules": []}, "rules: needs at least one"),
        ({"rules.0.drop": "x"}, "rules[0]: a rule does exactly one of"),
        ({"rules.0.create.if_exists": "maybe"}, "rules[0].create.if_exists: should be 'skip'"),
        ({"rules.0.create.parms": 1}, "rules[0].create.parms: is not known here; did you mean params?"),
        ({"rules.0.from": "nowhere"}, "rules[0].from"),
        ({"rules.0.when": "body.type =="}, "rules[0].when"),
        ({"rules.0.create.id": "${body.x"}, "rules[0].create.id"),
        ({"rules.0.create.target": "nowhere"}, "rules[0].create.target"),
        ({"targets.main.api_token_file": None}, "targets.main: give api_token_file, or api_token"),
        ({"targets.main.ca_file": "token"}, "targets.main.ca_file: token holds no certificates that can be used"),
        ({"targets.main.api_token_file": "nope"}, "targets.main.api_token_file: nope cannot be read: No such file"),
        ({"targets.main.api_token_file": "empty"}, "targets.main.api_token_file: empty is empty"),
        ({"targets.main.api_token_file": "blank"}, "targets.main.api_token_file: is empty; it must hold an API token"),
        ({"targets.main.base_url": "http://api.example.com"}, "targets.main.base_url: must begin with https://"),
        ({"targets.main.account_id": "${ENV:ACCOUNT}"}, "targets.main.account_id: ${ENV:…} is allowed in vars only"),
        ({"outbox": {"type": "memry"}}, "outbox.type: there is no 'memry'; did you mean memory?"),
        ({"outbox": {"type": "postgres"}}, "outbox.type: there is no 'postgres'; there are memory, sqlite"),
        ({"sources.orders.type": "kafak"}, "sources.orders.type: there is no 'kafak'; did you mean kafka?"),
        ({"sources.orders.bootstrap_servers": ["kafka"]}, "sources.orders.bootstrap_servers[0]: should be host:port"),
        ({"rules.0.create.id": "order-{body.id}"}, "rules[0].create.id: the instance id 'order-{body.id}' is not"),
        ({"admin": {"operator_token_file": "word"}}, "admin.operator_token_file: word holds fewer than 16 characters"),
        ({"targets.main.account_id": "a b"}, "targets.main.account_id: should be 1 to 64 letters, digits, _ and -"),
        ({"rules.0.name": "a b"}, "rules[0].name: should be 1 to 100 letters, digits, _, - and ."),
        ({"tracing.endpoint": "collector"}, "tracing.endpoint: should be an address such as http://localhost:4318"),
        ({"reload.watch": "often"}, "reload.watch: should be true or false (it is 'often')"),
        ({"shadow": "none.yaml"}, "shadow: there is no file none.yaml"),
        ({"targets": None}, "rules[0].create: there is nothing to call: describe an account under targets"),
        (
            {"sources.orders": {**RABBIT, "url": None, "url_file": "word"}},
            "sources.orders.url_file: word: the address has to look",
        ),
        (
            {"tests": [{"name": "t", "message": {"source": "orders"}, "expect": {"create": {"workflw": "w"}}}]},
            "tests[0].expect.create.workflw: is not known here; did you mean workflow?",
        ),
        ({"outbox.path": "/"}, "outbox.path: / is a folder; name a file in it"),
        ({"health.port": 70_000}, "health.port: should be less than or equal to 65535 (it is 70000)"),
        ({"shutdown.grace_seconds": "soon"}, "shutdown.grace_seconds: should be a number (it is 'soon')"),
        ({"outbox": {"type": "memory"}}, "dead_letters: the memory outbox has nowhere to keep dead letters"),
        ({"dead_letters": "discard"}, "dead_letters: discard is for the memory outbox"),
        (
            {**MEMORY, "dead_letters": "drop"},
            "dead_letters: should be a mapping; or should be 'discard' (it is 'drop')",
        ),
        ({**MEMORY, "dead_letters": {}}, "dead_letters.to: is needed here"),
        ({**MEMORY, "dead_letters": {"to": KAFKA_TO, "keep": "7d"}}, "dead_letters.keep: is for the sqlite outbox"),
        ({**MEMORY, "dead_letters": {"to": KAFKA_TO, "max_bytes": 1}}, "dead_letters.max_bytes: is for the sqlite"),
        (
            {**MEMORY, "dead_letters": {"to": {"type": "nats"}}},
            "dead_letters.to.type: there is no 'nats'; there are kafka, rabbitmq",
        ),
        ({**MEMORY, "dead_letters": {"to": {**KAFKA_TO, "topik": 1}}}, "dead_letters.to.topik: is not known here"),
        ({**MEMORY, "dispatch.enabled": False}, "dispatch.enabled: without dispatch the memory outbox"),
        ({**MEMORY, "rules.0.watch": {}}, "rules[0].watch: needs the ledger: the sqlite outbox"),
        ({"ledger.keep": "off", "rules.0.watch": {}}, "rules[0].watch: needs the ledger: the sqlite outbox"),
        ({"rules.0.watch": {"for": "8d"}}, "rules[0].watch.for: is longer than ledger.keep"),
        ({**MEMORY, "rules.0.create.if_exists": "new"}, "rules[0].create.if_exists: the memory outbox cannot remember"),
        ({"sources.orders.sasl": NUMBER}, "sources.orders.sasl.password: a secret does not belong into the file"),
        ({**HELD, "rules.0.delay": "21m"}, "rules[0].delay: with the memory outbox a message of RabbitMQ"),
        ({**HELD, "rules.0": {"name": "e", "event": EVENT}}, "rules[0].event.if_missing: with the memory outbox"),
        ({"log.level": "verbose"}, "log.level: should be 'debug', 'info', 'warning' or 'error' (it is 'verbose')"),
    ],
)
def test_each_mistake_is_one_problem_at_its_place(folder: Folder, changes: dict[str, Any], expected: str) -> None:
    """The path, and words that say what to do; nothing else is complained about."""
    (folder.path / "empty").write_text("")
    (folder.path / "word").write_text("broker")
    (folder.path / "blank").write_text(" \n")
    problems = [problem.split(": ", 1)[1] for problem in folder.refuse(changes)]
    assert len(problems) == 1
    assert problems[0].startswith(expected)


def test_the_rules_are_compiled_once(folder: Folder) -> None:
    """What was checked is what runs."""
    config = folder.load({})
    assert config.router() is config.router()


def test_a_right_configuration_has_the_defaults_of_its_parts(folder: Folder) -> None:
    """Only what differs has to be written."""
    config = folder.load({})
    source: Any = config.sources["orders"]
    assert (source.decode, source.unmatched, source.ignore_older_than) == ("json", "drop", None)
    assert isinstance(config.outbox, SqliteSettings)
    assert config.outbox.path == Path("outbox.db")
    assert (config.health.host, config.health.port) == ("0.0.0.0", 8080)  # noqa: S104  the default
    assert (config.log.level, config.log.format) == ("info", "auto")
    assert config.shutdown.grace_seconds == 20
    assert config.rules[0].name == "created"


def test_durations_are_read_with_their_units(folder: Folder) -> None:
    """``7d`` is seven days, for sources as for rules."""
    config = folder.load({"sources.orders.ignore_older_than": "7d", "rules.0.delay": "1h30m"})
    assert config.sources["orders"].ignore_older_than == timedelta(days=7)
    assert config.rules[0].delay == timedelta(minutes=90)


def test_a_text_that_looks_like_a_number_is_taken_as_written(folder: Folder) -> None:
    """An account of digits keeps its zeros, a version its last one, a name that is ``true`` is a name."""
    folder.write(
        "targets: {main: {account_id: 0012e345, api_token_file: token}}\n"
        "sources: {orders: {type: kafka, bootstrap_servers: ['k:1'], topics: [1.10, 0x1F], group_id: 007}}\n"
        "rules: [{name: true, from: orders, create: {workflow: 12, params: {version: 1.50, zip: '007'}}}]\n"
    )
    config = folder.load()
    source: Any = config.sources["orders"]
    assert config.targets["main"].account_id == "0012e345"
    assert source.topics == ["1.10", "0x1F"]
    assert source.group_id == "007"
    assert config.rules[0].name == "true"
    assert config.rules[0].create is not None
    assert config.rules[0].create.workflow == "12"
    assert config.rules[0].create.params == {"version": 1.5, "zip": "007"}


def test_the_environment_goes_over_the_file(folder: Folder) -> None:
    """Names are found whatever their case, lists are JSON, and what the file does not have is added."""
    folder.environ = {
        "WORKFLOW_BRIDGE_TARGETS__MAIN__ACCOUNT_ID": "0042",
        "WORKFLOW_BRIDGE_SOURCES__SHOP_ORDERS__TOPICS": '["a", "b"]',
        "WORKFLOW_BRIDGE_HEALTH__PORT": "9090",
        "WORKFLOW_BRIDGE_OUTBOX__PATH": "elsewhere.db",
        "workflow_bridge_log__level": "debug",
        "WORKFLOW_BRIDGE_PORT_8080_TCP": "tcp://10.0.0.1:8080",
        "WORKFLOW_BRIDGE_CONFIG": "bridge.yaml",
        "UNRELATED__VARIABLE": "1",
    }
    orders = {"type": "kafka", "bootstrap_servers": ["k:1"], "topics": ["x"], "group_id": "g"}
    config = folder.load({"sources": {"Shop-Orders": orders}, "outbox": None})
    source: Any = config.sources["Shop-Orders"]
    assert config.targets["main"].account_id == "0042"
    assert source.topics == ["a", "b"]
    assert config.health.port == 9090
    assert isinstance(config.outbox, SqliteSettings)
    assert config.outbox.path == Path("elsewhere.db")
    assert config.log.level == "debug"


def test_what_the_file_had_written_is_not_taken_for_a_value_of_the_environment(folder: Folder) -> None:
    """A number in a variable's JSON is refused where a text is wanted; the file's text is not put in its place."""
    folder.environ = {"WORKFLOW_BRIDGE_TARGETS": '{"main": {"account_id": 5}}'}
    folder.write(yaml.safe_dump(RIGHT).replace("account_id: abc", "account_id: 0012"))
    (problem,) = folder.refuse()
    assert problem.startswith("environment variable WORKFLOW_BRIDGE_TARGETS__MAIN__ACCOUNT_ID: ")
    assert problem.endswith("targets.main.account_id: should be a text (it is 5)")


def test_json_that_is_none_is_named_with_its_variable(folder: Folder) -> None:
    """A broken value of a whole section does not end in a traceback, nor does one word where a list is wanted."""
    broken = {"WORKFLOW_BRIDGE_SOURCES": '{"a', "WORKFLOW_BRIDGE_SOURCES__ORDERS__TOPICS": "shop.orders"}
    folder.environ = {**broken, "WORKFLOW_BRIDGE_LOG__LEVEL": "loud"}
    problems = folder.refuse({})
    for name in broken:
        assert (
            f"""environment variable {name}: is no JSON: lists and mappings are written as '["a", "b"]'"""
            in "".join(problems)
        )
    assert any(problem.startswith("environment variable WORKFLOW_BRIDGE_LOG__LEVEL: ") for problem in problems)


def test_a_forgotten_dollar_is_guessed(folder: Folder) -> None:
    """Braces alone are f-strings, Jinja's or Helm's; here they are part of the text."""
    (problem,) = folder.refuse({"rules.0.create.id": "order-{body.id}"})
    assert problem.endswith("; is ${body.id} meant?")


def test_what_only_the_environment_names_is_its_own(folder: Folder) -> None:
    """A name misspelt in a variable is no line of the file."""
    folder.environ = {"WORKFLOW_BRIDGE_TARGETS__MIAN__ACCOUNT_ID": "abc"}
    assert any("WORKFLOW_BRIDGE_TARGETS__MIAN__…: targets.mian: " in problem for problem in folder.refuse({}))


def test_an_extra_that_is_not_installed_is_found_before_the_start(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``check`` does not call right what ``run`` would refuse."""
    for package in ("aiokafka", "opentelemetry"):
        monkeypatch.setitem(sys.modules, package, None)
    problems = " ".join(folder.refuse({"tracing.endpoint": "http://localhost:4318"}))
    assert "sources.orders.type: this needs the package aiokafka: pip install 'workflow-bridge[kafka]'" in problems
    assert "tracing.endpoint: this needs the package opentelemetry: pip install 'workflow-bridge[otel]'" in problems


def test_every_pattern_has_words() -> None:
    """Nobody reads what is wrong out of a regular expression."""
    assert set(patterns(json_schema())) - FORMS.keys() == set()


def test_every_default_of_the_schema_is_written_as_a_user_would() -> None:
    """An editor that puts in a default, and whoever copies one from the reference, gets what is taken."""
    assert [(wrong, at) for wrong, at in defaults(json_schema()) if not re.search(at, str(wrong))] == []


def defaults(value: Any) -> Iterator[tuple[object, str]]:
    """Each default with the pattern that it should have."""
    if isinstance(value, dict):
        texts = [value, *value.get("anyOf", ())]
        found = [shape["pattern"] for shape in texts if isinstance(shape, dict) and "pattern" in shape]
        if found and value.get("default") is not None:
            yield value["default"], found[0]
        value = list(value.values())
    for item in value if isinstance(value, list) else ():
        yield from defaults(item)


def patterns(value: Any) -> Iterator[str]:
    """Those of a schema, but for the ones of texts with words of their own, which have an example."""
    if isinstance(value, dict):
        if "pattern" in value and "examples" not in value:
            yield value["pattern"]
        value = list(value.values())
    for item in value if isinstance(value, list) else ():
        yield from patterns(item)


def test_a_secret_may_come_from_the_environment(folder: Folder) -> None:
    """A token in a variable is taken; it does not show in any form of the configuration."""
    folder.environ = {"WORKFLOW_BRIDGE_TARGETS__MAIN__API_TOKEN": "token-of-the-environment"}
    config = folder.load({"targets.main.api_token_file": None})
    token = config.targets["main"].api_token
    assert token is not None
    assert token.get_secret_value() == "token-of-the-environment"
    for text in (repr(config), str(config), config.model_dump_json(), config.digest()):
        assert "token-of-the-environment" not in text
    assert secrets_of(config) == ["token-of-the-environment"]


def test_secrets_in_files_are_known_to_the_logs(folder: Folder) -> None:
    """Everything that must not be shown is listed: tokens, and passwords also where they are part of an address."""
    (folder.path / "url").write_text("amqps://user:p%40ssword@broker/shop\n")
    payments = {"type": "rabbitmq", "url_file": "url", "queue": "payments"}
    config = folder.load({"sources.payments": payments})
    assert secrets_of(config) == [
        "amqps://user:p%40ssword@broker/shop",
        "p%40ssword",
        "p@ssword",
        "planted-token",
    ]


def test_an_address_without_a_password_is_no_secret(folder: Folder) -> None:
    """``url: amqp://broker/`` may stand in the file."""
    config = folder.load({"sources.payments": RABBIT})
    assert list(config.sources) == ["orders", "payments"]


def test_vars_take_values_of_the_environment(folder: Folder) -> None:
    """Inside texts too, at any depth; ``$${ENV:X}`` stays as it is for rules."""
    folder.environ = {"REGION": "weur"}
    config = folder.load({"vars": {"a": "${ENV:REGION}", "b": {"c": ["x-${ENV:REGION}-y", 1]}, "d": "$${ENV:REGION}"}})
    assert config.vars == {"a": "weur", "b": {"c": ["x-weur-y", 1]}, "d": "$${ENV:REGION}"}


def test_the_digest_changes_with_a_setting_and_only_then(folder: Folder) -> None:
    """A metric shows which configuration is in use."""
    first = folder.load({}).digest()
    assert first == folder.load({}).digest()
    assert first != folder.load({"rules.0.priority": "high"}).digest()
    assert len(first) == 12


def test_the_digest_does_not_depend_on_a_secret(folder: Folder) -> None:
    """Nobody learns from a metric that a token was changed, or which one it is."""
    digests = set()
    for token in ("token-one", "token-two"):
        folder.environ = {"WORKFLOW_BRIDGE_TARGETS__MAIN__API_TOKEN": token}
        digests.add(folder.load({"targets.main.api_token_file": None}).digest())
    assert len(digests) == 1


def test_the_memory_outbox_says_what_becomes_of_dead_letters(folder: Folder) -> None:
    """A topic, an exchange, or nothing, each only when it is written out."""
    assert folder.load(MEMORY).dead_letters == "discard"
    told = notes(folder.load(MEMORY))
    assert "calls may repeat after a crash" in told[0]
    assert "discarded" in told[1]
    kept: Any = folder.load({**MEMORY, "dead_letters": {"to": KAFKA_TO}}).dead_letters
    assert (kept.to.type, kept.to.topic) == ("kafka", "dead")
    rabbit = {"type": "rabbitmq", "url": "amqp://broker/", "routing_key": "dead"}
    kept = folder.load({**MEMORY, "dead_letters": {"to": rabbit}}).dead_letters
    assert (kept.to.type, kept.to.routing_key) == ("rabbitmq", "dead")


def test_under_memory_kafka_may_be_held_longer_than_rabbitmq(folder: Folder) -> None:
    """Only RabbitMQ closes the channel of a message that is not acknowledged."""
    assert folder.load({**MEMORY, "rules.0.delay": "21m"}).rules[0].delay == timedelta(minutes=21)
    assert folder.load({**HELD, "rules.0.delay": "20m"}).rules[0].delay == timedelta(minutes=20)


def test_notes_tell_the_limits_of_what_is_promised(folder: Folder) -> None:
    """Order with group rebalancing, and identities that are not there, are said before they matter."""
    assert notes(folder.load({})) == [
        "sqlite outbox: messages are acknowledged when stored; outbox.db must outlive the process",
        GROUP_NOTE,
    ]
    assert len(notes(folder.load({"sources.orders.assign": {"index": 0, "of": 2}}))) == 1
    told = notes(folder.load({"sources": {"pay": RABBIT}, "rules.0.create.id": None}))
    assert told[1] == (
        "source pay: a message without message_id has no identity; rules without id, and those with "
        "if_exists other than skip, make it a dead letter"
    )
    assert len(notes(folder.load({"sources": {"pay": {**RABBIT, "identity": "body-hash"}}}))) == 1


def test_an_outbox_file_of_somebody_else_is_found_before_the_start(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that this user cannot write is a problem of the configuration, not of the first message."""
    (folder.path / "outbox.db").write_text("")
    monkeypatch.setattr(os, "access", lambda *_: False)
    assert folder.refuse({}) == ["bridge.yaml:20: outbox.path: outbox.db cannot be written by this user"]


def paths(value: object, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    """Every place in a configuration."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(inner for key, item in items for inner in paths(item, (*path, key)))]


WORDS = st.sampled_from(
    ["", "main", "orders", "kafka", "sqlite", "body.x", "${body.x}", "${ENV:X}", "7d", "\x00", "a b"]
)
ODD = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | WORDS,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(WORDS | st.sampled_from(["type", "id"]), inner, max_size=3)
    ),
    max_leaves=6,
)


@given(st.sampled_from(paths(RIGHT)[1:]), ODD, st.dictionaries(st.sampled_from(["LOG", "SOURCES__O__TYPE"]), WORDS))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=300, deadline=None)
def test_whatever_stands_anywhere_is_used_or_refused(
    folder: Folder, path: tuple[str | int, ...], odd: object, environ: dict[str, str]
) -> None:
    """Any value in any place gives a configuration or ConfigError with places, never another error."""
    folder.environ = {f"WORKFLOW_BRIDGE_{name}": text for name, text in environ.items()}
    value: Any = copy.deepcopy(RIGHT)
    holder = value
    for key in path[:-1]:
        holder = holder[key]
    holder[path[-1]] = odd
    folder.write(yaml.safe_dump(value, sort_keys=False))
    try:
        folder.load()
    except ConfigError as error:
        for problem in error.problems:
            assert problem.file.startswith(("bridge.yaml", "environment"))
            assert problem.message


@pytest.mark.parametrize("setting", ["for_each: body.lines", "lane: key", "delay: 10m", "max_attempts: 3"])
def test_what_is_about_calls_is_refused_where_there_are_none(tmp_path: Path, setting: str) -> None:
    """A drop with a delay would be accepted and do nothing: it is an error that says so."""
    file = tmp_path / "bridge.yaml"
    file.write_text(f"""
sources: {{in: {{type: kafka, bootstrap_servers: ["kafka:9092"], topics: [t], group_id: g}}}}
rules:
  - name: ignored
    drop: test
    {setting}
""")
    with pytest.raises(ConfigError, match="makes none; leave it out"):
        load_config(file, {})


def test_a_point_in_time_cannot_be_waited_for_with_a_message_in_hand(tmp_path: Path) -> None:
    """With the memory outbox RabbitMQ holds the message, and closes the channel long before."""
    file = tmp_path / "bridge.yaml"
    file.write_text("""
targets: {main: {account_id: a, api_token_file: token}}
sources: {in: {type: rabbitmq, url: "amqp://rabbit/", queue: q}}
outbox: {type: memory}
dead_letters: discard
rules:
  - name: later
    not_before: timestamp(body.at)
    create: {workflow: w, id: "x-${body.n}"}
""")
    (tmp_path / "token").write_text("some-token")
    with pytest.raises(ConfigError, match=r"rules\[0\]\.not_before: nobody knows"):
        load_config(file, {})
