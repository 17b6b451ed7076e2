"""The table of scores that `dlzoo evaluate` prints: one line a metric, and one a class for what is of each class."""

import sys
from typing import Any

from dlzoo.errors import printable

CLASSES = 20
"""Lines of the table by class, at most; metrics.json has all of them."""
Rows = list[list[str]]


def show(result: dict[str, Any]) -> None:
    """The tables of `evaluate.summary`: rich on a terminal, plain columns elsewhere."""
    options = ", ".join(f"{name} {value}" for name, value in result.get("options", {}).items())
    title = f"{printable(result['split'])}: {result['samples']:,} samples" + (f", with {options}" if options else "")
    _table(title, *_overall(result))
    head, lines = _by_class(result)
    if lines:
        _table("", head, lines[:CLASSES])
    if len(lines) > CLASSES:
        print(f"and {len(lines) - CLASSES:,} classes more: --json prints them, as metrics.json has them")
    for name, how in result.get("signatures", {}).items():
        print(f"{name}  {how}")
    if "folder" in result:
        print(f"written to {printable(result['folder'])}")


def _overall(result: dict[str, Any]) -> tuple[list[str], Rows]:
    baseline, intervals = result["baseline"], result["intervals"]
    names = [name for name in result["metrics"] if "." not in name]
    lines = [[name, number(result["metrics"][name]), _interval(intervals.get(name))] for name in names]
    head = ["metric", "score", "95 % interval"]
    if baseline:
        head.append(f"baseline: {baseline['name']}")
        for line in lines:
            line.append(number(baseline[line[0]]) if line[0] in baseline else "")
    return head, lines


def _by_class(result: dict[str, Any]) -> tuple[list[str], Rows]:
    """Metrics that are called METRIC.CLASS: a line for each class, a column for each metric, or two with intervals."""
    intervals, head = result["intervals"], ["class"]
    lines: dict[str, list[str]] = {}
    for name, value in result["metrics"].items():
        metric, dot, of = name.partition(".")
        if not dot:
            continue
        if metric not in head:
            head += [metric, "95 % interval"] if name in intervals else [metric]
        cells = [number(value), _interval(intervals[name])] if name in intervals else [number(value)]
        lines.setdefault(of, [printable(of)]).extend(cells)
    return head, list(lines.values())


def _interval(pair: list[float | None] | None) -> str:
    return " to ".join(map(number, pair)) if pair and None not in pair else ""


def _table(title: str, head: list[str], lines: Rows) -> None:
    if sys.stdout.isatty():
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text

        table = Table(*head, title=title or None, title_justify="left")
        for line in lines:
            table.add_row(*map(Text, line))
        Console().print(table)
        return
    print(title or "")
    widths = [max(map(len, column)) for column in zip(head, *lines, strict=True)]
    for line in [head, *lines]:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


def number(value: float | None) -> str:
    """Four digits behind the point below 100, else five in all; `undefined` where there is no number."""
    if value is None:
        return "undefined"
    return f"{value:.4f}" if abs(value) < 100 else f"{value:,.1f}" if abs(value) < 1e6 else f"{value:.4g}"
