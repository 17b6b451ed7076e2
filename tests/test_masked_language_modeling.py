"""Masked language modelling: what is hidden, how texts are cut, and what a user's blanks become."""

from collections import Counter
from random import Random

import numpy as np
import pytest
import torch
import yaml
from made import tagged
from memory import Memory, fitted

from dlzoo.engine.encoded import Fresh, encode, encode_many
from dlzoo.engine.loader import Scored, batches
from dlzoo.errors import ConfigError, DataError, UserError
from dlzoo.models.bert import BERT
from dlzoo.models.cnn1d import CNN1d
from dlzoo.models.lstm import LSTM
from dlzoo.run import build, portable
from dlzoo.run import train as command
from dlzoo.run.answers import readable
from dlzoo.run.opened import opened
from dlzoo.schema import reader
from dlzoo.task import Network, columns
from dlzoo.transforms.text import MASK, RESERVED, UNKNOWN, tokenizer

WORDS = "unhappily the cats were sleeping on a mat and the dogs were walking in an unhappy town".split()
TEXTS = [{"text": " ".join(Random(i).choices(WORDS, k=5 + 7 * i))} for i in range(12)]


def learned(**arguments):
    task = fitted("masked_language_modeling", TEXTS, **{"context": 24, "vocab": 60} | arguments)
    return task, task.pieces(Memory(TEXTS), "train")


def network(task, backbone=None):
    torch.manual_seed(0)
    backbone = backbone or BERT(**task.facts(), dim=16, depth=1, heads=2)
    return Network(backbone, task.head(backbone)).eval()


@pytest.mark.parametrize("kind", ["words", "wordpiece", "bpe", "characters"])
def test_windows_are_the_texts_cut_evenly_and_apart(kind):
    task, pieces = learned(tokenizer=kind, vocab=None)
    found = [pieces[i]["tokens"] for i in range(len(pieces))]
    assert max(map(len, found)) <= 24
    whole = np.concatenate([task.tokenizer.encode(sample["text"]) for sample in TEXTS])
    assert torch.cat(found).tolist() == whole.tolist()
    for k in (0, 9):
        sample, places = TEXTS[k], [i for i in range(len(found)) if pieces.source(i).startswith(f"memory:{k}:")]
        sizes = [len(found[i]) for i in places]
        assert sum(sizes) == len(task.tokenizer.encode(sample["text"])) and max(sizes) - min(sizes) <= 1
    assert pieces.source(0) == "memory:0: token 1"


def test_a_split_that_is_a_span_of_a_text_is_cut_out_of_it():
    task, _ = learned(tokenizer="characters", vocab=None)
    data = Memory([{"text": "a cat on a mat"}])
    data.spans = [(2, 5)]
    assert task.tokenizer.decode(task.pieces(data, "test")[0]["tokens"].tolist()) == "cat"
    with pytest.raises(DataError, match="memory:0: no text in it"):
        task.pieces(Memory([{"text": ""}]), "test")


def test_of_the_hidden_tokens_eight_tenths_are_masked_one_is_random_one_is_kept():
    task, pieces = learned()
    fates, total, hidden = Counter(), 0, 0
    for epoch in range(150):
        for i in range(len(pieces)):
            own, example = pieces[i]["tokens"], encode(task, pieces, i, Random(f"{epoch}/{i}"))
            places = example["hidden"]
            assert torch.equal(example["was"], own[places]) and (example["was"] >= RESERVED).all()
            rest = torch.ones(len(own), dtype=torch.bool)
            rest[places] = False
            assert torch.equal(example["tokens"][rest], own[rest])
            total, hidden = total + len(own), hidden + len(places)
            for seen, was in zip(example["tokens"][places].tolist(), example["was"].tolist(), strict=True):
                fates["masked" if seen == MASK else "kept" if seen == was else "random"] += 1
    assert hidden / total == pytest.approx(0.15, abs=0.01)
    assert fates["masked"] / hidden == pytest.approx(0.8, abs=0.02)
    assert fates["random"] / hidden == pytest.approx(0.1, abs=0.02)


