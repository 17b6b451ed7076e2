"""What `dlzoo train` leaves behind, how runs are found, and what it says to those who ask for the impossible."""

import json
import multiprocessing
import os
import re
import shutil
import socket
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
import yaml
from reliability.command import WARM

from dlzoo import files
from dlzoo.engine.record import Record
from dlzoo.errors import ConfigError, DataError, ResourceError, RunError, UserError
from dlzoo.metrics.classification import Classification
from dlzoo.run import build, portable
from dlzoo.run import train as command
from dlzoo.run.evaluate import evaluate
from dlzoo.run.folder import Run, find
from dlzoo.run.folds import folds
from dlzoo.run.predict import predict
from dlzoo.schema import reader as configs
from dlzoo.tasks.image_classification import ImageClassification

DIGITS = "{task: image_classification, data: digits, model: {name: mlp, dim: 16}, train: {steps: 6, threads: 1}}"


@pytest.fixture(autouse=True)
def _no_figures(monkeypatch):
    for name in ("scored", "curves"):
        monkeypatch.setattr(command.report, name, lambda *_: [])


def config(text: str = DIGITS, **sections):
    values = yaml.safe_load(text)
    for name, section in sections.items():
        own = values.get(name, {})
        values[name] = {**({"name": own} if isinstance(own, str) else own), **section}
    return configs.from_dict(values)


def train(root, text: str = DIGITS, **sections):
    return command.train(config(text, **sections), root=root, quiet=True)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    patch = pytest.MonkeyPatch()
    for name in ("scored", "curves"):
        patch.setattr(command.report, name, lambda *_: [])
    made = config(train={"ema": 0.9}, evaluate={"every": 3})
    path = command.train(made, root=tmp_path_factory.mktemp("runs"), argv=["dlzoo", "train"], quiet=True).run
    patch.undo()
    return path


def test_a_run_folder_holds_what_the_design_says(run):
    facts = json.loads((run / "run.json").read_text())
    assert facts["status"] == "finished" and facts["code"] == 0 and facts["argv"] == ["dlzoo", "train"]
    assert facts["seed"] == 0 and facts["seconds"] > 0 and facts["environment"]["torch"] == torch.__version__
    assert (
        facts["best"]["metric"] == "accuracy" and 0 <= facts["best"]["value"] <= 1 and facts["best"]["step"] in (3, 6)
    )
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    steps = [row for row in rows if "split" not in row]
    assert [row["step"] for row in steps] == [3, 6] and {"loss", "norm", "lr", "epoch", "seconds"} <= steps[0].keys()
    assert [row["step"] for row in rows if row.get("split") == "validation"] == [3, 6]
    assert sorted(path.name for path in (run / "model").iterdir()) == ["model.json", "model.safetensors"]
    assert json.loads((run / "evaluate" / "test" / "metrics.json").read_text())["metrics"] == facts["metrics"]
    assert "epoch" in (run / "log.txt").read_text() and not (run / "error.txt").exists()
    assert not [path for path in run.rglob("*") if path.suffix in (".pt", ".pkl", ".pth")]


def test_its_config_says_every_choice_and_trains_the_same_run_again(run, tmp_path):
    own = configs.load(run / "config.yaml")
    assert own.optimizer.fused is True and own.train.channels_last is False and own.train.workers == 0
    assert own.train.threads == 1 and own.train.device == "cpu" and own.evaluate.monitor == "accuracy"
    again = command.train(own, root=tmp_path, quiet=True).run
    assert files.sha256(again / "model" / "model.safetensors") == files.sha256(run / "model" / "model.safetensors")
    assert configs.load(again / "config.yaml") == own


def test_the_model_is_the_averaged_one_and_scores_as_it_was_scored(run):
    found = portable.load(run)
    facts = Run(run).facts
    splits = build.build_splits(build.build_dataset(found.config), found.task, found.config.split)
    from dlzoo.engine.loader import batches
    from dlzoo.engine.loop import evaluate

    validation = found.task.pieces(splits["validation"], "validation")
    scores = evaluate(found.network, found.task, batches(found.task, validation, 50), found.runtime)
    assert scores.metrics["accuracy"] == pytest.approx(facts["best"]["value"])


