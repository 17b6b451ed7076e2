"""Texts written for texts: what is foretold, what is scored, what is written."""

import json
import math

import pytest
import torch
from made import translated
from memory import Memory, fitted
from trained import train

from dlzoo.engine.loop import evaluate
from dlzoo.engine.runtime import Runtime
from dlzoo.errors import ConfigError
from dlzoo.metrics.summary import Summary, rouge
from dlzoo.metrics.translation import Translation
from dlzoo.models.encoder_decoder import EncoderDecoder
from dlzoo.models.rnn_encoder_decoder import RNNEncoderDecoder
from dlzoo.run import evaluate as evaluating
from dlzoo.run.predict import predict
from dlzoo.task import Network, columns
from dlzoo.tasks.target_writing import BANNED
from dlzoo.transforms.text import END, PAD, RESERVED, START

PAIRS = [
    {"text": "ein Haus", "target": "a house"},
    {"text": "ein Hund und ein Haus", "target": "a dog and a house"},
    {"text": "Hund", "target": "Dog."},
]
REFERENCES = ["The cat sat on the mat.", "A dog runs.", "Two men are playing guitar in the street !", "Nothing"]
TEXTS = ["The cat is on the mat.", "A dog runs.", "Two people play the guitar on a street.", ""]


def learned(samples=PAIRS, **arguments):
    return fitted("sequence_to_sequence", samples, **{"tokenizer": "words", "min_count": 1} | arguments)


def batch_of(task, samples):
    return task.collate(columns([task.encode(sample) for sample in samples], task.ragged))


def network(task, kind=EncoderDecoder, **arguments):
    torch.manual_seed(0)
    facts = task.facts()
    sizes = {name: facts[name] for name in ("vocab_size", "target_vocab_size")}
    backbone = kind(**sizes, dim=16, **arguments)
    model = Network(backbone, task.head(backbone)).eval()
    for weight in model.parameters():
        if weight.ndim == 2:
            torch.nn.init.normal_(weight, std=0.4)
    return model


def test_the_target_is_foretold_a_place_late_and_so_is_its_end():
    task = learned()
    batch = batch_of(task, PAIRS)
    assert batch.count == 3 + 6 + 3
    own = [task.tokenizer.encode(pair["target"]).tolist() for pair in PAIRS]
    width = max(map(len, own)) + 1
    for row, before, after in zip(own, batch.inputs["target"].tolist(), batch.targets["next"].tolist(), strict=True):
        padding = [PAD] * (width - len(row) - 1)
        assert before == [START, *row, *padding] and after == [*row, END, *padding]
    assert batch.inputs["x"][0][batch.inputs["mask"][0]].tolist() == task.tokenizer.encode("ein Haus").tolist()


def test_one_tokenizer_knows_both_sides_and_two_know_one_each():
    shared, apart = learned(), learned(shared=False)
    assert {"ein", "house"} <= set(shared.tokenizer.words) and shared.facts()["target_vocab_size"] is None
    assert set(apart.tokenizer.words) == {"ein", "Haus", "Hund", "und"}
    assert apart.facts()["target_vocab_size"] == RESERVED + 6
    again = learned(shared=False)
    again.load_state_dict(json.loads(json.dumps(apart.state_dict())))
    assert batch_of(again, PAIRS).targets["next"].tolist() == batch_of(apart, PAIRS).targets["next"].tolist()


def test_what_is_too_long_is_cut_and_said():
    task = learned(context=3, target_context=3)
    batch = batch_of(task, PAIRS)
    assert batch.inputs["x"].shape == (3, 3) and batch.targets["next"].shape == (3, 3)
    assert (batch.targets["next"][:, -1] == END).all()
    assert [note.split(" are ")[0] for note in task.notes] == ["1 of 3 training texts", "1 of 3 training targets"]
    assert task.truth(batch)[1]["text"] == "a dog and a house"


def test_a_truth_is_the_text_itself_whatever_the_tokenizer_knows():
    task = learned()
    strange = {"text": "x", "target": "Ünknown – 漢字  twice \N{GRINNING FACE}"}
    assert task.truth(batch_of(task, [strange]))[0]["text"] == strange["target"]


