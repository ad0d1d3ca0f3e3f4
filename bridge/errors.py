"""Everything that can go wrong, as instructions to whoever catches it.

Each class has one place that catches it and one action there:

    BridgeError
    ├── ConfigError          commands: print every problem, exit 2
    ├── NotAMessage          commands: say where it stands, exit 2
    ├── RecordMissing        commands: say what there is instead, exit 2
    ├── SourceLost           supervisor: close the source, reopen it with backoff
    │   └── SourceStuck      … and count it as rebuilt
    ├── Undecodable          decoding: this message is a dead letter, the others of the batch go on
    ├── SchemasUnavailable   intake: keep the batch, wait, try again
    ├── RuleError            router: the rule does not decide on this message
    │   ├── MissingField     … its condition is false, counted
    │   └── RenderError      … the call is a dead letter
    ├── OperationRefused     commands and the admin API: say why not; nothing was done
    ├── OutboxError          app: stop the process, nothing was acknowledged
    │   ├── OutboxLocked     commands: another process owns the file, exit 3
    │   └── OutboxDamaged    commands: the file was left as it is, exit 4
    └── ApiError             dispatch: ask the outcome table
        ├── ApiRefused       … the API answered and said no
        └── ApiUnknown       … no answer that can be trusted: it may have been done

Exceptions of other packages never leave the module that imports them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class BridgeError(Exception):
    """The root of the tree; never raised itself."""


class Problem(NamedTuple):
    """One thing wrong in a configuration."""

    path: str  # where in the document, e.g. "rules[2].create.id"; "" for the document as a whole
    message: str  # what is wrong and what to do
    file: str = ""
    line: int = 0  # from 1; 0 where no line is known

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else self.file
        return ": ".join(part for part in (place, self.path, self.message) if part)


class ConfigError(BridgeError):
    """The configuration cannot be used; ``problems`` lists everything that is wrong with it at once.

    named: further files that it names, with a digest of each: it may be right when these are others.
    """

    def __init__(self, problems: Sequence[Problem], named: Mapping[str, str] | None = None) -> None:
        super().__init__("\n".join(map(str, problems)))
        self.problems = tuple(problems)
        self.named = named or {}

    def below(self, path: str) -> list[Problem]:
        """The problems of a part of the configuration, as those of the whole; path: of the part."""
        return [problem._replace(path=f"{path}.{problem.path}") for problem in self.problems]


class NotAMessage(BridgeError):  # noqa: N818  it says what it is not
    """What stands where a message is wanted is none; ``path`` is the place in it, such as ``("headers", 2)``."""

    def __init__(self, path: Sequence[str | int], message: str) -> None:
        super().__init__(message)
        self.path = tuple(path)
        self.message = message

    @property
    def placed(self) -> str:
        """What is wrong, after the place where it is."""
        return ": ".join(part for part in (".".join(map(str, self.path)), self.message) if part)


class RecordMissing(BridgeError):  # noqa: N818  it says what happened
    """The broker has no message at the place that was named; what it has is in the text."""


class SourceLost(BridgeError):  # noqa: N818  it says what happened
    """The broker is gone or has taken the consumer away: close the source and open it again later."""


class SourceStuck(SourceLost):
    """The broker has messages and the consumer, alive as it seems, does not give them."""


class Undecodable(BridgeError):  # noqa: N818  it says what the message is
    """The body is not what the source's ``decode`` says."""


class SchemasUnavailable(BridgeError):  # noqa: N818  it says what happened
    """The schema registry does not answer as it should, so nothing is known about the messages that need it.

    reason: a bounded label: "connect", "timeout", "unauthorized", "server_error", "bad_answer", "closed".
    """

    def __init__(self, message: str, reason: str) -> None:
        super().__init__(message)
        self.reason = reason


class RuleError(BridgeError):
    """An expression of a rule failed on this message (overflow, division by zero, wrong type …)."""


class MissingField(RuleError):  # noqa: N818  it says what happened
    """An expression read a field that the message does not have."""


class RenderError(RuleError):
    """A template of an action has no value for this message; ``reason`` is a dead letter's reason code."""

    def __init__(self, message: str, reason: str = "render_error") -> None:
        super().__init__(message)
        self.reason = reason


class OperationRefused(BridgeError):  # noqa: N818  it says what happened
    """What an operator asks for cannot be done; the text says why, and what to do."""


class OutboxError(BridgeError):
    """The outbox cannot go on (corrupt, unreadable, of a newer version); what to do is in the text."""


class OutboxLocked(OutboxError):  # noqa: N818  it says what happened
    """Another process owns the outbox file."""


class OutboxDamaged(OutboxError):  # noqa: N818  it says what happened
    """The outbox file is damaged; it was left as it is, and what to do is in the text."""


class ApiError(BridgeError):
    """A call to the Workflows API did not succeed."""


class ApiRefused(ApiError):  # noqa: N818  it says what happened
    """The API answered with a failure envelope, or the gateway before it refused the request.

    status: the HTTP status. code: the first error's code, 0 where the answer had none.
    retry_after_seconds: from the header of the same name, None where it was absent.
    """

    def __init__(self, status: int, code: int, message: str, retry_after_seconds: float | None = None) -> None:
        super().__init__(f"{message} (code {code}, HTTP {status})" if code else f"{message} (HTTP {status})")
        self.status = status
        self.code = code
        self.message = message
        self.retry_after_seconds = retry_after_seconds


class ApiUnknown(ApiError):  # noqa: N818  it says what happened
    """No answer, or one that is no envelope: whether the call was carried out is not known.

    reason: a bounded label: "timeout", "connect", "connection_lost", "server_error", "no_envelope".
    """

    def __init__(self, message: str, reason: str) -> None:
        super().__init__(message)
        self.reason = reason
