"""A constructor's parameters as values: name, type, default, meaning; and types in words."""

from __future__ import annotations

import dataclasses
import types
import typing
from dataclasses import dataclass
from functools import reduce
from operator import or_
from typing import Any, Final, Literal, Union, get_args, get_origin

from dlzoo.config import Component


class Required:
    """The default of a parameter that has none."""

    def __repr__(self) -> str:
        return "required"


REQUIRED: Final = Required()


@dataclass(frozen=True)
class Parameter:
    """One keyword argument of a constructor."""

    name: str
    type: Any
    """A real typing object: int, `str | None`, Literal[...], Component ..."""
    default: Any = REQUIRED
    doc: str = ""

    @property
    def required(self) -> bool:
        return self.default is REQUIRED


def arguments(doc: str | None) -> dict[str, str]:
    """The `Args:` section of a docstring: name to meaning, continued lines joined."""
    found: dict[str, str] = {}
    lines = iter((doc or "").expandtabs().splitlines())
    if not any(line.strip() == "Args:" for line in lines):  # `any` leaves the iterator behind that line
        return found
    margin, name = None, ""
    for line in lines:
        if not line.strip():
            break
        indent = len(line) - len(line.lstrip())
        margin = indent if margin is None else margin
        if indent < margin:
            break
        head, colon, meaning = line.strip().partition(":")
        if indent == margin and colon and head.isidentifier():
            name, found[head] = head, meaning.strip()
        elif name:
            found[name] += " " + line.strip()
    return found


def choices_of(kind: Any) -> tuple[Any, ...]:
    """The values of a Literal, also inside a union; empty for other types."""
    if get_origin(kind) is Literal:
        return get_args(kind)
    if get_origin(kind) in (Union, types.UnionType):
        return tuple(choice for part in get_args(kind) for choice in choices_of(part))
    return ()


def spelled(kind: Any) -> str:
    """A type as a reader knows it: `int`, `float or null`, `relu | gelu | ...`."""
    if kind is None or kind is type(None):
        return "null"
    if kind is Component:
        return "model"
    origin, inside = get_origin(kind), get_args(kind)
    if origin is typing.Annotated:
        return spelled(inside[0])
    if origin is Literal:
        return " | ".join(map(str, inside))
    if origin in (Union, types.UnionType):
        return " or ".join(map(spelled, inside))
    if origin is tuple and inside[-1] is ...:
        return f"list of {spelled(inside[0])}"
    if origin is not None:
        return f"{origin.__name__} of {', '.join(map(spelled, inside))}"
    return "text" if kind is str else str(kind.__name__)


def optional(kind: Any) -> bool:
    """Whether null is a value of the type."""
    return kind is None or type(None) in get_args(kind)


def without_none(kind: Any) -> Any:
    """The type with null taken out of its union."""
    if get_origin(kind) in (Union, types.UnionType):
        return reduce(or_, (part for part in get_args(kind) if part is not type(None)))
    return kind


def fields(cls: Any) -> tuple[Parameter, ...]:
    """The fields of a section's dataclass as parameters, but for the `name` that decides a union."""
    hints = typing.get_type_hints(cls, include_extras=True)
    docs = arguments(cls.__doc__)
    return tuple(
        Parameter(field.name, hints[field.name], field.default, docs.get(field.name, ""))
        for field in dataclasses.fields(cls)
        if field.name != "name"
    )
