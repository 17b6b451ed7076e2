"""The command line: fast where nothing is computed, an exit code and no traceback for every mistake of a user."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from dlzoo import cli
from dlzoo.terminal import Stream

SMALL = (
    "task: image_classification\ndata: digits\nmodel: {name: lenet, channels: [4], hidden: [8]}\ntrain: {steps: 2}\n"
)
HEAVY = "{'torch', 'numpy', 'pandas', 'sklearn', 'rich', 'yaml', 'matplotlib'}"


@pytest.fixture(autouse=True)
def _an_empty_folder(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)


def put(name: str, text: str) -> str:
    Path(name).write_text(text)
    return name


def alone(*arguments: str, **options) -> subprocess.CompletedProcess:
    """The same in a process of its own; the modules that were imported come last on stderr."""
    code = (
        f"import sys, time; sys.argv = ['dlzoo', *{list(arguments)!r}]\n"
        "from dlzoo.cli import main\n"
        "try: main()\n"
        f"finally: print(sorted({HEAVY} & set(sys.modules)), time.process_time(), file=sys.stderr)"
    )
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, **options)


@pytest.mark.parametrize("arguments", [["--help"], ["train", "--help"], ["--version"], []], ids=str)
def test_help_comes_within_four_tenths_of_a_second_and_without_anything_heavy(arguments):
    runs = [alone(*arguments) for _ in range(2)]
    for run in runs:
        assert run.returncode == 0 and run.stderr.startswith("[] "), run.stderr
    assert min(float(run.stderr.split()[-1]) for run in runs) <= 0.4


@pytest.mark.parametrize(
    "arguments",
    [["list"], ["list", "models", "--task", "forecasting"], ["info", "resnet"], ["info", "train", "--json"]],
    ids=str,
)
def test_lists_come_without_torch(arguments):
    run = alone(*arguments)
    assert run.returncode == 0 and run.stdout and run.stderr.startswith("[] "), run.stderr


COMMANDS = ["train", "evaluate", "predict", "chat", "check", "verify-resume", "reproduce", "selftest", "list", "info"]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_a_help(command, dlzoo):
    code, out, _ = dlzoo(command, "--help")
    assert code == 0 and out.startswith("Usage: ") and command in out and "None" not in out


def test_without_arguments_one_sees_where_to_begin(dlzoo):
    code, out, _ = dlzoo()
    assert code == 0
    for word in ("dlzoo train --config", "dlzoo evaluate last", "dlzoo predict last", "dlzoo list", "--help"):
        assert word in out


def test_the_first_command_of_the_start_is_a_config_that_ships():
    shown = next(line for line in cli.START.splitlines() if "--config" in line).split()[-1]
    assert (Path(__file__).parents[1] / shown).exists()


LONG = 300 * "a"
"""A name that no file can have."""


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["train"], 2, "say what to train: --config FILE"),
        (["train", "--config", "none.yaml"], 2, "none.yaml: no such file"),
        (["train", "--config", "."], 2, "not a file"),
        (["train", "--confg", "x"], 2, "--config"),
        (["trian"], 2, "No such command"),
        (["train", "--resume", "x", "--set", "train.seed=1"], 4, "goes on with its own config"),
        (["train", "--resume", "x", "--folds", "3"], 2, "do not go together"),
        (["train", "--resume", "x", "--config", "c.yaml", "--name", "y"], 4, "goes on with its own"),
        (["train", "--folds", "1", "--config", "c.yaml"], 2, "folds"),
        (["train", "--config", "c.yaml", "--device", "gpu"], 2, "cuda"),
        (["train", "--config", "c.yaml", "--name", "../x"], 2, "--name: a run's name has letters"),
        (["train", "--config", "c.yaml", "--set", "train.steps=no"], 2, "--set train.steps: expected a whole number"),
        (["train", "--config", "c.yaml", "--import", "none.py"], 2, "--import none.py: no such file"),
        (["train", "--config", "c.yaml", "--set", "model=lstm"], 2, "'lstm' does not fit image_classification"),
        (["check"], 2, "say what to check"),
        (["verify-resume"], 2, "say what to train: --config FILE"),
        (["verify-resume", "--config", "c.yaml", "--runs", "0"], 2, "--runs"),
        (["verify-resume", "--config", "c.yaml", "--set", "model=lstm"], 2, "'lstm' does not fit image_classification"),
        (["reproduce"], 2, "Missing argument 'RUN'"),
        (["reproduce", "nope"], 4, "there is no run 'nope'"),
        (["evaluate", "nope"], 4, "there is no run 'nope'"),
        (["evaluate", "last"], 4, "there is no run in runs"),
        (["evaluate", "x", "--min", "accuracy"], 2, "--min accuracy: write it as --min METRIC=NUMBER"),
        (["predict", "nope", "file.png"], 4, "there is no run 'nope'"),
        (["predict", "nope"], 2, "nothing to predict"),
        (["predict", "nope", "x", "--temperature"], 2, "--temperature needs a value"),
        (["list", "things"], 2, "models"),
        (["list", "models", "--task", "karaoke"], 2, "unknown task 'karaoke'"),
        (["list", "tasks", "--task", "forecasting"], 2, "--task chooses among models"),
        (["evaluate", LONG], 4, "there is no run 'aaa"),
        (["train", "--config", LONG], 2, "cannot be read: File name too long"),
        (["train", "--config", "c.yaml", "--import", LONG], 2, "no such file"),
        (["info", "resnt"], 2, "Did you mean 'resnet'?"),
        (["info", "AdamW"], 2, "Did you mean 'adamw'?"),
    ],
    ids=lambda value: " ".join(value)[:60] if isinstance(value, list) else "",
)
def test_a_mistake_has_its_exit_code_and_no_traceback(arguments, code, message, dlzoo):
    put("c.yaml", SMALL)
    found, out, err = dlzoo(*arguments)
    assert found == code and message in err, err
    assert "Traceback" not in err and not out and len(err.splitlines()) <= 6
    assert not Path("runs").exists()


def test_data_that_is_not_there_is_exit_3_and_the_rest_is_checked(dlzoo):
    put("c.yaml", "task: image_classification\ndata: {name: image_folder, path: nowhere}\nmodel: lenet\n")
    code, _, err = dlzoo("check", "--config", "c.yaml")
    assert code == 3 and "nowhere" in err and "model fits the task" in err
    code, _, err = dlzoo("check", "--config", "c.yaml", "--set", "model=gpt")
    assert code == 2 and "Models that fit: " in err


def test_a_bug_is_exit_1_with_a_hint_and_a_traceback_on_request(dlzoo, monkeypatch):
    monkeypatch.setattr("dlzoo.run.listing.info", lambda name: {}["x\x1b"])
    code, _, err = dlzoo("info", "resnet")
    assert code == 1 and err.startswith("error: a bug in dlzoo: KeyError: 'x\\x1b'") and "Traceback" not in err
    monkeypatch.setenv("DLZOO_DEBUG", "1")
    assert "Traceback" in dlzoo("info", "resnet")[2]


def test_ctrl_c_is_exit_130(dlzoo, monkeypatch):
    def stop(name):
        raise KeyboardInterrupt

    monkeypatch.setattr("dlzoo.run.listing.info", stop)
    code, _, err = dlzoo("info", "resnet")
    assert code == 130 and "Traceback" not in err


def test_many_mistakes_are_cut(dlzoo):
    put("c.yaml", SMALL + "".join(f"k{i}: 1\n" for i in range(50)))
    code, _, err = dlzoo("train", "--config", "c.yaml")
    assert code == 2 and err.startswith("error: 50 mistakes") and "... and 30 more" in err


def test_list_and_info_know_every_argument(dlzoo):
    from dlzoo.registry import REGISTRIES

    listed = json.loads(dlzoo("list", "--json")[1])
    for kind, registry in (("tasks", "task"), ("models", "model"), ("datasets", "dataset")):
        assert [row["name"] for row in listed[kind]] == REGISTRIES[registry].names()
        assert all(row["what"] for row in listed[kind])
    for registry in REGISTRIES.values():
        for entry in registry.entries():
            row = next(r for r in json.loads(dlzoo("info", entry.name, "--json")[1]) if r["kind"] == entry.kind)
            assert [argument["name"] for argument in row["arguments"]] == [p.name for p in entry.parameters]
            assert all(argument["type"] and argument["meaning"] for argument in row["arguments"])


def test_info_shows_types_defaults_and_meanings(dlzoo):
    _, out, _ = dlzoo("info", "resnet")
    assert "He et al., 2015" in out and "tasks that fit: detection, face_recognition, image_classification" in out
    (line,) = [line for line in out.splitlines() if line.startswith("depth")]
    assert "10 | 18 | 34" in line and "  18  " in line
    assert "from the task" in next(line for line in out.splitlines() if line.startswith("in_channels"))
    _, out, _ = dlzoo("info", "image_classification")
    assert "models that fit: " in out and "lenet" in out


def test_models_of_a_task_are_those_that_fit(dlzoo):
    def fitting(task):
        return {row["name"] for row in json.loads(dlzoo("list", "models", "--task", task, "--json")[1])["models"]}

    assert {"lenet", "resnet", "vit", "mlp"} <= fitting("image_classification")
    assert not {"lstm", "gpt"} & fitting("image_classification")
    assert {"gpt", "lstm", "gru", "tcn"} <= fitting("language_modeling")
    assert not {"bert", "resnet", "mlp"} & fitting("language_modeling")
    assert fitting("chat") == fitting("language_modeling")
    assert fitting("tabular_regression") == {"mlp"}


def test_a_terminal_gets_a_table(dlzoo, monkeypatch):
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    monkeypatch.setenv("COLUMNS", "200")
    code, out, _ = dlzoo("list", "tasks")
    assert code == 0 and "forecasting" in out


def test_costs_are_those_of_the_papers(dlzoo):
    rows = json.loads(dlzoo("list", "--task", "image_classification", "--costs", "--json")[1])["models"]
    found = {row["name"]: row for row in rows}
    for name, weights, billions in (("resnet", 11.18, 1.81), ("convnext", 27.8, 4.46), ("mobilenet", 2.22, 0.30)):
        assert found[name]["parameters"] / 1e6 == pytest.approx(weights, rel=2e-3)
        assert found[name]["multiply_adds"] / 1e9 == pytest.approx(billions, rel=1e-2)
    assert "1.81 G" in dlzoo("list", "--task", "image_classification", "--costs")[1]


@pytest.mark.parametrize("arguments", [["list", "--costs"], ["list", "--task", "forecasting", "--costs"]])
def test_costs_of_what_sees_no_pictures_are_refused(arguments, dlzoo):
    code, _, err = dlzoo(*arguments)
    assert code == 2 and "models for pictures" in err


def test_a_reader_that_leaves_ends_a_list_quietly():
    code = "import sys; sys.argv = ['dlzoo', 'list']; from dlzoo.cli import main; main()"
    read, write = os.pipe()
    os.close(read)
    run = subprocess.run([sys.executable, "-c", code], stdout=write, stderr=subprocess.PIPE, text=True)
    os.close(write)
    assert run.returncode == 141 and run.stderr == ""


def test_a_training_goes_on_when_its_reader_leaves():
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "w") as file:
        stream = Stream(file, lasts=True)
        for _ in range(3):
            stream.write("x" * 100_000)
            stream.flush()
    nowhere = Stream(None)  # `>&-`: there is no stdout at all
    nowhere.write("x")
    nowhere.flush()
    nowhere.close()


def test_train_evaluate_and_predict_run_from_the_command_line(dlzoo):
    put("small.yaml", SMALL)
    code, out, _ = dlzoo("check", "--config", "small.yaml", "--data", "--step", "--json")
    report = json.loads(out)
    assert code == 0 and (report["read"]["samples"], report["read"]["bad"]) == (1797, 0)
    assert report["forecast"]["seconds_per_update"] > 0 and report["steps"] == 2
    code, out, err = dlzoo("train", "--config", "small.yaml", "--json")
    assert code == 0, err
    assert json.loads(out)["run"] == "runs/small-001"
    assert "name: small" in Path("runs/small-001/config.yaml").read_text()
    code, out, _ = dlzoo("evaluate", "last", "--json")
    assert code == 0 and 0 <= json.loads(out)["metrics"]["accuracy"] <= 1
    assert dlzoo("evaluate", "small", "--min", "accuracy=1.01")[0] == 8
    code, out, _ = dlzoo("predict", "last", "none.png", "--json")
    assert code == 3 and "error" in json.loads(out)
    code, out, err = dlzoo("predict", "last", "x.png", "--temprature", "1")
    assert code == 2 and "temprature" in err
    code, out, _ = dlzoo("predict", "last", "--help")
    assert code == 0 and "--threshold" in out
    assert dlzoo("evaluate", "last", "small")[0] == 2 and dlzoo("evaluate", "last", "--treshold", "0=0.5")[0] == 2
    code, out, err = dlzoo("train", "--resume", "last")
    assert code == 0 and "already finished" in err
