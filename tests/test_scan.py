"""`dlzoo check --data`: what it finds, each thing in data that is made to have it."""

import json

import pytest
from made import picture, write

from dlzoo.run import check
from dlzoo.schema import reader

TABLE = """\
task: tabular_classification
data: {{name: table, path: {path}, target: y{more}}}
model: {{name: mlp, dim: 4}}
"""
IMAGES = """\
task: {{name: image_classification, size: 8}}
data: {{name: image_folder, path: {path}{more}}}
model: mlp
"""


def scan(tmp_path, text: str) -> dict:
    write(tmp_path / "c.yaml", text)
    return check.check(reader.load(tmp_path / "c.yaml"), data=True)["read"]


def table(tmp_path, columns: dict, more: str = "") -> dict:
    """What is found in 60 rows of these columns, and a target of two classes."""
    columns = columns | {"y": lambda i: "no" if i % 3 else "yes"}
    rows = [",".join(str(column(i)) for column in columns.values()) for i in range(60)]
    path = write(tmp_path / "a.csv", "\n".join([",".join(columns), *rows, ""]))
    return scan(tmp_path, TABLE.format(path=path, more=more))


def pictures(path, count=20):
    for i in range(count):
        picture(path / "ab"[i % 2] / f"{i}.png", i * 9, (8 + i % 3, 9))
    return path


def test_clean_data_has_nothing_to_say(tmp_path):
    found = table(tmp_path, {"size": lambda i: i / 7, "kind": lambda i: "uvw"[i % 3]})
    assert (found["samples"], found["bad"], found["warnings"], found["skipped"]) == (60, 0, [], None)
    assert found["classes"]["train"] == {"no": 33, "yes": 16}


def test_all_that_cannot_be_read_is_counted_and_named_not_the_first_alone(tmp_path, dlzoo):
    folder = pictures(tmp_path / "data")
    for i in range(30):
        write(folder / "a" / f"bad{i:02}.png", "no picture")
    write(tmp_path / "c.yaml", IMAGES.format(path=folder, more=""))
    code, out, error = dlzoo("check", "--config", tmp_path / "c.yaml", "--data", "--json")
    found = json.loads(out)["read"]
    assert (code, found["samples"], found["bad"], len(found["errors"])) == (3, 50, 30, 20), error
    assert all("bad" in error for error in found["errors"])
    code, out, _ = dlzoo("check", "--config", tmp_path / "c.yaml", "--data")
    assert code == 3 and "50 samples, 30 bad" in out and "... and 10 more" in out
    skip = ("--set", "data.on_error=skip", "--set", "data.max_skipped=30")
    code, out, _ = dlzoo("check", "--config", tmp_path / "c.yaml", "--data", "--json", *skip)
    assert code == 0 and json.loads(out)["read"]["skipped"]["count"] == 30


def test_bad_rows_of_a_table_are_all_named(tmp_path):
    found = table(tmp_path, {"size": lambda i: "many" if i in (5, 9) else i, "kind": lambda i: "uv"[i % 2]})
    assert (found["samples"], found["bad"]) == (60, 2) and "a.csv:7: 'many'" in found["errors"][0]


def test_pictures_are_measured_and_those_in_two_splits_are_paired(tmp_path):
    folder = pictures(tmp_path / "data" / "train").parent
    pictures(folder / "test", 4)
    picture(folder / "test" / "a" / "new.png", 255, (8, 9))
    found = scan(tmp_path, IMAGES.format(path=folder, more=", hold_out: 0"))
    assert found["sizes"] == {"image": {"smallest": [8, 9], "median": [9, 9], "largest": [10, 9], "unit": "pixels"}}
    (twice,) = found["duplicates"]
    assert (twice["splits"], twice["count"], twice["of"]) == (["train", "test"], 4, 5)
    assert [[place[-13:] for place in pair] for pair in twice["pairs"]][0] == ["train/a/0.png", "/test/a/0.png"]
    assert "duplicates: 4 of 5 samples of test are also in train" in found["warnings"][0]


def test_texts_are_measured_in_characters_and_long_ones_by_their_spans(tmp_path):
    rows = "".join(f"{'word ' * i}x,{'ab'[i % 2]}\n" for i in range(40))
    path = write(tmp_path / "a.csv", f"text,label\n{rows}")
    found = scan(tmp_path, f"task: text_classification\ndata: {{name: texts, path: {path}}}\nmodel: gru\n")
    assert found["sizes"]["text"] == {"smallest": [1], "median": [96], "largest": [196], "unit": "characters"}
    found = scan(tmp_path, "task: {name: language_modeling, context: 64}\ndata: austen\nmodel: gru\n")
    assert sum(found["sizes"]["text"][name][0] for name in ("smallest", "median", "largest")) == 684768
    assert found["bad"] == 0 and found["duplicates"] == []


def test_constants_and_identifiers_are_named(tmp_path):
    found = table(
        tmp_path,
        {"size": lambda i: i / 7, "unit": lambda i: "kg", "row_id": lambda i: 17 + 31 * i, "n": lambda i: i + 1},
    )
    assert found["columns"] == {"constant": ["unit"], "identifiers": ["row_id", "n"]}


def test_a_class_that_a_split_lacks_and_classes_that_are_uneven_are_said(tmp_path):
    path = write(tmp_path / "a.csv", "x,y\n" + "".join(f"{i},{'rare' if i < 2 else 'usual'}\n" for i in range(60)))
    found = scan(tmp_path, TABLE.format(path=path, more=", hold_out: 0"))
    assert "1 classes of train have no sample in test, and so no score: 'rare'" in found["warnings"]
    assert any("class 'usual' has" in warning and "26 times as many" in warning for warning in found["warnings"])


@pytest.mark.parametrize("split", ["random", "time", "stratified"])
def test_a_time_that_train_sees_the_end_of_is_a_leak(tmp_path, split):
    days = {
        "rising": lambda i: f"2024-{1 + i // 28:02}-{1 + i % 28:02}",
        "falling": lambda i: f"2024-{3 - i // 28:02}-{28 - i % 28:02}",
    }
    for name, day in days.items():
        found = table(tmp_path, {"day": day, "size": lambda i: i / 7}, f", split: {split}")
        leaks = [warning for warning in found["warnings"] if "leak of time" in warning]
        assert bool(leaks) == (split != "time" or name == "falling"), found["warnings"]
        assert all("'day'" in leak and "2024-" in leak for leak in leaks)


def test_a_group_on_both_sides_is_a_leak_unless_it_is_named(tmp_path):
    columns = {"patient": lambda i: f"p{i % 13}", "size": lambda i: i / 7}
    assert "set data.group: patient" in table(tmp_path, columns)["warnings"][0]
    assert table(tmp_path, columns, ", group: patient")["warnings"] == []
