"""`dlzoo evaluate`: scores, intervals, baseline, bars, other data; bad input ends with its exit code."""

import json
import shutil
import subprocess
import sys

import pytest
from trained import train

from dlzoo.errors import BelowBar, DataError, UserError
from dlzoo.run.evaluate import evaluate, hold
from dlzoo.run.scores import number, show

TABLE = "a,b,c,label\n" + "".join(
    f"{i % 7},{i % 5 - 2},{'uvw'[i % 3]},{'yes' if i % 7 > 3 else 'no'}\n" for i in range(200)
)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("evaluate")
    (folder / "table.csv").write_text(TABLE)
    train(folder / "runs" / "cancer", "breast_cancer")
    train(folder / "runs" / "airline", "airline", steps=3)
    mails = "\n".join(json.dumps({"text": f"mail {i} " * (i % 9 + 1), "label": "ab"[i % 2]}) for i in range(100))
    (folder / "mails.jsonl").write_text(mails)
    kind = "{name: text_classification, context: 64, vocab: 500}"
    data = f"{{name: texts, path: {folder}/mails.jsonl, text: text, label: label}}"
    train(folder / "runs" / "mails", f"{{task: {kind}, data: {data}, model: {{name: gru, dim: 8}}}}", steps=3)
    task, data = "task: tabular_classification", f"data: {{name: table, path: {folder}/table.csv, target: label}}"
    train(folder / "runs" / "table", f"{{{task}, {data}, model: {{name: mlp, dim: 8}}}}", steps=3)
    return folder


@pytest.fixture
def here(runs, monkeypatch):
    monkeypatch.chdir(runs)
    return runs


def test_scores_have_intervals_and_the_trivial_baseline(here, capsys):
    result = evaluate("cancer")
    low, high = result["intervals"]["accuracy"]
    assert low <= result["metrics"]["accuracy"] <= high and result["baseline"]["name"] == "majority class"
    assert 0.5 < result["baseline"]["accuracy"] < 0.8 < result["metrics"]["accuracy"]
    text = capsys.readouterr().out
    assert "majority class" in text and " to " in text and f"{result['samples']} samples" in text


def test_what_is_written_is_what_is_printed(here, capsys):
    evaluate("cancer", json=True)
    printed = json.loads(capsys.readouterr().out)
    folder = here / "runs" / "cancer" / "evaluate" / "test"
    assert json.loads((folder / "metrics.json").read_text())["metrics"] == printed["metrics"]
    rows = [json.loads(line) for line in (folder / "predictions.jsonl").read_text().splitlines()]
    right = sum(row["label"] == row["truth"]["label"] for row in rows) / len(rows)
    assert len(rows) == printed["samples"] and right == printed["metrics"]["accuracy"]
    assert rows[0]["source"].startswith("breast_cancer")
    figures = {path.name for path in (here / "runs" / "cancer" / "figures").iterdir()}
    assert {"confusion.png", "roc.png", "precision_recall.png"} <= figures


def test_twice_is_the_same_and_batch_size_changes_nothing(here, capsys):
    one, two, small = evaluate("cancer"), evaluate("cancer"), evaluate("cancer", batch_size=1)
    assert one == two
    assert small["metrics"] == pytest.approx(one["metrics"], rel=1e-5, abs=1e-6)
    assert small["intervals"]["accuracy"] == one["intervals"]["accuracy"]


def test_other_data_is_streamed_and_scored_like_a_split(here, capsys):
    whole = evaluate("table", data=here / "table.csv")
    assert whole["samples"] == 200 and whole["split"] == "table"
    assert (here / "runs" / "table" / "evaluate" / "table" / "predictions.jsonl").exists()
    parts = sum(evaluate("table", split=split)["samples"] for split in ("train", "validation", "test"))
    assert parts == 200


def test_texts_of_all_lengths_are_scored_by_length_and_written_in_order(here, capsys):
    evaluate("mails", split="train", batch_size=2)
    evaluate("mails", data=here / "mails.jsonl", batch_size=2)
    for name in ("train", "mails"):
        written = here / "runs" / "mails" / "evaluate" / name / "predictions.jsonl"
        places = [int(json.loads(line)["source"].rpartition(":")[2]) for line in written.read_text().splitlines()]
        assert places == sorted(places) and len(places) > 50


def test_a_model_folder_alone_writes_nothing_unless_asked(here, tmp_path, capsys):
    copied = tmp_path / "model"
    shutil.copytree(here / "runs" / "cancer" / "model", copied)
    before = evaluate("cancer")["metrics"]
    assert evaluate(copied)["metrics"] == before
    assert sorted(p.name for p in tmp_path.iterdir()) == ["model"] and len(list(copied.iterdir())) == 2
    evaluate(copied, output=tmp_path / "out")
    assert (tmp_path / "out" / "metrics.json").exists()


def test_windows_of_a_series_are_scored(here, capsys):
    result = evaluate("airline")
    assert result["baseline"]["name"] == "seasonal naive" and result["metrics"]["mae"] > 0


def test_each_class_has_a_line_with_its_sensitivity(here, capsys):
    metrics = evaluate("cancer")["metrics"]
    head, *lines = capsys.readouterr().out.partition("\n\n")[2].splitlines()
    assert head.split()[:2] == ["class", "sensitivity"] and [line.split()[0] for line in lines[:2]] == [
        "benign",
        "malignant",
    ]
    assert lines[0].split()[1] == number(metrics["sensitivity.benign"]) == number(metrics["specificity.malignant"])


