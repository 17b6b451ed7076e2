"""Conversations in the files of a user, one by one: JSON lines, or a list, in OpenAI's form or in ShareGPT's."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dlzoo import jsontext
from dlzoo.data.dataset import Sample
from dlzoo.data.delimited import undecodable
from dlzoo.data.location import existing, shown
from dlzoo.errors import DataError, printable

SUFFIXES = (".jsonl", ".ndjson", ".json")
ROLES = ("system", "user", "assistant")
FORMS = {"messages": ("role", "content"), "conversations": ("from", "value")}
"""How files call the turns, and of each who says it, and what: OpenAI's names, and ShareGPT's."""
SHAREGPT = {"human": "user", "gpt": "assistant"}
WANTED = '{"messages": [{"role": "user", "content": "..."}, {"role": "assistant", "content": "..."}]}'


def read(file: Path) -> Iterator[Sample | DataError]:
    """The conversations of a file, each with its source; a bad one comes as a DataError. Raises one for a bad file."""
    name = shown(file)
    try:
        with existing(file, folder=False).open(encoding="utf-8-sig") as stream:
            if file.suffix.lower() == ".json":
                yield from _listed(stream.read(), name)
                return
            for number, line in enumerate(stream, 1):
                if line.strip():
                    yield _parsed(line, f"{name}:{number}")
    except UnicodeDecodeError as error:
        raise undecodable(file, name, "utf-8", error) from None


def _listed(text: str, name: str) -> Iterator[Sample | DataError]:
    try:
        found = jsontext.loads(text)
    except ValueError as error:
        raise DataError(f"{name}: the file is no JSON ({printable(str(error))}).") from None
    for number, item in enumerate(found if isinstance(found, list) else [found], 1):
        yield conversation(item, f"{name}: conversation {number}")


def _parsed(line: str, source: str) -> Sample | DataError:
    try:
        return conversation(jsontext.loads(line), source)
    except ValueError as error:
        return DataError(f"{source}: the line is no JSON ({printable(str(error))}).")


def conversation(value: Any, source: str) -> Sample | DataError:
    """`messages` of a JSON value, in either form, with its source; or what is wrong with it."""
    turns = next((key for key in FORMS if isinstance(value, dict) and key in value), None)
    if turns is None:
        return DataError(f"{source}: this is no conversation. Wanted: {WANTED}.")
    who, what = FORMS[turns]
    if not isinstance(value[turns], list) or not value[turns]:
        return DataError(f"{source}: `{turns}` has no messages. Wanted: {WANTED}.")
    messages = []
    for number, turn in enumerate(value[turns], 1):
        said, role = (turn.get(what), turn.get(who)) if isinstance(turn, dict) else (None, None)
        role = SHAREGPT.get(role, role) if isinstance(role, str) else role
        if role not in ROLES:
            return DataError(
                f"{source}: message {number} has the {who} {_word(role)}; it is one of {', '.join(ROLES)}."
            )
        if not isinstance(said, str):
            return DataError(f"{source}: message {number}: the {what} is {_word(said)}, and must be text.")
        messages.append({"role": role, "content": said})
    return {"messages": messages, "source": source}


def _word(value: Any) -> str:
    return f"'{printable(str(value))[:60]}'" if isinstance(value, str) else printable(jsontext.dumps(value))[:60]
