"""Tags of words: files of columns and of JSON lines, words as tokens, spans, and what is answered."""

import json
from pathlib import Path
from random import Random

import numpy as np
import pytest
import torch
from made import tagged, write
from memory import fitted
from trained import train

from dlzoo.data.dataset import Subset
from dlzoo.data.tagged_texts import TaggedTexts
from dlzoo.data.tagged_words import read_tagged
from dlzoo.errors import ConfigError, DataError
from dlzoo.metrics.tags import Tags, span_labels, spans
from dlzoo.models.lstm import LSTM
from dlzoo.run.answers import readable, rows
from dlzoo.run.predict import predict
from dlzoo.task import Network, columns
from dlzoo.tasks.token_classification import TokenClassification

COLUMNS = """-DOCSTART- -X- O

# a comment
Ada NNP B-PER
King NNP I-PER
slept VBD O

# is SYM O
Paris NNP B-LOC
"""
SENTENCES = [
    {"words": ["Ada", "King", "went", "to", "Paris", "."], "tags": ["B-PER", "I-PER", "O", "O", "B-LOC", "O"]},
    {"words": ["Bo", "slept", "in", "New", "York", "."], "tags": ["B-PER", "O", "O", "B-LOC", "I-LOC", "O"]},
] * 4


def samples(path, **arguments):
    return [
        {key: value for key, value in sample.items() if key != "source"}
        for sample in read_tagged(Path(path), **arguments)
    ]


def test_columns_are_words_and_tags(tmp_path):
    path = write(tmp_path / "a.conll", COLUMNS.replace("# is SYM O\n", ""))
    assert samples(path) == [
        {"words": ["Ada", "King", "slept"], "tags": ["B-PER", "I-PER", "O"]},
        {"words": ["Paris"], "tags": ["B-LOC"]},
    ]
    assert [sample["source"].rsplit("/", 1)[1] for sample in read_tagged(Path(path))] == ["a.conll:4", "a.conll:8"]
    assert samples(path, tag="2")[0]["tags"] == ["NNP", "NNP", "VBD"] == samples(path, tag="-2")[0]["tags"]
    assert samples(path, tagged=False)[1] == {"words": ["Paris"]}
    data = TaggedTexts(path)
    assert data[1] == {"words": ["Paris"], "tags": ["B-LOC"]} and data.column("tags")[1] == ["B-LOC"]


def test_columns_with_tabs_may_have_spaces_inside_and_a_word_may_be_a_hash(tmp_path):
    path = write(tmp_path / "a.tsv", "#\tSYM\nNew York\tNNP\n\n#comment\nb\tNN")
    assert samples(path) == [{"words": ["#", "New York"], "tags": ["SYM", "NNP"]}, {"words": ["b"], "tags": ["NN"]}]


def test_universal_dependencies_are_read_without_words_in_one(tmp_path):
    rows_ = [
        "# text = vamos",
        "1-2\tvamonos\t_\t_\tX",
        "1\tvamos\tir\tVERB\tX",
        "2\tnos\tnos\tPRON\tX",
        "2.1\te\t_\tX\tX",
    ]
    assert samples(write(tmp_path / "a.conllu", "\n".join(rows_))) == [
        {"words": ["vamos", "nos"], "tags": ["VERB", "PRON"]}
    ]


def test_json_lines_are_words_and_tags(tmp_path):
    path = write(tmp_path / "a.jsonl", '{"id": 1, "tokens": ["Ada", "slept"], "ner_tags": [1, 0]}\n')
    assert samples(path) == [{"words": ["Ada", "slept"], "tags": ["1", "0"]}]
    path = write(tmp_path / "b.jsonl", '{"w": ["Ada"], "t": ["PER"]}\n')
    assert samples(path, word="w", tag="t") == [{"words": ["Ada"], "tags": ["PER"]}]


