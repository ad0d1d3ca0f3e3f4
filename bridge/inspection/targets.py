"""Looks whether the API takes a target's token and has its workflows: one small list for each workflow, no more."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bridge.cloudflare.client import Client
from bridge.cloudflare.responses import Meaning, meaning
from bridge.cloudflare.transport import open_transport
from bridge.errors import ApiError, ApiRefused, ApiUnknown, ConfigError
from bridge.finding import Finding
from bridge.routing.template import constant_text

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Sequence

    from bridge.cloudflare.settings import TargetSettings
    from bridge.config import Config
    from bridge.routing.settings import RuleSettings

_NO_ACCOUNT = {7000, 7003}  # the API's codes for a path, or an account in it, that it does not know


def workflows_of(config: Config, target: str) -> list[str]:
    """The workflows that rules call at a target under a fixed name, in the order of the file."""
    names = (_workflow(rule, config, target) for rule in config.rules)
    return list(dict.fromkeys(name for name in names if name is not None))


def _workflow(rule: RuleSettings, config: Config, target: str) -> str | None:
    action = rule.create or rule.event or rule.status
    if action is None or (action.target or next(iter(config.targets))) != target:
        return None
    return constant_text(action.workflow)


async def inspect(settings: TargetSettings, workflows: Sequence[str]) -> AsyncGenerator[Finding, None]:
    """Each workflow, one request after the other; ends at an answer that all further ones would get, too."""
    if not workflows:
        yield Finding(f"token for {settings.base_url}", good=True, answer="not asked: no rule calls a fixed workflow")
        return
    try:
        client = Client(settings, open_transport(settings))
    except ConfigError as error:
        yield Finding(f"client for {settings.base_url}", good=False, answer=f"not asked: {error}")
        return
    try:
        for number, workflow in enumerate(workflows):
            finding, goes_on = await _ask(client, settings, workflow)
            yield finding
            left = workflows[number + 1 :]
            if left and not goes_on:
                yield Finding(
                    f"workflow {', '.join(left)}", good=False, answer="not asked: the answer would be the same"
                )
                return
    finally:
        await client.close()


async def _ask(client: Client, settings: TargetSettings, workflow: str) -> tuple[Finding, bool]:
    """The finding, and whether asking for other workflows can give another answer."""
    asked = f"workflow {workflow}"
    try:
        page = await client.list_instances(workflow, per_page=1)
    except ApiError as error:
        return _bad(asked, error, settings), meaning(error) is Meaning.WORKFLOW_MISSING
    count = "" if page.total_count is None else f", {page.total_count} instances"
    return Finding(asked, good=True, answer=f"is there, the token is accepted{count}"), True


def _bad(asked: str, error: ApiError, settings: TargetSettings) -> Finding:
    if isinstance(error, ApiUnknown):
        advice = f"check base_url ({settings.base_url}), proxy and ca_file, and that it is reachable from here"
        return Finding(asked, good=False, answer=f"no answer: {error}", advice=advice)
    assert isinstance(error, ApiRefused)  # noqa: S101  there is no third kind
    said = meaning(error)
    if said is Meaning.WORKFLOW_MISSING:
        return Finding(asked, good=False, answer=str(error), advice="deploy it, or correct the name in the rules")
    if said is Meaning.UNAUTHORIZED and error.code in _NO_ACCOUNT:
        return Finding(asked, good=False, answer=str(error), advice="check account_id")
    if said is Meaning.UNAUTHORIZED:
        advice = "the token is refused: it needs the right to read and edit Workflows of this account"
        return Finding(asked, good=False, answer=str(error), advice=advice)
    if said is Meaning.RATE_LIMITED:
        wait = f"in {error.retry_after_seconds:.0f} s" if error.retry_after_seconds is not None else "in five minutes"
        return Finding(asked, good=False, answer=str(error), advice=f"the token is over its quota; try again {wait}")
    return Finding(asked, good=False, answer=str(error))
