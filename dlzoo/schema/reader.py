"""A tree of values to a Config: every key, name and type checked against signatures, every mistake reported at once.

Single values are judged in values.py; which keys there are, and where each stands, is this file's part.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from dlzoo.config import NAME, Component, Config, Evaluate, Split, Train
from dlzoo.errors import ConfigError, choose, printable
from dlzoo.optim import OPTIMIZERS
from dlzoo.registry import DATASETS, FACTS, MODELS, TASKS, Registry
from dlzoo.registry.parameter import Parameter, fields, optional, spelled, without_none
from dlzoo.schedules import SCHEDULES
from dlzoo.schema.overrides import override, put
from dlzoo.schema.values import WRONG, convert, quoted
from dlzoo.schema.writer import plain
from dlzoo.schema.yamlfile import Node, Place, Problem, read, wrap

SECTIONS = ("name", "task", "data", "model", "optimizer", "schedule", "train", "evaluate")
REGISTERED = {"task": TASKS, "data": DATASETS, "model": MODELS}
UNIONS: dict[str, dict[str, Any]] = {"optimizer": OPTIMIZERS, "schedule": SCHEDULES}
DEFAULTS = {field.name: field.default.name for field in dataclasses.fields(Config) if field.name in UNIONS}
PLAIN: dict[str, Any] = {"train": Train, "evaluate": Evaluate}
SPLIT = fields(Split)
LAST = 10**9
"""The line of what stands in no file, so that it sorts behind what does."""


def load(
    path: Path,
    sets: Sequence[str] = (),
    options: Mapping[str, Any] = {},
    model_of: Callable[[str], Component] | None = None,
) -> Config:
    """The config in a YAML file, resolved: every default is filled in, but for sizes that the task gives the model.

    `sets` are `key.key=value` as in `--set`; `options` are values for such keys that came as options of their own
    (`--name`); `model_of` gives the model of a run, and as its source where that lies, for a model that begins
    `from` one. Raises ConfigError with every mistake at once, in the order of their places.
    """
    problems: list[Problem] = []
    root = tree(path, sets, options, problems)
    return Reader(problems, model_of).config(root)


def tree(path: Path, sets: Sequence[str], options: Mapping[str, Any], problems: list[Problem]) -> Node:
    """The tree of a file with `sets` and `options` laid over it; what is wrong with these goes to `problems`.

    Raises ConfigError for a file that holds no mapping.
    """
    root = read(path, problems)
    if root.value is None:
        raise ConfigError([f"{root.place.text}: the file is empty; a config has at least task, data and model"])
    if not isinstance(root.value, dict):
        kind = "a list" if isinstance(root.value, list) else "a single value"
        raise ConfigError([f"{root.place.text}: a config is a mapping of keys to values, not {kind}"])
    for i, text in enumerate(sets):
        override(root, text, Place(LAST, i, f"--set {printable(text.partition('=')[0])}"), problems)
    for i, (key, value) in enumerate(options.items()):
        place = Place(LAST, len(sets) + i, f"--{key.rpartition('.')[2]}")
        put(root, key.split("."), wrap(value, place), place, problems)
    return root


def from_dict(values: Mapping[str, Any], source: str = "config") -> Config:
    """The inverse of `to_dict`, checked like a file. Raises ConfigError, whose places start with `source`."""
    return Reader([]).config(wrap(dict(values), Place(0, 0, source)))


class Reader:
    """Reads a tree into a Config, and gathers what is wrong on the way."""

    def __init__(self, problems: list[Problem], model_of: Callable[[str], Component] | None = None):
        self.problems, self.model_of = problems, model_of
        self.refused = {place for place, _ in problems}
        """Places of values that could not even be read, which need no second word."""
        self.takes: dict[str, set[str]] = {"train": _names(fields(Train)), "evaluate": _names(fields(Evaluate))}
        """Keys of each section, as far as they are known: where a stray key belongs."""

    def config(self, root: Node) -> Config:
        """The whole config. Raises ConfigError if anything is wrong."""
        given: dict[str, Node] = root.value
        self.look_ahead(given)
        values: dict[str, Any] = {}
        for key, node in given.items():
            if key in REGISTERED:
                values[key], rest = self.component(node, key, REGISTERED[key], SPLIT if key == "data" else ())
                if key == "data":
                    values["split"] = self.build(Split, rest, node, key)
            elif key in UNIONS:
                values[key] = self.chosen(node, key, UNIONS[key])
            elif key in PLAIN and node.value is not None:
                if isinstance(node.value, dict):
                    values[key] = self.build(
                        PLAIN[key], self.arguments(node.value, node, key, fields(PLAIN[key])), node, key
                    )
                else:
                    self.problem(node.place, key, f"expected keys and values, got {quoted(node.plain())}")
            elif key == "name":
                values[key] = self.convert(node, str | None, key)
                if isinstance(values[key], str) and not NAME.fullmatch(values[key]):
                    rule = "a run's name has letters, digits, '.', '_' and '-', at most 100, and no '.' in front"
                    self.problem(node.place, key, f"{rule}; got {quoted(values[key])}")
            elif key not in SECTIONS:
                self.problem(node.key, "", self.unknown(key, SECTIONS, ""))
        for key, registry in REGISTERED.items():
            if key not in given:
                self.problem(root.place, "", f"'{key}' is missing. Choose from: {', '.join(registry.names())}.")
        self.done()
        if values.setdefault("train", Train()).epochs is None and values["train"].steps is None:
            values["train"] = dataclasses.replace(values["train"], epochs=10)
        config = Config(**values)
        self.conflicts(config, given, root, "")
        self.done()
        return config

    def look_ahead(self, given: dict[str, Node]) -> None:
        """Note which keys each section takes, so that a key in the wrong one can be sent to the right one."""
        for key, registry in REGISTERED.items():
            name = _name(given.get(key))
            if name in registry:
                self.takes[key] = _names(registry.entry(name).parameters)
        for key, classes in UNIONS.items():
            name = _name(given.get(key)) or DEFAULTS[key]
            if name in classes:
                self.takes[key] = _names(fields(classes[name]))
        self.takes["data"] = self.takes.get("data", set()) | _names(SPLIT)

    def done(self) -> None:
        """Raise what was gathered, in reading order."""
        if self.problems:
            ordered = dict.fromkeys(sorted(self.problems, key=lambda problem: problem[0][:2]))
            raise ConfigError([f"{place.text}: {message}" for place, message in ordered])

    def problem(self, place: Place, path: str, message: str) -> None:
        """Note a mistake, with the path of its key unless the place says that already."""
        if place in self.refused:
            return
        self.problems.append(
            (place, message if not path or place.text.endswith(path) else f"{printable(path)}: {message}")
        )

    def unknown(self, key: str, options: Iterable[str], section: str) -> str:
        """What to say of a key that its section does not have."""
        if key in SECTIONS and section:
            return f"'{key}' is a section of its own, beside '{section.partition('.')[0]}'"
        owners = [owner for owner, keys in self.takes.items() if key in keys and owner != section]
        if owners:
            return f"unknown key '{printable(key)}': it belongs in {' or '.join(owners)}"
        return choose(key, options, "key") if options else f"unknown key '{printable(key)}': nothing can be set here"

    def component(
        self, node: Node, path: str, registry: Registry, beside: tuple[Parameter, ...] = ()
    ) -> tuple[Component | None, dict[str, Any]]:
        """A name and the arguments of its constructor, and the values of the keys that stand `beside` them."""
        given = self.mapping(node, path)
        if given is None:
            return None, {}
        source = None
        if registry is MODELS and path == "model" and "from" in given:
            source = self.convert(given["from"], str, "model.from")
            if source is WRONG:
                return None, {}
            source, given = self.begun(source, given)
        if "name" not in given:
            self.problem(node.place, path, f"'name' is missing. Choose from: {', '.join(registry.names())}.")
            return None, {}
        name = given["name"].plain()
        if not isinstance(name, str) or name not in registry:
            self.problem(given["name"].place, path, choose(quoted(name, marks=False), registry.names(), registry.kind))
            return None, {}
        parameters = registry.entry(name).parameters
        free = FACTS if registry is MODELS else frozenset()
        values = self.arguments(given, node, path, (*parameters, *beside), free)
        extra = {parameter.name: values.pop(parameter.name) for parameter in beside if parameter.name in values}
        return Component(name, values, source), extra

    def begun(self, source: str, given: dict[str, Node]) -> tuple[str, dict[str, Node]]:
        """Where the run lies that a model begins `from`, and the model's keys: the run's own, but for what is given."""
        place = given["from"].place
        rest = {key: node for key, node in given.items() if key != "from"}
        if self.model_of is None:
            return source, rest
        base = self.model_of(source)
        own = {} if "name" in rest else {key: wrap(value, place) for key, value in plain(base).items()}
        return str(base.source), {key: node for key, node in own.items() if key != "from"} | rest

    def chosen(self, node: Node, path: str, classes: dict[str, Any]) -> Any:
        """One of the dataclasses of a union, by its name; the default one where there is no name."""
        given = self.mapping(node, path)
        if given is None:
            return None
        name = given["name"].plain() if "name" in given else DEFAULTS[path]
        if not isinstance(name, str) or name not in classes:
            self.problem(given["name"].place, path, choose(quoted(name, marks=False), classes, path))
            return None
        own = fields(classes[name])
        for key in list(given):
            others = [other for other, cls in classes.items() if key in _names(fields(cls))]
            if key not in _names(own) and others:
                takes = f"{name} takes {', '.join(parameter.name for parameter in own)}"
                has = f"{', '.join(others)} {'has' if len(others) == 1 else 'have'} it"
                self.problem(given[key].key, path, f"{name} has no '{key}'; {has}. {takes}.")
                given = {other: node for other, node in given.items() if other != key}
        return self.build(classes[name], self.arguments(given, node, path, own), node, path)

    def mapping(self, node: Node, path: str) -> dict[str, Node] | None:
        """The keys of a section; a bare name is short for {name: ...}."""
        if isinstance(node.value, str):
            return {"name": node}
        if isinstance(node.value, dict):
            return node.value
        self.problem(node.place, path, f"expected a name, or a mapping with a name, got {quoted(node.plain())}")
        return None

    def arguments(
        self,
        given: dict[str, Node],
        owner: Node,
        path: str,
        parameters: tuple[Parameter, ...],
        free: frozenset[str] = frozenset(),
    ) -> dict[str, Any]:
        """Values for `parameters`, defaults filled in; those in `free` are left out where they are not given."""
        values: dict[str, Any] = {}
        names = _names(parameters)
        for key, node in given.items():
            if key not in names and key != "name":
                self.problem(node.key, path, self.unknown(key, names, path))
        for parameter in parameters:
            name = parameter.name
            if name in given:
                values[name] = self.convert(given[name], parameter.type, f"{path}.{name}")
            elif name in free:
                continue
            elif parameter.required:
                meaning = f" ({parameter.doc})" if parameter.doc else ""
                self.problem(owner.place, path, f"'{name}' is missing: {spelled(parameter.type)}{meaning}")
            else:
                values[name] = parameter.default
        return values

    def build(self, cls: Any, values: dict[str, Any], node: Node, path: str) -> Any:
        """The dataclass of a section, or None where a value in it is wrong."""
        if WRONG in values.values():
            return None
        section = cls(**values)
        self.conflicts(section, node.value if isinstance(node.value, dict) else {}, node, path)
        return section

    def conflicts(self, section: Any, given: dict[str, Node], node: Node, path: str) -> None:
        """Note what contradicts what."""
        for key, message in section.conflicts() if hasattr(section, "conflicts") else ():
            self.problem(given[key].place if key in given else node.place, f"{path}.{key}".lstrip("."), message)

    def convert(self, node: Node, kind: Any, path: str) -> Any:
        """The value of `node` as a `kind`, or WRONG."""
        if node.value is None and optional(kind):
            return None
        if without_none(kind) is Component:
            return self.component(node, path, MODELS)[0] or WRONG
        value, mistakes = convert(node.plain(), without_none(kind))
        for inside, message in mistakes:
            here, where = node, path
            for step in inside:
                here = here.value[step]
                where += f"[{step}]" if isinstance(step, int) else f".{step}"
            self.problem(here.place, where, message)
        return WRONG if mistakes else value


def _name(node: Node | None) -> str:
    """The name that a section gives, long or short; "" where it gives none."""
    value = node.value if node else None
    value = value["name"].value if isinstance(value, dict) and "name" in value else value
    return value if isinstance(value, str) else ""


def _names(parameters: Iterable[Parameter]) -> set[str]:
    return {parameter.name for parameter in parameters}
