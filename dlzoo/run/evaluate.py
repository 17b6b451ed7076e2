"""`dlzoo evaluate RUN`: the scores of a split, with 95 % intervals and the trivial baseline beside them."""

import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import IO, Any

from torch import nn

from dlzoo import files, jsontext
from dlzoo.config import Component, Config
from dlzoo.data.dataset import Dataset, Pieces, Subset
from dlzoo.engine.loader import SORTED, batches, by_length
from dlzoo.engine.loop import Scores, Sink
from dlzoo.engine.loop import evaluate as run_through
from dlzoo.engine.record import Record, finite
from dlzoo.engine.runtime import Runtime
from dlzoo.errors import BelowBar, DataError, UserError, choose, printable
from dlzoo.metrics.metric import Answer
from dlzoo.registry import DATASETS
from dlzoo.run import portable, report
from dlzoo.run.agreement import changed
from dlzoo.run.answers import plain, write_json
from dlzoo.run.build import build_dataset, build_splits
from dlzoo.run.folder import closed
from dlzoo.run.predict import convert
from dlzoo.run.resolve import workers
from dlzoo.run.scores import number, show
from dlzoo.task import Batch, Task


def score(
    network: nn.Module,
    task: Task,
    pieces: Pieces,
    runtime: Runtime,
    batch_size: int,
    write: Path | None = None,
    workers: int = 0,
    options: dict[str, Any] | None = None,
) -> Scores:
    """Score every piece once: metrics, intervals, baseline; memory does not grow with their number.

    write: a file for every answer with its source and the truth, as JSON lines. workers: processes that encode.
    options: of the task's `answer`, which is then what is scored.
    """
    if not len(pieces):
        raise DataError("there is nothing to score in this split")
    found = batches(task, pieces, batch_size, workers)
    return _scored(network, task, found, pieces.source, runtime, write, options)


def _scored(
    network: nn.Module,
    task: Task,
    found: Iterable[Batch],
    source: Callable[[int], str],
    runtime: Runtime,
    write: Path | None,
    options: dict[str, Any] | None,
) -> Scores:
    def through(sink: Sink | None = None) -> Scores:
        return run_through(network, task, found, runtime, detail=True, keep=task.kept, sink=sink, options=options)

    if write is None:
        return through()
    write.parent.mkdir(parents=True, exist_ok=True)
    result: list[Scores] = []

    def fill(part: Path) -> None:
        with part.open("w", encoding="utf-8") as file:
            result.append(through(_sink(file, source)))

    files.write(write, fill)
    return result[0]


def _sink(file: IO[str], source: Callable[[int], str]) -> Sink:
    held: dict[int, Any] = {}  # batches of similar lengths are not quite in order
    place = 0

    def write(batch: Batch, answers: list[Answer], truths: list[Answer]) -> None:
        nonlocal place
        for i, answer, truth in zip(batch.indices, answers, truths, strict=True):
            held[i] = finite({"source": source(i), **plain(answer), "truth": _bare(truth)})
        while place in held:
            write_json(file, [held.pop(place)])
            place += 1

    return write


def _bare(truth: Answer) -> Answer:
    """A truth without the parts that say nothing, scores of 0 and 1, or that only figures read."""
    return {key: value for key, value in plain(truth).items() if key not in ("score", "scores", "past")}


@dataclass
class Streamed:
    """Batches of a dataset's samples in order, without an index of them; the sources of the latest are at hand."""

    task: Task
    dataset: Dataset
    batch_size: int
    start: int = 0
    sources: list[str] = field(default_factory=list)

    def __iter__(self) -> Iterator[Batch]:
        samples = self.dataset.stream()
        many = self.batch_size * SORTED if self.task.ragged else self.batch_size
        while group := list(islice(samples, many)):
            self.start += len(self.sources)
            self.sources = [str(sample["source"]) for sample in group]
            indices = list(range(self.start, self.start + len(group)))
            yield from by_length(self.task, self.task.encode_many(group), indices, self.batch_size)

    def source(self, index: int) -> str:
        """Where sample `index`, one of the latest batch, is from."""
        return self.sources[index - self.start]


