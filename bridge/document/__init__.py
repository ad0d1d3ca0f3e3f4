"""A configuration file as plain values, with the place of each: YAML 1.2 core types, safe, bounded, includes resolved.

What a value must be is not decided here. ``no``, ``on`` and ``yes`` are words, keys are text, and nothing is built but
dicts, lists, texts, numbers, booleans and null. Where YAML has read a CEL expression in its own way, the problem shows
how to quote it, and reading goes on so that one look finds everything.
"""

from bridge.document.files import Files, digest_of
from bridge.document.include import load
from bridge.document.model import Document, Keys, Place, dotted

__all__ = ["Document", "Files", "Keys", "Place", "digest_of", "dotted", "load"]
