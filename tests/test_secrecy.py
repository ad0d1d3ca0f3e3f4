from __future__ import annotations

from base64 import b64encode
from typing import TYPE_CHECKING

import pytest

from bridge.secrecy import MASK, MAX_SECRET_BYTES, VALUES_PER_FILE, Redactor, read_secret, redact

if TYPE_CHECKING:
    from pathlib import Path


def test_what_is_read_from_a_file_is_masked_from_then_on(tmp_path: Path) -> None:
    """Also after the file holds another value; a password within it alone, and as HTTP sends it."""
    file = tmp_path / "login"
    file.write_text("somebody:first-pass\n")
    assert read_secret(file) == "somebody:first-pass"
    file.write_text("somebody:second-pass\n")
    read_secret(file)
    sent = b64encode(b"somebody:first-pass").decode()
    assert redact(f"first-pass, second-pass, Basic {sent}") == f"{MASK}, {MASK}, Basic {MASK}"


def test_a_file_that_is_rotated_for_ever_does_not_fill_the_memory(tmp_path: Path) -> None:
    """The newest values stay masked, the old ones make room; what was given stays."""
    redactor = Redactor()
    redactor.add(["given-secret"])
    values = [f"value-{number:04}" for number in range(100)]
    for value in values:
        redactor.add_read(tmp_path, value)
    assert redactor(" ".join(values[-VALUES_PER_FILE:])) == " ".join([MASK] * VALUES_PER_FILE)
    assert redactor(values[0]) == values[0]
    assert redactor("given-secret") == MASK


@pytest.mark.parametrize("content", [b"\xff\xfe", b"x" * (MAX_SECRET_BYTES + 1)], ids=["not text", "too large"])
def test_a_file_that_is_no_secret_is_refused(tmp_path: Path, content: bytes) -> None:
    """The wrong file named by mistake: an error with words, not a traceback."""
    file = tmp_path / "secret"
    file.write_bytes(content)
    with pytest.raises(OSError, match=r"is (not UTF-8 text|larger than)") as caught:
        read_secret(file)
    assert caught.value.strerror


def test_a_name_that_no_file_can_have_is_refused(tmp_path: Path) -> None:
    """A null character in a path is an error of the configuration like any other."""
    with pytest.raises(OSError, match="no name of a file"):
        read_secret(tmp_path / "a\0b")
