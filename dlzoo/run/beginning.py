"""What a network begins with instead of chance: published weights, or the backbone and the tokenizer of another run."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

from torch import nn

from dlzoo.config import Config
from dlzoo.engine import foreign, weights
from dlzoo.errors import ConfigError, RunError, first_few, printable
from dlzoo.layers import language_folder
from dlzoo.registry import MODELS
from dlzoo.run import portable
from dlzoo.run.folder import understood
from dlzoo.task import Task
from dlzoo.transforms.text import Tokenizer, restored

LEARNED = ("tokenizer", "vocab", "min_count", "lower")
"""Arguments of tasks that say nothing where the tokenizer comes with the weights."""


def begin(backbone: nn.Module, config: Config) -> None:
    """Give a backbone the weights that its model names. Raises RunError for those of another network."""
    if config.model.source is not None:
        other_run(backbone, config.model.source)
    elif source := config.model.args.get(key := begins(config.model.name)):
        published(backbone, source, f"model.{key}")


def begins(model: str) -> str:
    """The argument of a model that names the weights which it begins with."""
    return str(MODELS.entry(model).attributes.get("begins", "pretrained"))


def published(backbone: nn.Module, source: str | bool, key: str = "model.pretrained") -> None:
    """The weights of a file or of a language model's folder, or (true) those that a library has published.

    `key` is where a config names them. Raises RunError for those of another network.
    """
    adapted = cast(Any, backbone)
    if source is True:
        given = foreign.download(adapted.published())
    elif hasattr(backbone, "implied"):
        given = foreign.read_folder(language_folder.find(str(source), key), key)
    else:
        given = foreign.read(Path(str(source)))
    _fill(backbone, adapted.adapt(given), f"{key}: {printable(str(source))}")


def other_run(backbone: nn.Module, run: str) -> None:
    """The best weights of another run's backbone. Raises RunError where there are none, or they do not fit."""
    given = weights.load(portable.verified(portable.read(run)))
    front = "backbone."
    state = {name.removeprefix(front): value for name, value in given.items() if name.startswith(front)}
    _fill(backbone, state, f"model.from: {printable(run)}")


def _fill(backbone: nn.Module, state: dict[str, Any], source: str) -> None:
    own = backbone.state_dict()
    odd = {name for name in own.keys() ^ state.keys() if not name.endswith("num_batches_tracked")}  # not in old files
    if odd:
        raise RunError(f"{source} does not fit this network: {first_few(sorted(odd))}")
    for name in own.keys() & state.keys():
        if own[name].shape != state[name].shape:
            there, here = tuple(state[name].shape), tuple(own[name].shape)
            hint = f"; set task.context: {there[0]}" if name == "position.table.weight" else ""
            raise RunError(f"{source} does not fit this network: {name} is {there} there, and {here} here{hint}")
    backbone.load_state_dict(own | state)
    cast(Any, backbone).begun = True


def take_tokenizer(task: Task, config: Config) -> None:
    """Let a task on texts read them as the weights that its model begins with are used to.

    Raises ConfigError where the config says otherwise.
    """
    if getattr(task, "tokenizer", None) is None or not (given := _tokenizers(config)):
        return
    if said := [name for name in LEARNED if config.task.args.get(name) is not None]:
        raise ConfigError([f"task.{name}: the tokenizer comes with the model's weights; leave it out" for name in said])
    for own in given.values():
        own.settled = True
    reader = cast(Any, task)
    reader.tokenizer = given.get("tokenizer", reader.tokenizer)
    if getattr(task, "target_tokenizer", None) is not None:
        reader.target_tokenizer = given.get("target_tokenizer", reader.target_tokenizer)


def _tokenizers(config: Config) -> dict[str, Tokenizer]:
    """The tokenizers of the run, or of the model, that the network begins with, by what tasks call them."""
    if (run := config.model.source) is not None:
        found = portable.read(run)
        states = {name: found.meta["task"].get(name) for name in ("tokenizer", "target_tokenizer")}
        with understood(str(found.folder / "model.json")):
            return {name: restored(state) for name, state in states.items() if state}
    model = MODELS[config.model.name]
    own = model.tokenizer(**config.model.args) if hasattr(model, "tokenizer") else None
    return {"tokenizer": own} if own else {}
