"""`dlzoo list` and `dlzoo info`: what there is, read from the files' text; nothing of it is imported."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from dlzoo.config import Component, Evaluate, Split, Train
from dlzoo.errors import UserError, did_you_mean, printable
from dlzoo.optim import OPTIMIZERS
from dlzoo.registry import DATASETS, FACTS, MODELS, REGISTRIES, TASKS, Entry
from dlzoo.registry.compatible import models_for
from dlzoo.registry.entry import PACKAGE, shown
from dlzoo.registry.parameter import Parameter, choices_of, fields, spelled
from dlzoo.schedules import SCHEDULES

Row = dict[str, Any]
SECTIONS: dict[str, tuple[Any, str]] = {
    "train": (Train, "a section of every config"),
    "evaluate": (Evaluate, "a section of every config"),
    "split": (Split, "keys of the data section, beside the dataset's own"),
}
KINDS = ("tasks", "models", "datasets", "optimizers", "schedules", "configs")


def listed(what: str | None, task: str | None = None, costs: bool = False) -> dict[str, list[Row]]:
    """Rows for one kind of thing, or for each. With `task`, only the models that fit it. Raises for an unknown task.

    costs: what each of these models costs, which takes seconds. Raises UserError for a task that is not on pictures.
    """
    kinds = KINDS if what is None else (what,)
    found = {kind: _rows(kind) for kind in kinds}
    if task is not None:
        fits = models_for(TASKS.entry(task))
        found["models"] = [row for row in found["models"] if fits[row["name"]] is None]
    if costs:
        if task is None or "in_channels" not in TASKS.entry(task).facts:
            raise UserError("--costs are those of models for pictures: list models --task image_classification --costs")
        from dlzoo.run.costs import costs as measured

        each = measured(MODELS.entry(row["name"]) for row in found["models"])
        found["models"] = [row | each[row["name"]] for row in found["models"]]
    return found


def _rows(kind: str) -> list[Row]:
    if kind == "configs":
        return configs()
    if kind in ("optimizers", "schedules"):
        classes = OPTIMIZERS if kind == "optimizers" else SCHEDULES
        return [{"name": name, "what": _first(cls.__doc__)} for name, cls in sorted(classes.items())]
    registry = {"tasks": TASKS, "models": MODELS, "datasets": DATASETS}[kind]
    return [{"name": entry.name, "what": _what(entry), "file": shown(entry.file)} for entry in registry.entries()]


def _what(entry: Entry) -> str:
    """A model is known by its paper, in the file's first line; a file may hold several datasets."""
    return entry.doc if entry.kind == "dataset" else entry.paper or entry.doc


def configs() -> list[Row]:
    """The YAML files below ./configs, or below that of a checkout, each with the remark at its head."""
    for root in (Path("configs"), PACKAGE.parent / "configs"):
        files = sorted(root.rglob("*.yaml"))
        if files:
            return [{"name": shown(file.resolve()), "what": _remark(file)} for file in files]
    return []


def _remark(file: Path) -> str:
    """The comment lines at the head of a config, without the command."""
    lines = []
    for line in file.read_text(encoding="utf-8", errors="replace").splitlines():
        if not line.startswith("#"):
            break
        lines.append(line.lstrip("# ").strip())
    text = " ".join(lines)
    return text.partition("#")[2].strip() if text.startswith("dlzoo ") and "#" in text else text


def names() -> list[str]:
    """Everything that `info` knows."""
    registered = {name for registry in REGISTRIES.values() for name in registry.names()}
    return sorted(registered | OPTIMIZERS.keys() | SCHEDULES.keys() | SECTIONS.keys())


def info(name: str) -> list[Row]:
    """What is called `name`: one row for each kind of thing that has one. Raises UserError for an unknown name."""
    found = [_entry(registry.entry(name)) for registry in REGISTRIES.values() if name in registry]
    for kind, classes in (("optimizer", OPTIMIZERS), ("schedule", SCHEDULES)):
        if name in classes:
            module = str(classes[name].__module__)
            found.append(_section(name, kind, classes[name], f"{module.replace('.', '/')}.py"))
    if name in SECTIONS:
        cls, kind = SECTIONS[name]
        found.append(_section(name, kind, cls, "dlzoo/config.py"))
    if not found:
        raise UserError(
            f"there is no '{printable(name)}'.{did_you_mean(name, names())} `dlzoo list` shows what there is."
        )
    return found


