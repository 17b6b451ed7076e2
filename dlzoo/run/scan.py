"""`dlzoo check --data`: all of the data read once, in flat memory: what cannot be, and what no score should rest on."""

from __future__ import annotations

import sys
from array import array
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from itertools import combinations
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor

from dlzoo.data.dataset import Pieces, Sample, Subset
from dlzoo.engine import encoded
from dlzoo.errors import DataError, first_few, printable
from dlzoo.run import leaks
from dlzoo.task import Task
from dlzoo.transforms.video import Video

if TYPE_CHECKING:
    from dlzoo.run.built import Built

MOST = 20
"""Bad samples that are named; all are counted."""
PAIRS = 5
"""Samples in two splits that are named."""
UNEVEN = 10
"""From so many samples of one class for one of another on, that is said."""
ANSWERS = {"label", "labels", "values", "boxes", "mask", "tags"}
"""Keys of what is asked of a picture or a text, not of what it holds."""
Size = tuple[int, ...]
UNITS = {"image": "pixels", "text": "characters", "words": "words", "boxes": "a picture", "video": "frames"}
"""What the samples are measured in, by key; else steps."""


@dataclass
class Look:
    """What was seen of one split."""

    samples: int = 0
    bad: int = 0
    errors: list[str] = field(default_factory=list)
    sums: array[int] = field(default_factory=lambda: array("Q"))
    """A hash of each sample's content; 0 where it cannot be read, or is a part of what goes on."""
    sizes: dict[str, Counter[Size]] = field(default_factory=dict)

    def refuse(self, error: DataError) -> None:
        self.bad += 1
        self.errors += [str(error)] if len(self.errors) < MOST else []

    def measure(self, key: str, size: Size) -> None:
        self.sizes.setdefault(key, Counter())[size] += 1


def scan(built: Built) -> dict[str, Any]:
    """Every sample of every split, decoded and encoded: what was found, as one JSON-able object.

    `errors` are the first of the `bad` samples; `warnings` are sentences.
    """
    pieces, built.dataset.least = built.pieces, None  # pictures are looked at as they are in their files
    looks = {name: _look(built.task, name, split, pieces[name]) for name, split in built.splits.items()}
    built.task.ready(built.dataset)
    skipped = built.dataset.skipped
    rows = Look()  # of files, that never became samples of a split
    if skipped and built.config.split.on_error == "error":
        rows = Look(skipped.rows, skipped.rows, skipped.first)
    every = [rows, *looks.values()]
    classes = _classes(built)
    twice = _duplicates(built.splits, looks)
    table, warnings = leaks.examine(built)
    return {
        "samples": sum(look.samples for look in every),
        "bad": sum(look.bad for look in every),
        "errors": [error for look in every for error in look.errors][:MOST],
        "skipped": skipped.to_dict() if skipped and not rows.bad and skipped.count else None,
        "sizes": _sizes(every),
        "classes": classes,
        "duplicates": twice,
        "columns": table,
        "warnings": [*_absent(classes), *_uneven(classes), *_repeated(twice), *warnings],
    }


def _look(task: Task, name: str, split: Subset, pieces: Pieces) -> Look:
    """Read one split: its samples, and the windows that they are cut into, if they are."""
    from tqdm import tqdm

    found = Look()
    whole = isinstance(pieces, Subset)
    many = encoded.CHUNK if type(task).encode_many is not Task.encode_many else 1
    with tqdm(total=len(pieces), desc=f"reading {name}", file=sys.stderr, disable=None, leave=False) as bar:
        for indices in _chunks(len(split), many):
            good = {i: sample for i in indices if (sample := _sample(found, split, i)) is not None}
            if whole:
                _encode(found, task, pieces, list(good), list(good.values()))
                bar.update(len(indices))
        for indices in () if whole else _chunks(len(pieces), encoded.CHUNK):
            _encode(found, task, pieces, indices, None)
            bar.update(len(indices))
    return found


def _chunks(count: int, size: int) -> Iterator[range]:
    return (range(start, min(start + size, count)) for start in range(0, count, size))


def _sample(found: Look, split: Subset, index: int) -> Sample | None:
    """A sample, measured; None where it cannot be read."""
    try:
        sample = split[index]
    except DataError as error:
        found.refuse(error)
        found.samples += 1  # not counted when it is encoded
        found.sums.append(0)
        return None
    found.sums.append(0 if split.spans else content(sample))
    for key, value in sample.items():
        if split.spans and key in ("text", "series"):
            start, stop = split.spans[index]
            found.measure(key, (stop - start,))
        elif isinstance(value, Tensor) and value.ndim == 3:
            found.measure(key, tuple(value.shape[:0:-1]))
        elif isinstance(value, Video):
            found.measure(key, (len(value.times),))
        elif key in ("text", "words") or isinstance(value, Tensor):
            found.measure(key, (len(value),))
    return sample


