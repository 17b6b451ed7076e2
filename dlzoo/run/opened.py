"""A config file from its reading to the end of its use: whenever a mistake in it shows, it is told with its place."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from dlzoo.config import Component, Config
from dlzoo.errors import ConfigError, RunError
from dlzoo.registry import compatible
from dlzoo.schema.overrides import KEY
from dlzoo.schema.reader import SECTIONS, load, tree
from dlzoo.schema.yamlfile import Node

FRONT = re.compile(rf"({KEY.pattern}): ")
"""The path of a key, at the beginning of what is said of it: `model.dim: ...`."""


@contextmanager
def opened(
    path: Path, sets: Sequence[str] | None = None, name: str | None = None, device: str | None = None
) -> Iterator[Config]:
    """The config of a new run, its model fit for its task; named as its file where nothing else names it.

    A ConfigError that begins with the path of a key, raised here or in the block, begins with the key's place after.
    """
    options = {key: value for key, value in {"name": name, "train.device": device}.items() if value is not None}
    try:
        config = load(path, sets or (), options, _model_of)
        compatible.check(config)
        stem = re.sub(r"[^A-Za-z0-9._-]+", "_", path.stem).lstrip(".")[:100]
        yield config if config.name is not None else replace(config, name=stem or "run")
    except ConfigError as error:
        if not any(map(FRONT.match, error.problems)):
            raise
        root = tree(path, sets or (), options, [])
        raise ConfigError([_placed(problem, root) for problem in error.problems]) from error


def _model_of(run: str) -> Component:
    """The model of a run that another one begins from, and where that lies. Raises ConfigError where there is none."""
    from dlzoo.run import portable

    try:
        found = portable.read(run)
        return replace(found.config.model, source=str(found.run or found.folder))
    except RunError as error:
        raise ConfigError([f"model.from: {error}"]) from error


def _placed(problem: str, root: Node) -> str:
    front = FRONT.match(problem)
    keys = front[1].split(".") if front else []
    if not keys or keys[0] not in SECTIONS:
        return problem
    here = root
    for key in keys:
        if not isinstance(here.value, dict) or key not in here.value:
            break
        here = here.value[key]
    place = here.place.text
    return f"{place}: {problem[front.end() :] if front and place.endswith(front[1]) else problem}"
