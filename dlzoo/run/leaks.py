"""Leaks that the columns of a table show: times and groups on both sides of a split, identifiers; and constants."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from dlzoo.errors import DataError, first_few, printable

if TYPE_CHECKING:
    from dlzoo.run.built import Built

FEW = 20
"""Rows up to which different values everywhere say nothing."""
GROUPS = 5
"""Different values from which on they may be people or places, not kinds."""
MOSTLY = 0.9
"""Share of the values that must be times for a column to be one of times."""
IDENTIFIER = re.compile(r"(.*[_ ])?(id|uuid|guid|key|index|nr|no|number)", re.IGNORECASE)
TIME = re.compile(r"(.*[_ ])?(date|datetime|time|timestamp|year|month|at)", re.IGNORECASE)
YEARS = frozenset(map(float, range(1800, 2200)))
GROUP = re.compile(
    r"(.*[_ ])?(patient|subject|person|user|customer|client|speaker|author|session|group|family|household|device"
    r"|hospital|student|employee|account|[^_ ]+[_ ](id|nr|no|number))([_ ]?(id|nr|no|number|name|code))?",
    re.IGNORECASE,
)
MONTH = re.compile(r"\d{4}-\d\d")


def examine(built: Built) -> tuple[dict[str, list[str]], list[str]]:
    """The features of a table that are constant or identify rows; and sentences on them, and on leaks in any column."""
    data, target = built.dataset, getattr(built.dataset, "target", None)
    features = built.splits["train"][0]["row"] if "row" in data.gives else {}
    found: dict[str, list[str]] = {"constant": [], "identifiers": []}
    warnings: list[str] = []
    for name in data.headings():
        if name == target or (values := _column(built, name)) is None:
            continue
        distinct = set(values["train"]) - {None, ""}
        if name in features and len(distinct) < 2:
            found["constant"].append(name)
        if name in features and _identifies(name, values["train"], distinct):
            found["identifiers"].append(name)
        warnings += [*_future(name, values, distinct), *_groups(built, name, values, distinct)]
    if found["identifiers"]:
        names = [f"'{name}'" for name in found["identifiers"]]
        warnings.append(f"columns that are different in every row tell rows apart, not more: {first_few(names)}")
    if found["constant"]:
        names = [f"'{name}'" for name in found["constant"]]
        warnings.append(f"columns that never vary in train: {first_few(names)}")
    return found, warnings


def _column(built: Built, name: str) -> dict[str, list[Any]] | None:
    """The values of a column, split by split; None for one that cannot be given."""
    try:
        values = built.dataset.column(name)
    except DataError:
        return None
    return {split: [values[i] for i in subset.indices] for split, subset in built.splits.items()}


def _identifies(name: str, values: list[Any], distinct: set[Any]) -> bool:
    """Whether every row has another value: text, or whole numbers that count or are called an identifier."""
    if len(values) <= FEW or len(distinct) < len(values):
        return False
    if all(isinstance(value, str) for value in values):
        return True
    whole = all(isinstance(value, float) and value.is_integer() for value in values)
    return whole and (IDENTIFIER.fullmatch(name) is not None or max(values) - min(values) < 2 * len(values))


def _future(name: str, values: dict[str, list[Any]], distinct: set[Any]) -> Iterator[str]:
    """A sentence where a column is a time, and train has later ones than another split has."""
    numbers = any(isinstance(value, float) for value in distinct)
    if numbers and not (TIME.fullmatch(name) and (2 * len(distinct) > len(values["train"]) or distinct <= YEARS)):
        return  # a number is a time if it is called one, and is a year or hardly ever comes twice
    if _moment(next((value for value in values["train"] if value not in (None, "")), None)) is None:
        return
    times = {
        split: [(moment, str(value)) for value in column if (moment := _moment(value)) is not None]
        for split, column in values.items()
    }
    if any(len(times[split]) <= MOSTLY * len(column) for split, column in values.items()):
        return
    last, latest = max(times.pop("train"))
    for split, moments in times.items():
        first, earliest = min(moments)
        if last > first:
            yield (
                f"leak of time: in train column '{printable(name)}' goes to {printable(latest)}, and {split} begins at "
                f"{printable(earliest)}, so no score there is one of the future; sort the rows, and set split: time"
            )
            return


def _moment(value: Any) -> float | None:
    """A value as a number that rises with time; None for text that is no date."""
    if isinstance(value, float):
        return value
    text = str(value or "").strip()
    try:
        date = datetime.fromisoformat(f"{text}-01" if MONTH.fullmatch(text) else text)
    except ValueError:
        return None
    return (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp()


def _groups(built: Built, name: str, values: dict[str, list[Any]], distinct: set[Any]) -> Iterator[str]:
    """A sentence where values that seem to be people or places stand on both sides of a split by no group."""
    repeated = GROUPS <= len(distinct) < len(values["train"])
    if built.config.split.group is not None or not repeated or not GROUP.fullmatch(name):
        return
    for split in values.keys() - {"train"}:
        if both := distinct & set(values[split]):
            yield (
                f"leak of groups: {len(both):,} values of '{printable(name)}' are in train and in {split}; "
                f"if what they name belongs together, set data.group: {printable(name)}"
            )
            return
