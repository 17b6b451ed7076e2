"""Dataset, splits, task and network from a config, each checked against the others; errors name what would fit."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, cast

from torch import nn

from dlzoo.config import Component, Config, Split
from dlzoo.data.dataset import Dataset, Subset
from dlzoo.data.splits import divide
from dlzoo.errors import ConfigError, UserError
from dlzoo.parameter import choices_of
from dlzoo.registry import DATASETS, FACTS, MODELS, TASKS, Entry
from dlzoo.task import Network, Task


def build_dataset(config: Config) -> Dataset:
    """The dataset that `config` names. Raises DataError for a path that is not there."""
    return cast(Dataset, DATASETS[config.data.name](**config.data.args))


def build_task(config: Config) -> Task:
    """The task that `config` names; it has learned nothing yet."""
    return cast(Task, TASKS[config.task.name](**config.task.args))


def build_splits(dataset: Dataset, task: Task, split: Split) -> dict[str, Subset]:
    """train, and validation and test where there are any. Raises ConfigError for a dataset that lacks what the task needs."""
    missing = [key for key in task.needs if key not in dataset.gives]
    if missing:
        gives = ", ".join(dataset.gives)
        raise ConfigError(
            [f"data: this task needs {' and '.join(missing)} in every sample, and the data gives {gives}"]
        )
    labels = dataset.column("label") if "label" in task.needs else None
    return divide(dataset, split, labels)


def build_network(config: Config, task: Task) -> Network:
    """The model that `config` names, sized for what `task` has learned, under the task's head.

    Weights are drawn from torch's default generator. Raises ConfigError for a model that does not fit the task, with the names
    of those that do.
    """
    entry = MODELS.entry(config.model.name)
    problems = list(unfit(task, entry, config.model.args))
    if not problems:
        backbone = construct(config.model, task)
        problems = list(_unfit_features(task, backbone))
    if problems:
        fitting = [other.name for other in MODELS.entries() if not any(unfit(task, other, {}))]
        hint = f" Models that fit: {', '.join(fitting)}." if fitting else ""
        raise ConfigError([f"model: '{config.model.name}' {problem}.{hint}" for problem in problems])
    return Network(backbone, task.head(backbone))


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
        raise ConfigError([f"model: '{model.name}' cannot be built: {error}"]) from error


def sizes(task: Task, entry: Entry, given: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments of a model that follow from the task, of those that its signature has and the user left out."""
    facts = dict(task.facts())
    if out := entry.parameter("out"):
        kinds = choices_of(out.type)
        fitting = [kind for kind in (out.default, *task.accepts) if kind in kinds and kind in task.accepts]
        facts["out"] = fitting[0] if fitting else out.default
    names = {parameter.name for parameter in entry.parameters} & FACTS
    return {name: value for name, value in facts.items() if name in names and given.get(name) is None}


def unfit(task: Task, entry: Entry, given: Mapping[str, Any]) -> Iterator[str]:
    """Why a model cannot serve a task, as far as its signature tells; nothing where it can."""
    facts = task.facts()
    names = {parameter.name for parameter in entry.parameters}
    for parameter in entry.parameters:
        if (
            parameter.required
            and parameter.name not in facts
            and parameter.name not in given
            and parameter.name in FACTS
        ):
            yield f"needs {parameter.name}, which this task does not give"
    for name in task.requires:
        if name not in names:
            yield f"does not take {name}, which this data needs"
    for name in task.inputs:
        if entry.forward and name not in entry.forward:
            yield f"does not take the input {name}"
    if entry.kinds and not set(entry.kinds) & set(task.accepts):
        yield f"gives features of kind {' or '.join(entry.kinds)}, and this task takes {' or '.join(task.accepts)}"
    for name, value in given.items():
        if name in facts and value is not None and value != facts[name]:
            yield f"has {name}: {value}, but the data has {facts[name]}; leave it out"
    if task.causal is not None and entry.attributes.get("causal") not in (None, task.causal):
        yield (
            "sees the future, and this task must not"
            if task.causal
            else "sees the past alone, and this task must see all"
        )


def _unfit_features(task: Task, backbone: nn.Module) -> Iterator[str]:
    features = cast(Any, backbone).features
    if features.kind not in task.accepts:
        yield f"gives features of kind {features.kind}, and this task takes {' or '.join(task.accepts)}"
    if task.causal is True and not features.causal:
        yield "sees the future, and this task must not (causal: true, where the model has it)"
    if task.causal is False and features.causal:
        yield "sees the past alone, and this task must see all (causal: false, where the model has it)"