def test_smoothing_is_of_training_alone():
    task, plain = learned(smoothing=0.3), learned(smoothing=0.0)
    model, batch = network(task), batch_of(task, PAIRS)
    outputs = model(**batch.inputs)
    assert not torch.isclose(task.loss(outputs, batch), plain.loss(outputs, batch))
    assert torch.equal(task.loss(outputs.detach(), batch), plain.loss(outputs.detach(), batch))


def test_a_tied_matrix_is_that_of_the_target():
    for shared in (True, False):
        model = network(learned(shared=shared))
        assert model.head.linear.weight is model.backbone.embed_target.weight
    assert network(learned(tie=False)).head.linear.weight is not model.backbone.embed_target.weight


@pytest.mark.parametrize("tie", [True, False])
def test_there_is_nothing_to_tie_where_tokens_are_copied(tie):
    with pytest.raises(ConfigError, match=r"task\.tie: this model has its own scores of tokens; leave it out"):
        network(learned(tie=tie), copy=True)


@torch.no_grad()
def test_a_validation_looks_at_tokens_and_a_test_at_what_is_written():
    task = learned()
    model, batch = network(task), batch_of(task, PAIRS)
    batch.indices = [0, 1, 2]
    looked = evaluate(model, task, [batch], Runtime())
    assert set(looked.metrics) == {"loss", "perplexity", "accuracy"}
    tested = evaluate(model, task, [batch], Runtime(), detail=True)
    assert set(tested.metrics) == {*looked.metrics, "bleu", "chrf", "ter"}
    assert {name: tested.metrics[name] for name in looked.metrics} == pytest.approx(looked.metrics)
    answers, metric = task.answer(model, batch), Translation()
    metric.update(answers, task.truth(batch))
    assert metric.compute() == pytest.approx({name: tested.metrics[name] for name in ("bleu", "chrf", "ter")})
    assert tested.metrics["perplexity"] == pytest.approx(math.exp(tested.metrics["loss"]))
    metric = Translation()
    metric.update([{"text": pair["text"]} for pair in PAIRS], task.truth(batch))
    assert tested.baseline == pytest.approx(metric.compute())
    beamed = evaluate(model, task, [batch], Runtime(), detail=True, options={"beams": 3})
    metric = Translation()
    metric.update(task.answer(model, batch, beams=3), task.truth(batch))
    assert beamed.metrics["chrf"] == pytest.approx(metric.compute()["chrf"])


@pytest.mark.parametrize("kind", [EncoderDecoder, RNNEncoderDecoder])
@pytest.mark.parametrize("options", [{}, {"beams": 4}, {"temperature": 1.0, "top_k": 5}], ids=str)
@torch.no_grad()
def test_texts_are_written_alone_as_in_company(kind, options):
    task = learned(PAIRS * 2, target_context=9)
    model = network(task, kind)
    samples = [{"text": text} for text in ("ein Haus", "Hund und Hund", "ein", "Haus und ein Hund und ein Haus", "und")]
    together = task.answer(model, batch_of(task, samples), **options)
    for sample, answer in zip(samples, together, strict=True):
        (alone,) = task.answer(model, batch_of(task, [sample]), **options)
        assert alone["text"] == answer["text"] and alone["tokens"].tolist() == answer["tokens"].tolist()
        torch.testing.assert_close(alone["attention"], answer["attention"], atol=1e-5, rtol=1e-4)
        assert alone["attention"].shape == (len(answer["tokens"]), len(sample["text"].split()))
        assert not set(BANNED) & set(answer["tokens"].tolist()) and len(answer["tokens"]) <= 9
    assert len({answer["text"] for answer in together}) > 2


@pytest.mark.parametrize("kind", [EncoderDecoder, RNNEncoderDecoder])
@torch.no_grad()
def test_half_as_many_bits_write_texts_too(kind):
    task = learned(target_context=9)
    model, batch = network(task, kind), batch_of(task, PAIRS)
    with torch.autocast("cpu", torch.bfloat16):
        for options in ({}, {"beams": 3}, {"temperature": 1.0}):
            answers = task.answer(model, batch, **options)
            assert any(answer["text"] for answer in answers)
            assert all(answer["attention"].isfinite().all() for answer in answers)


