"""What a file registers, read from its text: names, parameters, meanings. The file is parsed with `ast`, never run."""

from __future__ import annotations

import ast
import re
import types
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, Literal, NoReturn, get_args

from dlzoo import choices
from dlzoo.config import Component
from dlzoo.errors import ConfigError
from dlzoo.features import Kind
from dlzoo.registry.entry import PACKAGE, Entry, Registered, shown
from dlzoo.registry.parameter import REQUIRED, Parameter, arguments, choices_of

REGISTERS = re.compile(r"^\s*@[A-Z]+\.register\(", re.MULTILINE)
"""A cheap look, so that only files that register something are parsed."""
SIMPLE = {"int": int, "float": float, "bool": bool, "str": str, "list": list, "tuple": tuple, "dict": dict}


@cache
def text(file: Path) -> str:
    """What stands in `file`. Raises ConfigError where it cannot be read."""
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError([f"{shown(file)}: cannot be read: {getattr(error, 'strerror', None) or error}"]) from None


@cache
def registered(file: Path) -> tuple[Registered, ...]:
    """What `file` registers, in order. Raises ConfigError with file:line where its text is not Python."""
    return tuple(_source(file).registered()) if REGISTERS.search(text(file)) else ()


@cache
def entry(found: Registered) -> Entry:
    """All that the text of its file says of something that is registered there."""
    return _source(found.file).entry(found)


@cache
def _source(file: Path) -> _Source:
    return _Source(file, text(file))


class _Source:
    """A parsed file, and what its names stand for."""

    def __init__(self, file: Path, text: str):
        self.file = file
        try:
            self.tree = ast.parse(text)
        except (SyntaxError, ValueError) as error:
            line = getattr(error, "lineno", 1)
            raise ConfigError([f"{shown(file)}:{line}: not valid Python: {getattr(error, 'msg', error)}"]) from None
        self.classes = {node.name: node for node in self.tree.body if isinstance(node, ast.ClassDef)}
        self.aliases = {
            node.targets[0].id: node.value
            for node in self.tree.body
            if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
        }

    def fail(self, node: ast.AST, message: str) -> NoReturn:
        raise ConfigError([f"{shown(self.file)}:{getattr(node, 'lineno', 1)}: {message}"])

    def registered(self) -> Iterator[Registered]:
        """Each `@KINDS.register("name")` above a class or a function."""
        for node in self.tree.body:
            for call in node.decorator_list if isinstance(node, (ast.ClassDef, ast.FunctionDef)) else ():
                match call:
                    case ast.Call(func=ast.Attribute(value=ast.Name(id=variable), attr="register"), args=[name]):
                        if not (isinstance(name, ast.Constant) and isinstance(name.value, str)):
                            self.fail(call, "the name in register(...) must be a plain string")
                        kind = variable.removesuffix("S").lower()
                        yield Registered(kind, name.value, self.file, node.lineno)

    def entry(self, found: Registered) -> Entry:
        paper = (ast.get_docstring(self.tree) or "").partition("\n")[0]
        node = next(node for node in self.tree.body if getattr(node, "lineno", 0) == found.line)
        assert isinstance(node, (ast.ClassDef, ast.FunctionDef))
        doc = (ast.get_docstring(node) or "").partition("\n")[0]
        shared: dict[str, Any] = {**vars(found), "class_name": node.name, "doc": doc, "paper": paper}
        if isinstance(node, ast.FunctionDef):
            parameters = self.parameters(node, arguments(ast.get_docstring(node)), method=False)
            return Entry(**shared, parameters=parameters)
        # a base that several share comes after all of them, as for Python
        last = {(source.file, cls.name): (source, cls) for source, cls in reversed(list(self.family(node)))}
        family = list(reversed(last.values()))
        docs: dict[str, str] = {}
        attributes: dict[str, Any] = {}
        for source, cls in reversed(family):
            docs |= arguments(ast.get_docstring(cls))
            attributes |= source.attributes(cls)
            for method in cls.body:  # a property that decides by the arguments
                if isinstance(method, ast.FunctionDef):
                    attributes.pop(method.name, None)
        source, init = next(self.methods(family, "__init__"), (self, None))
        parameters = source.parameters(init, docs, method=True) if init else ()
        shared |= {"parameters": parameters, "attributes": attributes}
        if found.kind == "task":
            shared["facts"] = tuple(_facts([facts for _, facts in self.methods(family, "facts")]))
        elif found.kind == "model":
            _, forward = next(self.methods(family, "forward"), (self, None))
            shared["forward"] = tuple(arg.arg for arg in _arguments(forward)[1:]) if forward else ()
            shared["kinds"] = tuple(sorted({kind for _, cls in family for kind in _kinds(cls, parameters)}))
            shared["causal"] = _causal([cls for _, cls in family])
        return Entry(**shared)

    def family(self, cls: ast.ClassDef) -> Iterator[tuple[_Source, ast.ClassDef]]:
        """`cls` and its base classes, nearest first, as far as they stand in this file or in another of dlzoo's."""
        yield self, cls
        for base in cls.bases:
            if not isinstance(base, ast.Name):
                continue
            if base.id in self.classes:
                yield from self.family(self.classes[base.id])
            elif file := self.imported(base.id):
                source = _source(file)
                if base.id in source.classes:
                    yield from source.family(source.classes[base.id])

    def imported(self, name: str) -> Path | None:
        """The file of dlzoo's that `name` is imported from, or that it is."""
        for node in self.tree.body:
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("dlzoo."):
                if any((alias.asname or alias.name) == name for alias in node.names):
                    path = PACKAGE.parent.joinpath(*str(node.module).split("."))
                    return next(
                        (file for file in (path / f"{name}.py", path.with_suffix(".py")) if file.exists()), None
                    )
        return None

    @staticmethod
    def methods(family: list[tuple[_Source, ast.ClassDef]], name: str) -> Iterator[tuple[_Source, ast.FunctionDef]]:
        for source, cls in family:
            for node in cls.body:
                if isinstance(node, ast.FunctionDef) and node.name == name:
                    yield source, node

    def attributes(self, cls: ast.ClassDef) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for node in cls.body:
            match node:
                case (
                    ast.Assign(targets=[ast.Name(id=name)], value=value)
                    | ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value)
                ):
                    try:
                        found[name] = ast.literal_eval(value)
                    except ValueError:
                        continue
        return found

    def parameters(self, node: ast.FunctionDef, docs: dict[str, str], method: bool) -> tuple[Parameter, ...]:
        if node.args.vararg or node.args.kwarg:
            self.fail(node, f"{node.name} takes *args or **kwargs; a registered constructor names every argument")
        positional = [*node.args.posonlyargs, *node.args.args]
        defaults: list[ast.expr | None] = [None] * (len(positional) - len(node.args.defaults)) + list(
            node.args.defaults
        )
        pairs = [
            *zip(positional, defaults, strict=True),
            *zip(node.args.kwonlyargs, node.args.kw_defaults, strict=True),
        ]
        return tuple(
            Parameter(
                arg.arg,
                self.type(arg.annotation) if arg.annotation else self.fail(arg, f"argument '{arg.arg}' has no type"),
                self.default(default) if default else REQUIRED,
                docs.get(arg.arg, ""),
            )
            for arg, default in pairs[method:]
        )

    def default(self, node: ast.expr) -> Any:
        try:
            return ast.literal_eval(node)
        except ValueError:
            self.fail(node, f"the default {ast.unparse(node)} is not a literal, which is all that can be read")

    def type(self, node: ast.expr) -> Any:
        """The typing object that an annotation stands for: from a closed list, nothing is evaluated."""
        match node:
            case ast.Constant(value=None):
                return None
            case ast.Constant(value=str(text)):
                return self.type(ast.parse(text, mode="eval").body)
            case ast.Name(id="Component"):
                return Component
            case ast.Name(id=name) if name in SIMPLE:
                return SIMPLE[name]
            case ast.Name(id=name) if name in self.aliases:
                return self.type(self.aliases[name])
            case ast.Name(id=name) | ast.Attribute(value=ast.Name(id="choices"), attr=name) if hasattr(choices, name):
                return getattr(choices, name)
            case ast.BinOp(left=left, op=ast.BitOr(), right=right):
                return self.type(left) | self.type(right)
            case ast.Subscript(value=ast.Name(id="Literal"), slice=values):
                return Literal[ast.literal_eval(values)]
            case ast.Subscript(value=ast.Name(id="list" | "tuple" | "dict" as name), slice=inner):
                parts = inner.elts if isinstance(inner, ast.Tuple) else [inner]
                kinds = tuple(... if _ellipsis(part) else self.type(part) for part in parts)
                return types.GenericAlias(SIMPLE[name], kinds)
        self.fail(
            node,
            f"the type {ast.unparse(node)} is not one that a config can hold: use int, float, bool, str, list, tuple, "
            "dict, Literal, X | None, Component, or a name from dlzoo/choices.py",
        )


