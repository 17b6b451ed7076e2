"""Whether a run that goes on is still the same run: its config, its data, and what its last bits depend on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from dlzoo.data.dataset import Dataset
from dlzoo.engine.runtime import Runtime
from dlzoo.errors import RunError
from dlzoo.run.folder import Run
from dlzoo.run.resolve import environment

RESOLVED = ("optimizer.fused", "train.device", "train.threads", "train.workers", "train.channels_last")
"""Keys, besides those of the data and the monitor, that null or auto leaves to the machine (resolve.py)."""


def same_config(first: str, one: dict[str, Any], second: str, other: dict[str, Any]) -> None:
    """Raise RunError with the keys in which two configs differ, but for what the second leaves to the machine."""
    flat_one, flat_other = dict(_flat(one)), dict(_flat(other))
    differing = [
        key
        for key in {**flat_one, **flat_other}
        if key != "name" and flat_one.get(key) != flat_other.get(key) and not _left_open(key, flat_other.get(key))
    ]
    if differing:
        lines = [f"  {key}: {first} {flat_one.get(key)}, {second} {flat_other.get(key)}" for key in differing[:3]]
        lines += [f"  and {len(differing) - 3} more"] if len(differing) > 3 else []
        raise RunError(
            "\n".join(
                [
                    "a run goes on with its own config, and this one differs:",
                    *lines,
                    "  leave --config out to go on, or leave --resume out for a new run",
                ]
            )
        )


def _left_open(key: str, value: Any) -> bool:
    """Whether a value leaves the choice to the machine, or to the data (a table's types of columns)."""
    if value == "auto":
        return key == "train.device"
    return value is None and (key in RESOLVED or key.startswith("data.") or key == "evaluate.monitor")


def _flat(values: dict[str, Any], path: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{path}{key}.")
        else:
            yield f"{path}{key}", list(value) if isinstance(value, tuple) else value


def same_data(run: Run, dataset: Dataset) -> None:
    """Raise RunError for data that has changed since the run was started."""
    if changed(run.facts, dataset):
        raise RunError("the data is not what this run was started with; put it back, or train anew with --config")


def changed(facts: dict[str, Any], dataset: Dataset) -> bool:
    """Whether the data is not what the facts of a run or a model say that it was trained with."""
    before = facts.get("data", {}).get("fingerprint")
    return before is not None and before != dataset.fingerprint()


def changes(run: Run, runtime: Runtime) -> list[str]:
    """What the last bits depend on and what is not as it was when the run was started."""
    now = environment(runtime)
    before = run.facts.get("environment", {})
    return [f"{name} was {value} and is {now.get(name)}" for name, value in before.items() if value != now.get(name)]