@torch.no_grad()
def test_draws_depend_on_the_seed_and_the_text():
    task = learned(target_context=12)
    model, batch = network(task), batch_of(task, [{"text": "ein"}, {"text": "Hund"}, {"text": "ein"}])
    one, other, same = (answer["text"] for answer in task.answer(model, batch, temperature=3.0))
    assert one == same != other
    assert task.answer(model, batch, temperature=3.0, seed=1)[0]["text"] != one


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"beams": 0}, "beams: 0"),
        ({"beams": 3, "temperature": 1.0}, "beams: a search draws nothing"),
        ({"length_penalty": 0.5}, "length_penalty: says nothing"),
        ({"top_k": 3}, "temperature: 0 takes the likeliest"),
        ({"max_new_tokens": 0}, "max_new_tokens: 0"),
        ({"temperature": -1.0}, "temperature: -1.0"),
    ],
)
def test_options_that_would_change_nothing_are_refused(options, says):
    task = learned()
    with pytest.raises(ConfigError, match=says):
        task.answer(network(task), batch_of(task, PAIRS), **options)


def test_the_trivial_summary_is_as_long_as_summaries_are():
    words = [{"text": "one two three four five six", "target": "so long"}]
    task = learned(words, score="summary")
    assert task.baseline == "first 2 words" and task.guess(batch_of(task, words)) == [{"text": "one two"}]
    sentences = [{"text": "One. Two! Three? Four. Five.", "target": "It is. So it is."}]
    task = learned(sentences, score="summary")
    assert task.baseline == "first 3 sentences"
    assert task.guess(batch_of(task, sentences)) == [{"text": "One. Two! Three?"}]
    again = learned(words, score="summary")
    again.load_state_dict(json.loads(json.dumps(task.state_dict())))
    assert again.baseline == "first 3 sentences"


def scored(metric, texts=TEXTS, references=REFERENCES):
    for part in (slice(0, 1), slice(1, None)):
        pairs = [{"text": text} for text in texts[part]], [{"text": text} for text in references[part]]
        metric.update(*pairs)
    return metric


def test_a_translation_is_scored_as_sacrebleu_does():
    sacrebleu = pytest.importorskip("sacrebleu")
    found = scored(Translation())
    scorers = {"bleu": sacrebleu.BLEU(), "chrf": sacrebleu.CHRF(), "ter": sacrebleu.TER()}
    for name, scorer in scorers.items():
        assert found.compute()[name] == pytest.approx(scorer.corpus_score(TEXTS, [REFERENCES]).score)
        assert found.signatures[name].split("|")[1:] == str(scorer.get_signature()).split("|")[1:]
    many = scored(Translation(), TEXTS * 20, REFERENCES * 20)
    assert many.compute() == pytest.approx(found.compute())
    for name, (low, high) in many.intervals().items():
        assert low < many.compute()[name] < high
    two = scored(Translation(), TEXTS[:2], REFERENCES[:2])
    two.merge(scored(Translation(), TEXTS[2:], REFERENCES[2:]).state_dict())
    assert two.compute() == pytest.approx(found.compute())


def test_a_summary_is_scored_as_rouge_score_does():
    library = pytest.importorskip("rouge_score.rouge_scorer")
    scorer = library.RougeScorer(["rouge1", "rouge2", "rougeL"])
    pairs = [*zip(TEXTS, REFERENCES, strict=True), ("a b a b c", "b a c a_b"), ("x-y z's", "X y, z s z")]
    for text, reference in pairs:
        expected = scorer.score(reference, text)
        assert rouge(text, reference) == pytest.approx([expected[n].fmeasure for n in ("rouge1", "rouge2", "rougeL")])
    found = scored(Summary())
    each = [rouge(*pair) for pair in zip(TEXTS, REFERENCES, strict=True)]
    assert list(found.compute().values()) == pytest.approx([sum(column) / 4 for column in zip(*each, strict=True)])
    assert rouge("кошка сидит", "кошка спит")[0] == 0.5
    many = scored(Summary(), TEXTS * 20, REFERENCES * 20)
    assert all(low < many.compute()[name] < high for name, (low, high) in many.intervals().items())


def test_a_missing_package_is_missed_before_the_training(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "sacrebleu.metrics", None)
    with pytest.raises(ConfigError, match=r"task.score: .*pip install 'dlzoo\[seq2seq\]'"):
        learned()
    assert learned(score="summary").lead == 2


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("s2s")
    data = f"{{name: text_pairs, path: {translated(folder / 'pairs.tsv')}}}"
    model = "{name: rnn_encoder_decoder, dim: 32, dropout: 0.0}"
    return train(folder / "run", f"{{task: sequence_to_sequence, data: {data}, model: {model}}}", steps=120)


