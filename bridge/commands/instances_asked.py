"""How ``workflow-bridge instances`` asks the API, and what it says to a refusal."""

from __future__ import annotations

import asyncio
import sys
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import orjson
import typer

from bridge.cloudflare.client import Client
from bridge.cloudflare.limits import check_instance_id, check_workflow_name
from bridge.cloudflare.responses import Meaning, meaning
from bridge.cloudflare.transport import open_transport
from bridge.commands.files import refuse
from bridge.config import load_config
from bridge.errors import ApiError, ApiUnknown, ConfigError
from bridge.rehearsal.words import safe

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence

T = TypeVar("T")
REFUSED, UNKNOWN = 1, 4  # exit codes; 2, as everywhere: nothing was sent
FIELDS = ("instance_id", "params", "instance_retention", "location_hint")  # of one instance of a batch
# https://developers.cloudflare.com/workflows/build/workers-api/#instancestatus; more may come
STATUSES = (
    *("queued", "running", "paused", "errored", "terminated"),
    *("complete", "waiting", "waitingForPause", "rollingBack"),
)

_ADVICE = {
    Meaning.EXISTS: "take another id, or look at the instance that has this one",
    Meaning.INSTANCE_MISSING: "check the id and the workflow; an instance is forgotten after its retention",
    Meaning.WORKFLOW_MISSING: "check the name; the workflow may not be deployed to this account",
    Meaning.CANNOT_TERMINATE: "it has ended already; look at its status",
    Meaning.UNAUTHORIZED: "the target's token is refused: it needs the right to read and edit Workflows",
    Meaning.RATE_LIMITED: "the API takes no more requests on this token for now; wait for its reset",
    Meaning.UNKNOWN: "it may have been done all the same: look at the instance before you try again",
}


def ask(
    config: Path,
    target: str | None,
    checks: Sequence[tuple[str, str | None]],
    request: Callable[[Client], Awaitable[T]],
    *,
    json: bool,
) -> T:
    """The answer; the command ends here where there is none."""
    for what, why in checks:
        if why is not None:
            refuse(f"the {what} {why}; nothing was sent", as_json=json)
    try:
        targets = load_config(config).targets
        if target is None and len(targets) != 1:
            refuse(f"say which target: --target {' or '.join(sorted(targets)) or '(there is none)'}", as_json=json)
        name = target or next(iter(targets))
        if name not in targets:
            refuse(f"there is no target {name!r}; there are {', '.join(sorted(targets))}", as_json=json)
        client = Client(targets[name], open_transport(targets[name]))
    except ConfigError as error:
        refuse(*error.problems, as_json=json)
    try:
        return asyncio.run(_closing(client, request))
    except ApiError as error:
        _fail(error, json=json)


async def _closing(client: Client, request: Callable[[Client], Awaitable[T]]) -> T:
    try:
        return await request(client)
    finally:
        await client.close()


def _fail(error: ApiError, *, json: bool) -> NoReturn:
    kind = meaning(error)
    advice = _ADVICE.get(kind, "")
    if json:
        print(orjson.dumps({"error": str(error), "meaning": kind.value, "advice": advice}).decode())
    else:
        typer.echo(safe(f"the API says: {error}"), err=True)
        if advice:
            typer.echo(advice, err=True)
    raise typer.Exit(UNKNOWN if isinstance(error, ApiUnknown) else REFUSED)


def names_of(workflow: str, instance_id: str | None) -> list[tuple[str, str | None]]:
    """What has to be right before anything is sent."""
    checks = [("workflow", check_workflow_name(workflow))]
    return checks if instance_id is None else [*checks, ("instance id", check_instance_id(instance_id))]


def status_of(text: str | None, *, json: bool) -> str | None:
    """One to list; what is nearly one that is known was meant to be it."""
    close = [] if text is None or text in STATUSES else get_close_matches(text, STATUSES, 1)
    if close:
        refuse(f"--status {text}: is {close[0]} meant? There are {', '.join(STATUSES)}", as_json=json)
    return text


def json_of(text: str, *, json: bool) -> bytes:
    """JSON as it was written, from an option, a file or the input."""
    try:
        if text == "-":
            content = sys.stdin.buffer.read()
        else:
            content = Path(text[1:]).read_bytes() if text.startswith("@") else text.encode()
        orjson.loads(content)
    except OSError as error:
        refuse(f"{text[1:]} cannot be read: {error.strerror}", as_json=json)
    except orjson.JSONDecodeError as error:
        refuse(f"this is not JSON: {error}", as_json=json)
    return content


def lines_of(file: Path, *, json: bool) -> Iterator[bytes]:
    """The instances of a file, each as it is written."""
    try:
        text = sys.stdin.buffer.read() if str(file) == "-" else file.read_bytes()
    except OSError as error:
        refuse(f"{file} cannot be read: {error.strerror}", as_json=json)
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        try:
            instance = orjson.loads(line)
        except orjson.JSONDecodeError as error:
            refuse(f"line {number} is not JSON: {error}; nothing was sent", as_json=json)
        if not isinstance(instance, dict):
            refuse(f'line {number} is no {{"instance_id": …, "params": …}}; nothing was sent', as_json=json)
        for name in instance.keys() - FIELDS:
            refuse(f"line {number}: {name!r} is not known; known are {', '.join(FIELDS)}; nothing was sent",
                   as_json=json)  # fmt: skip
        wrong = check_instance_id(str(instance["instance_id"])) if "instance_id" in instance else None
        if wrong is not None:
            refuse(f"line {number}: the instance id {wrong}; nothing was sent", as_json=json)
        yield line


def tell(data: Mapping[str, Any], text: str, *, json: bool) -> None:
    """What was done."""
    typer.echo(orjson.dumps(data).decode() if json else safe(text))
