"""YAML text to a tree of values that know their places; strict, so that a file means what a reader thinks it means.

YAML 1.2's core scalars (`1e-4` is a number; `no`, `012`, `12:30` and dates are text), no aliases, no tags that build
objects, no duplicate keys, and caps on size, depth and number of nodes.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from dlzoo.errors import ConfigError, printable

LARGEST = 1_000_000
DEEPEST = 32
NODES = 10_000
DIGITS = 30
TAG = "tag:yaml.org,2002:"
SCALARS = {
    "null": (r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    "bool": (r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    "int": (r"[-+]?(?:0|[1-9][0-9]*)|0o[0-7]+|0x[0-9a-fA-F]+", list("-+0123456789")),
    "float": (
        r"[-+]?(?:\.[0-9]+|(?:0|[1-9][0-9]*)(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|"
        r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)",
        list("-+0123456789."),
    ),
}


class Place(NamedTuple):
    """Where a value stands, as a reader looks it up; places sort in reading order, those of `--set` last."""

    line: int
    column: int
    text: str


@dataclass
class Node:
    """A value and its place. Lists and mappings hold further nodes."""

    value: Any
    place: Place
    key: Place
    """Where its key stands; its own place where it has none."""

    def plain(self) -> Any:
        """The value without places."""
        if isinstance(self.value, dict):
            return {key: node.plain() for key, node in self.value.items()}
        return [node.plain() for node in self.value] if isinstance(self.value, list) else self.value


Problem = tuple[Place, str]


class Refused(Exception):  # noqa: N818
    """A reason to stop reading at once."""

    def __init__(self, mark: yaml.Mark, message: str):
        super().__init__(message)
        self.mark = mark


class Loader(yaml.SafeLoader):
    """Composes nodes; nothing is constructed by PyYAML."""

    yaml_implicit_resolvers: dict[str, Any] = {}
    depth = 0
    count = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        event: Any = self.peek_event()  # type: ignore[no-untyped-call]
        mark: Any = event.start_mark
        self.count += 1
        if isinstance(event, yaml.AliasEvent):
            raise Refused(mark, f"aliases (*{printable(str(event.anchor))}) are not allowed; write the value out")
        if self.depth >= DEEPEST:
            raise Refused(mark, f"nested more than {DEEPEST} deep")
        if self.count > NODES:
            raise Refused(mark, f"more than {NODES:,} values")
        self.depth += 1
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node


class Dumper(yaml.SafeDumper):
    """Quotes what Loader would not read as text."""

    yaml_implicit_resolvers: dict[str, Any] = {}


for _name, (_pattern, _first) in SCALARS.items():
    for _class in (Loader, Dumper):
        _class.add_implicit_resolver(TAG + _name, re.compile(rf"(?:{_pattern})\Z"), _first)


def dump(values: dict[str, Any]) -> str:
    """`values` as YAML that `read` gives back: sections as blocks, lists on one line."""
    lines = yaml.dump(values, Dumper=Dumper, sort_keys=False, allow_unicode=True, width=1000, default_flow_style=None)
    return lines if isinstance(lines, str) else lines.decode()


def read(path: Path, problems: list[Problem]) -> Node:
    """The tree of the file at `path`. Mistakes that leave the rest readable go to `problems`, others raise."""
    name = printable(str(path))
    try:
        if not path.exists():
            raise ConfigError([f"{name}: no such file"])
        if not path.is_file():
            raise ConfigError([f"{name}: not a file"])
        with path.open("rb") as file:
            data = file.read(LARGEST + 1)
    except (OSError, ValueError) as error:
        raise ConfigError([f"{name}: cannot be read: {getattr(error, 'strerror', None) or error}"]) from None
    if len(data) > LARGEST:
        raise ConfigError([f"{name}: larger than {LARGEST:,} bytes; a config is a page or two"])
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = data[: error.start].decode("utf-8-sig", "replace")
        raise ConfigError([f"{_position(name, before)}: not UTF-8 text; save the file as UTF-8"]) from None
    return parse(text, name, problems)


def parse(text: str, name: str, problems: list[Problem], inside: Place | None = None) -> Node:
    """The tree of `text`; every place in it is `inside` where that is given, else `name:line:column`."""

    def place(mark: yaml.Mark) -> Place:
        return inside or Place(mark.line, mark.column, f"{name}:{mark.line + 1}:{mark.column + 1}")

    def fail(mark: yaml.Mark | None, message: str) -> ConfigError:
        return ConfigError([f"{place(mark).text if mark else inside.text if inside else name}: {message}"])

    try:
        root = Loader(text).get_single_node()
    except Refused as error:
        raise fail(error.mark, str(error)) from None
    except yaml.reader.ReaderError as error:
        where = inside.text if inside else _position(name, text[: error.position])
        raise ConfigError([f"{where}: a character that text cannot have (#x{int(error.character):02x})"]) from None
    except yaml.MarkedYAMLError as error:
        raise fail(error.problem_mark, _worded(error, text)) from None
    except (yaml.YAMLError, RecursionError, ValueError, IndexError, OverflowError) as error:
        raise fail(None, f"not valid YAML: {error}") from None
    if root is None:
        return Node(None, place(yaml.Mark(name, 0, 0, 0, None, 0)), place(yaml.Mark(name, 0, 0, 0, None, 0)))
    return _convert(root, place, problems)


def wrap(value: Any, place: Place) -> Node:
    """Plain values as a tree that is all at one place."""
    if isinstance(value, dict):
        value = {str(key): wrap(item, place) for key, item in value.items()}
    elif isinstance(value, (list, tuple)):
        value = [wrap(item, place) for item in value]
    return Node(value, place, place)


def _convert(node: yaml.Node, place: Any, problems: list[Problem], key: Place | None = None) -> Node:
    here = place(node.start_mark)
    if isinstance(node, yaml.ScalarNode):
        return Node(_scalar(node, here, problems), here, key or here)
    if node.tag not in (TAG + "map", TAG + "seq"):
        problems.append((here, f"the tag {_tag(node)} is not allowed: a config holds plain values"))
    if isinstance(node, yaml.SequenceNode):
        return Node([_convert(item, place, problems) for item in node.value], here, key or here)
    values: dict[str, Node] = {}
    for name, item in node.value:
        where = place(name.start_mark)
        if not isinstance(name, yaml.ScalarNode) or name.tag != TAG + "str":
            shown = printable(name.value) if isinstance(name, yaml.ScalarNode) else "a list or mapping"
            problems.append((where, f"a key must be text, not {shown}; put it in quotes if it is meant"))
        elif name.value in values:
            first = values[name.value].key.line + 1
            problems.append((where, f"duplicate key '{printable(name.value)}': it is already given in line {first}"))
        else:
            values[name.value] = _convert(item, place, problems, where)
    return Node(values, here, key or here)


def _scalar(node: yaml.ScalarNode, here: Place, problems: list[Problem]) -> Any:
    text, kind = node.value, node.tag.removeprefix(TAG)
    if kind == "str":
        return text
    if kind == "null":
        return None
    if kind not in SCALARS or not re.fullmatch(SCALARS[kind][0], text):
        problems.append((here, f"the tag {_tag(node)} is not allowed here: a config holds plain values"))
        return None
    if kind == "bool":
        return text.lower() == "true"
    if len(text) > DIGITS:
        problems.append((here, f"a number of more than {DIGITS} digits"))
        return None
    if kind == "float":
        return float(text.replace(".", "") if text[-1] in "fFnN" else text)  # .inf and .nan lose their dot
    return int(text, {"0o": 8, "0x": 16}.get(text[:2], 10))


def _tag(node: yaml.Node) -> str:
    return printable(node.tag.replace(TAG, "!!"))


def _worded(error: yaml.MarkedYAMLError, text: str) -> str:
    mark = error.problem_mark
    if mark is not None and "\t" in text[text.rfind("\n", 0, mark.index) + 1 : mark.index + 1]:
        return "a tab; use spaces"
    if error.context == "expected a single document in the stream":
        return "a second document ('---'); a config is one document"
    problem = str(error.problem or error.context)
    hint = ""
    if "mapping values are not allowed" in problem:
        hint = "; put text that has ': ' in it in quotes, and check the indentation"
    return f"not valid YAML: {printable(problem)}{hint}"


def _position(name: str, before: str) -> str:
    """The place just behind `before`."""
    line = before.count("\n")
    return f"{name}:{line + 1}:{len(before) - before.rfind(chr(10))}"
