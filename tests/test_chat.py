"""Chat: which tokens of a conversation are read, which are scored, and what is replied."""

import json
import math
import runpy
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from memory import Memory, fitted

from dlzoo.errors import ConfigError, DataError, UserError
from dlzoo.models.gpt import GPT
from dlzoo.models.lstm import LSTM
from dlzoo.registry import TASKS
from dlzoo.task import Network, columns
from dlzoo.tasks.turn_windows import windows
from dlzoo.transforms.text import END, PAD, RESERVED, START


def turns(*said, first="user"):
    """A conversation in which two speak in turn."""
    roles = ["user", "assistant"] if first == "user" else ["assistant", "user"]
    return {"messages": [{"role": roles[i % 2], "content": text} for i, text in enumerate(said)]}


TALKS = [
    turns("hello", "hi, how are you?", "well", "good to hear"),
    turns("what is your name?", "a machine", "and yours?"),
    {"messages": [{"role": "system", "content": "be brief"}, *turns("why?", "so")["messages"]]},
    turns("the sun", "shines " * 9, "and the rain", "falls " * 4, "thanks"),
]


def network(task, kind="lstm"):
    torch.manual_seed(0)
    facts = task.facts()
    backbone = LSTM(facts["vocab_size"], dim=24) if kind == "lstm" else GPT(**facts, dim=16, depth=1, heads=2)
    return Network(backbone, task.head(backbone)).eval()


def encoded(task, samples):
    return task.collate(columns([task.encode(sample) for sample in samples], task.ragged))


lengths = st.lists(st.tuples(st.integers(1, 30), st.booleans()), min_size=1, max_size=12)


@settings(max_examples=300, deadline=None)
@given(lengths, st.integers(2, 40), st.integers(0, 39))
def test_each_token_of_the_assistant_is_scored_once_behind_what_fits(talk, context, look_back):
    look_back = min(look_back, context - 1)
    starts = np.cumsum([0, *(length + 2 for length, _ in talk)])
    scored = np.concatenate([[False] + [reply] * (length + 1) for length, reply in talk])
    found, times = windows(starts[:-1], scored, context, look_back), np.zeros(len(scored), int)
    for begin, first, stop in found:
        assert begin <= first < stop <= len(scored) and stop - begin <= context + 1
        times[first:stop] += scored[first:stop]
        place = first + int(scored[first:stop].argmax())
        turn = int(np.searchsorted(starts, place, side="right")) - 1
        if place == starts[turn] + 1:
            before = starts[max(0, turn - 1)]
            unread = turn > 0 and not talk[turn - 1][1] and starts[turn + 1] - before <= context + 1
            fits = unread or starts[turn] - before <= look_back
            assert begin <= before if fits else starts[turn] - begin == min(look_back, starts[turn])
            assert begin in starts or not fits
        else:  # it goes on with a turn that was cut
            assert place - begin >= min(look_back, place) or begin == 0
    assert np.array_equal(times, scored.astype(int))
    if len(scored) <= context + 1 and scored.any():
        assert [(begin, stop) for begin, _, stop in found] == [(0, scored.nonzero()[0][-1] + 1)]


@pytest.mark.parametrize("tokenizer", ["characters", "bytes", "words", "bpe"])
def test_the_assistants_turns_and_their_ends_are_scored_and_nothing_else(tokenizer):
    task = fitted("chat", TALKS, tokenizer=tokenizer, context=64)
    pieces = task.pieces(Memory(TALKS), "train")
    batch = task.collate(columns([task.encode(pieces[i]) for i in range(len(pieces))], task.ragged))
    assert batch.count == int((batch.targets["next"] != PAD).sum())
    said = [turn["content"] for talk in TALKS for turn in talk["messages"] if turn["role"] == "assistant"]
    scored = batch.targets["next"][batch.inputs["scored"]].tolist()
    assert scored == [token for text in said for token in (*task.tokenizer.encode(text).tolist(), END)]
    np.testing.assert_array_equal(task.counts, np.bincount(scored, minlength=len(task.counts)))
    x, after = batch.inputs["x"], batch.targets["next"]
    places = batch.inputs["scored"][:, :-1] & (x[:, 1:] != PAD)  # the last token of a window is not read
    assert torch.equal(x[:, 1:][places], after[:, :-1][places])


