"""`dlzoo predict RUN INPUT...`: one answer for each sample, in order, in memory that never grows."""

import inspect
import os
import sys
import typing
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any, cast

import torch
from torch import nn

from dlzoo import jsontext
from dlzoo.engine.loader import SORTED, by_length
from dlzoo.engine.runtime import Runtime
from dlzoo.errors import DataError, UserError, choose, printable
from dlzoo.metrics.metric import Answer
from dlzoo.registry import TASKS
from dlzoo.run import answers as writers
from dlzoo.run import portable
from dlzoo.run.drawings import drawn
from dlzoo.run.inputs import Skipped, expand
from dlzoo.run.items import Item, encodes_many, joined, samples
from dlzoo.run.streaming import Streaming, said
from dlzoo.task import Task

BATCH_SIZE, ROWS = 64, 1024
"""Samples that are answered at a time; of those that are encoded many at once."""


@dataclass
class Tally:
    """How many inputs were answered, how many failed, and the first failure."""

    answered: int = 0
    failed: int = 0
    first: str = ""
    unknown: Counter[str] = field(default_factory=Counter)
    """Values that training did not see, by their column."""

    def count(self, answers: Iterable[Answer]) -> Iterator[Answer]:
        """The same answers, counted as they pass."""
        for answer in answers:
            if "error" in answer:
                self.failed += 1
                self.first = self.first or answer["error"]
            else:
                self.answered += 1
            yield answer
        if not self.answered and not self.failed:
            raise DataError("there is nothing to predict in what was named")

    @property
    def code(self) -> int:
        """0 all answered, 8 some failed, 3 none answered."""
        return 0 if not self.failed else 8 if self.answered else 3


def options_of(task: Task | type[Task]) -> dict[str, inspect.Parameter]:
    """The keyword arguments of the task's `answer`: what `dlzoo predict` takes besides its own options."""
    hints = typing.get_type_hints(task.answer, include_extras=True)
    parameters = list(inspect.signature(task.answer).parameters.values())
    return {p.name: p.replace(annotation=hints.get(p.name, str)) for p in parameters if p.default is not p.empty}


def convert(task: Task | type[Task], options: Mapping[str, str | list[str]]) -> dict[str, Any]:
    """Options as typed by a user, converted to the types of `answer`'s signature.

    Raises UserError that names every unknown or unreadable option.
    """
    from pydantic import TypeAdapter, ValidationError

    known = {name.replace("_", "-"): parameter for name, parameter in options_of(task).items()}
    values: dict[str, Any] = {}
    problems: list[str] = []
    for name, text in options.items():
        name = name.lstrip("-").replace("_", "-")
        if name not in known:
            hint = choose(f"--{name}", [f"--{option}" for option in known], "option") if known else ""
            problems.append(hint or f"this task's predict takes no options; --{printable(name)} is unknown")
            continue
        kind = known[name].annotation
        optional = type(None) in typing.get_args(kind)
        none = optional and isinstance(text, str) and text.lower() in ("none", "null")
        several = list[str] in (kind, *typing.get_args(kind))
        if isinstance(text, list) and not several:
            problems.append(f"--{name} is given {len(text)} times; give it once")
            continue
        text = [text] if several and isinstance(text, str) else text
        try:
            values[known[name].name] = None if none else TypeAdapter(kind).validate_python(text)
        except ValidationError as error:
            problems.append(f"--{name} {printable(str(text))}: {error.errors()[0]['msg'].lower()}")
    if problems:
        raise UserError("\n".join(problems))
    return values


def load_task(run: str | Path, imports: list[Path]) -> type[Task]:
    """The class of a run's task, for its options; the network is not built."""
    return cast(type[Task], TASKS[portable.read(run, imports).config.task.name])


@torch.inference_mode()
def answer(
    network: nn.Module,
    task: Task,
    items: Iterable[Item | None],
    runtime: Runtime,
    batch_size: int = BATCH_SIZE,
    options: dict[str, Any] | None = None,
    unknown: Counter[str] | None = None,
) -> Iterator[Answer]:
    """One answer for each item, in order: {"source", ...}, or {"source", "error"} for a bad one.

    unknown: counts the values that training did not see, by their column.
    """
    network.eval()
    unknown = Counter() if unknown is None else unknown
    many = batch_size * SORTED if task.ragged and not (task.generates or task.writes) else batch_size
    waiting: list[Item] = []
    for item in chain(items, [None]):
        if item is not None:
            waiting.append(item)
        if waiting and (item is None or len(waiting) == many):
            yield from _answers(network, task, waiting, runtime, batch_size, options or {}, unknown)
            waiting.clear()


