"""Options that several commands share, and what typer does not parse: bars, and the options of a run's task."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from dlzoo.errors import UserError, printable

ConfigOption = Annotated[Path | None, typer.Option("--config", "-c", help="The YAML file of the run.", metavar="FILE")]
Sets = Annotated[
    list[str] | None,
    typer.Option("--set", "-s", help="Change one key: --set optimizer.lr=3e-4. Repeatable.", metavar="KEY=VALUE"),
]
Imports = Annotated[
    list[Path] | None,
    typer.Option("--import", help="A file of yours that registers a model, dataset or task.", metavar="FILE"),
]
Device = Annotated[Literal["auto", "cpu", "cuda"] | None, typer.Option(help="Where to compute.")]
Json = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")]
JsonLines = Annotated[bool, typer.Option("--json", help="One JSON object a line on stdout; with -o one in all.")]
KeepFormulas = Annotated[
    bool, typer.Option("--keep-formulas", help="In a .csv, put no ' in front of what a spreadsheet would run.")
]
RunArgument = Annotated[
    str, typer.Argument(help="A run: folder, name, unique start of a name, or `last`; DIR/last in DIR.", metavar="RUN")
]
BatchSize = Annotated[int | None, typer.Option(min=1, help="Samples at a time.")]
KindArgument = Literal["tasks", "models", "datasets", "configs", "optimizers", "schedules"]


def bars(option: str, texts: list[str] | None) -> dict[str, float]:
    """`METRIC=NUMBER` texts as numbers by name. Raises UserError for one that is not of that form."""
    found: dict[str, float] = {}
    for text in texts or []:
        name, _, value = text.rpartition("=")  # a class may be called a=b
        try:
            found[name] = float(value)
        except ValueError:
            raise UserError(f"{option} {printable(text)}: write it as {option} METRIC=NUMBER") from None
    return found


def words_and_options(words: list[str]) -> tuple[list[str], dict[str, str | list[str]]]:
    """Words apart from `--key value` and `--key=value`, which are options of the run's task: one given several times
    has a list of values.

    Raises UserError for an option without a value.
    """
    plain: list[str] = []
    options: dict[str, str | list[str]] = {}
    rest = iter(words)
    for word in rest:
        if not word.startswith("--") or word == "--":
            plain.append(word)
            continue
        key, equals, value = word[2:].partition("=")
        following = value if equals else next(rest, None)
        if following is None or (following.startswith("--") and not equals):
            raise UserError(f"--{printable(key)} needs a value: --{printable(key)}=VALUE")
        if key in options:
            before = options[key]
            options[key] = [*([before] if isinstance(before, str) else before), following]
        else:
            options[key] = following
    return plain, options