def test_a_folder_has_its_splits(tmp_path):
    for name in ("train", "dev", "test"):
        write(tmp_path / f"{name}.txt", f"{name} X\n")
    data = TaggedTexts(str(tmp_path))
    assert data.splits() == {"train": [0], "validation": [1], "test": [2]} and data[1]["words"] == ["dev"]


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("a.conll", "a X\nb Y Z\nc Y\n", r"a\.conll:2: the row has 3 columns, the first one 2\.$"),
        ("a.tsv", "a\tX\n\tY\n", r"a\.tsv:2: the word is empty"),
        ("a.tsv", "a\tX\nb\t\n\nc\t\n", r"a\.tsv:2: the tag is empty\.\n2 sentences are bad"),
        ("a.conll", "a\nb\n", r"a\.conll:1: the word and the tag are one column; .* set `word` and `tag`"),
        ("a.conll", "\n\n", "no sentences in it"),
        ("a.conll", b"good X\nb\xe4d X\n", r"a\.conll:2: byte 8 is no UTF-8"),
        ("a.conll", "a X\nb\0 X\n", r"a\.conll:2: a NUL byte"),
        ("a.jsonl", '{"tokens": ["a", "b"], "tags": ["X"]}', r"a\.jsonl:1: 2 words, and 1 tags"),
        (
            "a.jsonl",
            '{"tokens": ["a"], "tags": ["X"]}\n{"tokens": "a", "tags": ["X"]}',
            r":2: 'tokens' is no list of words",
        ),
        ("a.jsonl", '{"tokens": ["a", ""], "tags": ["X", "X"]}', r":1: in 'tokens' one of the words is empty"),
        ("a.jsonl", '{"text": "a", "tags": ["X"]}', "words"),
        ("a.jsonl", '{"tokens": ["a"], "tags": ["X"]}\n{"tok', r"a\.jsonl:2: the line is no JSON"),
    ],
)
def test_bad_rows_are_named_with_their_line(tmp_path, name, content, says):
    with pytest.raises(DataError, match=says):
        len(TaggedTexts(write(tmp_path / name, content)))


def test_a_column_that_is_not_there_is_refused(tmp_path):
    path = write(tmp_path / "a.conll", "a X\n")
    with pytest.raises(DataError, match=r"a\.conll:1: there is no column 5 in a row of 2"):
        len(TaggedTexts(path, tag="5"))
    for wrong in ("tag", "0"):
        with pytest.raises(ConfigError, match=f"data.tag: '{wrong}' is no number of a column"):
            len(TaggedTexts(path, tag=wrong))
    with pytest.raises(ConfigError, match="data.path: .* none of"):
        TaggedTexts(write(tmp_path / "a.csv", "a X\n"))


def test_a_class_that_training_lacks_is_named_with_its_word():
    task = fitted("token_classification", SENTENCES)
    with pytest.raises(DataError, match=r"a.conll:7 word 2, 'sat': class 'I-ORG' does not occur in the training split"):
        task.encode({"words": ["He", "sat"], "tags": ["O", "I-ORG"], "source": "a.conll:7"})
    with pytest.raises(DataError, match="only the class 'O'"):
        fitted("token_classification", [{"words": ["a"], "tags": ["O"]}])


def tags_of(rng, scheme):
    labels = ["PER", "LOC", "A-B"]
    marks = {"bio": "BI", "bioes": "BIES", "io": "I"}[scheme]
    return [rng.choice(["O", *(f"{rng.choice(marks)}-{label}" for label in labels)]) for _ in range(rng.randint(1, 12))]


@pytest.mark.parametrize("scheme", ["bio", "bioes", "io"])
def test_spans_and_their_scores_are_seqeval_s(scheme):
    seqeval = pytest.importorskip("seqeval.metrics")
    from seqeval.metrics.sequence_labeling import get_entities

    rng = Random(0)
    true = [tags_of(rng, scheme) for _ in range(300)]
    answered = [[tag if rng.random() < 0.7 else rng.choice(row) for tag in row] for row in true]
    for row in true:
        assert spans(row) == [(label, first, last + 1) for label, first, last in get_entities(row)]
    metric = Tags(sorted({tag for row in true for tag in row}))
    for part in (slice(0, 7), slice(7, None)):
        metric.update([{"tags": row} for row in answered[part]], [{"tags": row} for row in true[part]])
    found = metric.compute()
    report = seqeval.classification_report(true, answered, output_dict=True)
    for name, theirs in {"precision": "precision", "recall": "recall", "f1": "f1-score"}.items():
        assert found[name] == pytest.approx(report["micro avg"][theirs])
        for label in ("PER", "LOC", "A-B"):
            assert found[f"{name}.{label}"] == pytest.approx(report[label][theirs])
    assert found["accuracy"] == pytest.approx(seqeval.accuracy_score(true, answered))
    low, high = metric.intervals()["f1"]
    assert low < found["f1"] < high


