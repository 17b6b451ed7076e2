"""Writers of answers: JSON lines, CSV, a folder, or readable lines on a terminal; one answer at a time."""

import csv
import math
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import IO, Any

from torch import Tensor

from dlzoo import files, jsontext
from dlzoo.errors import OutputError, UserError, did_you_mean, printable
from dlzoo.metrics.metric import Answer

FORMATS = (".csv", ".jsonl")
FORMULA = (*"=+-@＝＋－＠", "\t", "\r", "\n")
"""A spreadsheet runs a cell that starts with one of these."""
Writer = Callable[[IO[str], Iterable[Answer]], None]


def finite(value: Any) -> bool:
    """Whether no number inside `value` is NaN or infinite: JSON has neither."""
    if isinstance(value, float):
        return math.isfinite(value)
    if isinstance(value, dict):
        return all(map(finite, value.values()))
    return all(map(finite, value)) if isinstance(value, list) else True


def plain(answer: Answer) -> Answer:
    """An answer without its tensors, which are drawn and scored, and not written."""
    return {key: value for key, value in answer.items() if not isinstance(value, Tensor)}


def flat(answer: Answer) -> dict[str, Any]:
    """Nested keys joined by dots: {"scores": {"cat": .9}} is {"scores.cat": .9}; labels by |, as they are read."""
    row: dict[str, Any] = {}
    for key, value in answer.items():
        if isinstance(value, dict):
            row |= {f"{key}.{name}": item for name, item in flat(value).items()}
        elif key == "labels":
            row[key] = "|".join(value)
        else:
            row[key] = value
    return row


def rows(answer: Answer) -> Iterator[dict[str, Any]]:
    """The rows of a table that an answer fills: one; where it has lists of one length (a forecast), one a step; where
    it has a list of things (boxes), one a thing, or without any one that has but the source.
    """
    row = flat(answer)
    lists = {key: value for key, value in row.items() if isinstance(value, list)}
    if [] in lists.values():
        yield {key: value for key, value in row.items() if key not in lists}
    elif things := next((value for value in lists.values() if isinstance(value[0], dict)), None):
        rest = {key: value for key, value in row.items() if key not in lists}
        yield from ({**rest, **flat(thing)} for thing in things)
    elif len({len(value) for value in lists.values()}) != 1:
        yield row
    else:
        for step, values in enumerate(zip(*lists.values(), strict=True), 1):
            yield {"source": row.get("source"), "step": step, **row, **dict(zip(lists, values, strict=True))}


def cell(value: Any) -> Any:
    """`value` as a cell of a CSV: text that a spreadsheet would run as a formula gets a `'` in front; numbers stay."""
    if not isinstance(value, str) or not value.startswith(FORMULA):
        return _as_json(value)
    with suppress(ValueError):
        float(value)
        return value
    return "'" + value


def _as_json(value: Any) -> Any:
    return jsontext.dumps(value) if isinstance(value, (list, dict)) else value


def write_json(file: IO[str], answers: Iterable[Answer]) -> None:
    """One JSON object a line."""
    for answer in answers:
        file.write(jsontext.dumps(answer) + "\n")


def write_csv(file: IO[str], answers: Iterable[Answer], keep_formulas: bool = False) -> None:
    """A header and the rows of each answer; the columns are those of the first that says something, and `error`."""
    convert = _as_json if keep_formulas else cell
    waiting: list[Answer] = []
    writer = None
    for answer in answers:
        waiting.append(answer)
        if writer is None and ("error" in answer or [] in answer.values()) and len(waiting) < 10_000:
            continue
        if writer is None:
            names = dict.fromkeys(["source", *(next(rows(answer), {})), "error"])
            writer = csv.DictWriter(file, names, extrasaction="ignore", lineterminator="\n")
            writer.writeheader()
        _write_rows(writer, waiting, convert)
        waiting.clear()
    if waiting:
        writer = csv.DictWriter(file, ["source", "error"], extrasaction="ignore", lineterminator="\n")
        writer.writeheader()
        _write_rows(writer, waiting, convert)


def _write_rows(writer: "csv.DictWriter[str]", answers: list[Answer], convert: Callable[[Any], Any]) -> None:
    for answer in answers:
        for row in rows(answer):
            writer.writerow({key: convert(value) for key, value in row.items()})


def lined(text: str) -> str:
    """Text of several lines as a terminal may show it: nothing in it can steer that."""
    return "\n".join(printable(line) for line in text.split("\n"))


