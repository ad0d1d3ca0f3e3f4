"""The file of shadow rules, as part of a configuration."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.config.files import Folder

SHADOW = {"shadow": "shadow.yaml"}
RULE = "rules: [{name: new, create: {workflow: new, id: 'o-${vars.a}-${vars.b}'}}]\n"


def test_the_shadow_is_compiled_with_the_configuration(folder: Folder) -> None:
    """Its vars lie over those of the configuration; without the setting there is no shadow."""
    (folder.path / "shadow.yaml").write_text(RULE + "vars: {b: '${ENV:B}'}")
    folder.environ["B"] = "2"
    config = folder.load({**SHADOW, "vars": {"a": "1", "b": "1"}})
    router = config.shadow_router()
    assert router is not None
    assert router is not config.router()
    assert folder.load({}).shadow_router() is None


def test_the_digest_tells_shadows_apart(folder: Folder) -> None:
    """Also where the configuration itself is the same."""
    digests = set()
    for workflow in ("one", "two", "two"):
        (folder.path / "shadow.yaml").write_text(f"rules: [{{name: r, create: {{workflow: {workflow}}}}}]")
        digests.add(folder.load(SHADOW).digest())
    assert len(digests) == 2


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("rules: []", "shadow.yaml:1: rules: needs at least one"),
        ("outbox: {path: x}\n" + RULE, "shadow.yaml:1: outbox: is not known here"),
        ("rules:\n- name: a\n  when: body.a ==\n  drop: x", "shadow.yaml:3: rules[0].when: "),
        ("rules:\n- name: a\n  from: nobody\n  drop: x", "shadow.yaml:3: rules[0].from"),
        ("rules: [", "shadow.yaml:"),
        ("vars: {b: '${ENV:NONE}'}\n" + RULE, "shadow.yaml:1: vars.b: the environment has no variable 'NONE'"),
    ],
)
def test_what_is_wrong_in_the_shadow_is_wrong_with_the_configuration(
    folder: Folder, content: str, problem: str
) -> None:
    """With file and line: it does not start, and a reload does not take it over."""
    (folder.path / "shadow.yaml").write_text(content)
    (found,) = folder.refuse({**SHADOW, "vars": {"a": "1", "b": "1"}})
    assert found.startswith(problem)


def test_a_shadow_that_is_not_there_is_named(folder: Folder) -> None:
    """The file that was looked for."""
    assert folder.refuse(SHADOW) == ["bridge.yaml:21: shadow: there is no file shadow.yaml"]
