"""Dataset, splits, task and network from a config, each checked against the others; errors name what would fit."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from threading import Lock, get_ident
from typing import Any, cast

from torch import nn
from torch.nn.modules.module import register_module_parameter_registration_hook

from dlzoo.config import Component, Config, Split
from dlzoo.data.dataset import Dataset, Subset
from dlzoo.data.skipped import Skipped
from dlzoo.data.splits import divide
from dlzoo.engine.weights import named
from dlzoo.errors import ConfigError, RunError, UserError, WrongKind, printable
from dlzoo.layers.checkpointing import checkpoint
from dlzoo.layers.low_rank import adapt
from dlzoo.registry import DATASETS, FACTS, MODELS, TASKS, Entry
from dlzoo.registry.compatible import unfit
from dlzoo.registry.parameter import choices_of
from dlzoo.task import Network, Task

SLACK = 4
"""Times that a model may register the weights that it ends with: tied and reparametrised ones come more than once."""
MEASURING = Lock()
"""Held while a model is built and measured: torch keeps one list of those who follow that, for all threads."""


def build_dataset(config: Config) -> Dataset:
    """The dataset that `config` names.

    Raises DataError for a path that is not there, ConfigError for one in the config that is of another kind.
    """
    try:
        dataset = cast(Dataset, DATASETS[config.data.name](**config.data.args))
    except WrongKind as error:
        keys = [key for key, value in config.data.args.items() if value == error.path]
        if not keys:
            raise
        raise ConfigError([f"data.{keys[0]}: '{printable(error.path)}': {error.wanted}"]) from error
    if config.split.on_error == "skip":
        if dataset.along is not None:
            hint = "; set data.missing: interpolate" if dataset.along == "time" else ""
            raise ConfigError([f"data.on_error: skip would tear holes into what goes on; leave it out{hint}"])
        dataset.skipped = Skipped(config.split.max_skipped)
    return dataset


def build_task(config: Config) -> Task:
    """The task that `config` names; it has learned nothing yet."""
    return cast(Task, TASKS[config.task.name](**config.task.args))


def build_splits(
    dataset: Dataset, task: Task, split: Split, progress: Callable[[Iterable[int]], Iterable[int]] = iter
) -> dict[str, Subset]:
    """Train, and validation and test where there are any. Raises ConfigError for data that lacks what is needed.

    Where samples that cannot be read are skipped they are found first, so that the rest is divided as if they were not
    there; `progress` follows that.
    """
    missing = [key for key in task.needs if key not in dataset.gives]
    if missing:
        gives = ", ".join(dataset.gives)
        raise ConfigError(
            [f"data: this task needs {' and '.join(missing)} in every sample, and the data gives {gives}"]
        )
    if dataset.skipped is not None and split.on_error == "skip":
        dataset.skipped.find(dataset, progress)
    labels = dataset.column("label") if "label" in task.needs else None
    return divide(dataset, split, labels, task.strangers)


def build_network(
    config: Config, task: Task, most: int | None = None, begin: Callable[[nn.Module], None] | None = None
) -> Network:
    """The model that `config` names, sized for what `task` has learned, under the task's head.

    Weights are drawn from torch's default generator; `begin` gives the backbone others to begin with. Raises
    ConfigError for a model that does not fit the task, with the names of those that do; RunError for one of far more
    than `most` bytes of weights (those of a file, say).
    """
    name = config.model.name
    if problem := _unfit(task, MODELS.entry(name), config.model.args):
        raise _refusal(task, name, problem)
    with _at_most(most) if most is not None else nullcontext():
        backbone = construct(config.model, task)
        if problem := _unfit_features(task, backbone):
            raise _refusal(task, name, problem)
        if begin is not None:
            begin(backbone)
        head = task.head(backbone)
        if config.train.lora is not None:
            adapt(backbone, config.train.lora)
        if config.train.checkpointing:
            checkpoint(backbone)
        return Network(backbone, head)


def freeze(network: Network, patterns: Iterable[str]) -> None:
    """Leave the weights whose names match a pattern as they are. Raises ConfigError for one that matches none."""
    weights = dict(network.named_parameters())
    for pattern in patterns:
        for name in named(weights, pattern, "train.freeze"):
            weights[name].requires_grad_(False)
    if not any(weight.requires_grad for weight in weights.values()):
        raise ConfigError(["train.freeze: nothing is left to train"])


@contextmanager
def _at_most(most: int) -> Iterator[None]:
    """Stop at the parameter with which a model has far more than `most` bytes, before its memory is filled."""
    left, builder = SLACK * most, get_ident()
    message = f"the model that is described is far larger than the {most:,} bytes of weights that are saved with it"

    def count(module: nn.Module, name: str, parameter: nn.Parameter) -> None:
        nonlocal left
        if get_ident() != builder:  # torch calls this for a model of any thread
            return
        left -= parameter.numel() * parameter.element_size()
        if left < 0:
            raise RunError(message)

    with MEASURING:
        hook = register_module_parameter_registration_hook(count)
        try:
            yield
        except (RuntimeError, OverflowError, MemoryError) as error:  # more than the machine has
            raise RunError(message) from error
        finally:
            hook.remove()


def _refusal(task: Task, name: str, problem: str) -> ConfigError:
    fitting = [model.name for model in MODELS.entries() if not _unfit(task, model, {})]
    hint = f" Models that fit: {', '.join(fitting)}." if fitting else ""
    return ConfigError([f"model: '{name}' {problem}.{hint}"])


def construct(model: Component, task: Task) -> nn.Module:
    """A backbone: its own arguments, sizes from the task's facts, and nested models built alike."""
    entry = MODELS.entry(model.name)
    args = {
        name: construct(value, task) if isinstance(value, Component) else value for name, value in model.args.items()
    }
    try:
        return cast(nn.Module, MODELS[model.name](**{**sizes(task, entry, args), **args}))
    except UserError:
        raise
    except (ValueError, TypeError) as error:  # heads that do not divide dim, a kernel of -1 ...
        raise ConfigError([f"model: '{model.name}' cannot be built: {str(error).splitlines()[0]}"]) from error


