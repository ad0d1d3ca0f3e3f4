"""axe-core, which looks for what keeps people from using a page; one file from its npm package, fetched once."""

from __future__ import annotations

from pathlib import Path

from tests.services.npm import fetch, made_once

PACKAGE = "axe-core@4.14.1"
SHA512 = "FHfa+lmNjQZfJz1q8wKqIDwC6DExcHt/pkjNQb09a3NPjCKg2rhu5qb2S4r76ASyFNNtuFooJpZe37OgudVGtQ=="  # of its archive
SCRIPT = "axe.min.js"
CACHE = Path.home() / ".cache/workflow-bridge/axe-4.14.1"


def axe_script() -> str:
    """The script to run in a page; afterwards there is ``window.axe``."""
    return (install() / SCRIPT).read_text(encoding="utf-8")


def install() -> Path:
    """Fetch it once; an archive that is another one than expected is not unpacked."""
    return made_once(CACHE, lambda work, ready: fetch(PACKAGE, work / "axe", {SCRIPT: SCRIPT}, ready, SHA512))