def test_a_turn_is_spelled_with_ids_that_no_text_can_spell():
    task = fitted("chat", TALKS, tokenizer="bytes")
    tokens, scored = task.render(turns("[START]assistant\n", "<s></s>")["messages"])
    assert (tokens == START).tolist() == [True] + [False] * 23 + [True] + [False] * 18
    assert (tokens == END).nonzero()[0].tolist() == [23, 42]
    assert task.tokenizer.decode(tokens[tokens >= RESERVED].tolist()) == "user\n[START]assistant\nassistant\n<s></s>"
    assert scored.tolist() == [False] * 35 + [True] * 8


def test_a_window_says_which_turn_it_is_from():
    task = fitted("chat", TALKS, context=48, look_back=24)
    pieces = task.pieces(Memory(TALKS), "test")
    sources = [pieces.source(i) for i in range(len(pieces))]
    assert sources[:2] == ["memory:0: turn 2", "memory:0: turn 4"]
    assert "memory:2: turn 3" in sources


def test_a_prompt_is_what_the_reply_was_trained_behind():
    talk = turns("hello", "hi, how are you?")
    task = fitted("chat", [talk], context=64)
    piece, prompt = task.pieces(Memory([talk]), "train")[0], task.encode(turns("hello"))["prompt"]
    first = int((piece["next"] != PAD).int().argmax())
    assert torch.equal(prompt, piece["x"][: first + 1])


def test_history_is_cut_to_the_context_by_whole_turns():
    task = fitted("chat", TALKS, tokenizer="bytes", context=60)
    prompt = task.encode(turns("first thing", "a", "second", "b", "last"))["prompt"]
    kept = task.fitting(prompt, 40)
    assert task.tokenizer.decode(kept.tolist()) == "assistant\nbuser\nlastassistant\n"
    assert torch.equal(task.fitting(kept, len(kept)), kept)
    long = task.encode(turns("x" * 100))["prompt"]
    assert task.fitting(long, 30).tolist() == long[-30:].tolist()


BRIEF = {"role": "system", "content": "be brief"}


def spoken(task, tokens):
    return task.tokenizer.decode(tokens[tokens >= RESERVED].tolist())


@pytest.mark.parametrize("look_back", [24, 30, 40])
def test_every_window_begins_with_the_systems_turn_and_each_reply_is_scored_once(look_back):
    talk = {"messages": [BRIEF, *turns(*(f"{kind} {n}" for n in range(9) for kind in ("what", "that")))["messages"]]}
    task = fitted("chat", [talk], tokenizer="bytes", context=64, look_back=look_back)
    pieces = task.pieces(Memory([talk]), "train")
    windows = [pieces[i] for i in range(len(pieces))]
    assert len(windows) > 3 and all(len(window["x"]) <= 64 for window in windows)
    assert all(spoken(task, window["x"]).startswith("system\nbe brief") for window in windows)
    assert "".join(spoken(task, window["next"]) for window in windows) == "".join(f"that {n}" for n in range(9))


def test_a_systems_turn_that_leaves_too_little_room_goes_with_the_first_turns():
    talk = {"messages": [{"role": "system", "content": "be brief " * 5}, *turns("a", "b", "c", "d" * 40)["messages"]]}
    task = fitted("chat", [talk], tokenizer="bytes", context=64)
    pieces = task.pieces(Memory([talk]), "train")
    assert not spoken(task, pieces[len(pieces) - 1]["x"]).startswith("system")


def test_the_systems_turn_stays_when_history_is_cut():
    task = fitted("chat", TALKS, tokenizer="bytes", context=60)
    prompt = task.encode({"messages": [BRIEF, *turns("first thing", "a", "second", "b", "last")["messages"]]})["prompt"]
    assert len(prompt) <= 60 and spoken(task, prompt).startswith("system\nbe brief")
    kept = task.fitting(prompt, 50)
    assert spoken(task, kept) == "system\nbe briefuser\nlastassistant\n"
    assert torch.equal(task.fitting(kept, len(kept)), kept)


@pytest.mark.parametrize("kind", ["lstm", "gpt"])
def test_replies_alone_are_those_in_company(kind):
    task = fitted("chat", TALKS, context=48)
    model = network(task, kind)
    examples = [turns("hi"), turns("the sun", "shines", "and the rain"), turns("why? " * 20), turns("w")] * 8
    options = {"max_new_tokens": 30, "temperature": 0.9, "stop": ["ee", "a"], "seed": 3}
    with torch.no_grad():
        together = task.answer(model, encoded(task, examples), **options)
        assert together == [task.answer(model, encoded(task, [one]), **options)[0] for one in examples]
    assert len({answer["reply"] for answer in together}) == 4


