"""Sources in a configuration: what every source has, and for each broker of the registry its own settings beside it.

A broker whose packages are not installed is still a word of the configuration; using it says what to install.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal, Self, Union

from pydantic import BaseModel, ConfigDict, Field, create_model, model_validator

from bridge.decoding import Decode, DecodingSettings
from bridge.errors import ConfigError
from bridge.routing.router import SourceInfo
from bridge.routing.words import Duration  # noqa: TC001  pydantic reads it
from bridge.sources.registry import SOURCES, settings_model
from bridge.sources.sizes import MessageSizes


class SourceOptions(DecodingSettings, MessageSizes):
    """What every source has, whatever its broker."""

    type: str = Field(description="The broker.")
    unmatched: Literal["drop", "dead-letter"] = Field(
        default="drop", description="What becomes of a message that no rule matches; counted either way."
    )
    ignore_older_than: Duration | None = Field(
        default=None, description="Drop messages whose own timestamp is older than this, such as `7d`; counted."
    )


def _source(kind: str) -> type[SourceOptions]:
    try:
        settings = settings_model(kind)
    except ConfigError as error:
        settings = _not_installed(error.problems[0].message)
    word: Any = Literal[kind]
    return create_model(
        f"{kind.title()}Source",
        __base__=(SourceOptions, settings),  # type: ignore[arg-type]  # a mixture of both
        __doc__=settings.__doc__,
        type=(word, Field(description="The broker.")),
    )


def _not_installed(what: str) -> type[BaseModel]:
    """Stands in for the settings of a broker whose packages are missing."""

    class NotInstalled(BaseModel):
        model_config = ConfigDict(extra="allow")

        @model_validator(mode="after")
        def _install_it(self) -> Self:
            raise ValueError(what)

    return NotInstalled


if TYPE_CHECKING:
    SourceSettings = SourceOptions
    """The settings of one source; those of its broker are attributes too."""
else:
    SourceSettings = Annotated[Union[tuple(map(_source, SOURCES))], Field(discriminator="type")]  # noqa: UP007  of a tuple


def source_info(name: str, source: SourceSettings) -> SourceInfo:
    """What routing knows of a source."""
    return SourceInfo(
        name,
        source.unmatched,
        source.type,
        json_bodies=source.decode is Decode.JSON,
        cloud_events=source.decode is Decode.CLOUDEVENTS,
    )
