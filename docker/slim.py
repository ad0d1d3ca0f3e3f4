"""Run while the image is built: removes what nobody runs, and compiles what the base has not compiled.

``python slim.py ENVIRONMENT STAGE`` cuts the symbols off the environment's libraries, removes lexers that nothing
colours with, and compiles the modules that the bridge can import: the environment's in their place, the standard
library's into the tree STAGE, which is copied over the root. The same input gives the same bytes.
"""

from __future__ import annotations

import importlib
import json
import pkgutil
import struct
import subprocess
import sys
import sysconfig
from importlib.util import cache_from_source
from itertools import chain
from pathlib import Path
from py_compile import PycInvalidationMode
from py_compile import compile as compile_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

ELF64_LITTLE = b"\x7fELF\x02\x01"
HEADER = struct.Struct("<16sHHIQQQIHHHHHH")  # the ELF header: e_ident … e_shstrndx
SEGMENT = struct.Struct("<IIQQQQQQ")  # a program header: type, flags, offset, vaddr, paddr, filesz, memsz, align
NEVER_USED = ("tests", "test")  # folders of packages
LEXERS_KEPT = {"__init__.py", "_mapping.py", "python.py"}  # rich colours tracebacks with one of Pygments' hundreds
IMPORTED_LATE = (
    "aiokafka",
    "aio_pika",
    "fastavro",
    "google.protobuf.json_format",
    "jsonschema_rs",
    "uvicorn.lifespan.off",
)


def without_symbols(library: bytes) -> bytes:
    """What the loader reads of a shared library: all up to the end of its last segment, and no section headers.

    Symbol tables and debugging information lie behind that, and are most of some libraries. Anything but a 64-bit
    little-endian ELF file is given back as it is.
    """
    if not library.startswith(ELF64_LITTLE):
        return library
    fields = list(HEADER.unpack_from(library))
    first, size, count = fields[5], fields[9], fields[10]  # e_phoff, e_phentsize, e_phnum
    segments = [SEGMENT.unpack_from(library, first + number * size) for number in range(count)]
    end = max(first + count * size, *(segment[2] + segment[5] for segment in segments))
    fields[6], fields[12], fields[13] = 0, 0, 0  # e_shoff, e_shnum, e_shstrndx: there are no sections any more
    return HEADER.pack(*fields) + library[HEADER.size : end]


def remove_unused(packages: Path) -> None:
    """Tests of packages, sources of their libraries, and Pygments' lexers."""
    for folder in [path for name in NEVER_USED for path in packages.rglob(name) if path.is_dir()]:
        for path in sorted(folder.rglob("*"), reverse=True):
            path.rmdir() if path.is_dir() else path.unlink()
        folder.rmdir()
    sources = chain.from_iterable(packages.rglob(f"*.{suffix}") for suffix in ("c", "cpp", "h", "pyi", "pyx", "pxd"))
    lexers = (path for path in packages.glob("pygments/lexers/*.py") if path.name not in LEXERS_KEPT)
    for path in chain(sources, lexers):
        path.unlink()


def compile_each(pairs: Sequence[tuple[str, str]]) -> None:
    """Each source to its bytecode, which is never compared with it: times and places of the build are not in it."""
    for source, target in pairs:
        Path(target).parent.mkdir(parents=True, exist_ok=True)
        compile_module(source, target, doraise=True, invalidation_mode=PycInvalidationMode.UNCHECKED_HASH)


def imported() -> Iterator[Path]:
    """The sources of all modules that the bridge and its libraries import, in order of their names."""
    bridge = importlib.import_module("bridge")
    names = [module.name for module in pkgutil.walk_packages(bridge.__path__, "bridge.")]
    for name in (*IMPORTED_LATE, *names):
        if name != "bridge.__main__":  # it would run
            try:
                importlib.import_module(name)
            except ImportError:
                print(f"left out, an extra that is not installed: {name}", file=sys.stderr)  # noqa: T201
    files = {Path(file) for module in [*sys.modules.values()] if (file := getattr(module, "__file__", None))}
    return iter(sorted(file for file in files if file.suffix == ".py"))


def targets(environment: Path, stage: Path) -> Iterator[tuple[str, str]]:
    """Which source is compiled to where."""
    standard_library = Path(sysconfig.get_path("stdlib"))
    for source in imported():
        cached = Path(cache_from_source(str(source)))
        if source.is_relative_to(environment):
            yield str(source), str(cached)
        elif source.is_relative_to(standard_library):
            yield str(source), str(stage / cached.relative_to("/"))


def main(environment: Path, stage: Path) -> None:
    """Slim the environment, and fill the stage."""
    packages = next(environment.glob("lib/python3.*/site-packages"))
    remove_unused(packages)
    for library in (path for path in packages.rglob("*.so*") if path.is_file()):
        library.write_bytes(without_symbols(library.read_bytes()))
    # How bytecode is written depends on which constants are in use elsewhere: it is done where nothing was imported.
    pairs = json.dumps([*targets(environment, stage)])
    subprocess.run([sys.executable, __file__], input=pairs, text=True, check=True)


if __name__ == "__main__":
    if len(sys.argv) == 1:
        compile_each(json.load(sys.stdin))
    else:
        main(Path(sys.argv[1]), Path(sys.argv[2]))