def _answers(
    network: nn.Module,
    task: Task,
    items: list[Item],
    runtime: Runtime,
    batch_size: int,
    options: dict[str, Any],
    unknown: Counter[str],
) -> Iterator[Answer]:
    encoded, items = joined(task, items)
    good = [i for i, (_, content) in enumerate(items) if not isinstance(content, DataError)]
    answers: dict[int, Answer] = {}
    if encoded:
        unknown.update(task.unknown(encoded))
        for batch in by_length(task, encoded, good, batch_size):
            with runtime.autocast():
                found = task.answer(network, batch.to(runtime.device), **options)
            answers.update(zip(batch.indices, found, strict=True))
    for i, (source, content) in enumerate(items):
        if isinstance(content, DataError):
            yield {"source": source, "error": str(content)}
        elif writers.finite(answer := answers[i]):
            yield {"source": source, **answer}
        else:
            yield {"source": source, "error": "the answer is no finite number; is a value of this input out of range?"}


def predict(
    run: str | Path,
    inputs: list[str],
    *,
    output: Path | None = None,
    options: Mapping[str, str | list[str]] | None = None,
    device: str = "auto",
    batch_size: int | None = None,
    imports: list[Path] | None = None,
    json: bool = False,
    keep_formulas: bool = False,
) -> int:
    """Answer every input with a run's model: to `output` (.csv, .jsonl or a folder), else to stdout.

    keep_formulas: in a .csv, leave cells as they are that a spreadsheet would run.
    Returns 0; 8 where some inputs failed; 3 where none could be answered. Raises UserError for a call that is wrong.
    """
    if output is not None:
        output, _ = Path(output), writers.destination(Path(output), keep_formulas)
        _refuse_overwriting(output, inputs)
    elif keep_formulas:
        raise UserError("--keep-formulas needs -o FILE.csv: nothing else has cells")
    model = portable.load(run, device=device, imports=imports or [])
    task, network = model.task, model.network
    arguments = convert(task, options or {})
    skipped, tally = Skipped(), Tally()
    target = writers.destination(output)[0] if output else None
    can_draw = type(task).draw is not Task.draw
    draws = can_draw and target is not None and target.parent == output
    if can_draw and not draws and (lost := [name for name in task.shown if arguments.get(name)]):
        raise UserError(f"--{lost[0].replace('_', '-')} draws pictures: say where they go, with -o FOLDER")
    size = batch_size or (ROWS if encodes_many(task) else BATCH_SIZE)
    items = samples(task, expand(inputs, task.needs, skipped, target))
    streams = output is None and not json and sys.stdout.isatty() and isinstance(task, Streaming) and _text(inputs)
    if streams:
        answered = said(model, items, arguments)
    else:
        answered = answer(network, task, items, model.runtime, size, arguments, tally.unknown)
    found = tally.count(answered)
    if target is not None and draws:
        found = drawn(task, found, target.parent)
    found = map(writers.plain, found)
    if output is not None:
        path = writers.save(output, _progress(found), keep_formulas)
        if json:
            print(jsontext.dumps({"output": str(path), "answered": tally.answered, "failed": tally.failed}))
        else:
            print(f"{tally.answered:,} answer{'' if tally.answered == 1 else 's'} in {printable(str(path))}")
    else:
        found = (answer for answer in found if not streams or "error" in answer)
        writers.show(found, json or not sys.stdout.isatty())
    _summary(tally, skipped)
    return tally.code


def _text(inputs: list[str]) -> bool:
    """Whether there is one input, and it is a text itself."""
    return len(inputs) == 1 and inputs[0] != "-" and not os.path.lexists(inputs[0])


def _refuse_overwriting(output: Path, inputs: list[str]) -> None:
    target = writers.destination(output)[0]
    if not target.exists():
        return
    there = os.stat(target)
    for name in inputs:
        if name != "-" and os.path.isfile(name) and os.path.samestat(os.stat(name), there):
            raise UserError(f"-o {printable(str(output))} is also an input; choose another name")


def _progress(found: Iterable[Answer]) -> Iterable[Answer]:
    from tqdm import tqdm

    return tqdm(found, unit=" answers", disable=None, leave=False)


def _summary(tally: Tally, skipped: Skipped) -> None:
    if str(skipped):
        print(f"passed over in folders: {skipped}", file=sys.stderr)
    if tally.unknown:
        counts = ", ".join(f"{count:,} in {printable(name)}" for name, count in tally.unknown.most_common(5))
        print(f"values that training did not see, answered as unknown: {counts}", file=sys.stderr)
    if tally.failed:
        total = tally.answered + tally.failed
        print(
            f"error: {tally.failed:,} of {total:,} inputs could not be answered; the first: {printable(tally.first)}",
            file=sys.stderr,
        )