@pytest.mark.parametrize("kind", ["wordpiece", "bpe"])
def test_a_whole_word_is_hidden_with_all_its_parts_or_not_at_all(kind):
    task, pieces = learned(tokenizer=kind, vocab=280 if kind == "bpe" else 60, whole_words=True, context=64, lower=True)
    several = 0
    for i in range(len(pieces)):
        own, hidden = pieces[i]["tokens"], encode(task, pieces, i)["hidden"].tolist()
        begins = task.tokenizer.begins(own.numpy())
        begins[0] = True
        word = begins.cumsum()
        for place in hidden:
            parts = np.flatnonzero(word == word[place]).tolist()
            assert set(parts) <= set(hidden)
            several += len(parts) > 1
        assert 1 <= len(hidden) <= max(round(0.15 * len(own)), max(Counter(word.tolist()).values()))
    assert several


@pytest.mark.parametrize(
    ("kind", "text", "begins"),
    [
        ("wordpiece", "unhappily on mats.", [True, False, True, True, False, True]),
        ("words", "never seen, cats", [True] * 4),
        ("characters", "a cat", [True] * 5),
    ],
)
def test_a_tokenizer_says_which_ids_begin_a_word(kind, text, begins):
    own = tokenizer(kind)
    own.fit(["un un un happily on mat mat . s ##s cats cat unhappily happily mats mats." * 3])
    ids = own.encode(text)
    if kind == "wordpiece":
        words = [own.decode([i]) for i in ids]
        begins = [not word.startswith("##") for word in words]
        assert begins.count(True) == 4  # unhappily, on, mats and the full stop
    assert own.begins(ids).tolist() == begins


def test_over_bytes_a_space_or_a_mark_begins_a_word():
    own = tokenizer("bpe", 300)
    own.fit(["a cat sat on a mat, unhappily." * 3])
    ids = own.encode("on mat, cats")
    spelled = [own.decode([i]) for i in ids.tolist()]
    assert own.begins(ids).tolist() == [text[0] in " ,." for text in spelled]


def test_an_evaluation_always_asks_the_same_and_every_epoch_another():
    task, pieces = learned()
    one, other = (
        [batch.inputs["x"] for batch in found] for found in (batches(task, pieces, 4), batches(task, pieces, 4))
    )
    assert all(map(torch.equal, one, other))
    kept = {}
    for batch in Scored(task, pieces, 5):
        kept |= zip(batch.indices, batch.inputs["x"], strict=True)
    for batch in batches(task, pieces, 3):
        for i, row, mask in zip(batch.indices, batch.inputs["x"], batch.inputs["mask"], strict=True):
            assert torch.equal(kept[i][: int(mask.sum())], row[mask])
    fresh = Fresh(task, pieces, seed=0)
    assert fresh.gather([9], 0)["tokens"][0].tolist() != fresh.gather([9], 1)["tokens"][0].tolist()
    assert torch.equal(fresh.gather([9], 1)["tokens"][0], fresh.gather([9], 1)["tokens"][0])
    assert torch.equal(encode_many(task, pieces, [9])["tokens"][0], encode(task, pieces, 9)["tokens"])


def test_what_the_vocabulary_lacks_is_never_asked_for():
    task, _ = learned(tokenizer="words", vocab=None)
    pieces = task.pieces(Memory([{"text": "zebra zebra the zebra zebra"}, {"text": "zebra"}]), "test")
    assert encode(task, pieces, 0)["was"].tolist() == [int(task.tokenizer.encode("the")[0])]
    assert encode(task, pieces, 1)["was"].tolist() == [] and (pieces[1]["tokens"] == UNKNOWN).all()


@torch.no_grad()
def test_the_baseline_is_the_share_of_the_most_frequent_token():
    task, pieces = learned(tokenizer="words", vocab=None)
    found = columns([encode(task, pieces, i) for i in range(len(pieces))], task.ragged)
    batch, (metric,) = task.collate(found), task.metrics()
    metric.update(task.guess(batch), task.truth(batch))
    assert task.tokenizer.decode([task.frequent]) in ("the", "were")  # twice as frequent as others
    share = (batch.targets["was"] == task.frequent).float().mean()
    assert metric.compute()["accuracy"] == pytest.approx(float(share), rel=1e-6)


@torch.no_grad()
@pytest.mark.parametrize("kind", ["wordpiece", "bpe", "characters"])
def test_blanks_are_filled_alone_as_in_company(kind):
    task, _ = learned(tokenizer=kind, vocab=None, context=60)
    model = network(task)
    texts = ["the [MASK] were on a [MASK]", "[MASK]", "cats were [MASK] in town"]
    examples = [task.encode({"text": text}) for text in texts]
    together = task.answer(model, task.collate(columns(examples, task.ragged)), top_k=3)
    for answer, example, text in zip(together, examples, texts, strict=True):
        (alone,) = task.answer(model, task.collate(columns([example], task.ragged)), top_k=3)
        assert alone["tokens"] == answer["tokens"] and alone["text"] == answer["text"]
        assert len(answer["blanks"]) == text.count("[MASK]")
        for blank, other in zip(answer["blanks"], alone["blanks"], strict=True):
            assert [c["token"] for c in blank] == [c["token"] for c in other]
            scores = [c["score"] for c in blank]
            assert scores == sorted(scores, reverse=True) == pytest.approx([c["score"] for c in other], rel=1e-4)
    assert readable(together[0]).count("\n") == 2


