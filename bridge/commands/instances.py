"""``workflow-bridge instances``: the six endpoints of the Workflows API, for people and scripts."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path  # noqa: TC003  typer reads it
from typing import TYPE_CHECKING, Annotated, Any

import orjson
import typer

from bridge.cloudflare.limits import MAX_BATCH, check_event_type, check_workflow_name
from bridge.commands.files import ConfigFile, refuse
from bridge.commands.instances_asked import REFUSED, ask, json_of, lines_of, names_of, status_of, tell
from bridge.commands.letters_chosen import MOMENT, moment
from bridge.commands.tables import show
from bridge.dead_letters.kept import indented, time_of
from bridge.rehearsal.words import safe

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bridge.cloudflare.client import Client

PER_PAGE = 100

Workflow = Annotated[str, typer.Argument(metavar="WORKFLOW", help="The workflow's name.")]
InstanceId = Annotated[str, typer.Argument(metavar="ID", help="The instance's id.")]
Target = Annotated[str | None, typer.Option("--target", help="The configured target; needed where there are several.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Payload = Annotated[str | None, typer.Option(help="JSON; @FILE reads a file, - the input.")]


class Change(StrEnum):
    """What can be done to an instance."""

    PAUSE = "pause"
    RESUME = "resume"
    TERMINATE = "terminate"
    RESTART = "restart"


instances = typer.Typer(
    name="instances",
    help="Instances of workflows, by the API of a configured target. Each request counts towards the token's quota. "
    "Exit 0: done; 1: the API refused it; 2: nothing was sent; 4: no answer, and what came of it is not known.",
    no_args_is_help=True,
)


@instances.command("list")
def list_instances(  # noqa: PLR0913  one for each option
    workflow: Workflow,
    *,
    config: ConfigFile,
    target: Target = None,
    status: Annotated[
        str | None, typer.Option(help="Only those that are queued, running, paused, errored, terminated, complete …")
    ] = None,
    since: Annotated[str | None, typer.Option(help=f"Created since {MOMENT}.")] = None,
    until: Annotated[str | None, typer.Option(help="Created before that; written like --since.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many; 100 a request.")] = 100,
    cursor: Annotated[str | None, typer.Option(help="Where the list before ended.")] = None,
    json: Json = False,
) -> None:
    """List instances, page by page up to --limit. Where there are more, the cursor for the next ones is told."""
    begin, end = moment("--since", since, as_json=json), moment("--until", until, as_json=json)
    query: dict[str, Any] = {
        "status": status_of(status, json=json),
        "date_start": None if begin is None else time_of(begin),
        "date_end": None if end is None else time_of(end),
    }

    async def pages(client: Client) -> tuple[list[Mapping[str, Any]], str | None]:
        rows: list[Mapping[str, Any]] = []
        after = cursor
        while len(rows) < limit:
            size = min(PER_PAGE, limit - len(rows))
            page = await client.list_instances(workflow, **query, cursor=after, per_page=size)
            rows += [instance.raw for instance in page.instances]
            after = page.cursor
            if after is None or not page.instances:
                break
        return rows, after

    rows, after = ask(config, target, [("workflow", check_workflow_name(workflow))], pages, json=json)
    if json:
        print(orjson.dumps({"instances": rows, "cursor": after}).decode())
        return
    if not rows:
        typer.echo("no instances", err=True)
        return
    names = ("id", "status", "created_on", "started_on", "ended_on")
    titles = [name.removesuffix("_on") for name in names]
    show(titles, [[str(row.get(name) or "") for name in names] for row in rows])
    if after is not None:
        typer.echo(f"there are more: --cursor {after}", err=True)


@instances.command("get")
def get_instance(
    workflow: Workflow,
    instance_id: InstanceId,
    *,
    config: ConfigFile,
    target: Target = None,
    steps: Annotated[bool, typer.Option("--steps", help="With its steps.")] = False,
    json: Json = False,
) -> None:
    """Show one instance: status, params, output, error; with --steps what it has done."""
    found = ask(
        config,
        target,
        names_of(workflow, instance_id),
        lambda client: client.get_instance(workflow, instance_id, simple=not steps),
        json=json,
    )
    if json:
        print(orjson.dumps({"id": found.id, **found.raw}).decode())
        return
    for name, value in {"id": found.id, **found.raw}.items():
        if isinstance(value, dict | list):
            typer.echo(f"{name}:")
            typer.echo(safe("\n".join(f"  {line}" for line in indented(orjson.dumps(value).decode()).split("\n"))))
        elif value is not None:
            typer.echo(safe(f"{name}: {value}"))


@instances.command("create")
def create_instance(
    workflow: Workflow,
    *,
    config: ConfigFile,
    target: Target = None,
    instance_id: Annotated[str | None, typer.Option("--id", help="Its id; left out: the API makes one up.")] = None,
    params: Payload = None,
    json: Json = False,
) -> None:
    """Create an instance. A used id is refused (exit 1)."""
    given: dict[str, Any] = {} if instance_id is None else {"instance_id": instance_id}
    body = orjson.dumps(given if params is None else {**given, "params": orjson.Fragment(json_of(params, json=json))})
    made = ask(
        config,
        target,
        names_of(workflow, instance_id),
        lambda client: client.create(workflow, body),
        json=json,
    )
    tell({"id": made.id, "status": made.status}, f"{made.id}: {made.status}", json=json)


@instances.command("batch")
def create_batch(
    workflow: Workflow,
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help='One {"instance_id": …, "params": …} a line; - for the input.')
    ],
    *,
    config: ConfigFile,
    target: Target = None,
    json: Json = False,
) -> None:
    """Create many instances, 100 a request. Used ids are left out, and told (exit 1)."""
    bodies = list(lines_of(file, json=json))
    asked = [str(orjson.loads(body).get("instance_id", "")) for body in bodies]

    async def all_of_them(client: Client) -> set[str]:
        made: set[str] = set()
        for first in range(0, len(bodies), MAX_BATCH):
            made |= await client.create_batch(workflow, bodies[first : first + MAX_BATCH])
        return made

    checks = [("workflow", check_workflow_name(workflow))]
    made = ask(config, target, checks, all_of_them, json=json)
    left_out = [name for name in asked if name and name not in made]
    told = f"{len(made)} created" + (f", {len(left_out)} ids were used: {', '.join(left_out[:10])}" if left_out else "")
    tell({"created": sorted(made), "left_out": left_out}, told, json=json)
    if left_out:
        raise typer.Exit(REFUSED)


@instances.command("status")
def change_status(  # noqa: PLR0913  one for each option
    workflow: Workflow,
    instance_id: InstanceId,
    to: Annotated[Change, typer.Argument(metavar="TO", help="pause, resume, terminate or restart.")],
    *,
    config: ConfigFile,
    target: Target = None,
    rollback: Annotated[bool, typer.Option("--rollback", help="With terminate: roll back the steps done.")] = False,
    json: Json = False,
) -> None:
    """Pause, resume, terminate or restart an instance."""
    if rollback and to is not Change.TERMINATE:
        refuse("--rollback goes with terminate only", as_json=json)
    body = orjson.dumps({"status": to} | ({"rollback": True} if rollback else {}))
    changed = ask(
        config,
        target,
        names_of(workflow, instance_id),
        lambda client: client.change_status(workflow, instance_id, body),
        json=json,
    )
    tell({"id": instance_id, **changed._asdict()}, f"{instance_id}: {changed.status}", json=json)


@instances.command("event")
def send_event(  # noqa: PLR0913  one for each option
    workflow: Workflow,
    instance_id: InstanceId,
    event_type: Annotated[str, typer.Argument(metavar="TYPE", help="The event's type.")],
    *,
    config: ConfigFile,
    target: Target = None,
    payload: Payload = None,
    json: Json = False,
) -> None:
    """Send an event to an instance. Sent twice, it satisfies two waits: an event has no key."""
    body = b"{}" if payload is None else json_of(payload, json=json)
    ask(
        config,
        target,
        [*names_of(workflow, instance_id), ("event type", check_event_type(event_type))],
        lambda client: client.send_event(workflow, instance_id, event_type, body),
        json=json,
    )
    tell({"id": instance_id, "type": event_type}, f"{instance_id}: {event_type} is sent", json=json)