def _ellipsis(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is ...


def _arguments(node: ast.FunctionDef) -> list[ast.arg]:
    return [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]


def _facts(methods: list[ast.FunctionDef]) -> Iterator[str]:
    """The keys of the nearest `facts`, and of those that it adds to."""
    for method in methods:
        yield from _keys(method)
        if not any(isinstance(part, ast.Name) and part.id == "super" for part in ast.walk(method)):
            return


def _keys(node: ast.FunctionDef) -> Iterator[str]:
    """Strings that are keys of a dict display, of `facts["key"] = ...` or of `dict(key=...)` inside a function."""
    for part in ast.walk(node):
        match part:
            case ast.Dict(keys=keys):
                yield from (key.value for key in keys if isinstance(key, ast.Constant) and isinstance(key.value, str))
            case ast.Subscript(slice=ast.Constant(value=str(key)), ctx=ast.Store()):
                yield key
            case ast.Call(func=ast.Name(id="dict"), keywords=keywords):
                yield from (keyword.arg for keyword in keywords if keyword.arg)


def _kinds(cls: ast.ClassDef, parameters: tuple[Parameter, ...]) -> Iterator[str]:
    """Kinds named in the first argument of `Features(...)`, or the choices of the parameter that stands there."""
    for call in ast.walk(cls):
        match call:
            case ast.Call(func=ast.Name(id="Features"), args=[kind, *_]):
                for part in ast.walk(kind):
                    match part:
                        case ast.Constant(value=str(text)) if text in get_args(Kind):
                            yield text
                        case ast.Name(id=name):
                            for parameter in parameters:
                                if parameter.name == name:
                                    yield from (
                                        choice for choice in choices_of(parameter.type) if choice in get_args(Kind)
                                    )


def _causal(classes: list[ast.ClassDef]) -> bool | None:
    """What the `causal` of every `Features(...)` says: False where it is left out, None where it is not plain."""
    found: set[bool | None] = set()
    for cls in classes:
        for call in ast.walk(cls):
            match call:
                case ast.Call(func=ast.Name(id="Features"), keywords=keywords):
                    value = next((keyword.value for keyword in keywords if keyword.arg == "causal"), None)
                    plain = isinstance(value, ast.Constant)
                    found.add(False if value is None else bool(value.value) if plain else None)  # type: ignore[attr-defined]
    return found.pop() if len(found) == 1 else None
