"""Attacks through names: of runs, classes, columns and files, on a terminal, in a spreadsheet, in a page."""

from __future__ import annotations

import csv
import json
import shutil
import sys
from html.parser import HTMLParser
from pathlib import Path

from reliability.attack import ATTACKS, blocked, once, trained
from reliability.command import dlzoo
from reliability.config import SMALL
from reliability.table import Skipped

MARKUP = [
    f"{front}{body}"
    for front in ("", '">', "'>", "-->", "]]>")
    for body in (
        "<script>canary()</script>",
        "<img src=x onerror=canary()>",
        "<svg/onload=canary()>",
        "<a href=javascript:canary()>x</a>",
        "<iframe srcdoc='<script>canary()</script>'>",
        "<style>@import 'canary'</style>",
        "&lt;script&gt;",
        "{{ 7 * 7 }}",
    )
]
"""40 of them."""
STEERING = [
    "\x1b[31mred",
    "\x1b]0;title\x07",
    "\x1b]8;;http://x\x1b\\x",
    "a\rb",
    "\u202egnp.exe",
    "\x9b31m",
    "\x7f",
    "a\u2028b",
]
FORMULAS = ["=1+1", "+cmd|' /C calc'!A0", "-2+3", "@SUM(A1)", "＝1", '=HYPERLINK("http://x","y")']
MATHS = [r"$\frac{1}{0}$", "$x", "_hidden", r"\begin", "a\nb"]
CLASSES = [*MARKUP, *STEERING, *FORMULAS, *MATHS]


@ATTACKS.row("S16", "names of runs that climb out of the folder, hide, or steer")
def _(place: Path) -> None:
    for name in ("../../x", "/tmp/x", "a/b", ".x", "..", "", "a" * 101, "a b", "x\\y", "\x1b[31m", "a\nb", "-\u202ex"):
        (place / "c.yaml").write_text(SMALL + f"name: {json.dumps(name)}\n")
        blocked(place, "train", "--config", "c.yaml", codes=(2,))
    (place / "c.yaml").write_text(SMALL)
    for name in ("../../x", ".x", ""):
        blocked(place, "train", "--config", "c.yaml", f"--name={name}", codes=(2,))
        blocked(place, "train", "--config", "c.yaml", "--set", f"name={json.dumps(name)}", codes=(2,))
    assert not (place / "runs").exists()


