"""Bad data, rows B01 to B60: what is wrong is said with its place, or mended by a rule that is written down."""

from __future__ import annotations

import json
from pathlib import Path

from made import picture, write

from reliability.command import Ended, dlzoo
from reliability.table import Table

DATA = Table("data", "reported", "file, row and value named in 6 lines, exit code, no traceback, nothing half done")

SMALL = "train: {steps: 2, batch_size: 16, threads: 1}\n"
IMAGES = (
    "task: {name: image_classification, size: 8}\ndata: {name: image_folder, path: data}\nmodel: {name: mlp, dim: 8}\n"
)
LISTED = IMAGES.replace("path: data", "path: data, csv: list.csv")
PRICES = "task: tabular_regression\ndata: {name: table, path: data.csv, target: price}\nmodel: {name: mlp, dim: 8}\n"
KINDS = PRICES.replace("regression", "classification").replace("price", "kind")
MAILS = "task: text_classification\ndata: {name: texts, path: data.csv}\nmodel: {name: gru, dim: 8}\n"
NOVEL = (
    "task: {name: language_modeling, context: 8}\n"
    "data: {name: texts, path: data.txt, unit: document}\nmodel: {name: gru, dim: 8}\n"
)
DAYS = (
    "task: {name: forecasting, context: 6, horizon: 2}\n"
    "data: {name: series, path: data.csv, time: day, targets: [sold]}\nmodel: {name: gru, dim: 8}\n"
)


def table(header: str, rows: list[str], **changes: str | None) -> str:
    """A file of rows; `_9="..."` is line 9 instead (the header is line 1), None takes it out."""
    lines = dict(enumerate([header, *rows], 1)) | {int(key[1:]): line for key, line in changes.items()}
    return "".join(f"{line}\n" for line in lines.values() if line is not None)


def prices(**changes: str | None) -> str:
    """40 rows: a number, a category, and a target that is a number."""
    return table("size,zone,price", [f"{i % 7},{'uvw'[i % 3]},{i / 3:.3f}" for i in range(40)], **changes)


def kinds(**changes: str | None) -> str:
    """40 rows: a number, a category, and a target of two classes."""
    rows = [f"{i % 7}.{i},{'uvw'[i % 3]},{'yes' if i % 7 > 3 else 'no'}" for i in range(40)]
    return table("size,zone,kind", rows, **changes)


def mails(**changes: str | None) -> str:
    """40 short texts of two classes."""
    rows = [f"mail {'win' if i % 2 else 'see you'} {i},{'spam' if i % 2 else 'ham'}" for i in range(40)]
    return table("text,label", rows, **changes)


def days(**changes: str | None) -> str:
    """One series of 40 days."""
    return table("day,sold", [f"2024-{1 + i // 28:02d}-{1 + i % 28:02d},{i % 5}" for i in range(40)], **changes)


def pictures(place: Path, classes: str = "ab", count: int = 24, size: tuple[int, int] = (8, 8)) -> Path:
    """data/CLASS/I.png, grey, each of another brightness."""
    for i in range(count):
        picture(place / "data" / classes[i % len(classes)] / f"{i}.png", i * 10, size)
    return place / "data"


def train(place: Path, config: str, *arguments: object, plan: str = SMALL, **files: str | bytes) -> Ended:
    """`dlzoo train` on a config and files (`data_csv="..."` is data.csv)."""
    for name, content in files.items():
        write(place / name.replace("_", "."), content)
    write(place / "c.yaml", config if "train:" in config else config + plan)
    return dlzoo("train", "--config", "c.yaml", *arguments, cwd=place, arm=without_figures)


def without_figures() -> None:
    """In the new process: what is drawn takes longer than all else, and is not what these rows are about."""
    from dlzoo.run import report

    report.scored = report.curves = lambda *_: None  # type: ignore[assignment]


def refused(ended: Ended, *words: str, code: int = 3) -> None:
    """That it ended with an error that has these words, before anything was trained."""
    assert ended.code == code, f"exit {ended.code}, not {code}: {ended.error}"
    assert "Traceback" not in ended.error, ended.error
    assert ended.said.startswith("error: ") and len(ended.said.splitlines()) <= 6, ended.error
    missing = [word for word in words if word not in ended.said]
    assert not missing, f"{missing} are not in: {ended.said}"
    assert not ended.out and "step" not in ended.error.replace(ended.said, ""), ended.error


def accepted(ended: Ended, *words: str) -> None:
    """That it ended well, and said these words."""
    assert ended.code == 0, f"exit {ended.code}: {ended.error}"
    missing = [word for word in words if word not in ended.error]
    assert not missing, f"{missing} are not in: {ended.error}"


def facts(place: Path, name: str = "run.json") -> dict:
    """A JSON file of the one run there is."""
    (path,) = place.glob(f"runs/*/{name}")
    return json.loads(path.read_text())
