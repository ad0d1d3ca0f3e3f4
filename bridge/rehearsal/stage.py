"""A configuration on a stage: its sources' decoders and its rules, without brokers, outbox and calls."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from bridge.admission import TOO_OLD, Admission
from bridge.decoding import Decode, decoder
from bridge.errors import ConfigError, NotAMessage
from bridge.recorded import UNDECODED
from bridge.recorded.reading import json_text
from bridge.routing.outcome import SKIP, Rejected, Routed
from bridge.routing.words import shown_duration

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from bridge.config import Config, SourceSettings
    from bridge.decoding import Decoder
    from bridge.message import Message
    from bridge.recorded import Recorded
    from bridge.routing.router import Router

NO_SOURCE: Final = "no_source"  # what becomes of a message whose source the configuration does not have


class Sample(NamedTuple):
    """A message to try."""

    message: Message
    value: object = UNDECODED  # what the rules see as the body, where that was given instead of bytes


class Decoded(NamedTuple):
    """What the rules see of messages."""

    messages: Sequence[Message]  # a CloudEvent in the place of one that is
    values: list[object]  # SKIP in the place of one that is too large, too old, or cannot be decoded
    failed: list[Rejected]  # of the samples' own messages
    old: list[Message]  # which the source ignores


class Stage:
    """The rules of a configuration. Raises ConfigError where they cannot be compiled."""

    def __init__(self, config: Config, router: Router | None = None) -> None:
        """router: those rules, where they are not to be the configuration's own."""
        self.config = config
        self.router = router or config.router()
        self._decoders: dict[str, Decoder] = {}  # made when they are asked: schemas are not on every machine

    def sample(self, recorded: Recorded, source: str = "") -> Sample:
        """A message as its source would give it: what was left out is what the source makes of it.

        source: for messages that name none. Raises NotAMessage.
        """
        name = recorded.message.source or source or self._only_source()
        if name not in self.config.sources:
            raise NotAMessage(("source",), f"no source {name!r}; there are {', '.join(self.config.sources)}")
        return completed(recorded, name, self.config.sources[name])

    def _only_source(self) -> str:
        if len(self.config.sources) == 1:
            return next(iter(self.config.sources))
        raise NotAMessage((), f"say which source the message is of; there are {', '.join(self.config.sources)}")

    def takes(self, sample: Sample) -> bool:
        """Whether the configuration has the sample's source."""
        return sample.message.source in self.config.sources

    async def decoded(self, source: str, samples: Sequence[Sample], now_ms: int) -> Decoded:
        """The values of messages of one source. Raises SchemasUnavailable, and ConfigError without its schema files.

        now_ms: when they arrive.
        """
        settings = self.config.sources[source]
        admission = Admission.of(settings.max_message_bytes, settings.ignore_older_than)
        seen, values, failed, _ = await self._values(source, samples, admission)
        old = admission.skip_old(seen, values, now_ms)
        return Decoded(seen, values, failed, [seen[place] for place in old])

    async def _values(self, source: str, samples: Sequence[Sample], admission: Admission) -> Decoded:
        messages = [sample.message for sample in samples]
        given = {place: sample.value for place, sample in enumerate(samples) if sample.value is not UNDECODED}
        if len(given) == len(samples):
            return Decoded(messages, list(given.values()), [], [])
        large = {place for place, message in enumerate(messages) if admission.is_too_large(message)} - given.keys()
        codec = self._decoder(source)
        places = [place for place in range(len(messages)) if place not in large]
        await codec.prepare([messages[place] for place in places if place not in given])
        found, decoded, failed = codec.decode([messages[place] for place in places])
        seen, values = [*messages], [given.get(place, SKIP) for place in range(len(messages))]
        rejected = [admission.rejected(messages[place])._replace(message=messages[place]) for place in sorted(large)]
        for number, place in enumerate(places):
            seen[place] = found[number]
            if place in given:
                continue
            if number in failed:
                rejected.append(Rejected(messages[place], "undecodable", failed[number]))
            else:
                values[place] = decoded[number]
        return Decoded(seen, values, rejected, [])

    async def route(self, source: str, samples: Sequence[Sample], now_ms: int) -> Routed:
        """What messages of one source become, those that no rule sees among the dead letters.

        The messages of the result are those of the samples. Raises SchemasUnavailable.
        """
        messages, values, failed, old = await self.decoded(source, samples, now_ms)
        routed = ignored(self.router.route(source, messages, values, now_ms), old)
        originals = {
            id(seen): sample.message
            for seen, sample in zip(messages, samples, strict=True)
            if seen is not sample.message
        }
        if originals:
            routed = _of_originals(routed, originals)
        return routed._replace(dead=[*failed, *routed.dead]) if failed else routed

    def oldest(self, source: str) -> str:
        """How old messages of this source may be; "" for any age."""
        age = self.config.sources[source].ignore_older_than
        return "" if age is None else shown_duration(age)

    def _decoder(self, source: str) -> Decoder:
        if source not in self._decoders:
            try:
                self._decoders[source] = decoder(self.config.sources[source])
            except ConfigError as error:
                raise ConfigError(error.below(f"sources.{source}")) from None
        return self._decoders[source]

    async def close(self) -> None:
        """Let go of schema registries."""
        for codec in self._decoders.values():
            await codec.close()