def test_a_model_folder_alone_is_enough_and_is_verified(run, tmp_path):
    copy = shutil.copytree(run / "model", tmp_path / "elsewhere")
    assert portable.load(copy).run is None
    weights = copy / "model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    with pytest.raises(RunError, match="checksum mismatch"):
        portable.load(copy)
    weights.write_bytes((run / "model" / "model.safetensors").read_bytes())
    description = (copy / "model.json").read_text()
    (copy / "model.json").write_text(description.replace('"dropout": ', '"dropout": 1'))
    with pytest.raises(RunError, match="model.json is damaged: ValueError: checksum mismatch"):
        portable.load(copy)


def test_threads_load_models_as_one_does(run, monkeypatch):
    monkeypatch.setattr(build, "SLACK", 1)  # weights that another thread registers would be one too many

    def again(_: int) -> int:
        return sum(parameter.numel() for parameter in portable.load(run).network.parameters())

    with ThreadPoolExecutor(4) as threads:
        assert len(set(threads.map(again, range(40)))) == 1


def test_a_replacement_of_the_model_that_was_cut_short_leaves_a_whole_one(run, tmp_path, monkeypatch):
    copy = shutil.copytree(run, tmp_path / "run")
    found = portable.load(copy)
    calls = {"write": files.write, "write_text": files.write_text}
    for name in ("write", "write_text", None):  # cut before the weights, before model.json, before the last rename
        with monkeypatch.context() as patch:
            if name:
                patch.setattr(files, name, lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
            else:
                patch.setattr(portable.os, "replace", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
                patch.setattr(files, "write", lambda path, save: save(path))
                patch.setattr(files, "write_text", lambda path, text: path.write_text(text))
            with torch.no_grad():
                next(found.network.parameters()).add_(1)
            with pytest.raises(KeyboardInterrupt):
                portable.save(copy / "model", found.network, found.task, found.config)
        portable.load(copy)
    assert calls["write"] is files.write
    portable.save(copy / "model", found.network, found.task, found.config)
    assert sorted(path.name for path in (copy / "model").iterdir()) == ["model.json", "model.safetensors"]


def test_runs_are_found_by_path_name_prefix_and_last(tmp_path):
    for i, name in enumerate(["a-001", "ab-001", "b-001"]):
        (tmp_path / name).mkdir()
        (tmp_path / name / "run.json").write_text(json.dumps({"created": -i}))
    (tmp_path / "no-run").mkdir()
    assert find(tmp_path / "b-001").name == "b-001"
    assert find("b-001", tmp_path).name == find("b", tmp_path).name == "b-001"
    assert find("a-", tmp_path).name == "a-001" == find("last", tmp_path).name
    assert find(tmp_path / "last", "unused").name == "a-001" and find(tmp_path / "b", "unused").name == "b-001"
    for wrong, message in {
        "a": "fits 2 runs: a-001, ab-001",
        "b-002": "there is no run 'b-002'.*Did you mean 'b-001'",
        tmp_path / "no-run": "is not a run",
        "x\0y": "there is no run",
    }.items():
        with pytest.raises(RunError, match=message):
            find(wrong, tmp_path)
    with pytest.raises(RunError, match="there is no run in"):
        find("last", tmp_path / "nowhere")


def test_early_stopping_and_the_best_weights(tmp_path, monkeypatch):
    values = iter([0.5, 0.7, float("nan"), 0.6, 0.9])
    compute = Classification.compute
    monkeypatch.setattr(Classification, "compute", lambda self: {**compute(self), "accuracy": next(values, 0.1)})
    monkeypatch.setattr(command, "rehearse", lambda built: None)
    made = train(tmp_path, train={"steps": 50}, evaluate={"every": 2, "patience": 2}).run
    facts = Run(made).facts
    assert facts["step"] == 8 and facts["best"] == {
        "metric": "accuracy",
        "value": 0.7,
        "step": 4,
        "epoch": facts["best"]["epoch"],
    }
    log = (made / "log.txt").read_text()
    assert "stopped early at step 8" in log and "undefined" in log


def test_without_a_validation_split_the_last_weights_are_kept(tmp_path):
    made = train(tmp_path, data={"hold_out": 0}).run
    assert portable.read(made).meta["step"] == 6 and Run(made).facts["best"]["step"] == 6


def test_epochs_or_steps(tmp_path):
    made = train(tmp_path, DIGITS.replace("steps: 6", "epochs: 1"), train={"batch_size": 300}).run
    assert Run(made).facts["step"] == 5


def test_folds_report_mean_and_deviation(tmp_path, capsys):
    text = "{task: tabular_classification, data: wine, model: {name: mlp, dim: 16}, train: {steps: 30, threads: 1}}"
    found = folds(config(text), 3, root=tmp_path)
    values = [outcome.metrics["accuracy"] for outcome in found.runs]
    mean, deviation = found.metrics["accuracy"]
    assert len(values) == 3 and mean == pytest.approx(sum(values) / 3)
    assert deviation == pytest.approx((sum((v - mean) ** 2 for v in values) / 2) ** 0.5)
    assert re.search(rf"^accuracy +{mean:.4f} ± {deviation:.4f} ", capsys.readouterr().out, re.MULTILINE)
    sizes = [json.loads((o.run / "evaluate" / "test" / "metrics.json").read_text())["samples"] for o in found.runs]
    assert sum(sizes) == 178


def process(rank: int, root: str, port: int) -> None:
    os.environ |= {"RANK": str(rank), "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    for name in ("scored", "curves"):
        setattr(command.report, name, lambda *_: [])
    train(Path(root), train={"steps": 30}, evaluate={"every": 10})


def test_two_processes_train_the_run_of_one_and_the_first_alone_writes(tmp_path):
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(WARM)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    both = [context.Process(target=process, args=(rank, str(tmp_path), port)) for rank in range(2)]
    for one in both:
        one.start()
    for one in both:
        one.join(60)
    assert [one.exitcode for one in both] == [0, 0]
    (made,) = tmp_path.iterdir()
    alone = train(tmp_path, train={"steps": 30}, evaluate={"every": 10})
    assert Run(made).facts["environment"]["processes"] == 2
    assert Run(made).facts["metrics"] == pytest.approx(alone.metrics, rel=1e-4)
    one, two = ((path / "metrics.jsonl").read_text().count("\n") for path in (made, alone.run))
    assert one == two


REFUSED = {
    "a model for other data": ({"model": {"name": "gru"}}, ConfigError, "Models that fit: .*lenet"),
    "a size that the data has not": ({"model": {"in_features": 7}}, ConfigError, "in_features 7, but the data has 64"),
    "a task that needs other data": ({"task": {"name": "text_classification"}}, ConfigError, "needs text"),
    "a metric that there is not": ({"evaluate": {"monitor": "acuracy"}}, ConfigError, "Did you mean 'accuracy'"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_work_is_refused_before_anything_is_made(name, tmp_path):
    sections, error, message = REFUSED[name]
    text = "{task: image_classification, data: digits, model: {name: mlp}, train: {steps: 6, threads: 1}}"
    with pytest.raises(error, match=message) as caught:
        command.train(config(text, **sections), root=tmp_path, quiet=True)
    assert caught.value.code == 2 and not list(tmp_path.iterdir())


def test_a_failure_is_noted_in_the_run(tmp_path, monkeypatch):
    def fail(*_):
        raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes")

    monkeypatch.setattr(ImageClassification, "augment", fail)
    with pytest.raises(ResourceError, match=r"out of memory .*; try train.batch_size: 32, or train.accumulate: 2"):
        train(tmp_path)
    (made,) = tmp_path.iterdir()
    assert Run(made).facts["status"] == "failed" and Run(made).facts["code"] == 6
    assert "out of memory" in (made / "error.txt").read_text()
    monkeypatch.undo()
    monkeypatch.setattr(ImageClassification, "encode", lambda *_: (_ for _ in ()).throw(DataError("a bad picture")))
    with pytest.raises(DataError, match="a bad picture"):
        train(tmp_path)


def test_a_run_without_a_checkpoint_starts_at_its_first_step(tmp_path, monkeypatch, capsys):
    with monkeypatch.context() as patch:
        patch.setattr(ImageClassification, "augment", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            train(tmp_path)
    (made,) = tmp_path.iterdir()
    assert command.resume(made, quiet=True).code == 0
    assert "starts at step 0" in capsys.readouterr().err


def test_a_log_that_cannot_be_written_is_said_once(tmp_path, capsys):
    (tmp_path / "metrics.jsonl").symlink_to("/dev/full")
    record = Record(tmp_path)
    for step in range(3):
        record.write({"step": step, "loss": float("nan")})
    record.close()
    said = capsys.readouterr().err
    assert said.count("cannot write metrics.jsonl: No space left on device") == 1 and "is missing" in said


def test_rows_are_strict_json_and_rewind_to_a_step(tmp_path):
    record = Record(tmp_path)
    for step in range(1, 6):
        record.write({"step": step, "loss": float("inf")})
    record.close()
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"step": 2, "lo')
    record = Record(tmp_path)
    record.rewind(3)
    record.write({"step": 4, "loss": 1.0})
    record.close()
    rows = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == [1, 2, 3, 4] and rows[0]["loss"] is None


@pytest.mark.parametrize("value", [float("nan"), float("-inf")])
def test_a_score_that_is_never_a_number_keeps_the_last_weights(value, tmp_path, monkeypatch):
    monkeypatch.setattr(Classification, "compute", lambda self: {"accuracy": value})
    outcome = train(tmp_path, evaluate={"every": 3})
    assert outcome.code == 0 and portable.read(outcome.run).meta["step"] == 6
    assert Run(outcome.run).facts["best"]["value"] is None


@pytest.mark.parametrize(("key", "value"), [("patience", 2), ("monitor", "-loss")])
def test_what_watches_a_validation_split_is_refused_without_one(key, value, tmp_path):
    with pytest.raises(ConfigError, match=rf"evaluate\.{key}: .*data\.hold_out"):
        train(tmp_path, data={"hold_out": 0}, evaluate={key: value})
    assert not list(tmp_path.iterdir())


def test_a_warmup_that_never_ends_is_refused_where_epochs_are_counted_too(tmp_path):
    with pytest.raises(ConfigError, match="a warmup of 100 updates does not end within 46"):
        train(tmp_path, DIGITS.replace("steps: 6", "epochs: 2"), schedule={"name": "cosine", "warmup": 100})


def test_each_split_is_cut_into_pieces_once(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(ImageClassification, "pieces", lambda self, data, split: asked.append(split) or data)
    train(tmp_path)
    assert sorted(asked) == ["test", "train", "validation"]


def test_folds_of_a_config_that_names_its_own_are_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"data\.fold"):
        folds(config(data={"folds": 3, "fold": 1}), 3, root=tmp_path)
    with pytest.raises(ConfigError, match=r"data\.folds"):
        folds(config(data={"folds": 4}), 3, root=tmp_path)


def test_data_that_changed_since_the_training_is_said_when_it_is_scored(tmp_path, capsys):
    rows = [f"{i},{'ab'[i % 2]}" for i in range(40)]
    (tmp_path / "rows.csv").write_text("\n".join(["x,y", *rows]))
    text = "{task: tabular_classification, model: {name: mlp, dim: 4}, train: {steps: 2, threads: 1}}"
    run = train(tmp_path / "runs", text, data={"name": "table", "path": str(tmp_path / "rows.csv"), "target": "y"}).run
    shutil.copytree(run / "model", tmp_path / "copy")
    evaluate(run)
    assert "not what this model was trained with" not in capsys.readouterr().err
    (tmp_path / "rows.csv").write_text("\n".join(["x,y", "50,a", *rows]))
    for model in (run, tmp_path / "copy"):
        evaluate(model)
        assert "not what this model was trained with" in capsys.readouterr().err


@pytest.mark.parametrize(
    "use",
    [evaluate, lambda run: predict(run, ["x"]), lambda run: folds(config(), 2, root=run)],
    ids=["evaluate", "predict", "folds"],
)
def test_only_one_training_is_spread_over_processes(use, run, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(UserError, match="without torchrun"):
        use(run)