def test_of_many_classes_the_first_twenty_are_shown(capsys):
    metrics = {"accuracy": 0.5} | {f"sensitivity.No. {i}": i / 100 for i in range(100)}
    show({"split": "test", "samples": 9, "metrics": metrics, "intervals": {}, "baseline": {}})
    out = capsys.readouterr().out
    assert "No. 19  0.1900" in out and "No. 20" not in out and "and 80 classes more" in out


def test_a_threshold_trades_specificity_for_sensitivity_and_accuracy_follows(here, capsys):
    plain, eager = evaluate("cancer"), evaluate("cancer", options={"threshold": "malignant=0.001"})
    assert eager["metrics"]["sensitivity.malignant"] >= plain["metrics"]["sensitivity.malignant"]
    assert eager["metrics"]["specificity.malignant"] < plain["metrics"]["specificity.malignant"]
    assert eager["metrics"]["auroc"] == plain["metrics"]["auroc"] and "loss" not in eager["metrics"]
    assert "with threshold malignant=0.001" in capsys.readouterr().out
    rows = [
        json.loads(line) for line in (here / "runs/cancer/evaluate/test/predictions.jsonl").read_text().splitlines()
    ]
    assert all((row["label"] == "malignant") == (row["scores"]["malignant"] >= 0.001) for row in rows)
    wary = evaluate("cancer", options={"threshold": "malignant=1"})["metrics"]["sensitivity.malignant"]
    assert wary < plain["metrics"]["sensitivity.malignant"]


@pytest.mark.parametrize("threshold", ["malignant", "malignant=2", "malignant=x", "=0.5", "malign=0.5"])
def test_a_threshold_that_is_none_is_refused(threshold, here, dlzoo):
    code, _, err = dlzoo("evaluate", "cancer", "--threshold", threshold)
    assert code == 2 and ("CLASS=SCORE" in err or "Did you mean 'malignant'" in err)


def test_bars():
    hold({"accuracy": 0.9, "mae": 3.0}, {"accuracy": 0.9}, {"mae": 3.0})
    with pytest.raises(BelowBar, match="accuracy 0.9000 is below 0.95"):
        hold({"accuracy": 0.9}, {"accuracy": 0.95}, {})
    with pytest.raises(BelowBar, match="mae 3.0000 is above 2"):
        hold({"mae": 3.0}, {}, {"mae": 2})
    with pytest.raises(BelowBar, match="undefined"):
        hold({"auroc": float("nan")}, {"auroc": 0.5}, {})
    with pytest.raises(UserError, match="Did you mean 'accuracy'"):
        hold({"accuracy": 0.9}, {"acuracy": 0.9}, {})


def test_numbers_are_short():
    assert [number(x) for x in (0.5, None, 123.456, 1234567.0)] == ["0.5000", "undefined", "123.5", "1.235e+06"]


HEADER = "a,b,c,label\n"
BAD = {
    "a missing file": (None, "no such file"),
    "an empty file": ("", "empty"),
    "a header alone": (HEADER, "no rows"),
    "a missing target": ("a,b,c\n1,2,u\n", "label"),
    "a missing column": ("a,c,label\n1,u,yes\n", "'b'"),
    "text in a number column": (HEADER + "1,2,u,yes\n1,zwei,v,no\n", "data.csv:3"),
    "an infinite number": (HEADER + "1,2,u,yes\n1e400,2,v,no\n", "data.csv:3"),
    "a class that the model does not know": (HEADER + "1,2,u,yes\n1,2,v,maybe\n", "data.csv:3"),
    "a target that is missing": (HEADER + "1,2,u,yes\n1,2,v,\n", "data.csv:3"),
    "a ragged row": (HEADER + "1,2,u,yes\n1,2\n", "data.csv:3"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_data_ends_with_3_and_says_where(case, here, tmp_path, dlzoo):
    text, place = BAD[case]
    path = tmp_path / "data.csv"
    if text is not None:
        path.write_text(text)
    code, _, error = dlzoo("evaluate", "table", "--data", path, "-o", tmp_path / "out")
    assert code == 3 and error.startswith("error: ") and place in error, error
    assert len(error.splitlines()) <= 6 and "Traceback" not in error
    assert not list(tmp_path.glob("out/*"))


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["cancer", "--min", "accuracy=0.5", "--max", "loss=5"], 0),
        (["cancer", "--min", "accuracy=1.1"], 8),
        (["cancer", "--max", "loss=0"], 8),
        (["cancer", "--min", "acuracy=0.5"], 2),
        (["cancer", "--data", "table.csv"], 2),
        (["cancer", "--split", "tset"], 3),
        (["nosuchrun"], 4),
    ],
)
def test_exit_codes(arguments, code, here, dlzoo):
    found, _, error = dlzoo("evaluate", *arguments)
    assert found == code and "Traceback" not in error


def test_a_split_that_is_not_there_is_named(here):
    with pytest.raises(DataError, match="Did you mean 'test'"):
        evaluate("cancer", split="tset")


MEASURE = """
import resource, sys
from pathlib import Path
from dlzoo.run.evaluate import evaluate
from dlzoo.run.predict import predict
for file in sys.argv[1:]:
    evaluate("runs/table", data=Path(file), output=Path("measured"))
    predict("runs/table", [file], output=Path("measured.csv"))
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""


def test_memory_does_not_grow_with_the_rows(here):
    lines = TABLE.splitlines(keepends=True)
    for times in (25, 200):
        (here / f"{times}.csv").write_text(lines[0] + "".join(lines[1:]) * times)
    command = [sys.executable, "-c", MEASURE, "25.csv", "200.csv"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=here)
    assert done.returncode == 0, done.stderr
    few, many = (int(line) for line in done.stdout.splitlines() if line.isdigit())
    assert many - few < 8, f"{few} MB for 5,000 rows, {many} MB for 40,000"