def readable(answer: Answer) -> str:
    """An answer as a person reads it; nothing in it can steer the terminal."""
    source = printable(str(answer.get("source", "")))
    if "error" in answer:
        error = printable(str(answer["error"]))
        return f"error: {error}" if error.startswith(source) else f"{source}: error: {error}"
    if "tags" in answer:
        return f"{source}: {_tagged(answer)}"
    if "blanks" in answer:
        found = ["  " + ", ".join(f"{_token(c)} {c['score']:.3f}" for c in blank) for blank in answer["blanks"]]
        return "\n".join([printable(answer["text"]), *found])
    if "text" in answer or "reply" in answer:
        return lined(str(answer.get("text", answer.get("reply"))))
    if "labels" in answer:
        found = [f"{printable(name)} {answer['scores'][name]:.3f}" for name in answer["labels"]]
        return f"{source}: {', '.join(found) or 'none of the labels'}{_weights(answer)}"
    if "label" in answer:
        ranked = sorted(answer.get("scores", {}).items(), key=lambda item: -item[1])
        others = [(name, score) for name, score in ranked if name != answer["label"]][:2]
        rest = ", ".join(f"{printable(str(name))} {score:.3f}" for name, score in others)
        rest = f"  ({rest})" if rest else ""
        when = f"  most from {answer['start']:.1f} to {answer['end']:.1f} s" if "start" in answer else ""
        return f"{source}: {printable(str(answer['label']))} {answer.get('score', 1):.3f}{rest}{when}{_weights(answer)}"
    steps = [{key: value for key, value in row.items() if key != "source"} for row in rows(answer)]
    if len(steps) == 1:
        return f"{source}: " + ("  ".join(_short(key, value) for key, value in steps[0].items()) or "nothing")
    return "\n".join([f"{source}:", *("  " + "  ".join(_short(k, v) for k, v in step.items()) for step in steps)])


def _tagged(answer: Answer) -> str:
    """Words with their tags behind them; where there are spans, these, each on a line of its own."""
    if "spans" in answer:
        named = [f"{span['label']} {span['text']} {span['score']:.3f}" for span in answer["spans"]]
        return "".join(f"\n  {printable(span)}" for span in named) or "nothing"
    return " ".join(printable(f"{word}/{tag}") for word, tag in zip(answer["words"], answer["tags"], strict=True))


def _token(candidate: dict[str, Any]) -> str:
    return printable(str(candidate["token"]).strip()) or repr(candidate["token"])


def _weights(answer: Answer) -> str:
    """The five words that weighed most for a label, on a line of their own."""
    found = [f"{printable(word['word'])} {word['weight']:+.2f}" for word in answer.get("words", [])[:5]]
    return f"\n  most: {', '.join(found)}" if found else ""


def _short(key: str, value: Any) -> str:
    key = key.removeprefix("values.")
    text = f"{value:.6g}" if isinstance(value, float) else printable(str(value))
    return text if key in ("value", "times") else f"{printable(key)} {text}"


def destination(output: Path, keep_formulas: bool = False) -> tuple[Path, Writer]:
    """The file that `-o OUTPUT` means and what writes it. Raises UserError for a kind of file that is not written."""
    if output.suffix == ".csv" and not os.path.isdir(output):
        return output, partial(write_csv, keep_formulas=keep_formulas)
    if keep_formulas:
        raise UserError("--keep-formulas is about the cells of a table: write one with -o FILE.csv, or leave it out")
    if output.suffix in FORMATS and not os.path.isdir(output):
        return output, write_json
    if output.suffix and not os.path.isdir(output):
        guess = did_you_mean(output.suffix, FORMATS)
        raise UserError(f"-o {printable(str(output))}: answers are written as .csv, as .jsonl or into a folder.{guess}")
    if os.path.exists(output) and not os.path.isdir(output):
        raise OutputError(
            f"-o {printable(str(output))} is a file, not a folder; end it in .csv or .jsonl to write a file"
        )
    return output / "answers.jsonl", write_json


def save(output: Path, answers: Iterable[Answer], keep_formulas: bool = False) -> Path:
    """Write all answers under `output`; the file takes its name once it is whole. Returns the file."""
    path, write = destination(output, keep_formulas)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"cannot make the folder {printable(str(path.parent))}: {error.strerror}") from error

    def fill(part: Path) -> None:
        with part.open("w", encoding="utf-8", newline="") as file:
            write(file, answers)

    files.write(path, fill)
    return path


def show(answers: Iterable[Answer], as_json: bool) -> None:
    """Each answer on stdout as soon as it is there: JSON lines, or readable lines."""
    for answer in answers:
        line = jsontext.dumps(answer) if as_json else readable(answer)
        sys.stdout.write(line + "\n")
        sys.stdout.flush()
