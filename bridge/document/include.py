"""A file and those that it includes, joined to one document."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from bridge.document.reading import read
from bridge.errors import ConfigError

if TYPE_CHECKING:
    from bridge.document.model import Document, Keys
    from bridge.errors import Problem

MAX_FILES = 1_000


def load(path: Path | str) -> Document:
    """Read a file and what its ``include:`` names. Raises ConfigError when one of them cannot be read at all.

    ``include`` is a glob or a list of globs, relative to the file. Lists of included files are appended in the order of
    the files' names, mappings are joined; the same key twice is a problem. Included files include nothing further.
    """
    main = read(Path(path))
    unreadable: list[Problem] = []
    for number, pattern in enumerate(patterns(main)):
        for file in _matches(main, ("include", number), pattern):
            try:
                _join(main, read(file))
            except ConfigError as error:
                unreadable.extend(error.problems)
    if unreadable:
        raise ConfigError([*main.problems, *unreadable])
    main.value.pop("include", None)
    return main


def patterns(main: Document) -> list[str]:
    """The globs of ``include``; one that is written wrongly is a problem of the document, and there are none."""
    include = main.value.get("include", [])
    globs = [include] if isinstance(include, str) else include
    if isinstance(globs, list) and all(isinstance(pattern, str) for pattern in globs):
        return globs
    main.problems.append(main.problem(("include",), "write a path, or a list of paths, such as rules/*.yaml"))
    return []


def _matches(main: Document, path: Keys, pattern: str) -> list[Path]:
    folder = Path(main.file).parent
    found = matching(folder, pattern)
    if not found or len(found) > MAX_FILES:
        what = f"more than {MAX_FILES} files match" if found else f"no file matches {pattern!r} in {folder}"
        main.problems.append(main.problem(path, what))
        return []
    return found


def matching(folder: Path, pattern: str) -> list[Path]:
    """The files that a glob matches now, in the order of their names; none where it is no glob at all."""
    absolute = Path(pattern).is_absolute()
    try:
        return sorted(Path("/").glob(pattern.lstrip("/")) if absolute else folder.glob(pattern)) if pattern else []
    except (ValueError, OSError, RecursionError):  # such as "**.yaml", or a name that is too long
        return []


def _join(main: Document, part: Document) -> None:
    main.problems.extend(part.problems)
    if "include" in part.value:
        main.problems.append(part.problem(("include",), "an included file cannot include others; name them all above"))
        del part.value["include"]
    for key, value in part.value.items():
        shift = _join_value(main, part, key, value)
        for keys, place in part.places.items():
            if keys[:1] == (key,):
                main.places.setdefault(_shifted(keys, shift), place)
        for mine, theirs in ((main.texts, part.texts), (main.words, part.words)):
            for keys, text in theirs.items():
                if keys[:1] == (key,):
                    mine.setdefault(_shifted(keys, shift), text)


def _join_value(main: Document, part: Document, key: str, value: Any) -> int:  # noqa: ANN401  any value of a document
    """Put one top-level value into the main document; gives by how much the numbers of its list elements have moved."""
    mine = main.value.setdefault(key, type(value)() if isinstance(value, list | dict) else value)
    if isinstance(mine, list) and isinstance(value, list):
        mine.extend(value)
        return len(mine) - len(value)
    if isinstance(mine, dict) and isinstance(value, dict):
        for name in mine.keys() & value.keys():
            first = main.position_of((key, name))
            main.problems.append(part.problem((key, name), f"already given in {first.file}:{first.line}"))
        mine.update({name: inner for name, inner in value.items() if name not in mine})
    elif mine is not value:
        main.problems.append(part.problem((key,), "already given in another file"))
    return 0


def _shifted(keys: Keys, shift: int) -> Keys:
    if shift and len(keys) > 1 and isinstance(keys[1], int):
        return (keys[0], keys[1] + shift, *keys[2:])
    return keys
