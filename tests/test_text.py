"""Tokenizers, and labels for texts."""

import json
import subprocess
import sys

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from memory import fitted

from dlzoo.errors import ConfigError, DataError
from dlzoo.task import columns
from dlzoo.transforms.text import END, MASK, PAD, RESERVED, START, UNKNOWN, restored, tokenizer

TEXTS = ["The cat sat on the mat.", "the dog's bone, the dog!!!", "Ünïcödé — 猫 🐈\n\ttabs", ""]
NAMES = ["characters", "words", "bytes", "bpe", "wordpiece", "unigram"]
WHOLE = ["characters", "bytes", "bpe", "unigram"]
"""Those that keep all of a text."""


def made(name, limit=None, least=None):
    made = tokenizer(name, limit, least)
    made.fit(TEXTS)
    return made


@pytest.mark.parametrize("name", WHOLE)
def test_what_is_encoded_comes_back(name):
    own = made(name)
    for text in TEXTS:
        assert own.decode(own.encode(text).tolist()) == text


@settings(max_examples=50, deadline=None)
@given(st.text())
def test_those_over_bytes_bring_back_any_text(text):
    for own in OVER_BYTES:
        assert own.decode(own.encode(text).tolist()) == text


OVER_BYTES = [made(name) for name in ("bytes", "bpe", "unigram")]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("text", ["", "never seen: 漢字 zebra", "<pad> <end> [UNK] [MASK]", "\ud800", "the the the"])
def test_ids_are_within_the_vocabulary_and_never_reserved(name, text):
    own = made(name)
    ids = own.encode(text)
    assert all(UNKNOWN <= i < own.size for i in ids)
    assert not set(ids.tolist()) & {PAD, END, START, MASK}
    if name in ("bytes", "bpe", "unigram"):
        assert (ids >= RESERVED).all()


@pytest.mark.parametrize("name", NAMES)
def test_a_tokenizer_goes_through_json(name):
    own = made(name)
    other = restored(json.loads(json.dumps(own.state_dict())))
    assert other.size == own.size
    assert all((other.encode(text) == own.encode(text)).all() for text in [*TEXTS, "something else: xyz"])
    assert (other.widths() == own.widths()).all()


@pytest.mark.parametrize("name", WHOLE)
def test_the_bytes_of_the_tokens_are_those_of_the_text(name):
    own = made(name)
    for text in TEXTS:
        assert own.widths()[own.encode(text)].sum() == len(text.encode())


def test_words_are_split_from_marks_and_runs_of_marks_are_one():
    own = tokenizer("words", None, 1)
    own.fit(["the dog's bone, the dog!!! ****"])
    assert own.words == ["the", "!!!", "****", ",", "bone", "dog", "dog's"]
    assert own.decode(own.encode("the dog!!!").tolist()) == "the dog !!!"


def test_the_rare_and_the_many_are_unknown():
    own = tokenizer("words", 2, 2)
    own.fit(["a a a b b c c d"])
    assert own.words == ["a", "b"] and own.encode("a c d").tolist() == [RESERVED, UNKNOWN, UNKNOWN]
    own = tokenizer("characters", 2)
    own.fit(["aaabbc"])
    assert own.symbols == "ab" and own.decode(own.encode("abcz").tolist()) == "ab��"


@pytest.mark.parametrize("name", ["bpe", "wordpiece", "unigram"])
def test_parts_of_words_are_the_same_in_every_process(name):
    code = (
        f"from dlzoo.transforms.text import tokenizer; import json, hashlib; t = tokenizer('{name}', 400);"
        "t.fit(['the cat sat on the mat ' * 5, 'a rat sat on a hat ' * 7, 'ab cd ef gh ' * 3]);"
        "print(hashlib.sha256(json.dumps(t.state_dict()).encode()).hexdigest())"
    )
    runs = [subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True) for _ in range(2)]
    assert runs[0].stdout == runs[1].stdout


def test_what_a_tokenizer_cannot_do_is_refused():
    for name, limit, least in (
        ("bytes", 100, None),
        ("bpe", 100, None),
        ("unigram", 100, None),
        ("a/folder", 100, None),
    ):
        with pytest.raises(ConfigError, match="vocab"):
            tokenizer(name, limit, least)
    for name in ("bytes", "unigram", "a/tokenizer.json"):
        with pytest.raises(ConfigError, match="min_count"):
            tokenizer(name, None, 2)
    with pytest.raises(DataError, match="a/tokenizer.json does not exist"):
        tokenizer("a/tokenizer.json").fit([])