def test_spans_by_hand():
    assert spans(["B-A", "I-A", "I-B", "O", "I-A"]) == [("A", 0, 2), ("B", 2, 3), ("A", 4, 5)]
    assert spans(["U-A", "B-A", "L-A", "S-A", "S-A"]) == [("A", 0, 1), ("A", 1, 3), ("A", 3, 4), ("A", 4, 5)]
    assert span_labels(["O", "B-A", "I-A", "S-B"]) == ["A", "B"] and span_labels(["nn", "vb", "B-A"]) == []
    metric = Tags(["O", "B-A"])
    metric.update([{"tags": ["O", "B-A"]}] * 2, [{"tags": ["O", "B-A"]}, {"tags": ["B-A", "O"]}])
    assert metric.compute() == pytest.approx(
        {"accuracy": 0.5, "precision": 0.5, "recall": 0.5, "f1": 0.5}
        | {"precision.A": 0.5, "recall.A": 0.5, "f1.A": 0.5}
    )


@pytest.mark.parametrize("kind", ["wordpiece", "bpe", "unigram", "words", "characters", "bytes"])
def test_the_first_token_of_each_word_carries_its_tag(kind):
    task = fitted("token_classification", SENTENCES, tokenizer=kind)
    example = task.encode(SENTENCES[1])
    assert len(example["first"]) == len(example["tags"]) == 6
    starts = [*example["first"].tolist(), len(example["tokens"])]
    for word, start, end in zip(SENTENCES[1]["words"], starts, starts[1:], strict=False):
        assert task.tokenizer.decode(example["tokens"][start:end].tolist()).strip() == word
    batch = task.collate(columns([example, task.encode(SENTENCES[0])], task.ragged))
    assert batch.count == 12 and batch.targets["tags"].tolist()[:6] == example["tags"].tolist()
    assert batch.inputs["chosen"].sum(1).tolist() == [6, 6]


def test_a_word_without_a_token_and_a_text_without_a_word():
    task = fitted("token_classification", SENTENCES, tokenizer="wordpiece")
    assert len(task.encode({"words": ["\u200b", "Ada"]})["first"]) == 2
    with pytest.raises(DataError, match="there is no word in this text"):
        task.encode({"text": "  "})
    with pytest.raises(DataError, match=r"a.conll:3: \d+ tokens in 300 words, and task.context is 256: cut the text"):
        task.encode({"words": ["Ada"] * 300, "source": "a.conll:3"})


def test_letters_keep_their_case_unless_asked():
    task = fitted("token_classification", SENTENCES, tokenizer="words", min_count=1)
    assert task.encode({"words": ["ada"]})["tokens"].tolist() != task.encode({"words": ["Ada"]})["tokens"].tolist()
    task = fitted("token_classification", SENTENCES, tokenizer="words", min_count=1, lower=True)
    assert task.encode({"words": ["ada"]})["tokens"].tolist() == task.encode({"words": ["Ada"]})["tokens"].tolist()


def test_the_baseline_is_the_most_frequent_tag_of_each_word():
    task = fitted("token_classification", [*SENTENCES, {"words": ["Ada", "new"], "tags": ["B-LOC", "O"]}])
    batch = task.collate(columns([task.encode({"words": ["Ada", "in", "Paris", "zebra"]})], task.ragged))
    assert task.guess(batch)[0]["tags"] == ["B-PER", "O", "B-LOC", "O"]


def test_answers_say_where_words_and_spans_stand():
    task = fitted("token_classification", SENTENCES)
    text = 'He met  "Ada King"—at noon.'
    batch = task.collate(columns([task.encode({"text": text})], task.ragged))
    batch.targets["tags"] = torch.tensor([task.labels.index[tag] for tag in "O O O B-PER I-PER O O O O O".split()])
    (answer,) = task.truth(batch)
    assert [text[a:b] for a, b in zip(answer["start"], answer["end"], strict=True)] == answer["words"]
    assert answer["spans"] == [{"label": "PER", "text": "Ada King", "start": 9, "end": 17, "score": 1.0}]
    assert readable({"source": "x", **answer}) == "x: \n  PER Ada King 1.000"
    assert list(rows({"source": "x", **answer})) == [{"source": "x", **answer["spans"][0]}]


