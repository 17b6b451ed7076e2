"""Single keys laid over the tree of a config file: `--set` and options of their own."""

import re

from dlzoo.errors import ConfigError
from dlzoo.schema.yamlfile import Node, Place, Problem, parse

KEY = re.compile(r"[A-Za-z_][\w-]*(\.[A-Za-z_][\w-]*)*")


def override(root: Node, text: str, place: Place, problems: list[Problem]) -> None:
    """Put what one `--set key=value` says into the tree."""
    key, equals, value = text.partition("=")
    if not KEY.fullmatch(key):
        problems.append((place, "write it as key=value, or section.key=value: --set optimizer.lr=3e-4"))
    elif not equals or not value.strip():
        problems.append((place, f"no value; write --set {key}=VALUE, with null for none"))
    else:
        try:
            node = parse(value, key, problems, place)
        except ConfigError as error:
            problems += [(place, problem.removeprefix(f"{place.text}: ")) for problem in error.problems]
        else:
            put(root, key.split("."), node, place, problems)


def put(root: Node, path: list[str], node: Node, place: Place, problems: list[Problem]) -> None:
    """Put `node` at a path of keys, making the sections on the way; a section given by its name alone keeps it."""
    here = root
    for depth, key in enumerate(path[:-1], 1):
        child = here.value.setdefault(key, Node({}, place, place))
        if child.value is None:
            child.value = {}
        elif isinstance(child.value, str):  # `model: lenet` is short for `model: {name: lenet}`
            child.value = {"name": Node(child.value, child.place, child.key)}
        if not isinstance(child.value, dict):
            problems.append((place, f"'{'.'.join(path[:depth])}' is not a section, so it has no '{path[depth]}'"))
            return
        here = child
    if path in (["train", "steps"], ["train", "epochs"]) and node.value is not None:
        # the two are one choice, and this one is later
        here.value.pop("epochs" if path[1] == "steps" else "steps", None)
    here.value[path[-1]] = node
