"""A config file from its reading to the end of its use: whenever a mistake in it shows, it is told with its place."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from dlzoo.config import Component, Config
from dlzoo.errors import ConfigError, RunError, printable
from dlzoo.registry import MODELS, compatible
from dlzoo.schema.overrides import KEY
from dlzoo.schema.reader import SECTIONS, load, tree
from dlzoo.schema.values import quoted
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
        config = _completed(config, tree(path, sets or (), options, []))
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


def _completed(config: Config, root: Node) -> Config:
    """With the arguments of its model that follow from the folder which has its weights.

    Raises ConfigError for others that `root`, where the config is from, gives.
    """
    model = config.model
    begins = MODELS.entry(model.name).attributes.get("begins")
    if begins is None or model.source is not None or model.args.get(begins) is None:
        return config
    implied = cast(Any, MODELS[model.name]).implied(**model.args)
    keys = root.value["model"].value
    given = {key: model.args[key] for key in implied if isinstance(keys, dict) and key in keys}
    if odd := [key for key, value in given.items() if value not in (None, implied[key])]:
        source = printable(str(model.args[begins]))
        raise ConfigError([f"model.{key}: in {source} it is {quoted(implied[key])}; leave it out" for key in odd])
    return replace(config, model=replace(model, args=model.args | implied))


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
