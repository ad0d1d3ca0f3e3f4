"""What is suspicious about rules that are right: found by reading them, before a message comes.

Each kind of finding has a file. What says that a rule *never* fires is certain; the rest says what may happen.
"""

from bridge.routing.review.looking import Known, looks
from bridge.routing.review.reviewing import review

__all__ = ["Known", "looks", "review"]
