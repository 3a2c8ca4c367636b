"""The bounds of the source tree: sizes of files and rooms, names that must be unique."""

from __future__ import annotations

import ast
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from statistics import median

from tests.schedule import SECONDS, TOGETHER

CHECKOUT = Path(__file__).parents[1]
PRODUCT = CHECKOUT / "miner"

LEAST_MEDIAN = 150
MOST_MEDIAN = 250
SMALL = 50
MOST_SMALL = 15
"""Modules with fewer than `SMALL` lines."""

LONGEST = 450

LEAST_OF_ONE_READER = 100
"""Least lines of a module that a single module imports; a smaller one belongs into that module."""

MOST_SHARE_OF_A_ROOM = 0.15
"""Of the lines of all modules."""


def modules() -> Iterator[tuple[Path, str]]:
    for path in sorted(PRODUCT.rglob("*.py")):
        if path.name not in ("__init__.py", "__main__.py"):
            yield path.relative_to(PRODUCT), path.read_text(encoding="utf-8")


def lines() -> dict[Path, int]:
    return {path: len(text.splitlines()) for path, text in modules()}


def test_modules_have_a_size_that_a_reader_can_hold() -> None:
    sizes = lines()
    assert LEAST_MEDIAN <= median(sizes.values()) <= MOST_MEDIAN
    assert not [f"{path}: {size}" for path, size in sizes.items() if size > LONGEST]
    small = [f"{path}: {size}" for path, size in sizes.items() if size < SMALL]
    assert len(small) <= MOST_SMALL, small


def test_no_room_holds_more_than_its_share_of_the_code() -> None:
    rooms: dict[str, int] = defaultdict(int)
    for path, size in lines().items():
        rooms[path.parts[0]] += size
    total = sum(rooms.values())
    assert not {room: size for room, size in rooms.items() if size > MOST_SHARE_OF_A_ROOM * total}


def test_each_module_and_each_class_has_a_unique_name() -> None:
    places: dict[str, list[str]] = defaultdict(list)
    for path, text in modules():
        places[f"module {path.name}"].append(str(path))
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.ClassDef):
                places[f"class {node.name}"].append(str(path))
    assert not {name: where for name, where in places.items() if len(where) > 1}


def imports() -> dict[str, set[str]]:
    """Return the modules that each module imports, type checking included."""
    trees = {
        ".".join(("miner", *path.with_suffix("").parts)): ast.parse(text)
        for path, text in modules()
    }
    found: dict[str, set[str]] = {name: set() for name in trees}
    for name, tree in trees.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and node.module:
                full = {f"{node.module}.{alias.name}" for alias in node.names}
                found[name] |= ({node.module} | full) & trees.keys()
    return found


def exported() -> set[str]:
    """Return the modules that packages re-export."""
    texts = (path.read_text(encoding="utf-8") for path in PRODUCT.rglob("__init__.py"))
    nodes = (node for text in texts for node in ast.walk(ast.parse(text)))
    return {str(node.module) for node in nodes if isinstance(node, ast.ImportFrom)}


def test_no_small_module_has_a_single_reader() -> None:
    readers = Counter(name for found in imports().values() for name in found)
    sizes = {
        ".".join(("miner", *path.with_suffix("").parts)): size for path, size in lines().items()
    }
    assert not [
        f"{name}: {size}"
        for name, size in sizes.items()
        if readers[name] == 1 and size < LEAST_OF_ONE_READER and name not in exported()
    ]


def test_no_modules_import_each_other_in_a_circle() -> None:
    left = imports()
    while free := {name for name, others in left.items() if not others & left.keys()}:
        left = {name: others for name, others in left.items() if name not in free}
    assert not left


def test_the_schedule_names_files_of_the_tests() -> None:
    named = SECONDS.keys() | TOGETHER
    assert not [name for name in named - set(TOGETHER.values()) if not (CHECKOUT / name).is_file()]
    assert TOGETHER.keys().isdisjoint(SECONDS), "a group has one row"
