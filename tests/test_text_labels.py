"""Texts with any number of labels, and how much each word weighed for a label."""

import json
from pathlib import Path

import pytest
import torch
from made import write
from memory import fitted
from trained import train

from dlzoo.data.texts import Texts
from dlzoo.errors import ConfigError, DataError, UserError
from dlzoo.models.gru import GRU
from dlzoo.run.answers import readable
from dlzoo.run.evaluate import evaluate
from dlzoo.run.predict import predict
from dlzoo.task import Network, columns

TOPICS = {"ball": "sport", "goal": "sport", "vote": "politics", "law": "politics"}
FILLER = "the a we they today again here saw".split()


def rows(count=240):
    """Texts of filler with no, one or two words that decide over their topics."""
    rng = torch.Generator().manual_seed(0)
    for _ in range(count):
        words = [FILLER[i] for i in torch.randint(len(FILLER), (5,), generator=rng).tolist()]
        for place, word in enumerate(TOPICS):
            if torch.rand((), generator=rng) < 0.25:
                words.insert(place, word)
        yield " ".join(words), sorted({TOPICS[word] for word in words if word in TOPICS})


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_texts_have_any_number_of_labels(tmp_path, kind):
    content = {
        "csv": 'text,labels\none,a|b\ntwo,\nthree,"a;c"\nfour,"[""a b""]"\n',
        "jsonl": '{"text": "one", "labels": ["a", "b"]}\n{"text": "two", "labels": []}\n'
        '{"text": "three", "labels": "a|c"}\n{"text": "four", "labels": ["a b"]}\n',
    }
    data = Texts(write(tmp_path / f"a.{kind}", content[kind]))
    assert data.gives == ("text", "labels")
    assert data.column("labels") == [["a", "b"], [], ["a", "c"], ["a b"]] and data[0]["labels"] == ["a", "b"]
    assert [sample["labels"] for sample in data.stream()] == data.column("labels")


def test_which_column_is_meant_must_be_clear(tmp_path):
    path = write(tmp_path / "a.csv", "text,label,labels\none,x,a|b\n")
    with pytest.raises(DataError, match="a column label and a column labels: which is meant"):
        Texts(path)
    assert Texts(path, label="label")[0] == {"text": "one", "label": "x"}
    assert Texts(path, label="labels")[0] == {"text": "one", "labels": ["a", "b"]}


def test_many_labels_are_refused_where_the_task_wants_one():
    with pytest.raises(ConfigError, match="cross_entropy is of one label"):
        fitted("text_classification", [{"text": "a", "labels": ["x"]}], multi_label=True, loss="cross_entropy")
    task = fitted("text_classification", [{"text": "a b", "labels": ["x"]}] * 2, multi_label=True)
    assert task.needs == ("text", "labels") and task.monitor == "map"
    with pytest.raises(DataError, match="class 'y' does not occur"):
        task.encode({"text": "a", "labels": ["y"]})


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    place = tmp_path_factory.mktemp("topics")
    lines = "".join(json.dumps({"text": text, "labels": labels}) + "\n" for text, labels in rows())
    recipe = {
        "task": {"name": "text_classification", "context": 16, "multi_label": True, "pool": "max"},
        "data": {"name": "texts", "path": write(place / "topics.jsonl", lines)},
        "model": {"name": "gru", "dim": 16, "causal": False},
    }
    return train(place / "run", json.dumps(recipe), steps=120)


def test_a_text_is_answered_with_all_its_labels_and_scored(run, capsys):
    assert evaluate(run, json=True)["metrics"]["micro_f1"] > 0.9
    capsys.readouterr()
    assert predict(run, ["we saw the ball and the vote", "they saw a law", "we here again"], json=True) == 0
    found = [json.loads(line)["labels"] for line in capsys.readouterr().out.splitlines()]
    assert found == [["politics", "sport"], ["politics"], []]


@pytest.mark.parametrize(("text", "decisive"), [("We saw the ball here, again!", "ball"), ("today the law", "law")])
def test_the_decisive_word_weighs_most(run, capsys, text, decisive):
    assert predict(run, [text], options={"explain": "true"}, json=True) == 0
    (answer,) = map(json.loads, capsys.readouterr().out.splitlines())
    first, second = answer["words"][:2]
    assert first["word"] == decisive and first["weight"] > 2 * abs(second["weight"])
    assert all(text[word["start"] : word["end"]] == word["word"] for word in answer["words"])
    assert readable(answer).splitlines()[1].startswith(f"  most: {decisive} +")


def test_words_are_weighed_for_predict_alone(run):
    with pytest.raises(UserError, match="it is of predict"):
        evaluate(run, options={"explain": "true"})


MAILS = [{"text": text, "label": label} for text, label in [("win cash now", "spam"), ("see you at lunch", "ham")] * 4]


@torch.no_grad()
@pytest.mark.parametrize("tokenizer", ["words", "wordpiece", "bpe", "characters"])
def test_a_word_weighs_what_the_log_odds_lose_without_it_whoever_is_beside(tokenizer):
    task = fitted("text_classification", MAILS, tokenizer=tokenizer, min_count=1)
    torch.manual_seed(0)
    backbone = GRU(vocab_size=task.tokenizer.size, dim=16)
    model = Network(backbone, task.head(backbone)).eval()

    def answer(texts, **options):
        batch = task.collate(columns([task.encode({"text": text}) for text in texts], task.ragged))
        return task.answer(model, batch, **options)

    texts = ["win a lunch, now", "cash", "see you at lunch see you at lunch see you"]
    together = answer(texts, explain=True)
    for text, own in zip(texts, together, strict=True):
        (alone,) = answer([text], explain=True)
        assert [word["word"] for word in alone["words"]] == [word["word"] for word in own["words"]]
        for one, other in zip(alone["words"], own["words"], strict=True):
            assert one["weight"] == pytest.approx(other["weight"], abs=1e-5)
    (word,) = (word for word in together[0]["words"] if word["word"] == "lunch")
    scores = [answer([text])[0]["scores"][together[0]["label"]] for text in ("win a lunch, now", "win a, now")]
    whole, without = torch.tensor(scores, dtype=torch.float64).logit().tolist()
    assert word["weight"] == pytest.approx(whole - without, abs=1e-5)
    assert "words" not in answer(texts)[0] and answer(["", "win"], explain=True)[0]["words"] == []


def test_a_file_of_many_labels_goes_on_to_a_folder_of_splits(tmp_path):
    for name in ("train", "dev"):
        write(tmp_path / f"{name}.csv", "text,labels\none,a\ntwo,b\n")
    data = Texts(str(tmp_path))
    assert data.splits() == {"train": [0, 1], "validation": [2, 3]} and Path(data.source(2)).name == "dev.csv:2"
