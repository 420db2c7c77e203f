"""Who may import whom: one table, checked on the source text.

The checks themselves are tested below on small made-up packages, so that we know they can fail.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import distilrec

LAYERS: tuple[tuple[str, ...], ...] = (
    ("types", "errors", "config", "energy", "files", "machine", "memory", "progress", "seeding"),
    ("artifact", "exported", "knowledge", "ids", "card", "storage"),
    ("search",),
    ("sources",),
    ("data",),
    ("encode",),
    ("mixture",),
    ("models",),
    ("teach",),
    ("distil",),
    ("evaluate",),
    ("export",),
    ("serve",),
    ("recommender",),
    ("latency", "costs"),
    ("compress",),
    ("run",),
    ("report",),
    ("tune", "explain", "privacy", "distributed"),
    ("demo",),
    ("doctor",),
    ("cli",),
    ("__main__",),
)
"""Left to right: a name imports names of its own tuple and of those above it."""

NEVER = {
    ("models", "data"): "they meet in types.Batch",
    ("distil", "teach"): "they meet in Knowledge",
    ("evaluate", "models"): "it sees only a Scorer",
}
LIGHT = (
    *LAYERS[0],
    *LAYERS[1],
    *(
        "search",
        "sources",
        "data",
        "encode.cache",
        "encode.templates",
        "evaluate",
        "serve",
        "report",
        "doctor",
        "cli",
        "__main__",
    ),
)
"""What runs, or at least starts, on a machine without the training libraries."""
HEAVY = ("torch", "transformers", "accelerate", "sentence_transformers", "peft")
RAY_LIVES_IN = "distributed"


@dataclass(frozen=True)
class Import:
    target: str  # a module of the package, or an outside library
    late: bool  # inside a function
    line: int


Tree = dict[str, list[Import]]


def read_tree(root: Path) -> Tree:
    """Every module below a package's folder, with what it imports."""
    files = {".".join((root.name, *_parts(file.relative_to(root)))): file for file in sorted(root.rglob("*.py"))}
    return {name: list(_imports(name, file, files)) for name, file in files.items()}


def _parts(file: Path) -> tuple[str, ...]:
    return file.parent.parts if file.name == "__init__.py" else (*file.parent.parts, file.stem)