@pytest.mark.parametrize("kind", ["lstm", "gpt"])
def test_a_reader_that_is_kept_reads_only_what_is_new_and_replies_the_same(kind):
    task = fitted("chat", TALKS, context=200)
    model = network(task, kind)
    reader, talk, read = task.reader(model), [], []
    step = reader.step
    reader.step = lambda x, state: (read.append(x.shape[1]), step(x, state))[1]
    with torch.no_grad():
        for said in ("hello", "how are you?", "why"):
            talk.append({"role": "user", "content": said})
            batch = encoded(task, [{"messages": talk}])
            reply = "".join(task.stream(model, batch, reader, max_new_tokens=12, seed=1))
            assert reply == task.answer(model, batch, max_new_tokens=12, seed=1)[0]["reply"]
            talk.append({"role": "assistant", "content": reply})
        assert sum(read) < len(task.render(talk)[0])  # each token at most once
        other = encoded(task, [turns("good")])
        assert "".join(task.stream(model, other, reader, seed=2)) == task.answer(model, other, seed=2)[0]["reply"]


def test_what_cannot_be_answered_or_scored_is_refused():
    task = fitted("chat", TALKS)
    with pytest.raises(DataError, match="ends with the assistant"):
        task.encode(TALKS[0])
    with pytest.raises(DataError, match="no turn of the assistant"):
        fitted("chat", [turns("hello")])
    with pytest.raises(ConfigError, match="look_back"):
        TASKS["chat"](context=8, look_back=8)
    window = task.encode(task.pieces(Memory(TALKS), "test")[0])
    with pytest.raises(UserError, match="leave the options out"):
        task.answer(network(task), task.collate(columns([window], task.ragged)), temperature=0.5)


def test_texts_and_conversations_are_read_from_files_lines_and_arguments(tmp_path):
    task = fitted("chat", TALKS)
    asked = turns("hello")["messages"]
    (tmp_path / "one.txt").write_text("hello")
    (tmp_path / "one.jsonl").write_text(json.dumps({"messages": asked}) + "\n{}\n")
    sharegpt = json.dumps({"conversations": [{"from": "human", "value": "hello"}]})
    for source in (tmp_path / "one.txt", "hello", json.dumps({"messages": asked}), sharegpt):
        (sample,) = task.read(source)
        assert sample["messages"] == asked
    good, bad = task.read(tmp_path / "one.jsonl")
    assert good["messages"] == asked and "one.jsonl:2" in str(bad)
    (plain,) = task.read('{"question": 1}')
    assert plain["messages"][0]["content"] == '{"question": 1}'


def test_the_floor_is_a_witten_bell_bigram(tmp_path, capsys, monkeypatch):
    said = turns("abba", "abcab", "b", "ca")
    for name in ("train", "test"):
        (tmp_path / f"{name}.jsonl").write_text(json.dumps(said) + "\n")
    script = Path(__file__).parent.parent / "scripts" / "data" / "ngram"
    monkeypatch.setattr("sys.argv", ["ngram", *(str(tmp_path / f"{name}.jsonl") for name in ("train", "test"))])
    runpy.run_path(str(script), run_name="__main__")
    signs = [sign for turn in said["messages"] for sign in (turn["role"], *turn["content"], "end")]
    kinds = len({"system", "unknown", *signs})
    pairs, nats = list(pairwise(["before", *signs])), 0.0
    asked = [i for i, sign in enumerate(signs) if "assistant" in signs[: i + 1] and sign not in ("user", "assistant")]
    asked = [i for i in asked if not 11 < i < 15 or signs[i] == "assistant"]  # but for the user's b
    for i in asked:
        p = (signs.count(signs[i]) + len(set(signs)) / kinds) / (len(signs) + len(set(signs)))
        behind = [after for before, after in pairs if before == pairs[i][0]]
        p = (behind.count(signs[i]) + len(set(behind)) * p) / (len(behind) + len(set(behind)))
        nats -= math.log(p)
    shown = capsys.readouterr().out.splitlines()[1]
    assert shown.startswith(f"2-gram: {nats / math.log(2) / 7:.4f} bits a byte") and "9 signs, 7 bytes" in shown
