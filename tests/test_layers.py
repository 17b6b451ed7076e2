"""Imports go down only: read with ast, nothing is run."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "dlzoo"
LAYERS: dict[str, int] = {
    "__main__": 9,
    "cli": 8,
    "catalogue": 7,
    "proofs": 7,
    "run": 6,
    "engine": 5,
    "tasks": 4,
    "task": 3,
    **dict.fromkeys(("models", "heads", "data"), 2),
    **dict.fromkeys(("layers", "transforms", "losses", "metrics", "decoding", "report"), 1),
}
"""Rooms above the ground; every other file is layer 0, where there is no torch."""
HEAVY = {
    "torch",
    "torchvision",
    "numpy",
    "pandas",
    "sklearn",
    "matplotlib",
    "PIL",
    "tokenizers",
    "transformers",
    "safetensors",
    "rich",
    "tqdm",
    "pydicom",
    "nibabel",
    "av",
    "sacrebleu",
}
FILES = sorted(PACKAGE.rglob("*.py"))


def room(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports(tree: ast.Module, everywhere: bool) -> Iterator[tuple[int, str]]:
    """(line, module) of each import; of those at module level alone, unless `everywhere`. TYPE_CHECKING never runs."""
    skipped = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)
        for inner in ast.walk(node)
    }
    if not everywhere:
        functions = (node for node in ast.walk(tree) if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)))
        skipped |= {id(inner) for function in functions for inner in ast.walk(function)}
    for node in ast.walk(tree):
        if id(node) in skipped:
            continue
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: imports are absolute"
            names = [f"dlzoo.{alias.name}" for alias in node.names] if node.module == "dlzoo" else [node.module]
            yield from ((node.lineno, name) for name in names)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_go_down(path):
    here = room(path)
    for line, module in imports(ast.parse(path.read_text()), everywhere=True):
        parts = module.split(".")
        if parts[0] != "dlzoo" or parts[1:] == ["__version__"]:
            continue
        there = parts[1]
        if there == here:
            continue
        above, below = LAYERS.get(here, 0), LAYERS.get(there, 0)
        fine = above > below or (above == below and above in (0, 1))
        assert fine, f"{path}:{line} imports {module}: {here} is layer {above}, {there} is layer {below}"


@pytest.mark.parametrize(
    "path", [path for path in FILES if LAYERS.get(room(path), 0) in (0, 7, 8, 9)], ids=lambda path: path.name
)
def test_the_ground_floor_and_the_cli_import_nothing_heavy(path):
    for line, module in imports(ast.parse(path.read_text()), everywhere=LAYERS.get(room(path), 0) == 0):
        assert module.split(".")[0] not in HEAVY, f"{path}:{line} imports {module}"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_slow_libraries_are_imported_where_they_are_used(path):
    slow = HEAVY - {"torch", "numpy", "PIL", "safetensors"}
    for line, module in imports(ast.parse(path.read_text()), everywhere=False):
        assert module.split(".")[0] not in slow, f"{path}:{line} imports {module} at module level"


def test_run_knows_models_data_and_tasks_by_registry_only():
    for path in (PACKAGE / "run").glob("*.py"):
        for line, module in imports(ast.parse(path.read_text()), everywhere=True):
            parts = module.split(".")
            if parts[0] == "dlzoo" and parts[1] in ("models", "tasks", "data"):
                assert parts[1] == "data" and parts[2] in ("dataset", "skipped", "splits"), (
                    f"{path}:{line} imports {module}"
                )


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_file_has_one_purpose_and_a_name_that_says_it(path):
    assert not {"utils", "misc", "common", "helpers"} & {path.stem, path.parent.name}
    assert not path.stem.startswith("base_")
    text = path.read_text()
    assert len(text.splitlines()) <= 320, f"{path} is asking to be two files"
    if text.strip():
        assert ast.get_docstring(ast.parse(text)), f"{path} does not say what it is for"


def test_importing_dlzoo_imports_nothing_heavy():
    code = f"import sys, dlzoo; print(sorted({HEAVY | {'pydantic', 'yaml', 'typer'}!r} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "[]\n"
