"""The samples that the inputs of `dlzoo predict` hold, each encoded, or with what is wrong with it."""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from dlzoo.data.dataset import Sample
from dlzoo.errors import DataError, printable
from dlzoo.run.inputs import Input
from dlzoo.task import Columns, Example, Task, columns

Item = tuple[str, Sample | Example | DataError]
"""A source, and what it holds: a sample, encoded unless the task encodes many at once; or what is wrong with it."""


def samples(task: Task, inputs: Iterable[Input | None]) -> Iterator[Item | None]:
    """Every sample of the inputs; None where the inputs pause."""
    for item in inputs:
        if item is None:
            yield None
            continue
        if isinstance(item.content, DataError):
            yield item.name or "", item.content
            continue
        try:
            empty = True
            for sample in task.read(item.content):
                empty = False
                yield _item(task, sample, item)
            if empty:
                raise DataError(f"{printable(str(item.content))}: there is nothing in it to answer")
        except DataError as error:
            yield _named(error, item)
        except OSError as error:
            yield _named(DataError(f"cannot read {printable(str(item.content))}: {error.strerror or error}"), item)


def _item(task: Task, sample: Sample | DataError, item: Input) -> Item:
    if isinstance(sample, DataError):
        return _named(sample, item)
    source = str(sample.get("source", item.content))
    if item.name is not None:
        source = source.replace(str(item.content), item.name) if isinstance(item.content, Path) else item.name
    content = sample if encodes_many(task) else _encode(task, sample)
    return (source, content) if not isinstance(content, DataError) else (source, _renamed(content, item))


def _named(error: DataError, item: Input) -> Item:
    """The error of an input, or of a row of it, where the message begins with that."""
    found = re.match(re.escape(str(item.content)) + r":\d+", str(error)) if isinstance(item.content, Path) else None
    source = found.group() if found else str(item.content)
    if item.name is not None:
        source = source.replace(str(item.content), item.name)
    return source, _renamed(error, item)


def _renamed(error: DataError, item: Input) -> DataError:
    """The error, without the name of the temporary file that stdin went through."""
    stands_for = item.name is not None and isinstance(item.content, Path)
    return DataError(str(error).replace(str(item.content), str(item.name))) if stands_for else error


def encodes_many(task: Task) -> bool:
    """Whether many at once is more than each by itself; where not, a picture is made small as soon as it is read."""
    return type(task).encode_many is not Task.encode_many


def _encode(task: Task, sample: Sample) -> Example | DataError:
    try:
        return task.encode(sample)
    except DataError as error:
        return error


def joined(task: Task, items: list[Item]) -> tuple[Columns | None, list[Item]]:
    """The columns of the good items; and the items, where those that cannot be encoded have become errors."""
    good = [content for _, content in items if not isinstance(content, DataError)]
    if not good:
        return None, items
    if not encodes_many(task):
        return columns(good, task.ragged), items
    try:
        return task.encode_many(good), items
    except DataError:
        items = [(source, c if isinstance(c, DataError) else _encode(task, c)) for source, c in items]
        good = [content for _, content in items if not isinstance(content, DataError)]
        return columns(good, task.ragged) if good else None, items
