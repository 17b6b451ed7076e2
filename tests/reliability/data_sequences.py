"""Bad texts, series and sounds."""

from __future__ import annotations

import json
import math
from pathlib import Path

from reliability.command import dlzoo
from reliability.data import DATA, DAYS, MAILS, NOVEL, accepted, days, facts, mails, refused, train
from reliability.table import Skipped


@DATA.row("B44", "times that are not sorted, come twice or are none are named with row and column")
def _(place: Path) -> None:
    refused(train(place, DAYS, data_csv=days(_9="2023-01-08,1")), "data.csv:9", "'2023-01-08'", "day", "after")
    refused(train(place, DAYS, data_csv=days(_9="2024-01-07,1")), "data.csv:9", "twice")
    refused(train(place, DAYS, data_csv=days(_9="soon,1")), "data.csv:9", "'soon'", "no time")
    refused(train(place, DAYS, data_csv=days(_9="2024-01-08,")), "data.csv:9", "sold", "empty")
    refused(train(place, DAYS, data_csv=days(_9="2024-01-08,many")), "data.csv:9", "'many'", "sold")


@DATA.row("B45", "a window that is longer than the series is refused with both lengths")
def _(place: Path) -> None:
    long = DAYS.replace("context: 6", "context: 60")
    refused(train(place, long, data_csv=days()), "data.csv", "of 32 steps", "context of 60")


@DATA.row("B46", "an empty text has one token, gives an answer, and is counted")
def _(place: Path) -> None:
    accepted(train(place, MAILS, data_csv=mails(_9=",ham", _10="  ,spam")), "2 texts are empty", "data.csv:9")
    found = dlzoo("predict", "last", "", cwd=place)
    assert found.code == 0 and json.loads(found.out)["scores"], found


@DATA.row("B47", "texts longer than the context are cut, and counted")
def _(place: Path) -> None:
    config = MAILS.replace("text_classification", "{name: text_classification, context: 4}")
    accepted(train(place, config, data_csv=mails(_9="a b c d e f,ham")), "1 of", "longer than context: 4")


@DATA.row("B48", "no model sees padding alone: where many texts are empty, all numbers are finite")
def _(place: Path) -> None:
    empty = {f"_{i}": f",{'ab'[i % 2]}" for i in range(2, 42, 3)}
    accepted(train(place, MAILS.replace("gru", "bert"), data_csv=mails(**empty)), "texts are empty")
    found = facts(place)["metrics"]  # the sensitivity of a class that the test split lacks is null
    assert found["loss"] is not None and found["accuracy"] is not None, found
    assert all(math.isfinite(value) for value in found.values() if value is not None), found
    found = dlzoo("predict", "last", "", "\u2603", "--batch-size", "1", cwd=place)
    assert found.code == 0 and len(found.out.splitlines()) == 2, found


@DATA.row("B49", "a token that the model does not know is the unknown one; another vocabulary is found out")
def _(place: Path) -> None:
    accepted(train(place, NOVEL, data_txt="it was a dark and stormy night. " * 40))
    found = dlzoo("predict", "last", "\u2603 it was", "--max-new-tokens", "4", cwd=place)
    assert found.code == 0 and found.out, found
    (path,) = place.glob("runs/*/model/model.json")
    described = json.loads(path.read_text())
    own = described["task"]["tokenizer"]
    entries = own["symbols"]
    for other in (entries[:-1], entries[::-1]):
        path.write_text(json.dumps(described | {"task": described["task"] | {"tokenizer": own | {"symbols": other}}}))
        ended = dlzoo("predict", "last", "it was", cwd=place)
        assert ended.code == 4 and "model.json" in ended.said and not ended.out, ended


for number, what in {
    "B50": "a transcript longer than its sound is named",
    "B51": "another sample rate is resampled, and that is said",
    "B52": "stereo becomes mono",
    "B53": "a sound without length is named",
    "B54": "a WAV file with a broken header is named",
    "B55": "a sound of silence, or of nan, is named",
    "B56": "8, 16, 24 and 32 bits and floats are the same sound",
}.items():

    @DATA.row(number, what)
    def _(place: Path) -> None:
        raise Skipped("there is no task with sound yet")
