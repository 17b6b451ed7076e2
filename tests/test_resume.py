"""A run that was stopped and goes on is the run that was not, bit for bit. Kills and damage: tests/reliability."""

import json
import os
import shutil
import signal

import pytest
import torch
import yaml

from dlzoo import files
from dlzoo.engine import checkpoint
from dlzoo.engine.checkpoint import State
from dlzoo.errors import RunError
from dlzoo.registry import TASKS
from dlzoo.run import train as command
from dlzoo.run.fit import Fit
from dlzoo.run.folder import Run, closed
from dlzoo.run.session import Session
from dlzoo.schema import reader as configs
from dlzoo.schema.writer import to_dict
from dlzoo.tasks.image_classification import ImageClassification

STEPS = 14
PLAIN = "{task: image_classification, data: digits, model: {name: mlp, dim: 16, dropout: 0.2}}"
KINDS = {
    "everything": """
        task: {name: image_classification, augment: shift, erase: 0.3}
        data: digits
        model: {name: lenet, dropout: 0.2, norm: batch}
        schedule: {name: plateau, patience: 1, factor: 0.5}
        train: {accumulate: 2, ema: 0.9}""",
    "text": """
        task: {name: text_classification, context: 32, vocab: 300}
        data: spam
        model: {name: gru, dim: 8, dropout: 0.2}
        optimizer: {name: sgd, momentum: 0.9}
        schedule: {name: one_cycle}""",
    "language": """
        task: {name: language_modeling, context: 16}
        data: {name: austen, hold_out: 1000, test: 1000}
        model: {name: gpt, dim: 16, depth: 1, heads: 2, dropout: 0.1}
        schedule: {name: cosine, warmup: 4}""",
    "forecasting": """
        task: {name: forecasting, context: 12, horizon: 6}
        data: airline
        model: {name: tcn, dim: 8, dropout: 0.1}
        schedule: {name: step, every: 5}
        optimizer: {name: nadam}""",
    "table": """
        task: tabular_classification
        data: credit
        model: {name: mlp, dim: 16, norm: batch}
        optimizer: {name: adamw, lr: 0.003}
        train: {precision: bfloat16}""",
    "workers": "{task: noisy_images, data: digits, model: {name: mlp, dim: 16}, train: {workers: 2}}",
}


@TASKS.register("noisy_images")
class Noisy(ImageClassification):
    """Pictures (B, C, H, W) with noise, drawn when they are encoded."""

    draws = True

    def encode(self, sample, rng=None):
        example = super().encode(sample)
        if rng is not None:
            example["image"] = example["image"] + torch.tensor(rng.choices(range(20), k=64)).view(1, 8, 8).byte()
        return example


@pytest.fixture(autouse=True)
def _no_figures(monkeypatch):
    for name in ("scored", "curves"):
        monkeypatch.setattr(command.report, name, lambda *_: [])


def config(text: str, **train):
    values = yaml.safe_load(text)
    values["train"] = {
        "steps": STEPS,
        "batch_size": 128,
        "save_every": 3,
        "log_every": 1,
        "threads": 1,
        **values.get("train", {}),
        **train,
    }
    values["evaluate"] = {"every": 5, **values.get("evaluate", {})}
    return configs.from_dict(values)


def content(run) -> dict:
    """All of a finished run that must not depend on how often it was stopped."""
    last = checkpoint.saved(run / "checkpoints")[-1]
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    facts = json.loads((run / "run.json").read_text())
    assert facts["status"] == "finished"
    return {
        "name": last.name,
        "rows": [{key: value for key, value in row.items() if key != "seconds"} for row in rows],
        "state": json.loads((last / "state.json").read_text()),
        "files": [files.sha256(last / part) for part in checkpoint.PARTS[:2]],
        "model": files.sha256(run / "model" / "model.safetensors"),
        "best": facts["best"],
        "metrics": facts["metrics"],
    }


def stop_at(monkeypatch, *steps: int) -> None:
    """Send SIGTERM to this process in these updates."""
    waiting, take = list(steps), Session.take

    def taken(self, row):
        take(self, row)
        if row.step in waiting:
            waiting.remove(row.step)
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(Session, "take", taken)


@pytest.mark.parametrize("kind", KINDS)
def test_stopped_twice_in_mid_epoch_and_resumed_is_the_run_that_was_not(kind, tmp_path, monkeypatch):
    made = config(KINDS[kind])
    whole = command.train(made, root=tmp_path / "whole", quiet=True)
    stop_at(monkeypatch, 4, 10)  # in the middle of an epoch; and where an evaluation is due, which then waits
    outcome = command.train(made, root=tmp_path / "parts", quiet=True)
    assert outcome.code == 143 and checkpoint.saved(outcome.run / "checkpoints")[-1].name == "step-4"
    assert command.resume(outcome.run, quiet=True).code == 143
    assert command.resume(outcome.run, quiet=True).code == 0
    assert content(outcome.run) == content(whole.run)


