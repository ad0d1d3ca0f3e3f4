"""``workflow-bridge healthcheck``: asks the bridge on this machine how it is; for containers without curl."""

from __future__ import annotations

import http.client
from typing import Annotated

import typer

from bridge.admin.probe import answer


def healthcheck(
    *,
    port: Annotated[
        int, typer.Option(envvar="WORKFLOW_BRIDGE_HEALTH__PORT", min=1, max=65_535, help="Its health port.")
    ] = 8080,
    host: Annotated[str, typer.Option(help="Where it listens.")] = "127.0.0.1",
    ready: Annotated[bool, typer.Option("--ready", help="Ask whether it is ready, not only alive.")] = False,
    timeout: Annotated[float, typer.Option(min=0.1, max=60, help="Seconds to wait for the answer.")] = 3.0,
) -> None:
    """Ask the bridge on this machine how it is. Exit 0: well; 1: not, or no answer."""
    path = "/readyz" if ready else "/livez"
    try:
        status, text = answer(host, port, path, timeout)
    except (OSError, http.client.HTTPException) as error:
        status, text = 0, f"no answer from {host}:{port}: {error}"
    print(text.strip())
    raise typer.Exit(0 if status == http.HTTPStatus.OK else 1)