def ignored(routed: Routed, old: Sequence[Message]) -> Routed:
    """The same, with the messages that are too old among what is dropped."""
    if not old:
        return routed
    silent = [*routed.silent, *((message, TOO_OLD) for message in old)]
    return routed._replace(dropped={**routed.dropped, TOO_OLD: len(old)}, silent=silent)


def _of_originals(routed: Routed, originals: Mapping[int, Message]) -> Routed:
    def original(message: Message) -> Message:
        return originals.get(id(message), message)

    return routed._replace(
        calls=[(original(message), call) for message, call in routed.calls],
        dead=[rejected._replace(message=original(rejected.message)) for rejected in routed.dead],
        silent=[(original(message), reason) for message, reason in routed.silent],
    )


def completed(recorded: Recorded, name: str, settings: SourceSettings) -> Sample:
    """A message with what its source gives to every one."""
    message, given, value = recorded.message._replace(source=name), recorded.given, recorded.value
    if value is not UNDECODED and settings.decode is Decode.JSON:
        message, value = message._replace(body=json_text(value, ("value",))), UNDECODED
    if {"id", "channel", "attributes"} <= given and settings.type != "kafka":
        return Sample(message, value)
    return Sample(_COMPLETE[settings.type](message, given, settings), value)


def _kafka(message: Message, given: frozenset[str], settings: Any) -> Message:  # noqa: ANN401  one of the union
    channel = message.channel or next(iter(settings.topics), "topic")
    attributes = {"partition": 0, "offset": 0, **message.attributes}
    identity = message.id if "id" in given else f"{channel}/{attributes['partition']}/{attributes['offset']}"
    headers = message.headers
    if any(type(value) is str for _, value in headers):  # Kafka's headers are bytes
        headers = [(key, value.encode() if isinstance(value, str) else value) for key, value in headers]
    return message._replace(channel=channel, id=identity, headers=headers, attributes=attributes)


def _rabbitmq(message: Message, given: frozenset[str], settings: Any) -> Message:  # noqa: ANN401  one of the union
    queue = message.attributes.get("queue", settings.names[0])
    channel = message.channel or str(message.attributes.get("routing_key", queue))
    message = message._replace(
        channel=channel, attributes={"queue": queue, "exchange": "", "routing_key": channel, **message.attributes}
    )
    if "id" in given:
        return message
    if settings.identity == "body-hash":
        return message._replace(id=f"{queue}/{hashlib.sha256(message.body or b'').hexdigest()[:32]}")
    return message._replace(id=f"{queue}/0-0", has_identity=message.has_identity and "has_identity" in given)


_COMPLETE: Mapping[str, Any] = {"kafka": _kafka, "rabbitmq": _rabbitmq}


def by_source(samples: Iterable[Sample]) -> dict[str, list[Sample]]:
    """The samples of each source, in their order."""
    found: dict[str, list[Sample]] = {}
    for sample in samples:
        found.setdefault(sample.message.source, []).append(sample)
    return found