def test_workers_change_nothing(tmp_path):
    runs = [
        command.train(config(KINDS["workers"], workers=workers), root=tmp_path, quiet=True).run for workers in (0, 1, 2)
    ]
    first, *others = [content(run) for run in runs]
    for other in others:
        other["state"]["config"]["train"]["workers"] = first["state"]["config"]["train"]["workers"]
        assert other == first


def test_evaluating_more_often_changes_no_weight(tmp_path):
    one = command.train(config(PLAIN), root=tmp_path, quiet=True).run
    often = configs.from_dict({**to_dict(config(PLAIN)), "evaluate": {"every": 1}})
    two = command.train(often, root=tmp_path, quiet=True).run
    assert content(one)["files"] == content(two)["files"]


@pytest.fixture(scope="module")
def stopped(tmp_path_factory):
    """A run that was stopped after step 10, with the checkpoints of steps 9 and 10 (and that of the best step)."""
    patch = pytest.MonkeyPatch()
    stop_at(patch, 10)
    run = command.train(config(PLAIN), root=tmp_path_factory.mktemp("stopped"), quiet=True).run
    patch.undo()
    return run


@pytest.fixture
def run(stopped, tmp_path):
    return shutil.copytree(stopped, tmp_path / stopped.name)


def test_two_checkpoints_and_the_best_are_kept(tmp_path):
    for step in (2, 10, 9, 30, 20):
        checkpoint.save(tmp_path, State(step, {}, {}, {}))
    checkpoint.prune(tmp_path, keep=[9])
    assert [path.name for path in checkpoint.saved(tmp_path)] == ["step-9", "step-20", "step-30"]


@pytest.mark.parametrize(
    ("key", "sections"),
    [
        ("train.clip", {"train": {"clip": None}}),
        ("data.split", {"data": {"name": "digits", "split": "auto"}}),
        ("evaluate.patience", {"evaluate": {"every": 5, "patience": None}}),
    ],
)
def test_null_and_auto_differ_where_the_machine_does_not_choose(key, sections, tmp_path):
    values = yaml.safe_load(PLAIN) | {"train": {"steps": 1, "threads": 1}, "evaluate": {"every": 5, "patience": 9}}
    values["data"] = {"name": "digits", "split": "stratified"}
    outcome = command.train(configs.from_dict(values), root=tmp_path, quiet=True)
    assert command.resume(outcome.run, config=configs.from_dict(values | {"train": {"steps": 1}})).code == 0
    values |= {name: values.get(name, {}) | section for name, section in sections.items()}
    with pytest.raises(RunError, match=key):
        command.resume(outcome.run, config=configs.from_dict(values))


def test_an_evaluation_that_is_due_is_not_lost_when_the_resume_is_stopped_in_it(tmp_path, monkeypatch):
    made = config(PLAIN)
    whole = command.train(made, root=tmp_path / "whole", quiet=True)
    stop_at(monkeypatch, 10)
    outcome = command.train(made, root=tmp_path / "parts", quiet=True)
    with monkeypatch.context() as patch:
        look = Fit.look
        patch.setattr(Fit, "look", lambda self: os.kill(os.getpid(), signal.SIGTERM) or look(self))
        assert command.resume(outcome.run, quiet=True).code == 143
    assert checkpoint.saved(outcome.run / "checkpoints")[-1].name == "step-10"
    assert command.resume(outcome.run, quiet=True).code == 0
    assert content(outcome.run) == content(whole.run)


def test_a_run_with_an_import_asks_for_it_again(run):
    Run(run).note(imports=["mine.py"])
    file = run / "config.yaml"
    file.write_text(file.read_text().replace("name: mlp", "name: mine"))
    with pytest.raises(RunError, match=r"--import mine\.py"):
        command.resume(run)


def test_a_file_that_vanishes_while_a_run_is_looked_through_is_no_danger_and_a_link_is(tmp_path, monkeypatch):
    listed = [(str(tmp_path), [".run.json.1.part"], [])]  # as another process makes it, and renames it a moment later
    monkeypatch.setattr(os, "walk", lambda path: listed)
    assert closed(tmp_path) == tmp_path
    (tmp_path / ".run.json.1.part").symlink_to("/etc")
    with pytest.raises(RunError, match="is a link"):
        closed(tmp_path)