def _entry(entry: Entry) -> Row:
    row: Row = {"name": entry.name, "kind": entry.kind, "what": entry.paper, "shapes": entry.doc, "file": entry.place}
    row["arguments"] = [_argument(parameter, entry.kind) for parameter in entry.parameters]
    if entry.kind == "task":
        row["needs"] = list(entry.attributes.get("needs", ()))
        row["models"] = [name for name, why in models_for(entry).items() if why is None]
    if entry.kind == "model":
        row["features"] = list(entry.kinds)
        row["tasks"] = [task.name for task in TASKS.entries() if models_for(task)[entry.name] is None]
    if entry.kind == "dataset" and "gives" in entry.attributes:
        row["gives"] = list(entry.attributes["gives"])
    return row


def _section(name: str, kind: str, cls: Any, file: str) -> Row:
    arguments = [_argument(parameter, kind) for parameter in fields(cls)]
    return {"name": name, "kind": kind, "what": _first(cls.__doc__), "file": file, "arguments": arguments}


def _argument(parameter: Parameter, kind: str) -> Row:
    filled = kind == "model" and parameter.name in FACTS
    return {
        "name": parameter.name,
        "type": spelled(parameter.type),
        "choices": list(choices_of(parameter.type)),
        "required": parameter.required and not filled,
        "default": None if parameter.required else _value(parameter.default),
        "from_task": filled,
        "meaning": parameter.doc,
    }


def _value(value: Any) -> Any:
    if isinstance(value, Component):
        return {"name": value.name} | value.args
    return list(value) if isinstance(value, tuple) else value


def _first(doc: str | None) -> str:
    return (doc or "").strip().partition("\n")[0]


def show_list(found: Mapping[str, Sequence[Row]]) -> None:
    """Print the rows of `listed`."""
    for i, (kind, rows) in enumerate(found.items()):
        if not rows:
            print(f"no {kind} here")
            continue
        title = f"{kind} ({len(rows)})" if len(found) > 1 else ""
        if i:
            print()
        costs = {"weights": "parameters", "multiply-adds": "multiply_adds"} if "parameters" in rows[0] else {}
        body = [[row["name"], *(_short(row[key]) for key in costs.values()), row["what"]] for row in rows]
        _table(title, ["name", *costs, "what"], body)
    if sys.stdout.isatty():
        print("\ndlzoo info NAME shows every argument" if "configs" not in found or len(found) > 1 else "")


def _short(count: int | None) -> str:
    """Three digits of a large number."""
    if count is None:
        return "not installed"
    return f"{count / 1e9:.2f} G" if count >= 1e9 else f"{count / 1e6:.3g} M"


def show_info(found: Iterable[Row]) -> None:
    """Print what `info` found."""
    for i, row in enumerate(found):
        if i:
            print()
        print(f"{row['name']}: {row['kind']} ({row['file']})")
        for line in (row["what"], row.get("shapes")):
            if line:
                print(printable(line))
        for key, label in (("needs", "needs"), ("gives", "gives"), ("features", "features")):
            if row.get(key):
                print(f"{label}: {', '.join(row[key])}")
        if row["arguments"]:
            print()
            body = [[a["name"], a["type"], _default(a), a["meaning"]] for a in row["arguments"]]
            _table("", ["argument", "type", "default", "meaning"], body)
        for key in ("models", "tasks"):
            if key in row:
                print(f"\n{key} that fit: {', '.join(row[key]) or 'none'}")


def _default(argument: Row) -> str:
    if argument["from_task"]:
        return "from the task"
    if argument["required"]:
        return "required"
    value = argument["default"]
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def _table(title: str, head: list[str], rows: list[list[str]]) -> None:
    """By rich on a terminal, plain columns elsewhere."""
    rows = [[printable(cell) for cell in row] for row in rows]
    if sys.stdout.isatty():
        from rich import box
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text

        table = Table(title=title or None, title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1))
        for i, name in enumerate(head):
            table.add_column(name, style="bold" if i == 0 else "", no_wrap=i == 0, overflow="fold")
        for row in rows:
            table.add_row(*map(Text, row))
        Console().print(table)
        return
    if title:
        print(title)
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    for row in [head, *rows]:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