def test_tags_that_mark_no_spans_are_answered_word_by_word():
    parts = [{"words": ["a", "cat", "sat"], "tags": ["at", "nn", "vb"]}] * 3
    task = fitted("token_classification", parts)
    batch = task.collate(columns([task.encode(parts[0])], task.ragged))
    (answer,) = task.truth(batch)
    assert task.monitor == "accuracy" and "spans" not in answer
    assert readable({"source": "x", **answer}) == "x: a/at cat/nn sat/vb"
    assert [row["tags"] for row in rows(answer)] == ["at", "nn", "vb"]
    assert set(task.metrics()[0].compute()) == {"accuracy"}


def test_what_a_user_names_is_read(tmp_path):
    task = TokenClassification()
    task.fit(Subset(TaggedTexts(tagged(tmp_path / "a.tsv"), word=2), list(range(80))))
    again = TokenClassification()
    again.load_state_dict(json.loads(json.dumps(task.state_dict())))
    assert [s["words"] for s in again.read(Path(write(tmp_path / "b.conll", "1 Ada\n2 slept\n")))] == [["Ada", "slept"]]
    assert [s["text"] for s in again.read(Path(write(tmp_path / "b.txt", "Ada slept\n\nBo\n")))] == ["Ada slept", "Bo"]
    assert [s["words"] for s in again.read('{"tokens": ["Ada"]}')] == [["Ada"]]
    assert [s["text"] for s in again.read('{"text": "Ada."}')] == ["Ada."]
    assert [s["text"] for s in again.read("{Ada")] == ["{Ada"]
    task.fit(Subset(TaggedTexts(write(tmp_path / "c.txt", "a X\nb Y\n")), [0]))
    assert [s["words"] for s in task.read(Path(write(tmp_path / "d.txt", "a\nb\n")))] == [["a", "b"]]


@torch.no_grad()
def test_batch_mates_change_no_tag():
    task = fitted("token_classification", SENTENCES)
    torch.manual_seed(0)
    backbone = LSTM(vocab_size=task.tokenizer.size, dim=16, causal=False)
    model = Network(backbone, task.head(backbone)).eval()
    examples = [task.encode({"text": text}) for text in ("Ada", "Ada King went to New York today.", "a b c")]
    together = task.answer(model, task.collate(columns(examples, task.ragged)))
    for example, answer in zip(examples, together, strict=True):
        (alone,) = task.answer(model, task.collate(columns([example], task.ragged)))
        assert alone["tags"] == answer["tags"]
        np.testing.assert_allclose(alone["scores"], answer["scores"], rtol=1e-5)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    place = tmp_path_factory.mktemp("tags")
    recipe = {
        "task": {"name": "token_classification", "context": 64},
        "data": {"name": "tagged_texts", "path": tagged(place / "a.tsv", 300), "word": 2},
        "model": {"name": "lstm", "dim": 32, "causal": False},
    }
    return train(place / "run", json.dumps(recipe), steps=60)


def test_a_trained_tagger_finds_names_and_places(run, tmp_path, capsys):
    file = write(tmp_path / "a.jsonl", '{"tokens": ["Flo", "Ames", "slept", "."]}\n')
    folder = tmp_path / "more"
    write(folder / "b.conll", "0\tCy\n1\twent\n2\tto\n3\tRome\n")
    assert predict(run, ["Ada King went to New York .", file, str(folder)], json=True) == 0
    first, second, third = map(json.loads, capsys.readouterr().out.splitlines())
    assert [(span["label"], span["text"]) for span in first["spans"]] == [("PER", "Ada King"), ("LOC", "New York")]
    assert first["spans"][0]["start"] == 0 and first["spans"][0]["end"] == 8
    assert [(span["label"], span["text"]) for span in second["spans"]] == [("PER", "Flo Ames")]
    assert second["source"] == f"{file}:1" and third["source"] == f"{folder}/b.conll:1"
    assert [span["text"] for span in third["spans"]] == ["Cy", "Rome"]


def test_a_batch_of_tokens_is_made_unknown_only_where_asked():
    task = fitted("token_classification", SENTENCES, word_dropout=0.5)
    batch = task.collate(columns([task.encode(sample) for sample in SENTENCES], task.ragged))
    changed = task.augment(batch, torch.Generator().manual_seed(0)).inputs["x"]
    assert (changed != batch.inputs["x"]).any() and ((changed == 1) | (changed == batch.inputs["x"])).all()
    assert fitted("token_classification", SENTENCES).augment(batch, torch.Generator()) is batch