def test_a_run_writes_for_texts_lines_rows_and_stdin(run, tmp_path, capsys):
    one, two = "eins zwei.", "drei vier fünf."
    (tmp_path / "lines.txt").write_text(f"{one}\n\n{two}\n")
    (tmp_path / "rows.csv").write_text(f"id,text\n1,{one}\n2,{two}\n")
    assert predict(run, [one, str(tmp_path / "lines.txt"), str(tmp_path / "rows.csv")], json=True) == 0
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    first, second = found[0]["text"], found[2]["text"]
    assert [answer["text"] for answer in found] == [first, first, second, first, second] and first != second
    assert [answer["source"].rpartition(":")[2] for answer in found[1:]] == ["1", "3", "2", "3"]
    assert set(found[0]) == {"source", "text"}
    assert predict(run, [one], json=True, options={"beams": "3", "length-penalty": "0.6"}) == 0
    assert json.loads(capsys.readouterr().out)["score"] < 0


def test_a_text_without_a_word_has_an_error_in_its_place(run, capsys):
    assert predict(run, ["eins", "", " "], json=True) == 8
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert ["error" in answer for answer in found] == [False, True, True] and "is empty" in found[1]["error"]


def test_a_folder_gets_a_picture_of_what_each_word_looked_at(run, tmp_path, capsys):
    from PIL import Image

    (tmp_path / "lines.txt").write_text("eins zwei.\ndrei vier $fünf$.\n")
    assert predict(run, [str(tmp_path / "lines.txt"), "sechs/eins sieben"], output=tmp_path / "out") == 0
    rows = [json.loads(line) for line in (tmp_path / "out" / "answers.jsonl").read_text().splitlines()]
    assert [row["attention"] for row in rows] == [
        "lines.txt_1.attention.png",
        "lines.txt_2.attention.png",
        "eins_sieben.attention.png",
    ]
    for row in rows:
        with Image.open(tmp_path / "out" / row["attention"]) as picture:
            assert min(picture.size) > 50 and picture.convert("L").getextrema()[0] < 200


@pytest.mark.parametrize("shared", [True, False])
def test_a_run_that_begins_from_another_reads_and_writes_as_that_does(tmp_path, shared):
    from dlzoo.run.beginning import take_tokenizer
    from dlzoo.run.build import build_task
    from dlzoo.schema import reader as configs

    data = {"name": "text_pairs", "path": translated(tmp_path / "pairs.tsv", 60)}
    model = {"name": "encoder_decoder", "dim": 8, "depth": 1, "heads": 2}
    task = {"name": "sequence_to_sequence", "shared": shared}
    first = train(tmp_path / "run", json.dumps({"task": task, "data": data, "model": model}), steps=1)
    learned = json.loads((first / "model" / "model.json").read_text())["task"]
    config = configs.from_dict({"task": task, "data": data, "model": {"from": str(first), **model}})
    own = build_task(config)
    take_tokenizer(own, config)
    own.fit(Memory(PAIRS))
    state = own.state_dict()
    assert {name: state[name] for name in ("tokenizer", "target_tokenizer")} == {
        name: learned[name] for name in ("tokenizer", "target_tokenizer")
    }
    assert (state["target_tokenizer"] is None) == shared


def test_an_evaluation_says_how_it_scored(run, capsys):
    result = evaluating.evaluate(run, options={"beams": "2"})
    assert result["signatures"]["bleu"].startswith("nrefs:1|case:mixed") and "bleu  nrefs:1" in capsys.readouterr().out
    assert {"bleu", "chrf", "ter", "loss", "perplexity", "accuracy"} == set(result["metrics"])
    assert set(result["baseline"]) == {"name", "bleu", "chrf", "ter"}
    rows = (run / "evaluate" / "test" / "predictions.jsonl").read_text().splitlines()
    assert set(json.loads(rows[0])["truth"]) == {"text", "tokens"} and len(rows) == result["samples"]


def test_pieces_of_similar_length_stand_together_by_their_tokens():
    task = learned()
    for pair in PAIRS:
        example = task.encode(pair)
        assert max(len(example["words"]), len(example["reference"])) <= max(len(example["x"]), len(example["next"]))
    assert Memory(PAIRS).column("target")[0] == "a house"
