"""`dlzoo profile`: the parts of an update, what other settings would take, and words where something stands out."""

import json
from pathlib import Path

import pytest

from dlzoo.run import profile
from dlzoo.schema.reader import from_dict

DIGITS = "task: image_classification\ndata: digits\nmodel: {name: lenet, channels: [4], hidden: [8]}\n"


@pytest.fixture(autouse=True)
def _quick(monkeypatch, tmp_path):
    monkeypatch.setattr(profile, "SECONDS", 0.2)
    monkeypatch.chdir(tmp_path)
    Path("c.yaml").write_text(DIGITS)


def test_the_parts_of_an_update_are_the_update_and_nothing_is_written(dlzoo):
    code, out, error = dlzoo("profile", "--config", "c.yaml", "--json")
    report = json.loads(out)
    assert code == 0 and report["updates"] >= 1, error
    assert {"data", "forward", "backward", "optimizer", "rest"} <= report["phases"].keys() <= {*profile.PHASES, "rest"}
    assert sum(report["phases"].values()) == pytest.approx(report["milliseconds"], rel=0.3)
    assert "train.channels_last: false" in report["others"]
    assert not Path("runs").exists()


def test_it_is_read_by_a_person(dlzoo):
    code, out, error = dlzoo("profile", "--config", "c.yaml", "--set", "train.batch_size=4")
    assert code == 0 and "samples a second" in out and "  backward" in out and "advice  " in out, error


def test_what_stands_out_is_said_with_the_key_to_change():
    config = from_dict({"task": "image_classification", "data": "digits", "model": "mlp"})
    phases = {"data": 5.0, "forward": 1.0, "backward": 1.0, "optimizer": 3.0, "rest": 0.0}
    report = {"milliseconds": 10.0, "phases": phases, "others": {"train.precision: bfloat16": 6.0}}
    first, *more = profile.advice(config, report)
    assert first.startswith("train.precision: bfloat16 takes 0.60 of the time")
    assert "train.workers" in more[0] and "train.batch_size than 64" in more[1]
    calm = {"milliseconds": 10.0, "phases": {"forward": 4.0, "backward": 5.0, "optimizer": 1.0}, "others": {}}
    assert not list(profile.advice(config, calm))
