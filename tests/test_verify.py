"""The commands that let a user see for himself: verify-resume, reproduce, selftest; and that each can fail."""

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from dlzoo.engine.average import Average
from dlzoo.engine.loader import Loader, Scored
from dlzoo.engine.runtime import Runtime
from dlzoo.registry import TASKS
from dlzoo.registry.entry import PACKAGE
from dlzoo.run.session import Session
from dlzoo.tasks.tabular_regression import TabularRegression
from dlzoo.tasks.text_classification import TextClassification

DIGITS = """\
task: {name: image_classification, augment: shift}
data: digits
model: {name: mlp, dim: 16, dropout: 0.2}
train: {steps: 12, batch_size: 64, ema: 0.9, threads: 1}
"""


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("c.yaml").write_text(DIGITS)


def test_every_run_that_is_killed_ends_as_the_one_that_was_not(dlzoo, tmp_path, monkeypatch):
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    code, out, error = dlzoo("verify-resume", "--config", "c.yaml", "--runs", 6)
    *lines, last = out.splitlines()
    assert code == 0 and len(lines) == 6, error
    assert all(line.endswith(": max |Δw| = 0") and " killed at step " in line for line in lines)
    assert last.startswith("max |Δw| = 0: 6 runs, ")
    assert error.startswith("trains 12 updates; evaluates every 4, saves every 2")
    assert not list(Path("temporary").glob("dlzoo-*")) and not Path("runs").exists()


def test_a_kill_comes_at_the_step_that_is_asked_for(dlzoo):
    options = ["--kill-at", 5, "--runs", 1, "--steps", 8, "--json"]
    code, out, error = dlzoo("verify-resume", "--config", "c.yaml", *options)
    found = json.loads(out)
    assert code == 0 and found["identical"] and found["steps"] == 8 and found["kills"] == 1
    assert found["runs"] == [{"kills": [{"point": "step", "step": 4, "saving": False}], "differing": [], "failure": ""}]
    assert "8 updates of 12 (--steps N for more)" in error
    code, _, error = dlzoo("verify-resume", "--config", "c.yaml", "--kill-at", 13)
    assert code == 2 and "the training has 12 updates" in error


FORGETFUL = {
    "the optimizer": ("optimizer/", "model.safetensors"),
    "the average": ("average/", "state.safetensors average/"),
}


@pytest.mark.parametrize("what", FORGETFUL)
def test_a_resume_that_forgets_something_is_found(what, dlzoo, monkeypatch):
    part, first = FORGETFUL[what]
    restore = Session.restore

    def forgetful(self, state):
        if part == "average/":
            monkeypatch.setattr(Average, "load_state_dict", lambda self, state: None)
        kept = {name: value for name, value in state.tensors.items() if not name.startswith(part)}
        state.tensors = kept
        restore(self, state)

    monkeypatch.setattr(Session, "restore", forgetful)
    code, out, error = dlzoo("verify-resume", "--config", "c.yaml", "--runs", 1, "--kill-at", 7)
    assert code == 8 and "1 of 1 runs differ" in error, error
    assert first in out and "max |Δ| = " in out and len(error.splitlines()) <= 6


def test_an_order_that_starts_afresh_on_a_resume_is_found(dlzoo, monkeypatch):
    windows = Loader.windows
    monkeypatch.setattr(Loader, "windows", lambda self, start, stop: windows(self, 0, stop - start))
    code, out, _ = dlzoo("verify-resume", "--config", "c.yaml", "--runs", 1, "--kill-at", 7)
    assert code == 8 and "model.safetensors" in out


def test_a_resume_that_fails_is_found(dlzoo, monkeypatch):
    def fails(self, state):
        raise ValueError("no way back")

    monkeypatch.setattr(Session, "restore", fails)
    code, out, error = dlzoo("verify-resume", "--config", "c.yaml", "--runs", 1, "--kill-at", 7)
    assert code == 8 and "the resume ended with exit code 4: " in out and "no way back" in error


def test_what_a_training_ends_with_is_said_before_any_kill(dlzoo, monkeypatch):
    loss = torch.tensor(float("nan"), requires_grad=True)
    monkeypatch.setattr("dlzoo.tasks.image_classification.ImageClassification.loss", lambda *_: loss * 1)
    code, out, error = dlzoo("verify-resume", "--config", "c.yaml")
    assert code == 5 and "loss is nan at step 1" in error and not out


