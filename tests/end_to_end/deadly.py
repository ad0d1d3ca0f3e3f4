"""``python -m bridge`` with a JSON codec that some bodies kill the process in, as a defect of a native library would.

``DEADLY``: how, "segfault" or "kill".
"""

from __future__ import annotations

import ctypes
import os
import signal
from importlib import import_module

from bridge.cli import main
from bridge.decoding.json import decode_json
from bridge.decoding.settings import Decode

DEADLY = b'"deadly"'


def decode(body: bytes | None) -> object:
    """As the real one does it, if it comes to that."""
    if body is not None and DEADLY in body:
        if os.environ["DEADLY"] == "segfault":
            ctypes.string_at(0)
        os.kill(os.getpid(), signal.SIGKILL)
    return decode_json(body)


if __name__ == "__main__":
    import_module("bridge.decoding.decoder")._BODIES[Decode.JSON] = decode
    main()