@once
def names() -> Path:
    """A folder with a run on a table whose classes and columns have hostile names."""
    place = trained().parents[2] / "names"
    place.mkdir()
    with (place / "table.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["x", *STEERING, *MARKUP[:8], *FORMULAS, "kind"])
        width = len(STEERING) + 8 + len(FORMULAS)
        writer.writerows([i, *((i * k) % 7 for k in range(1, width + 1)), name] for i in range(12) for name in CLASSES)
    (place / "c.yaml").write_text(
        "task: tabular_classification\nmodel: {name: mlp, dim: 4}\ntrain: {steps: 2, threads: 1}\n"
        "data: {name: table, path: table.csv, target: kind}\nname: names\n"
    )
    ended = dlzoo("train", "--config", "c.yaml", cwd=place)
    assert ended.code == 0, ended.error
    (place / "said").write_text(ended.out + ended.error)
    return place


def steering(text: str) -> list[str]:
    """Lines of a text that have more than letters in them."""
    return [repr(line) for line in text.split("\n") if not line.isprintable()]


@ATTACKS.row("S17", "figures with hostile names of classes are drawn, and hold none of the names but as pixels")
def _(place: Path) -> None:
    found = list((names() / "runs/names-001/figures").glob("*.png"))
    assert {file.stem for file in found} >= {"confusion", "roc", "precision_recall", "calibration"}, found
    for file in found:
        content = file.read_bytes()
        assert content.startswith(b"\x89PNG") and b"canary" not in content and b"script" not in content, file


@ATTACKS.row("S18", "pages with hostile names of classes and columns: no element, attribute or script of theirs")
def _(place: Path) -> None:
    pages = [file for kind in ("*.html", "*.svg") for file in (names() / "runs").rglob(kind)]
    if not pages:
        raise Skipped("dlzoo writes no pages: figures are PNG")
    for page in pages:
        parser = _Elements()
        parser.feed(page.read_text())
        assert not parser.found, f"{page}: {parser.found[:5]}"


class _Elements(HTMLParser):
    """Gathers what may run or be fetched."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = " ".join(f"{name}={value}" for name, value in attrs)
        if tag in ("script", "iframe", "object", "embed", "base") or "canary" in values:
            self.found.append(f"<{tag} {values}>")
        self.found += [
            f"<{tag} {name}>" for name, value in attrs if name.startswith("on") or "javascript:" in str(value)
        ]
        self.found += [f"<{tag} {values}>"] if tag in ("img", "link") and "data:" not in values else []


@ATTACKS.row(
    "S19", "escapes for terminals in names of classes, columns and files: shown, never sent; in log.txt neither"
)
def _(place: Path) -> None:
    home = names()
    assert not steering((home / "said").read_bytes().decode()), steering((home / "said").read_bytes().decode())
    assert not steering((home / "runs/names-001/log.txt").read_bytes().decode())
    shutil.copy(home / "table.csv", place / "\x1b[31m\u202e.csv")
    (place / "\x9b31m.csv").write_text("x\n1\n")
    shutil.copy(home / "c.yaml", place / "\x1b[31m.yaml")
    run = home / "runs/names-001"
    for command in (
        ("evaluate", run, "-o", place / "scores"),
        ("predict", run, place, "gone\x1b[31m.csv"),
        ("check", "--config", "\x1b[31m.yaml"),
        ("check", "--config", "\x1b[31m.yaml", "--set", "data.path=\x1b[31m\u202e.csv"),
        ("train", "--config", "\x1b]0;x\x07.yaml"),
        ("info", "\x1b[31m"),
        ("evaluate", "\x1b[31m"),
    ):
        for arm in (None, _terminal):
            ended = dlzoo(*command, cwd=place, arm=arm)
            assert ended.code in (0, 2, 3, 4, 8), ended.error
            if arm is None or command[0] == "predict":
                assert not steering(ended.out + ended.error), (command, steering(ended.out + ended.error)[:3])


def _terminal() -> None:
    """In the new process: let stdout be a terminal."""
    sys.stdout.isatty = lambda: True  # type: ignore[method-assign]


@ATTACKS.row("S20", "labels and sources that a spreadsheet would run have a ' in front; --keep-formulas leaves them")
def _(place: Path) -> None:
    home = names()
    shutil.copy(home / "table.csv", place / "=1+1.csv")
    kept = []
    for options in ((), ("--keep-formulas",)):
        ended = dlzoo("predict", home / "runs/names-001", "=1+1.csv", "-o", "out.csv", *options, cwd=place)
        assert ended.code in (0, 8), ended.error
        with (place / "out.csv").open(newline="", encoding="utf-8") as file:
            cells = [cell for row in csv.reader(file) for cell in row]
        kept.append(
            [cell for cell in cells if cell.startswith(("=", "+", "-", "@", "＝", "\t", "\r")) and not _number(cell)]
        )
    assert not kept[0], kept[0][:5]
    assert kept[1], "--keep-formulas has changed nothing"
    ended = blocked(place, "predict", home / "runs/names-001", "=1+1.csv", "--keep-formulas", codes=(2,))


def _number(text: str) -> bool:
    try:
        return float(text) == float(text)
    except ValueError:
        return False


@ATTACKS.row(
    "S21", "newlines in names make no lines of their own in a log; what is written as JSON is JSON, without NaN"
)
def _(place: Path) -> None:
    run = names() / "runs/names-001"
    for file in (*run.rglob("*.jsonl"), *run.rglob("*.json")):
        lines = file.read_text().splitlines() if file.suffix == ".jsonl" else [file.read_text()]
        for line in lines:
            json.loads(line, parse_constant=_refuse)
    (place / "a\nerror: b.csv").write_text("x\n1\n")
    ended = dlzoo("predict", run, "a\nerror: b.csv", cwd=place)
    assert ended.error.count("\nerror:") == 0 and ended.code == 3, ended.error
    assert len(ended.out.splitlines()) == 1, ended.out


def _refuse(constant: str) -> None:
    raise AssertionError(f"{constant} is no JSON")