def test_a_run_is_reproduced_bit_for_bit_and_left_alone(dlzoo):
    assert dlzoo("train", "--config", "c.yaml", "--json")[0] == 0
    before = {path: path.stat().st_mtime_ns for path in Path("runs").rglob("*")}
    code, out, error = dlzoo("reproduce", "last")
    first, *scores, last = out.splitlines()
    assert code == 0 and first.split() == ["weights", "identical"] and last.startswith("bit-identical: "), error
    assert {line.split()[0] for line in scores} >= {"loss", "accuracy"} and all(
        "identical: " in line for line in scores
    )
    assert {path: path.stat().st_mtime_ns for path in Path("runs").rglob("*")} == before


def test_what_is_not_reproduced_is_said_with_what_has_changed(dlzoo):
    assert dlzoo("train", "--config", "c.yaml", "--json")[0] == 0
    run = Path("runs/c-001")
    facts = json.loads((run / "run.json").read_text())
    facts["metrics"]["accuracy"] += 0.25
    facts["environment"] |= {"threads": 7, "torch": "1.0"}
    facts["data"] = {"fingerprint": "another"}
    (run / "run.json").write_text(json.dumps(facts))
    config = (run / "config.yaml").read_text()
    (run / "config.yaml").write_text(config.replace("seed: 0", "seed: 1"))
    code, out, error = dlzoo("reproduce", "last")
    assert code == 8 and "last is not reproduced: model.safetensors " in error
    for words in ("weights +model.safetensors backbone.", "accuracy +was 0.3"):
        assert re.search(f"^{words}", out, re.MULTILINE), out
    changed = [line for line in out.splitlines() if line.startswith("changed")]
    assert len(changed) == 3 and "threads was 7 and is 1" in out and "torch was 1.0" in out and "the data is not" in out
    found = json.loads(dlzoo("reproduce", "last", "--json")[1])
    assert not found["identical"] and not found["metrics"]["accuracy"]["identical"] and len(found["circumstances"]) == 3


def test_only_a_finished_run_is_reproduced(dlzoo):
    assert dlzoo("train", "--config", "c.yaml", "--json")[0] == 0
    run = Path("runs/c-001")
    facts = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps(facts | {"status": "stopped", "step": 7}))
    for name, words in (("last", "stopped at step 7"), ("nope", "no run 'nope'"), (run / "model", "no run.json")):
        code, out, error = dlzoo("reproduce", name)
        assert code == 4 and words in error and not out, error


def test_nothing_that_must_not_matter_does_on_this_machine(dlzoo):
    code, out, error = dlzoo("selftest", "--json")
    found = json.loads(out)
    assert code == 0 and found["held"], error
    ours = {entry.name for entry in TASKS.entries() if entry.file.is_relative_to(PACKAGE)}
    unbundled = {"image_regression", "segmentation", "detection", "video_classification"}
    unbundled |= {"token_classification", "sequence_to_sequence", "chat"}
    assert {line["case"].split()[0] for line in found["lines"]} == ours - unbundled
    assert {line["what"] for line in found["lines"] if line["delta"] is None} == {
        "accumulation 1x8 = 4x2 = 8x1",
        "training in 2 processes = 1",
        "training in 3 processes = 1",
    }


def test_what_does_matter_is_found(dlzoo, monkeypatch):
    """A mean where a sum belongs, a count of its own for each process, padding that is seen, a sample scored twice."""
    loss, collate, split = TabularRegression.loss, TextClassification.collate, Scored.__init__

    def unmasked(self, found):
        batch = collate(self, found)
        return replace(batch, inputs=batch.inputs | {"mask": torch.ones_like(batch.inputs["mask"])})

    def uneven(self, task, pieces, size, processes=None, *rest):
        split(self, task, pieces, size, processes, *rest)
        self.mine = [*self.mine, 0] if processes and processes.world > 1 else self.mine

    monkeypatch.setattr(TabularRegression, "loss", lambda self, o, batch: loss(self, o, batch) / batch.count)
    monkeypatch.setattr(Runtime, "total", lambda self, count: max(1, count))
    monkeypatch.setattr(TextClassification, "collate", unmasked)
    monkeypatch.setattr(Scored, "__init__", uneven)
    code, out, error = dlzoo("selftest")
    broken = {line[:30].strip() for line in out.splitlines() if line.endswith("EXCEEDED")}
    assert code == 8 and "comparisons do not hold: accumulation" in error
    assert broken == {
        "accumulation 1x8 = 4x2 = 8x1",
        "training in 2 processes = 1",
        "training in 3 processes = 1",
        "evaluation in batches 1 = 64",
        "padded = unpadded",
        "scores of 1, 2, 3 processes",
    }