def test_a_blank_stands_where_the_token_stood():
    for kind in ("wordpiece", "bpe", "words", "characters"):
        task, _ = learned(tokenizer=kind, vocab=None, context=60, lower=kind != "bpe")
        whole = task.tokenizer.encode("the cats were sleeping").tolist()
        text = "the cats w[MASK]re sleeping" if kind == "characters" else "the cats [MASK] sleeping"
        asked = task.encode({"text": text})
        (place,) = asked["hidden"].tolist()
        before, after = asked["tokens"][:place].tolist(), asked["tokens"][place + 1 :].tolist()
        assert whole[: len(before)] == before and whole[len(whole) - len(after) :] == after


def test_texts_that_cannot_be_asked_about_say_why():
    task, _ = learned()
    with pytest.raises(DataError, match=r"no \[MASK\] in this text: write one"):
        task.encode({"text": "the cat"})
    with pytest.raises(DataError, match="and the context is 24: shorten it"):
        task.encode({"text": "the " * 30 + "[MASK]"})
    with pytest.raises(DataError, match="no text"):
        fitted("masked_language_modeling", [{"text": ""}])
    batch = task.collate(columns([task.encode({"text": "[MASK]"})], task.ragged))
    with pytest.raises(UserError, match="--top-k 0"):
        task.answer(network(task), batch, top_k=0)


def test_the_matrix_is_tied_where_the_model_has_one():
    task, _ = learned()
    tied = network(task, LSTM(**{"vocab_size": task.tokenizer.size}, dim=16, causal=False))
    assert tied.head.layers.linear.weight is tied.backbone.embed.weight
    task.tie = False
    apart = network(task, CNN1d(vocab_size=task.tokenizer.size, embedding=8, dim=9, out="sequence"))
    assert apart.head.layers.linear.weight is not apart.backbone.embed.weight


def test_a_model_that_sees_one_side_only_is_refused():
    task, _ = learned()
    for model in ({"name": "lstm"}, {"name": "gpt"}):
        config = build_config(model)
        with pytest.raises(ConfigError, match="does not see what comes after"):
            build.build_network(config, task)
    assert build.build_network(build_config({"name": "gru", "causal": False}), task)


def build_config(model):
    return reader.from_dict({"task": "masked_language_modeling", "data": "spam", "model": model})


BEGIN = """
task: {name: masked_language_modeling, vocab: 300, context: 32, whole_words: true}
data: spam
model: {name: bert, dim: 16, depth: 1, heads: 2}
train: {steps: 2, batch_size: 4, threads: 1}
"""


@pytest.mark.parametrize(
    "task, data",
    [
        ({"name": "text_classification", "context": 32}, "spam"),
        ({"name": "token_classification", "context": 32}, {"name": "tagged_texts", "path": "tags.tsv", "word": 2}),
    ],
    ids=["text_classification", "token_classification"],
)
def test_its_backbone_and_tokenizer_begin_another_task(task, data, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    tagged(tmp_path / "tags.tsv")
    (tmp_path / "first.yaml").write_text(BEGIN)
    with opened(tmp_path / "first.yaml") as config:
        first = command.train(config, root=tmp_path / "runs", quiet=True).run
    second = {"task": task, "data": data, "model": {"from": str(first)}}
    second |= {"train": {"steps": 1, "batch_size": 4, "threads": 1}, "optimizer": {"name": "adamw", "lr": 1e-12}}
    (tmp_path / "second.yaml").write_text(yaml.safe_dump(second))
    with opened(tmp_path / "second.yaml") as config:
        run = command.train(config, root=tmp_path / "runs", quiet=True).run
    given, own = portable.load(first), portable.load(run)
    assert own.task.tokenizer.state_dict() == given.task.tokenizer.state_dict()
    for name, weight in given.network.backbone.state_dict().items():
        torch.testing.assert_close(own.network.backbone.state_dict()[name], weight, atol=1e-9, rtol=0)