def sizes(task: Task, entry: Entry, given: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments of a model that follow from the task, of those that its signature has and the user left out."""
    facts = dict(task.facts())
    if out := entry.parameter("out"):
        kinds = choices_of(out.type)
        fitting = [kind for kind in task.accepts if kind in kinds]
        facts["out"] = fitting[0] if fitting else out.default
    names = {parameter.name for parameter in entry.parameters} & FACTS
    return {name: value for name, value in facts.items() if name in names and given.get(name) is None}


def _unfit(task: Task, model: Entry, given: Mapping[str, Any]) -> str | None:
    """Why a model cannot serve a task that has learned its sizes, as far as its signature tells; None where it can."""
    facts = task.facts()
    own = {name: value for name, value in given.items() if value is not None}
    for name in own.keys() & facts.keys():
        if own[name] != facts[name]:
            return f"has {name} {own[name]}, but the data has {facts[name]}: leave it out"
    return unfit(
        model,
        inputs=task.inputs,
        facts={*facts, *own},
        accepts=task.accepts,
        causal=task.causal,
        requires=task.requires,
    )


def _unfit_features(task: Task, backbone: nn.Module) -> str | None:
    features = cast(Any, backbone).features
    if features.kind not in (*task.accepts, "complete"):
        return f"gives a {features.kind}, and the task takes a {' or a '.join(task.accepts)}"
    if task.causal is True and not features.causal:
        return "sees what comes after, which this task is to foretell (causal: true, where the model has it)"
    if task.causal is False and features.causal:
        return "does not see what comes after (causal: false, where the model has it)"
    return None
