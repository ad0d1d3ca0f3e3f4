"""Where the bridge answers about its health."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class HealthSettings(BaseModel):
    """The listener for probes and metrics. It shows no message, no secret and changes nothing."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    host: str = Field(
        default="0.0.0.0",  # noqa: S104  probes come from the node, not from this machine # nosec B104
        min_length=1,
        description="Address to listen on; `127.0.0.1` where nobody else may ask.",
    )
    port: int = Field(default=8080, ge=0, le=65_535, description="Port to listen on; 0 takes a free one.")
    stuck_seconds: float = Field(
        default=30.0,
        ge=1,
        le=3600,
        description="How long the event loop may be busy without a pause before `/livez` fails. An outage of a broker "
        "or of the API never makes it fail.",
    )
