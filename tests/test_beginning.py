"""What a model begins with: the backbone of another run, with its tokenizer."""

import shutil

import pytest
import torch

from dlzoo.engine import weights
from dlzoo.errors import ConfigError, RunError
from dlzoo.run import portable
from dlzoo.run import train as command
from dlzoo.run.folder import Run
from dlzoo.run.opened import opened
from dlzoo.schema.writer import dump

FIRST = """
name: first
task: {name: language_modeling, tokenizer: wordpiece, vocab: 300, context: 32}
data: spam
model: {name: gpt, dim: 16, depth: 1, position: rotary}
train: {steps: 2, batch_size: 4}
"""
SECOND = """
name: second
task: {name: text_classification, context: 48}
data: spam
model: {from: %s, dropout: 0.1}
train: {steps: 1, batch_size: 4}
optimizer: {name: adamw, lr: 1e-12}
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    place = tmp_path_factory.mktemp("beginning")
    (place / "first.yaml").write_text(FIRST)
    with opened(place / "first.yaml") as config:
        command.train(config, root=place / "runs", quiet=True)
    (place / "second.yaml").write_text(SECOND % (place / "runs" / "first-001"))
    return place


def begun(place, *sets):
    with opened(place / "second.yaml", sets) as config:
        return command.train(config, root=place / "runs", quiet=True).run


def test_the_backbone_and_the_tokenizer_are_those_of_the_other_run(place):
    first, second = portable.load(place / "runs" / "first-001"), portable.load(begun(place))
    assert second.config.model.args["position"] == "rotary" and second.config.model.args["dropout"] == 0.1
    assert second.task.tokenizer.state_dict() == first.task.tokenizer.state_dict()
    own, given = second.network.state_dict(), first.network.state_dict()
    compared = [name for name in given if name.startswith("backbone.")]
    assert compared
    for name in compared:
        torch.testing.assert_close(own[name], given[name], atol=1e-9, rtol=0)


def test_where_the_other_run_lies_is_written_down_and_not_needed_again(place):
    run = Run(begun(place))
    assert run.config.model.source == str(place / "runs" / "first-001")
    assert dump(run.config) == (run.path / "config.yaml").read_text()
    shutil.move(place / "runs" / "first-001", place / "away")
    try:
        assert portable.load(run.path).task.tokenizer.name == "wordpiece"
        assert command.resume(run.path, quiet=True).code == 0
        with pytest.raises(ConfigError, match=r"second\.yaml:5:.*there is no run"), opened(place / "second.yaml"):
            pass
    finally:
        shutil.move(place / "away", place / "runs" / "first-001")


@pytest.mark.parametrize(
    "sets, error, words",
    [
        (["model.dim=32"], RunError, r"model\.from: .*first-001 does not fit this network: .* there, and .* here"),
        (["model=lstm"], RunError, r"does not fit this network"),
        (["task.tokenizer=words"], ConfigError, r"task\.tokenizer: the tokenizer comes with the model's weights"),
        (["task.lower=false"], ConfigError, r"task\.lower: the tokenizer comes"),
        (["model.layers=2"], ConfigError, r"layers"),
    ],
)
def test_what_does_not_go_with_the_other_run_is_refused(place, sets, error, words):
    if sets == ["model=lstm"]:
        sets = [f"model={{name: lstm, from: {place / 'runs' / 'first-001'}}}"]
    with pytest.raises(error, match=words):
        begun(place, *sets)


def test_learned_positions_say_which_context_fits(place):
    with opened(place / "first.yaml", ["model.position=learned", "name=table"]) as config:
        run = command.train(config, root=place / "runs", quiet=True).run
    with pytest.raises(RunError, match=r"\(32, 16\) there, and \(48, 16\) here; set task\.context: 32"):
        begun(place, f"model.from={run}")


def test_frozen_weights_stay_those_of_the_other_run(place):
    run = begun(place, "train.freeze=[backbone.*]", "optimizer.lr=0.1")
    own, given = (weights.load(portable.verified(portable.read(r))) for r in (run, place / "runs" / "first-001"))
    assert all(torch.equal(own[name], given[name]) for name in given if name.startswith("backbone."))
