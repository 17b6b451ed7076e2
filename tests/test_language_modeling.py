"""Language modelling: which tokens are read, which are scored, and what is written."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from memory import Memory, fitted

from dlzoo.data import packed
from dlzoo.errors import ConfigError, DataError
from dlzoo.models.gpt import GPT
from dlzoo.models.gru import GRU
from dlzoo.models.lstm import LSTM
from dlzoo.task import Network, columns
from dlzoo.tasks.language_modeling import LanguageModeling
from dlzoo.transforms.text import END, PAD, RESERVED

TEXT = "".join(chr(97 + (i * i + i // 7) % 17) for i in range(400))


def cut(text, *spans):
    """One text in several splits."""
    splits = []
    for span in spans:
        data = Memory([{"text": text}])
        data.spans = [span]
        splits.append(data)
    return splits


def learned(text=TEXT, stop=300, **arguments):
    task = LanguageModeling(**arguments)
    train, test = cut(text, (0, stop), (stop, len(text)))
    task.fit(train)
    return task, train, test


def network(task, backbone=None):
    torch.manual_seed(0)
    backbone = backbone or LSTM(vocab_size=task.facts()["vocab_size"], dim=24)
    return Network(backbone, task.head(backbone)).eval()


def test_tokens_beyond_memory_are_mapped_and_the_same(monkeypatch):
    task, train, _ = learned(context=16)
    kept = task.pieces(train, "train")
    monkeypatch.setattr(packed, "IN_MEMORY", 64)
    mapped = task.pieces(train, "train")
    assert mapped.tokens.dtype == torch.int16 and torch.equal(mapped.tokens, kept.tokens)
    assert torch.equal(mapped.gather([3, 1])["next"], kept.gather([3, 1])["next"])


@settings(max_examples=60, deadline=None)
@given(st.integers(2, 40), st.integers(0, 39), st.integers(1, 399), st.sampled_from(["characters", "bytes"]))
def test_every_token_of_a_split_is_scored_once_behind_enough_others(context, look_back, stop, tokenizer):
    look_back = min(look_back, context - 1)
    task, _, test = learned(stop=stop, tokenizer=tokenizer, context=context, look_back=look_back)
    pieces = task.pieces(test, "test")
    batch = pieces.gather(range(len(pieces)))
    scored = batch["next"] != PAD
    own = task.tokenizer.encode(TEXT[stop:])
    assert torch.equal(batch["next"][scored], torch.from_numpy(own).long())
    for row, (x, after, mask) in enumerate(zip(batch["x"], batch["next"], scored, strict=True)):
        first = int(mask.nonzero()[0, 0])
        assert first >= look_back or row == 0 or stop <= look_back
        assert first >= min(look_back, stop - 1)  # the text before the span is looked at
        places = mask.nonzero()[1:, 0]
        assert torch.equal(x[places], after[places - 1])  # what is read is what was to be foretold one place before


def test_the_first_window_of_a_test_split_reads_the_end_of_train():
    task, _, test = learned(context=20, look_back=8)
    x = task.pieces(test, "test").gather([0])["x"][0]
    assert task.tokenizer.decode(x[:9].tolist()) == TEXT[291:300]


@settings(max_examples=40, deadline=None)
@given(st.integers(2, 40), st.integers(1, 60))
def test_training_windows_cover_the_text(context, stride):
    task, train, _ = learned(context=context, stride=stride)
    pieces = task.pieces(train, "train")
    batch = pieces.gather(range(len(pieces)))
    assert (batch["next"] != PAD).all()
    assert batch["x"][0, 0] == END
    assert task.tokenizer.decode(batch["next"][0].tolist()) == TEXT[:context]
    assert task.tokenizer.decode(batch["next"][-1].tolist()) == TEXT[300 - context : 300]
    assert len(pieces) == math.ceil((300 - context) / stride) + 1


def test_a_text_that_is_shorter_than_a_window_is_padded():
    task, train, test = learned(TEXT[:12], stop=7, context=50)
    batch = task.collate(task.pieces(train, "train").gather([0]))
    assert batch.count == 7 and batch.inputs["x"].shape == (1, 50)
    assert task.collate(task.pieces(test, "test").gather([0])).count == 5


def test_documents_are_joined_and_each_has_an_end():
    documents = [{"text": "abc"}, {"text": "de"}, {"text": "f"}]
    task = fitted("language_modeling", documents, context=30)
    for split in ("train", "test"):
        pieces = task.pieces(Memory(documents), split)
        batch = task.collate(pieces.gather(range(len(pieces))))
        after = batch.targets["next"][batch.inputs["scored"]].tolist()
        a = RESERVED
        assert after == [a, a + 1, a + 2, END, a + 3, a + 4, END, a + 5, END]
        assert batch.inputs["x"][0, 0] == END


def test_the_vocabulary_is_that_of_train():
    _, train, _ = learned()
    task = LanguageModeling(tokenizer="characters")
    (other,) = cut(TEXT[:300] + "XYZ" * 30, (0, 300))
    task.fit(train)
    state = task.state_dict()
    task.fit(other)
    assert task.state_dict() == state


def test_a_window_says_where_it_is_from():
    task, _, test = learned(context=20, look_back=10)
    pieces = task.pieces(test, "test")
    assert [pieces.source(i) for i in (0, 1)] == ["memory:0: character 301", "memory:0: character 311"]
    documents = [{"text": "abc" * 9}, {"text": "de" * 9}]
    task = fitted("language_modeling", documents, context=4, look_back=0)
    pieces = task.pieces(Memory(documents), "test")
    assert pieces.source(0) == "memory:0: character 1" and pieces.source(7) == "memory:1: character 1"


@pytest.mark.parametrize("tokenizer", ["characters", "bytes", "bpe", "words"])
@torch.no_grad()
def test_nats_are_the_loss_and_bits_are_those_of_the_bytes(tokenizer):
    text = "It is a truth – universally acknowledged. " * 20
    task, _, test = learned(text, stop=500, tokenizer=tokenizer, context=16)
    model, (metric,) = network(task), task.metrics()
    pieces, loss, count = task.pieces(test, "test"), 0.0, 0
    for start in range(0, len(pieces), 3):
        batch = task.collate(pieces.gather(range(start, min(start + 3, len(pieces)))))
        outputs = model(**batch.inputs)
        loss, count = loss + float(task.loss(outputs, batch)), count + batch.count
        task.update([metric], outputs, batch)
    numbers = metric.compute()
    assert numbers["nats"] == pytest.approx(loss / count, rel=1e-5)
    assert task.scores(loss / count)["perplexity"] == pytest.approx(math.exp(numbers["nats"]), rel=1e-4)
    if tokenizer == "words":
        assert "bits_per_byte" not in numbers
    else:
        assert numbers["bits_per_byte"] == pytest.approx(loss / math.log(2) / len(text[500:].encode()), rel=1e-5)


def test_the_baseline_is_the_entropy_of_the_letters():
    task, train, _ = learned()
    pieces, (metric,) = task.pieces(train, "train"), task.metrics()
    batch = task.collate(pieces.gather(range(len(pieces))))
    metric.update(task.guess(batch), task.truth(batch))
    p = np.unique(list(TEXT[:300]), return_counts=True)[1] / 300
    assert metric.compute()["nats"] == pytest.approx(-(p * np.log(p)).sum(), abs=0.05)
    assert metric.compute()["accuracy"] == pytest.approx(p.max(), abs=0.02)


def test_the_baseline_knows_how_often_words_are_unknown():
    task, train, _ = learned("the cat and the dog and the end of it all " * 3, 126, tokenizer="words", min_count=4)
    pieces, (metric,) = task.pieces(train, "train"), task.metrics()
    batch = task.collate(pieces.gather(range(len(pieces))))
    metric.update(task.guess(batch), task.truth(batch))
    p = np.array([6, 9, 18]) / 33  # and, the, and the rest
    assert metric.compute()["nats"] == pytest.approx(-(p * np.log(p)).sum(), abs=0.1)


def test_smoothing_changes_training_and_not_the_score():
    plain, train, _ = learned(context=16)
    smooth, _, _ = learned(context=16, smoothing=0.2)
    model = network(plain)
    batch = plain.collate(plain.pieces(train, "train").gather([0, 1]))
    outputs = model(**batch.inputs)
    assert not torch.isclose(smooth.loss(outputs, batch), plain.loss(outputs, batch))
    assert torch.equal(smooth.loss(outputs.detach(), batch), plain.loss(outputs.detach(), batch))


def test_a_tied_matrix_is_one():
    task, train, _ = learned(tie=True)
    backbone = GRU(vocab_size=task.facts()["vocab_size"], dim=64)
    model = network(task, backbone)
    assert model.head.linear.weight is backbone.embed.weight
    batch = task.collate(task.pieces(train, "train").gather([0]))
    assert task.loss(model(**batch.inputs), batch).item() / batch.count < 2 * math.log(20)


@pytest.mark.parametrize("kind", ["lstm", "gpt"])
@pytest.mark.parametrize("joined", [False, True])
def test_prompts_go_on_alone_as_in_company(kind, joined):
    task = fitted("language_modeling", [{"text": TEXT}], context=24) if joined else learned(context=24)[0]
    size = task.facts()["vocab_size"]
    model = network(task, GPT(vocab_size=size, context=24, dim=16, depth=1, heads=2) if kind == "gpt" else None)
    texts = ["abc", "", "gfedcba" * 9, "a"]
    examples = [task.encode({"text": text}) for text in texts]
    options = {"max_new_tokens": 40, "temperature": 0.9, "top_p": 0.9, "seed": 3}
    together = task.answer(model, task.collate(columns(examples, task.ragged)), **options)
    alone = [task.answer(model, task.collate(columns([example], task.ragged)), **options)[0] for example in examples]
    assert together == alone
    assert together[0]["text"] == "abc" + together[0]["new"]
    if not joined:
        assert len(together[0]["new"]) == 40


def test_writing_stops_at_the_first_of_several_texts():
    task, *_ = learned()
    batch = task.collate(columns([task.encode({"text": "abc"})], task.ragged))
    model = network(task)
    new = task.answer(model, batch)[0]["new"]
    for stops in ([new[10:12]], [new[20:23], new[10:12]], [new[10:12], "not in it"]):
        assert task.answer(model, batch, stop=stops)[0]["new"] == new[: new.index(new[10:12])]
    with pytest.raises(ConfigError, match="stop"):
        task.answer(model, batch, stop=[""])


@pytest.mark.parametrize("kind", ["lstm", "gpt"])
def test_the_same_text_is_written_in_batches_of_1_and_of_32(kind):
    text = "It is a truth universally acknowledged – that “a single man” must be in want of a wife. " * 8
    task = learned(text, 500, context=24)[0]
    size = task.facts()["vocab_size"]
    model = network(task, GPT(vocab_size=size, context=24, dim=16, depth=1, heads=2) if kind == "gpt" else None)
    examples = [task.encode({"text": text[i : i + 3 * i + 1]}) for i in range(32)]
    options = {"max_new_tokens": 30, "temperature": 0.8, "top_k": 40, "stop": ["zz", "e", "–"], "seed": 5}
    together = task.answer(model, task.collate(columns(examples, task.ragged)), **options)
    alone = [task.answer(model, task.collate(columns([example], task.ragged)), **options)[0] for example in examples]
    assert together == alone
    free = task.answer(model, task.collate(columns(examples, task.ragged)), **options | {"stop": None})
    assert sum(stopped != whole for stopped, whole in zip(together, free, strict=True)) > 3


@pytest.mark.parametrize("tokenizer", ["characters", "bytes", "words", "bpe", "wordpiece", "unigram"])
@torch.no_grad()
def test_what_is_streamed_is_the_answer_piece_by_piece(tokenizer):
    text = "It’s a truth – universally “acknowledged”, that 東京 won't be in want of a wife. " * 8
    task = learned(text, 500, tokenizer=tokenizer, context=24)[0]
    model = network(task)
    for seed in range(6):
        batch = task.collate(columns([task.encode({"text": "It’s a"})], task.ragged))
        free = task.answer(model, batch, max_new_tokens=40, seed=seed)[0]
        stops = [free["new"][12:15] or "–", "th", "e "]
        for stop in (None, stops):
            pieces = list(task.stream(model, batch, max_new_tokens=40, seed=seed, stop=stop or ()))
            answer = task.answer(model, batch, max_new_tokens=40, seed=seed, stop=stop)[0]
            assert "".join(pieces) == answer["text"]
            assert stop or len(pieces) > 5


def test_settings_without_sense_are_refused():
    with pytest.raises(ConfigError, match="look_back"):
        LanguageModeling(context=8, look_back=8)
    with pytest.raises(DataError, match="no text"):
        fitted("language_modeling", [{"text": ""}])
    task, *_ = learned()
    batch = task.collate(columns([task.encode({"text": "abc"})], task.ragged))
    with pytest.raises(ConfigError, match="max_new_tokens"):
        task.answer(network(task), batch, max_new_tokens=-1)
