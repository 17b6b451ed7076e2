"""Pictures of answers, saved beside answers.jsonl in the folder that `dlzoo predict -o` names."""

import re
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from torch import Tensor

from dlzoo import files
from dlzoo.errors import DataError
from dlzoo.metrics.metric import Answer
from dlzoo.task import Task

if TYPE_CHECKING:
    from PIL import Image


def drawn(task: Task, answers: Iterable[Answer], folder: Path) -> Iterator[Answer]:
    """The same answers, each with the names of the pictures that the task drew of it, by what they show.

    A name begins with that of the answered file, which is read once more unless the answer alone is drawn.
    """
    taken: set[str] = set()
    for answer in answers:
        pictures = {} if "error" in answer else _pictures(task, answer)
        if pictures:
            stem = _free(_stem(task, answer["source"]), taken)
            for name, picture in pictures.items():
                file = folder / f"{stem}.{name}.png"
                files.write(file, partial(_save, picture))
            answer = {**answer, **{name: f"{stem}.{name}.png" for name in pictures}}
        yield answer


def _pictures(task: Task, answer: Answer) -> "Mapping[str, Tensor | Image.Image]":
    if task.draws_alone:
        return task.draw({}, answer)
    path = Path(answer["source"])
    sample = next(task.read(path), None) if path.is_file() else None
    return {} if sample is None or isinstance(sample, DataError) else task.draw(sample, answer)


def _stem(task: Task, source: str) -> str:
    """What names of pictures begin with: the file that is answered; or the row of it, or the text."""
    return re.sub(r"[^\w.-]+", "_", Path(source).name)[:60] if task.draws_alone else Path(source).stem


def _free(stem: str, taken: set[str]) -> str:
    """`stem`, or with a number behind it where another folder had a file of that name."""
    name, number = stem, 1
    while name in taken:
        number += 1
        name = f"{stem}-{number}"
    taken.add(name)
    return name


def _save(picture: "Tensor | Image.Image", path: Path) -> None:
    from PIL import Image

    if isinstance(picture, Tensor):
        pixels = picture.movedim(0, -1).contiguous().numpy()
        picture = Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)
    picture.save(path, "PNG")