def test_what_a_tokenizer_of_others_cannot_read_is_named(tmp_path):
    from tokenizers import Tokenizer as Library
    from tokenizers import models

    Library(models.WordLevel({"cat": 0})).save(str(tmp_path / "tokenizer.json"))
    own = tokenizer(f"{tmp_path}/")
    own.fit([])
    assert own.decode(own.encode("cat").tolist()) == "cat"
    with pytest.raises(DataError, match="cannot read 'dog'"):
        own.encode("dog")


def test_small_letters_are_the_tokenizer_s_own_affair():
    own = tokenizer("characters", lower=True)
    own.fit(["Ab"])
    assert own.symbols == "ab" and not own.lossless and own.decode(own.encode("AB").tolist()) == "ab"
    assert restored(own.state_dict()).encode("AB").tolist() == own.encode("ab").tolist()


def test_one_that_was_learned_elsewhere_is_not_learned_again():
    own = made("words", least=1)
    own.settled = True
    own.fit(["other words"])
    assert "cat" in own.words and "other" not in own.words


MAILS = [{"text": text, "label": label} for text, label in [("win cash now", "spam"), ("see you at lunch", "ham")] * 4]


def test_a_text_has_one_token_at_least_and_context_at_most():
    task = fitted("text_classification", MAILS, context=3, min_count=1)
    assert task.encode({"text": ""})["tokens"].tolist() == [UNKNOWN]
    assert len(task.encode({"text": "see you at lunch now"})["tokens"]) == 3
    assert task.notes == ["4 of 8 training texts are longer than context: 3; their end is not read"]


def test_large_letters_count_only_where_they_are_kept():
    low = fitted("text_classification", MAILS, min_count=1)
    assert torch.equal(low.encode({"text": "WIN"})["tokens"], low.encode({"text": "win"})["tokens"])
    kept = fitted("text_classification", MAILS, min_count=1, lower=False)
    assert kept.encode({"text": "WIN"})["tokens"].tolist() == [UNKNOWN]


def test_padding_is_masked():
    task = fitted("text_classification", MAILS, min_count=1)
    batch = task.collate(columns([task.encode(sample) for sample in MAILS[:2]], task.ragged))
    assert batch.inputs["mask"].tolist() == [[True] * 3 + [False], [True] * 4]
    assert batch.inputs["x"][0, 3] == PAD and batch.count == 2


def test_word_dropout_hides_words_and_no_padding():
    task = fitted("text_classification", MAILS, min_count=1, word_dropout=0.5)
    batch = task.collate(columns([task.encode(sample) for sample in MAILS], task.ragged))
    before = batch.inputs["x"].clone()
    changed = task.augment(batch, torch.Generator().manual_seed(1)).inputs["x"]
    assert torch.equal(batch.inputs["x"], before)
    lost = changed != before
    assert lost.any() and (changed[lost] == UNKNOWN).all() and not lost[before == PAD].any()
    again = task.augment(batch, torch.Generator().manual_seed(1)).inputs["x"]
    assert torch.equal(again, changed)


def test_classes_come_from_training():
    task = fitted("text_classification", MAILS)
    with pytest.raises(DataError, match="'egg'.*Did you mean|'egg'"):
        task.encode({"text": "hello", "label": "egg", "source": "mails.csv:7"})
    with pytest.raises(DataError, match="two classes"):
        fitted("text_classification", MAILS[::2])


def test_an_argument_a_file_and_rows_are_read(tmp_path):
    task = fitted("text_classification", MAILS)
    (tmp_path / "one.txt").write_text("win cash\nnow")
    (tmp_path / "rows.csv").write_text('text,other\n"win, now",1\nlunch,2\n')
    assert [sample["text"] for sample in task.read("win cash")] == ["win cash"]
    assert [sample["text"] for sample in task.read('{"text": "win"}')] == ["win"]
    assert [sample["text"] for sample in task.read("{curly")] == ["{curly"]
    assert [sample["text"] for sample in task.read(tmp_path / "one.txt")] == ["win cash\nnow"]
    task.column = "text"
    assert [sample["text"] for sample in task.read(tmp_path / "rows.csv")] == ["win, now", "lunch"]
    assert [sample["text"] for sample in task.read(tmp_path / "one.txt")] == ["win cash\nnow"]
