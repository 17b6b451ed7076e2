"""A Config to plain values and to YAML text, which read back to an equal one."""

import dataclasses
from typing import Any

from dlzoo.config import Component, Config
from dlzoo.schema import yamlfile


def to_dict(config: Config) -> dict[str, Any]:
    """The config as it stands in a file: plain values that go through JSON and YAML unchanged."""
    named: dict[str, Any] = {"name": config.name} if config.name is not None else {}
    return named | {
        "task": plain(config.task),
        "data": plain(config.data) | plain(config.split),
        "model": plain(config.model),
        "optimizer": plain(config.optimizer),
        "schedule": plain(config.schedule),
        "train": plain(config.train),
        "evaluate": plain(config.evaluate),
    }


def dump(config: Config) -> str:
    """The config as YAML text."""
    return yamlfile.dump(to_dict(config))


def plain(value: Any) -> Any:
    """A component, a section or a value in dicts and lists."""
    if isinstance(value, Component):
        begun = {"from": value.source} if value.source is not None else {}
        return {"name": value.name} | begun | {key: plain(item) for key, item in value.args.items()}
    if dataclasses.is_dataclass(value):
        return {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    return [plain(item) for item in value] if isinstance(value, (list, tuple)) else value
