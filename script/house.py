"""Measures the structure of the code: `script/house [REVISION...]`, one column for each tree.

A room is a package or module right below `sm_proxy`, and the lab as a whole. A room stands one
floor above the highest room that it imports. Rooms that import each other in a circle share a
floor, so a tree with circles looks lower than it is. All imports count, also those inside functions
and those for type checkers.
"""

from __future__ import annotations

import ast
import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from graphlib import TopologicalSorter
from pathlib import Path

import grimp

Graph = Mapping[str, set[str]]
Row = tuple[str, str]

_ROOTS = ("sm_proxy", "sm_proxy_lab")
_HERE = Path(__file__).resolve().parents[1]


def main() -> None:
    """Print the table; each tree is measured by a process of its own, which imports from there."""
    columns = [("today", _measured(_HERE))]
    for revision in reversed(sys.argv[1:]):
        with tempfile.TemporaryDirectory() as folder:
            packed = subprocess.run(
                ["git", "archive", revision], cwd=_HERE, check=True, stdout=subprocess.PIPE
            ).stdout
            subprocess.run(["tar", "-x", "-C", folder], input=packed, check=True)
            columns.insert(0, (revision[:12], _measured(Path(folder))))
    names = list(dict.fromkeys(name for _, rows in columns for name in rows))
    width = max(map(len, names))
    print(" " * width, *(f"{title:>34}" for title, _ in columns), sep="  ")
    for name in names:
        print(f"{name:{width}}", *(f"{rows.get(name, '-'):>34}" for _, rows in columns), sep="  ")


def _measured(tree: Path) -> dict[str, str]:
    command = [sys.executable, __file__, "--measure", str(tree)]
    done = subprocess.run(command, cwd=tree, check=True, capture_output=True, text=True)
    found: dict[str, str] = json.loads(done.stdout)
    return found


def _measure(tree: Path) -> None:
    sys.path.insert(0, str(tree))
    roots = [name for name in _ROOTS if (tree / name).is_dir()]
    graph = grimp.build_graph(*roots, cache_dir=None)
    modules = {
        name: graph.find_modules_directly_imported_by(name) & graph.modules
        for name in graph.modules
        if name not in roots  # `__version__` is taken from everywhere
    }
    print(json.dumps(dict([*_structure(modules, tree), *_sizes(tree)])))


def _structure(modules: Graph, tree: Path) -> Iterator[Row]:
    rooms: dict[str, set[str]] = {}
    for name, imported in modules.items():
        room = _room(name)
        rooms.setdefault(room, set()).update({_room(item) for item in imported} - {room, ""})
    at_root = [path for path in (tree / "sm_proxy").glob("*.py") if path.name != "__init__.py"]
    floors = _floors(rooms)
    yield "modules", str(len(modules))
    yield "modules at the root of sm_proxy", str(len(at_root))
    yield "rooms", str(len(rooms))
    yield "floors", str(max(floors.values()))
    yield "arrows between rooms", str(sum(map(len, rooms.values())))
    yield "circles of modules", str(len(list(_circles(modules))))
    rings = list(_circles(rooms))
    yield "circles of rooms (rooms in them)", f"{len(rings)} ({sum(map(len, rings))})"


def _room(module: str) -> str:
    root, _, rest = module.partition(".")
    if root == "sm_proxy_lab" or rest.split(".")[0] == "lab":
        return "lab"
    return rest.split(".")[0]


def _circles(graph: Graph) -> Iterator[set[str]]:
    """The largest sets of which each member leads to every other one."""
    reach = {name: _reachable(graph, name) for name in graph}
    seen: set[str] = set()
    for name in sorted(graph):
        ring = {other for other in reach[name] if name in reach.get(other, ())}
        if len(ring) > 1 and name not in seen:
            yield ring
        seen |= ring


def _reachable(graph: Graph, start: str) -> set[str]:
    found: set[str] = set()
    wanted = [start]
    while wanted:
        new = set(graph.get(wanted.pop(), ())) - found
        found |= new
        wanted.extend(new)
    return found


def _floors(rooms: Graph) -> dict[str, int]:
    together = {name: name for name in rooms}
    for ring in _circles(rooms):
        together.update(dict.fromkeys(ring, min(ring)))
    merged: dict[str, set[str]] = {}
    for name, imported in rooms.items():
        own = together[name]
        merged.setdefault(own, set()).update({together[item] for item in imported} - {own})
    floors: dict[str, int] = {}
    for name in TopologicalSorter(merged).static_order():
        floors[name] = 1 + max((floors[item] for item in merged[name]), default=0)
    return floors


def _sizes(tree: Path) -> Iterator[Row]:
    lab = [*_files(tree, "sm_proxy_lab"), *_files(tree, "sm_proxy/lab")]
    product = [path for path in _files(tree, "sm_proxy") if path not in lab]
    code = {path: path.read_text(encoding="utf-8") for path in (*product, *lab)}
    lengths = {str(path.relative_to(tree)): _lines(text) for path, text in code.items()}
    functions = dict(
        item for path, text in code.items() for item in _functions(path.relative_to(tree), text)
    )
    for what, found in (("module", lengths), ("function", functions)):
        largest = max(found, key=lambda name: found[name])
        yield f"median {what}, lines", f"{statistics.median(found.values()):.0f}"
        yield f"largest {what}, lines", f"{found[largest]} {Path(largest).name}"
    for what, paths in (
        ("product", product),
        ("lab", lab),
        ("container", sorted((tree / "container").glob("*.*"))),
        ("tests", _files(tree, "tests")),
        ("bench", _files(tree, "bench")),
    ):
        yield f"{what}, lines", f"{_total(paths):,}"


def _files(tree: Path, folder: str) -> list[Path]:
    return sorted((tree / folder).rglob("*.py"))


def _functions(path: Path, text: str) -> Iterator[tuple[str, int]]:
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            last = node.end_lineno or node.lineno
            yield f"{path}:{node.lineno}:{node.name}", last - node.lineno + 1


def _lines(text: str) -> int:
    return text.count("\n")


def _total(paths: Iterable[Path]) -> int:
    return sum(_lines(path.read_text(encoding="utf-8")) for path in paths)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--measure"]:
        _measure(Path(sys.argv[2]))
    else:
        main()