def _imports(name: str, file: Path, known: dict[str, Path]) -> Iterator[Import]:
    for node, late in _import_statements(ast.parse(file.read_text(encoding="utf-8")).body, late=False):
        if isinstance(node, ast.Import):
            full_names = [alias.name for alias in node.names]
        else:
            package = name.split(".") if file.name == "__init__.py" else name.split(".")[:-1]
            above = package[: len(package) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            full_names = [f"{base}.{alias.name}" for alias in node.names]
        for full in full_names:
            yield from (Import(target, late, node.lineno) for target in _resolve(full, known))


def _import_statements(nodes: list[ast.stmt], late: bool) -> Iterator[tuple[ast.Import | ast.ImportFrom, bool]]:
    for node in nodes:
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield node, late
        typing_only = isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        inside = late or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        for part in ("body", "orelse", "finalbody", "handlers", "cases"):
            if not (typing_only and part == "body"):
                yield from _import_statements(getattr(node, part, []), inside)


def _resolve(full: str, known: dict[str, Path]) -> list[str]:
    """The module that a dotted name lies in; the version is a fact about the package, not an import of it."""
    root, first = next(iter(known)), full.partition(".")[0]
    if first != root:
        return [first]
    while full not in known and "." in full:
        if full == f"{root}.__version__":
            return []
        full = full.rpartition(".")[0]
    return [full]


def complaints(tree: Tree) -> list[str]:
    """Everything that breaks a rule, one sentence each."""
    return [*_unknown(tree), *_wrong_way(tree), *_in_circles(tree), *_heavy(tree), *_ray(tree)]


def _layer(name: str) -> int:
    return next((number for number, names in enumerate(LAYERS) if name in names), len(LAYERS))


def _top(module: str) -> str:
    """`data` of `distilrec.data.read`; nothing for the package itself, which may import everything."""
    return module.split(".")[1] if "." in module else ""


def _edges(tree: Tree) -> Iterator[tuple[str, Import]]:
    return ((module, found) for module, imports in tree.items() for found in imports if found.target in tree)


def _unknown(tree: Tree) -> list[str]:
    known = {name for names in LAYERS for name in names}
    strangers = sorted({_top(module) for module in tree if _top(module)} - known)
    return [f"{name} is not in the table of layers; add it to LAYERS in tests/test_layers.py" for name in strangers]


def _wrong_way(tree: Tree) -> Iterator[str]:
    for module, found in _edges(tree):
        here, there = _top(module), _top(found.target)
        if here and here != there and (not there or _layer(there) > _layer(here)):
            yield f"{module}:{found.line} imports {found.target}, which lies to its right"
        if (here, there) in NEVER:
            why = f"{here} never imports {there}: {NEVER[here, there]}"
            yield f"{module}:{found.line} imports {found.target}; {why}"


def _in_circles(tree: Tree) -> Iterator[str]:
    """One circle is enough to say; a late import does not break one, it hides one."""
    try:
        TopologicalSorter({m: {i.target for i in imports} & set(tree) for m, imports in tree.items()}).prepare()
    except CycleError as error:
        yield "imports go in a circle: " + " -> ".join(reversed(error.args[1]))


def _heavy(tree: Tree) -> Iterator[str]:
    for module in tree:
        name = module.partition(".")[2]
        if any(name == light or name.startswith(f"{light}.") for light in LIGHT):
            path = _way_to_heavy(tree, module)
            if path:
                yield f"{module} loads {path[-1]} when it is imported: {' -> '.join(path)}"


def _way_to_heavy(tree: Tree, start: str) -> list[str]:
    ways, seen = [[start]], {start}
    for way in ways:  # grows while we walk: breadth first, so the shortest way is found
        for target in _loaded_by(tree, way[-1]):
            if target in HEAVY:
                return [*way, target]
            if target in tree and target not in seen:
                seen.add(target)
                ways.append([*way, target])
    return []


def _loaded_by(tree: Tree, module: str) -> Iterator[str]:
    """What Python loads with a module: its packages, then what it imports outside of functions."""
    parts = module.split(".")
    yield from (".".join(parts[:n]) for n in range(1, len(parts)))
    yield from (found.target for found in tree[module] if not found.late)


def _ray(tree: Tree) -> Iterator[str]:
    for module, imports in tree.items():
        for found in imports:
            if found.target == "ray" and _top(module) != RAY_LIVES_IN:
                yield f"{module}:{found.line} imports ray, which only {RAY_LIVES_IN}/ may"


def test_the_package_keeps_to_the_table():
    assert complaints(read_tree(Path(distilrec.__file__).parent)) == []


@pytest.fixture
def made_up(tmp_path):
    """Write a small package `p`, given as {"data/read": "its text"}, and say what is wrong with it."""

    def check(texts: dict[str, str]) -> list[str]:
        for name, text in {"__init__": "", **texts}.items():
            path = tmp_path / "p" / f"{name}.py"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        return complaints(read_tree(tmp_path / "p"))

    return check


def test_imports_from_the_left_are_fine(made_up):
    assert made_up({"files": "", "data/read": "from p.files import x", "models/gru": "import torch"}) == []


def test_an_import_from_the_right_is_named_with_its_line(made_up):
    found = made_up({"data/read": "\nfrom p.models import Gru", "models/__init__": ""})
    assert found == ["p.data.read:2 imports p.models, which lies to its right"]


@pytest.mark.parametrize(
    "text",
    [
        "from p.models.gru import x",
        "import p.models.gru",
        "from p.models import gru",
        "from ..models.gru import x",
        "from ..models import gru",
        "def f():\n    from p.models.gru import x",
        "class C:\n    def f(self):\n        import p.models.gru",
        "try:\n    pass\nexcept OSError:\n    import p.models.gru",
        "match 1:\n    case 1:\n        import p.models.gru",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    pass\nelse:\n    import p.models.gru",
    ],
)
def test_every_way_of_writing_an_import_is_seen(made_up, text):
    line = text.count("\n") + 1
    assert made_up({"data/read": text, "models/gru": ""}) == [
        f"p.data.read:{line} imports p.models.gru, which lies to its right"
    ]


def test_an_import_for_type_checkers_only_does_not_count(made_up):
    text = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from p.models.gru import Gru"
    assert made_up({"data/read": text, "models/gru": ""}) == []


def test_the_package_itself_is_to_the_right_of_everything_but_its_version_is_free(made_up):
    assert made_up({"files": "from p import __version__"}) == []
    assert made_up({"files": "from p import Recommender"}) == ["p.files:1 imports p, which lies to its right"]


@pytest.mark.parametrize(("here", "there"), list(NEVER))
def test_what_never_meets_is_named_with_the_place_where_it_does_meet(made_up, here, there):
    found = made_up({f"{here}/a": f"import p.{there}.b", f"{there}/b": ""})
    assert f"p.{here}.a:1 imports p.{there}.b; {here} never imports {there}: {NEVER[here, there]}" in found


def test_a_circle_is_named_even_when_an_import_inside_a_function_hides_it(made_up):
    found = made_up({"data/a": "import p.data.b", "data/b": "def f():\n    import p.data.a"})
    assert found in (
        ["imports go in a circle: p.data.a -> p.data.b -> p.data.a"],
        ["imports go in a circle: p.data.b -> p.data.a -> p.data.b"],
    )


@pytest.mark.parametrize("library", HEAVY)
@pytest.mark.parametrize("module", ["data/read", "evaluate/cost", "types", "encode/cache", "knowledge"])
def test_a_light_module_loads_no_heavy_library(made_up, module, library):
    name = "p." + module.replace("/", ".")
    assert made_up({module: f"import {library}.nn"}) == [
        f"{name} loads {library} when it is imported: {name} -> {library}"
    ]


def test_a_heavy_library_is_found_behind_other_modules_and_packages(made_up):
    found = made_up({"evaluate/cost": "import p.distil.loop", "distil/loop": "import torch"})
    way = "p.evaluate.cost -> p.distil.loop -> torch"
    assert found == [f"p.evaluate.cost loads torch when it is imported: {way}"]


def test_a_heavy_library_inside_a_function_or_in_a_model_is_fine(made_up):
    late = "def f():\n    import torch"
    assert made_up({"data/read": late, "models/gru": "import torch", "encode/text": "import torch"}) == []


def test_ray_is_imported_in_distributed_alone(made_up):
    assert made_up({"distributed/train": "import ray"}) == []
    assert made_up({"run/stages": "def f():\n    from ray import data"}) == [
        "p.run.stages:2 imports ray, which only distributed/ may"
    ]


def test_a_new_top_level_name_must_be_added_to_the_table(made_up):
    assert made_up({"utils/text": ""}) == [
        "utils is not in the table of layers; add it to LAYERS in tests/test_layers.py"
    ]
