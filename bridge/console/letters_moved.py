"""Dead letters as text for the page, to the byte: what is exported, and what somebody brings in."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from bridge.admin.refusal import Refusal
from bridge.console.letter_shapes import LetterKind, LetterLines
from bridge.dead_letters import exchange
from bridge.errors import NotAMessage

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bridge.outbox.base import DeadLetter
    from bridge.outbox.overview import DeadLetterFilter, OutboxAdmin

ONE_ANSWER = 500  # letters
ONE_ANSWER_BYTES = 4 << 20  # of lines; those read with the one that goes over it are still in
AT_ONCE = 20  # letters in memory together; each may hold a message of megabytes
EXPORT_QUERY = {
    "reason": "Only those of this reason.",
    "rule": "Only those of this rule; empty: those without one.",
    "source": "Only those of this source.",
    "text": "In the detail or an id, in any case; or to the byte in key, body and headers.",
    "after": "Only numbers above this one.",
}


def exported(admin: OutboxAdmin, after: int, chosen: DeadLetterFilter) -> LetterLines:
    """Those above ``after``, as many as one answer holds. Raises OutboxError."""
    lines: list[str] = []
    size = 0
    while len(lines) < ONE_ANSWER and size < ONE_ANSWER_BYTES:
        found = admin.dead_letters(after, AT_ONCE, chosen)
        for stored in found:
            line = exchange.encode(stored.letter, stored.number)
            lines.append(line.decode())
            size += len(line)
            after = stored.number
        if len(found) < AT_ONCE:
            return LetterLines(lines, None)
    return LetterLines(lines, after)


def letters_of(lines: Sequence[str], first_line: int) -> Sequence[DeadLetter]:
    """The letters of these lines. first_line: the number of the first of them. Raises Refusal, which names the line."""
    letters = []
    for place, line in enumerate(lines, first_line):
        try:
            letters.append(exchange.decode(line.encode()))
        except (NotAMessage, UnicodeEncodeError) as error:
            problem = f"Line {place}: {error.placed if isinstance(error, NotAMessage) else error}."
            advice = "Nothing of it was kept. Correct the line; each is a letter as `dead-letters export` writes it."
            raise Refusal(422, "bad_line", problem, advice) from None
    return letters


def kinds_of(letters: Sequence[DeadLetter]) -> list[LetterKind]:
    """How many are alike, the most first."""
    counts = Counter((letter.rule, letter.reason, letter.message.source) for letter in letters)
    return [LetterKind(*kind, count) for kind, count in counts.most_common()]
