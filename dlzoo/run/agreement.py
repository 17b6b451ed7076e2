"""Whether a run that goes on is still the same run: its config, its data, and what its last bits depend on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from dlzoo.data.dataset import Dataset
from dlzoo.engine.runtime import Runtime
from dlzoo.errors import RunError
from dlzoo.run.folder import Run
from dlzoo.run.resolve import environment


def same_config(first: str, one: dict[str, Any], second: str, other: dict[str, Any]) -> None:
    """Raise RunError with the keys in which two configs differ; null in the second leaves the choice to the first."""
    flat_one, flat_other = dict(_flat(one)), dict(_flat(other))
    keys = [key for key in {**flat_one, **flat_other} if flat_other.get(key) is not None and key != "name"]
    differing = [key for key in keys if flat_one.get(key) != flat_other[key] and flat_other[key] != "auto"]
    if differing:
        lines = [f"  {key}: {first} {flat_one.get(key)}, {second} {flat_other[key]}" for key in differing[:3]]
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


def _flat(values: dict[str, Any], path: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{path}{key}.")
        else:
            yield f"{path}{key}", list(value) if isinstance(value, tuple) else value


def same_data(run: Run, dataset: Dataset) -> None:
    """Raise RunError for data that has changed since the run was started."""
    before = run.facts.get("data", {}).get("fingerprint")
    if before and before != dataset.fingerprint():
        raise RunError("the data is not what this run was started with; put it back, or train anew with --config")


def changes(run: Run, runtime: Runtime) -> list[str]:
    """What the last bits depend on and what is not as it was when the run was started."""
    now = environment(runtime)
    before = run.facts.get("environment", {})
    return [f"{name} was {value} and is {now.get(name)}" for name, value in before.items() if value != now.get(name)]