def evaluate(
    run: str | Path,
    *,
    data: Path | None = None,
    split: str = "test",
    minimum: dict[str, float] | None = None,
    maximum: dict[str, float] | None = None,
    output: Path | None = None,
    options: Mapping[str, str | list[str]] | None = None,
    device: str = "auto",
    batch_size: int | None = None,
    imports: list[Path] | None = None,
    json: bool = False,
) -> dict[str, Any]:
    """Score a run's model on a split of its data, or on all of the data at `data`, and print the scores.

    options: of `dlzoo predict` with this run, as typed: the answers that it would give with them are scored.

    Writes metrics.json, predictions.jsonl and figures to `output`, or to evaluate/SPLIT in the run (evaluate/DATA for
    other data; figures of the test split into figures/; nothing for a model folder alone). Raises BelowBar for a metric
    below `minimum` or above `maximum`.
    """
    model = portable.load(run, device=device, imports=imports or [])
    if model.run and not output:
        closed(model.run)
    task, config = model.task, model.config
    asked = _scorable(task, options or {})
    size = batch_size or config.evaluate.batch_size or config.train.batch_size
    name = _folder_name(data) if data else split
    folder = output or (model.run / "evaluate" / name if model.run else None)
    write = folder / "predictions.jsonl" if folder else None
    dataset = build_dataset(replace(config, data=_elsewhere(config.data, data)) if data else config)
    task.ready(dataset)
    if not data and changed(model.meta, dataset):
        why = "samples that were trained on may be among those that are scored"
        print(f"warning: the data is not what this model was trained with; {why}", file=sys.stderr)
    if data and dataset.along is None and type(task).pieces is Task.pieces and not task.stochastic:
        streamed = Streamed(task, dataset, size)
        scores = _scored(model.network, task, streamed, streamed.source, model.runtime, write, asked)
        if dataset.skipped is not None:
            dataset.skipped.check(scores.count + dataset.skipped.count)
    else:
        subset = _whole(dataset) if data else _split(dataset, task, config, split)
        pieces = task.pieces(subset, "test" if data else split)
        scores = score(model.network, task, pieces, model.runtime, size, write, workers(task, subset), asked)
    result = summary(task, scores, run=str(run), split=name, **({"options": asked} if asked else {}))
    if dataset.skipped is not None and dataset.skipped.count:
        print(f"warning: {printable(str(dataset.skipped))}", file=sys.stderr)
        result["skipped"] = dataset.skipped.to_dict()
    if folder:
        files.write_json(folder / "metrics.json", result)
        tested = model.run is not None and not data and not output and split == "test"
        report.scored(model.run / "figures" if model.run and tested else folder, task, scores)
        result["folder"] = str(folder)
    if json:
        jsontext.show(result)
    else:
        show(result)
    hold(scores.metrics, minimum or {}, maximum or {})
    return result


def summary(task: Task, scores: Scores, **facts: Any) -> dict[str, Any]:
    """Scores as one JSON-able object; a number that is undefined is null."""
    intervals = {name: list(pair) for name, pair in scores.intervals.items()}
    baseline = {"name": task.baseline, **scores.baseline} if task.baseline else {}
    signatures = {name: how for metric in scores.states for name, how in metric.signatures.items()}
    facts |= {"samples": scores.count, "metrics": scores.metrics, "intervals": intervals, "baseline": baseline}
    return finite(facts | ({"signatures": signatures} if signatures else {}))


def hold(metrics: dict[str, float], minimum: dict[str, float], maximum: dict[str, float]) -> None:
    """Raises BelowBar where a metric misses its bar (an undefined one does), UserError for one that is not there."""
    missed = []
    for bars, side in ((minimum, "below"), (maximum, "above")):
        for name, bar in bars.items():
            if name not in metrics:
                raise UserError(choose(name, metrics, "metric"))
            value = metrics[name]
            if not (value >= bar if side == "below" else value <= bar):
                missed.append(
                    f"{name} {number(finite(value))} is {side} {bar:g}" if value == value else f"{name} is undefined"
                )
    if missed:
        raise BelowBar("; ".join(missed))


def _scorable(task: Task, options: Mapping[str, str | list[str]]) -> dict[str, Any]:
    """Options of `answer` as values. Raises UserError for one that changes no answer."""
    found = convert(task, options)
    if shown := sorted(found.keys() & set(task.shown)):
        raise UserError(f"--{shown[0].replace('_', '-')} changes what is drawn, not what is answered: it is of predict")
    return found


def _elsewhere(data: Component, path: Path) -> Component:
    """The same kind of data, read from `path` alone."""
    if not any(parameter.name == "path" for parameter in DATASETS.entry(data.name).parameters):
        raise UserError(f"--data: this run was trained on '{data.name}', which is not read from a path of yours")
    apart: dict[str, Any] = {key: None for key in ("validation_path", "test_path", "target_path") if key in data.args}
    return replace(data, args={**data.args, **apart, "path": str(path)})


def _whole(dataset: Dataset) -> Subset:
    if dataset.skipped is not None:
        dataset.skipped.find(dataset, Record(None).reading("data"))
    spans = [(0, length) for length in dataset.lengths()] if dataset.along else None
    return Subset(dataset, dataset.readable(range(len(dataset))), spans)


def _split(dataset: Dataset, task: Task, config: Config, split: str) -> Subset:
    found = build_splits(dataset, task, config.split, Record(None).reading("data"))
    if split not in found:
        raise DataError(choose(split, found, "split"))
    return found[split]


def _folder_name(data: Path) -> str:
    name = re.sub(r"[^A-Za-z0-9._-]+", "_", data.resolve().stem).strip(".")[:100]
    return f"data_{name}" if name in ("", "train", "validation", "test") else name
