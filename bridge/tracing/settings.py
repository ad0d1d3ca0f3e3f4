"""The settings of tracing."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class TracingSettings(BaseModel):
    """Spans for OpenTelemetry, over OTLP/HTTP (the extra `otel`).

    Messages that bring a sampled W3C `traceparent` are traced: in a header, or as the CloudEvents extension. Headers,
    certificates and time-outs of the exporter are OpenTelemetry's own variables, such as `OTEL_EXPORTER_OTLP_HEADERS`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    endpoint: str = Field(
        default="",
        pattern=r"^(https?://[^/\s@]+(/\S*)?)?$",
        description="Where an OpenTelemetry collector receives OTLP over HTTP, such as `http://localhost:4318`; "
        "`/v1/traces` is added to an address without a path. Empty: no tracing, and it costs nothing.",
    )
    ratio: float = Field(
        default=0.0,
        ge=0,
        le=1,
        description="The share of the messages without a `traceparent` that are traced, too. Which ones is decided by "
        "their ids: the same after a restart.",
    )
    service_name: str = Field(default="workflow-bridge", min_length=1, description="`service.name` of the spans.")

    @property
    def url(self) -> str:
        """Where spans are sent."""
        address, _, path = self.endpoint.partition("://")[2].partition("/")
        return self.endpoint if path else f"{self.endpoint.partition('://')[0]}://{address}/v1/traces"
