"""`dlzoo predict RUN INPUT...`: one answer for each sample, in order, in memory that does not grow with their number."""

import inspect
import json as json_
import re
import sys
import typing
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from torch import nn

from dlzoo.engine.runtime import Runtime
from dlzoo.errors import DataError, UserError, choose, printable
from dlzoo.metrics.metric import Answer
from dlzoo.registry import TASKS
from dlzoo.run import answers as writers
from dlzoo.run import portable
from dlzoo.run.inputs import Input, Skipped, expand
from dlzoo.task import Example, Task, columns

BATCH_SIZE = 64


@dataclass
class Tally:
    """How many inputs were answered, how many failed, and the first failure."""

    answered: int = 0
    failed: int = 0
    first: str = ""

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
    hints = typing.get_type_hints(task.answer)
    parameters = list(inspect.signature(task.answer).parameters.values())
    return {p.name: p.replace(annotation=hints.get(p.name, str)) for p in parameters if p.default is not p.empty}


def convert(task: Task | type[Task], options: dict[str, str]) -> dict[str, Any]:
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
        none = type(None) in typing.get_args(kind) and text.lower() in ("none", "null")
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


def samples(task: Task, inputs: Iterable[Input | None]) -> Iterator[tuple[str, Example | DataError] | None]:
    """Every sample of the inputs, encoded, with its source; a bad one as its error; None where the inputs pause."""
    for item in inputs:
        if item is None:
            yield None
            continue
        name = item.name or str(item.content)
        if isinstance(item.content, DataError):
            yield name, item.content
            continue
        try:
            for sample in task.read(item.content):
                yield _encoded(task, sample, name, item.name)
        except DataError as error:
            yield name, error
        except OSError as error:
            yield name, DataError(f"cannot read {printable(name)}: {error.strerror or error}")


def _encoded(task: Task, sample: Any, name: str, given: str | None) -> tuple[str, Example | DataError]:
    if isinstance(sample, DataError):
        return given or _place(str(sample), name), sample
    source = given or str(sample.get("source", name))
    try:
        return source, task.encode(sample)
    except DataError as error:
        return source, error


def _place(message: str, name: str) -> str:
    """`rows.csv:17`, where a message about a row of rows.csv begins with that."""
    found = re.match(re.escape(name) + r":\d+", message)
    return found.group() if found else name


@torch.inference_mode()
def answer(
    network: nn.Module,
    task: Task,
    items: Iterable[tuple[str, Example | DataError] | None],
    runtime: Runtime,
    batch_size: int = BATCH_SIZE,
    options: dict[str, Any] | None = None,
) -> Iterator[Answer]:
    """One answer for each item, in order: {"source", ...}, or {"source", "error"} for a bad one."""
    network.eval()
    waiting: list[tuple[str, Example | DataError]] = []
    for item in items:
        if item is not None:
            waiting.append(item)
        if waiting and (item is None or len(waiting) == batch_size):
            yield from _batch(network, task, waiting, runtime, options or {})
            waiting.clear()
    if waiting:
        yield from _batch(network, task, waiting, runtime, options or {})


def _batch(
    network: nn.Module,
    task: Task,
    items: list[tuple[str, Example | DataError]],
    runtime: Runtime,
    options: dict[str, Any],
) -> Iterator[Answer]:
    examples = [example for _, example in items if not isinstance(example, DataError)]
    found: Iterator[Answer] = iter(())
    if examples:
        batch = task.collate(columns(examples, task.ragged)).to(runtime.device)
        with runtime.autocast():
            found = iter(task.answer(network, batch, **options))
    for source, example in items:
        if isinstance(example, DataError):
            yield {"source": source, "error": str(example)}
        elif writers.finite(answer := next(found)):
            yield {"source": source, **answer}
        else:
            yield {
                "source": source,
                "error": "the answer is not a finite number; is a value in this input far out of range?",
            }


def predict(
    run: str | Path,
    inputs: list[str],
    *,
    output: Path | None = None,
    options: dict[str, str] | None = None,
    device: str = "auto",
    batch_size: int | None = None,
    imports: list[Path] | None = None,
    json: bool = False,
) -> int:
    """Answer every input with a run's model: to `output` (.csv, .jsonl or a folder), else to stdout.

    Returns 0; 8 where some inputs failed; 3 where none could be answered. Raises UserError for what concerns the whole call.
    """
    if output is not None:
        output, _ = Path(output), writers.destination(Path(output))
        _refuse_overwriting(output, inputs)
    model = portable.load(run, device=device, imports=imports or [])
    task, network = model.task, model.network
    arguments = convert(task, options or {})
    skipped, tally = Skipped(), Tally()
    target = writers.destination(output)[0] if output else None
    items = samples(task, expand(inputs, task.needs, skipped, target))
    found = tally.count(answer(network, task, items, model.runtime, batch_size or BATCH_SIZE, arguments))
    if output is not None:
        path = writers.save(output, _progress(found))
        if json:
            print(json_.dumps({"output": str(path), "answered": tally.answered, "failed": tally.failed}))
        else:
            print(f"{tally.answered:,} answers in {printable(str(path))}")
    else:
        writers.show(found, json or not sys.stdout.isatty())
    _summary(tally, skipped)
    return tally.code


def _refuse_overwriting(output: Path, inputs: list[str]) -> None:
    target = writers.destination(output)[0].resolve()
    for name in inputs:
        if name != "-" and Path(name).is_file() and Path(name).resolve() == target:
            raise UserError(f"-o {printable(str(output))} is also an input; choose another name")


def _progress(found: Iterable[Answer]) -> Iterable[Answer]:
    from tqdm import tqdm

    return tqdm(found, unit=" answers", disable=None, leave=False)


def _summary(tally: Tally, skipped: Skipped) -> None:
    if str(skipped):
        print(f"passed over in folders: {skipped}", file=sys.stderr)
    if tally.failed:
        total = tally.answered + tally.failed
        print(
            f"error: {tally.failed:,} of {total:,} inputs could not be answered; the first: {tally.first}",
            file=sys.stderr,
        )