def content(sample: Sample) -> int:
    """A hash (64 bits) of what a sample holds: of a row all of it, of a picture or a text all but its answer.

    Of a video it is that of three frames.
    """
    digest = blake2b(digest_size=8)
    for key in sorted(sample.keys() - (set() if "row" in sample else ANSWERS)):
        value = sample[key]
        if isinstance(value, Video):
            value = value.frames([0, value.duration / 2, value.duration])
        if isinstance(value, Tensor):
            digest.update(f"{key} {tuple(value.shape)}".encode())
            digest.update(value.contiguous().numpy().data)
        else:
            digest.update(f"{key} {value!r}".encode("utf-8", "replace"))
    return int.from_bytes(digest.digest())


def _encode(found: Look, task: Task, pieces: Any, indices: Sequence[int], samples: list[Sample] | None) -> None:
    """Encode pieces, together if that works: those of a split whose `samples` are at hand, or windows."""
    found.samples += len(indices)
    try:
        if samples:
            task.encode_many(samples)
        elif samples is None:
            pieces.gather(indices) if hasattr(pieces, "gather") else encoded.encode_many(task, pieces, indices)
    except DataError:
        for index in indices:
            try:
                encoded.encode(task, pieces, index)
            except DataError as error:
                found.refuse(error)


def _sizes(looks: list[Look]) -> dict[str, Any]:
    """Smallest, median and largest of the samples, by key."""
    total: dict[str, Counter[Size]] = {}
    for look in looks:
        for key, sizes in look.sizes.items():
            total.setdefault(key, Counter()).update(sizes)
    return {key: _spread(sizes) | {"unit": UNITS.get(key, "steps")} for key, sizes in total.items()}


def _spread(sizes: Counter[Size]) -> dict[str, Any]:
    ordered = sorted(sizes, key=lambda size: (prod(size), size))
    seen, half = 0, sizes.total() / 2
    middle = next(size for size in ordered if (seen := seen + sizes[size]) >= half)
    return {"smallest": list(ordered[0]), "median": list(middle), "largest": list(ordered[-1])}


def _classes(built: Built) -> dict[str, dict[str, int]]:
    """How many samples each class has in each split, where the task has classes that all splits share."""
    if "label" not in built.task.needs or built.task.strangers:
        return {}
    return {
        name: dict(sorted(Counter(map(str, split.column("label"))).items())) for name, split in built.splits.items()
    }


def _absent(classes: dict[str, dict[str, int]]) -> Iterator[str]:
    for name, counts in classes.items():
        missing = [f"'{label}'" for label in classes["train"] if label not in counts]
        if missing:
            yield f"{len(missing):,} classes of train have no sample in {name}, and so no score: {first_few(missing)}"


def _uneven(classes: dict[str, dict[str, int]]) -> Iterator[str]:
    if not classes:
        return
    counts = classes["train"]
    least, most = min(counts, key=counts.__getitem__), max(counts, key=counts.__getitem__)
    if counts[most] >= UNEVEN * counts[least]:
        times = counts[most] / counts[least]
        yield (
            f"class '{printable(most)}' has {counts[most]:,} samples in train, '{printable(least)}' {counts[least]:,}: "
            f"{times:.0f} times as many; look at macro_f1, not at accuracy alone"
        )


def _duplicates(splits: dict[str, Subset], looks: dict[str, Look]) -> list[dict[str, Any]]:
    """Samples of one content in two splits: how many, and the first pairs."""
    found = []
    for one, other in combinations(looks, 2):
        ours, theirs = (np.array(looks[name].sums, np.uint64) for name in (one, other))
        again = np.flatnonzero(np.isin(theirs, ours) & (theirs != 0)).tolist()
        first = [(np.flatnonzero(ours == theirs[i])[0].item(), i) for i in again[:PAIRS]]
        pairs = [[splits[one].source(i), splits[other].source(k)] for i, k in first]
        if again:
            found.append({"splits": [one, other], "count": len(again), "of": len(theirs), "pairs": pairs})
    return found


def _repeated(twice: list[dict[str, Any]]) -> Iterator[str]:
    for found in twice:
        (one, other), pairs = found["splits"], [" = ".join(pair) for pair in found["pairs"]]
        yield (
            f"duplicates: {found['count']:,} of {found['of']:,} samples of {other} are also in {one}: "
            f"{first_few(pairs, found['count'])}"
        )


def show(read: dict[str, Any]) -> None:
    """Print what `scan` found."""
    print(f"read    {read['samples']:,} samples, {read['bad']:,} bad")
    for error in read["errors"]:
        print(f"        {printable(error)}")
    if read["bad"] > len(read["errors"]):
        print(f"        ... and {read['bad'] - len(read['errors']):,} more")
    for key, sizes in read["sizes"].items():
        spread = [" x ".join(map(str, sizes[name])) for name in ("smallest", "median", "largest")]
        words = f"all {spread[0]}" if len({*spread}) == 1 else f"{spread[0]} to {spread[2]}, median {spread[1]}"
        print(f"{key:8}{words} {sizes['unit']}")
    if counts := read["classes"].get("train"):
        most = sorted(counts.items(), key=lambda item: -item[1])
        named = ", ".join(f"{printable(label)} {count:,}" for label, count in most[:10])
        print(f"classes {len(counts):,} in train: {named}" + (", ..." if len(most) > 10 else ""))
    for warning in read["warnings"]:
        print(f"warning {printable(warning)}")
