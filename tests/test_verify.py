"""The commands that let a user see for himself: verify-resume, reproduce, selftest; and that each can fail."""

import json
from pathlib import Path

import pytest
import torch

from dlzoo.engine.average import Average
from dlzoo.engine.loader import Loader
from dlzoo.run.session import Session

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
    assert code == 8 and "the resume ended with exit code 1: " in out and "no way back" in error


def test_what_a_training_ends_with_is_said_before_any_kill(dlzoo, monkeypatch):
    loss = torch.tensor(float("nan"), requires_grad=True)
    monkeypatch.setattr("dlzoo.tasks.image_classification.ImageClassification.loss", lambda *_: loss * 1)
    code, out, error = dlzoo("verify-resume", "--config", "c.yaml")
    assert code == 5 and "loss is nan at step 1" in error and not out
