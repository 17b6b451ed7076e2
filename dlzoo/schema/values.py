"""One value from a file as the type that a signature asks for, or words for why it is not one. pydantic judges."""

from __future__ import annotations

import functools
import json
import math
import operator
import types
from typing import Annotated, Any, Final, Union, get_args, get_origin

from pydantic import BeforeValidator, ConfigDict, Strict, TypeAdapter, ValidationError

from dlzoo.errors import did_you_mean, printable
from dlzoo.registry.parameter import choices_of, spelled

WRONG: Final = object()
"""Stands where a value could not be converted."""
LONGEST = 60
BOUNDS = {
    "greater_than": "more than {gt:g}",
    "greater_than_equal": "at least {ge:g}",
    "less_than": "less than {lt:g}",
    "less_than_equal": "at most {le:g}",
}
WORDS: dict[Any, str] = {int: "a whole number", float: "a number", bool: "true or false", str: "text"}
Mistake = tuple[tuple[int | str, ...], str]
"""Where inside the value, and what is wrong there."""


def convert(value: Any, kind: Any) -> tuple[Any, list[Mistake]]:
    """`value` as a `kind`; where it is not one, None and the mistakes.

    Strict: text is not a number and true is not 1. But a list serves as a tuple, and 1e3 as an int.
    """
    try:
        return _adapter(kind).validate_python(value), []
    except ValidationError as error:
        seen: dict[tuple[int | str, ...], Mistake] = {}
        for item in error.errors(include_url=False):
            inside = _inside(value, item["loc"])
            seen.setdefault(inside, (inside, _worded(item, _at(value, inside), _part(kind, inside))))
        return None, list(seen.values())


@functools.cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(_checked(kind), config=ConfigDict(strict=True, allow_inf_nan=False))


def _checked(kind: Any) -> Any:
    """The type with what pydantic's strict mode refuses and people write: 1e3 for an int, a list for a tuple."""
    origin, inside = get_origin(kind), get_args(kind)
    if kind is int:
        return Annotated[int, BeforeValidator(_whole)]
    if origin is Annotated:
        return Annotated[(_checked(inside[0]), *kind.__metadata__)]
    if origin in (Union, types.UnionType):
        return functools.reduce(operator.or_, map(_checked, inside))
    if origin is tuple:
        parts = tuple(part if part is ... else _checked(part) for part in inside)
        return Annotated[types.GenericAlias(tuple, parts), Strict(False)]
    if origin in (list, dict):
        return origin[tuple(_checked(part) for part in inside)]
    return kind


def _whole(value: Any) -> Any:
    return int(value) if isinstance(value, float) and math.isfinite(value) and value == int(value) else value


def _inside(value: Any, path: tuple[int | str, ...]) -> tuple[int | str, ...]:
    """The part of pydantic's path that leads into `value`; it also names members of unions."""
    found: list[int | str] = []
    for step in path:
        if isinstance(value, dict) and step in value or isinstance(value, list) and step in range(len(value)):
            value = value[step]  # type: ignore[index]
            found.append(step)
    return tuple(found)


def _at(value: Any, path: tuple[int | str, ...]) -> Any:
    return functools.reduce(lambda part, step: part[step], path, value)


def _part(kind: Any, path: tuple[int | str, ...]) -> Any:
    """The type that is asked for at `path` inside a value of type `kind`, as far as one can tell."""
    for step in path:
        while get_origin(kind) is Annotated:
            kind = get_args(kind)[0]
        inside = get_args(kind)
        if get_origin(kind) is dict:
            kind = inside[1]
        elif get_origin(kind) is tuple and ... not in inside and isinstance(step, int) and step < len(inside):
            kind = inside[step]
        elif get_origin(kind) in (list, tuple):
            kind = inside[0]
    return kind


def _worded(error: Any, value: Any, kind: Any) -> str:
    context = error.get("ctx", {})
    if error["type"] in BOUNDS:
        return f"must be {BOUNDS[error['type']].format(**context)}, got {quoted(value)}"
    if error["type"] == "finite_number":
        return f"must be finite, got {quoted(value)}"
    if error["type"] in ("too_long", "too_short", "missing") and isinstance(value, (list, dict)):
        return f"expected {spelled(kind)}, got {len(value)} values"
    if options := choices_of(kind):
        close = did_you_mean(quoted(value, marks=False), [str(option) for option in options])
        return f"expected {spelled(kind)}, got {quoted(value)}.{close}"
    while get_origin(kind) is Annotated:
        kind = get_args(kind)[0]
    return f"expected {WORDS.get(kind) or spelled(kind)}, got {quoted(value)}{_hint(value, kind)}"


def _hint(value: Any, kind: Any) -> str:
    if kind is str and isinstance(value, (int, float, bool)):
        return "; put it in quotes"
    if isinstance(value, str) and value and {int, float} & {kind, *get_args(kind)}:
        try:
            number = float(value.replace("_", "").replace(",", ""))
        except ValueError:
            return ""
        return f"; write {number:g}, without quotes, underscores or zeros in front" if math.isfinite(number) else ""
    return ""


def quoted(value: Any, marks: bool = True) -> str:
    """`value` as it might stand in a file, cut where it is long; text without its quotation marks if not `marks`."""
    if isinstance(value, str) and not marks:
        text = value
    elif isinstance(value, float):
        text = {math.inf: ".inf", -math.inf: "-.inf"}.get(value, ".nan" if math.isnan(value) else f"{value:g}")
    else:
        text = f"'{value}'" if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return printable(text if len(text) <= LONGEST else text[: LONGEST - 3] + "...")
