"""Which models can do which tasks, derived from what each says of itself: sizes, inputs, features, causality."""

from __future__ import annotations

from collections.abc import Iterable

from dlzoo.config import Config
from dlzoo.errors import ConfigError
from dlzoo.registry import FACTS, MODELS, TASKS
from dlzoo.registry.entry import Entry


def unfit(
    model: Entry,
    *,
    inputs: Iterable[str],
    facts: Iterable[str],
    accepts: Iterable[str],
    causal: bool | None = None,
    requires: Iterable[str] = (),
) -> str | None:
    """Why a model cannot do a task, before either is built; None where nothing speaks against it.

    inputs, accepts, causal, requires: the task's own. facts: the names of the sizes that it gives.
    """
    facts, accepts = set(facts), tuple(accepts)
    takes = {parameter.name for parameter in model.parameters}
    needs = {parameter.name for parameter in model.parameters if parameter.required} & FACTS
    if missing := sorted(needs - facts):
        return f"needs {' and '.join(missing)}, and the task gives {' and '.join(sorted(facts)) or 'no sizes'}"
    if takes & FACTS and not takes & facts - {"context"}:
        return f"takes {' or '.join(sorted(takes & FACTS - {'context', 'out'}))}, and the task gives none of them"
    if missing := sorted(set(inputs) - set(model.forward)):
        return f"does not take the input {' and '.join(missing)}"
    if missing := sorted(set(requires) - takes):
        return f"does not take {' and '.join(missing)}"
    if "mask" in model.forward and "context" not in facts:
        return "reads sequences, and the task has none"
    if model.kinds and not set(model.kinds) & {*accepts, "complete"}:
        return f"gives a {' or a '.join(model.kinds)}, and the task takes a {' or a '.join(accepts)}"
    if causal is not None and model.causal is not None and causal != model.causal:
        return "sees what comes after, which this task is to foretell" if causal else "does not see what comes after"
    return None


def models_for(task: Entry) -> dict[str, str | None]:
    """For each model, why it does not fit the task; None where it does. Read from the files' text alone."""
    attributes = task.attributes
    return {
        model.name: unfit(
            model,
            inputs=attributes.get("inputs", ("x",)),
            facts=task.facts or FACTS,  # sizes that are not in the text may be any
            accepts=attributes.get("accepts", ()),
            causal=attributes.get("causal"),
            requires=attributes.get("requires", ()),
        )
        for model in MODELS.entries()
    }


def check(config: Config) -> None:
    """Raises ConfigError for a model that does not fit the task, with those that do; torch is not needed for it."""
    models = models_for(TASKS.entry(config.task.name))
    if why := models[config.model.name]:
        fitting = ", ".join(name for name, reason in models.items() if reason is None)
        raise ConfigError(
            [f"model: '{config.model.name}' does not fit {config.task.name}: it {why}. Models that fit: {fitting}."]
        )
