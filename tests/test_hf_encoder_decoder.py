"""Encoder-decoders of transformers: their scores and their texts are the library's own, and a run has all of them."""

import json
import shutil
import subprocess
import sys

import published_pairs as pairs
import pytest
import torch
import yaml
from memory import fitted
from safetensors.torch import load_file, save_file

from dlzoo.errors import ConfigError, DataError, RunError
from dlzoo.layers.checkpointing import checkpoint
from dlzoo.layers.low_rank import adapt
from dlzoo.registry import MODELS
from dlzoo.run import portable
from dlzoo.run import train as command
from dlzoo.run.beginning import published as begin
from dlzoo.run.opened import opened
from dlzoo.task import Network, columns
from dlzoo.tasks.target_writing import BANNED
from dlzoo.transforms.text import END, PAD, START

torch.set_num_threads(1)
HF = MODELS["hf_encoder_decoder"]
TEXTS = ["the cat sat on a mat", "dog ran", "to see me in all my years and the dog", "me me me"]
TARGETS = ["a mat", "the dog ran in", "years", "to me"]
CONTEXT = 12
every = pytest.mark.parametrize("kind", pairs.KINDS)


def begun(folder, **more):
    """Our model with the weights of a folder, and a task that reads with its tokenizer."""
    args = {"path": str(folder)} | HF.implied(path=str(folder)) | more
    tokenizer = HF.tokenizer(path=str(folder))
    own = HF(vocab_size=tokenizer.size, target_vocab_size=None, context=CONTEXT, target_context=CONTEXT, **args)
    begin(own, str(folder), "model.path")
    task = fitted("sequence_to_sequence", [{"text": "a", "target": "b"}], context=CONTEXT, target_context=CONTEXT)
    task.tokenizer = tokenizer
    return Network(own, task.head(own)).eval(), task


def batch_of(task, texts=TEXTS, targets=TARGETS):
    samples = [{"text": text, "target": target} for text, target in zip(texts, targets, strict=False)]
    return task.collate(columns([task.encode(sample) for sample in samples], task.ragged))


def theirs(model, task, batch):
    """The same inputs by the ids of the folder, as transformers wants them."""
    order, x = torch.from_numpy(task.tokenizer.order), batch.inputs["x"]
    target = model.backbone._begun(batch.inputs["target"])
    return {
        "input_ids": order[x],
        "attention_mask": batch.inputs["mask"].long(),
        "decoder_input_ids": order[target],
    }


@every
@torch.no_grad()
def test_scores_are_those_of_transformers_in_our_order(kind, tmp_path):
    whole = pairs.save(tmp_path, kind)
    model, task = begun(tmp_path)
    batch = batch_of(task)
    expected = whole(**theirs(model, task, batch)).logits[:, len(model.backbone.before) - 1 :]
    real = batch.inputs["target"] != PAD
    expected = expected[..., torch.from_numpy(task.tokenizer.order)]
    torch.testing.assert_close(model(**batch.inputs)[real], expected[real], rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("kind", "before"), [("bart", ["</s>", "<s>"]), ("mbart", ["</s>", "<de_DE>"]), ("marian", ["<pad>"])]
)
def test_a_target_begins_as_transformers_lets_it(kind, before, tmp_path):
    pairs.save(tmp_path, kind)
    model, task = begun(tmp_path)
    tokens = pairs.KINDS[kind][1]
    assert [tokens[task.tokenizer.order[i]] for i in model.backbone.before] == before
    read = model.backbone._begun(batch_of(task).inputs["target"])
    assert [tokens[task.tokenizer.order[i]] for i in read[0]][: len(before) + 1] == [*before, "a"]
    (tmp_path / "generation_config.json").unlink()  # older folders say it in config.json, or not at all
    first = {"bart": ["</s>", "<s>"], "mbart": ["</s>"], "marian": ["<pad>"]}[kind]
    assert [tokens[task.tokenizer.order[i]] for i in HF.implied(path=str(tmp_path))["before"]] == first
    told(tmp_path, forced_bos_token_id=tokens.index("dog"))
    again = HF.implied(path=str(tmp_path))["before"]
    assert [tokens[task.tokenizer.order[i]] for i in again] == [before[0], "dog"]


@every
@torch.no_grad()
def test_steps_equal_the_whole(kind):
    model = untrained(kind).double()
    x, target = torch.randint(5, 20, (3, 8)), torch.randint(5, 20, (3, 9))
    target[:, 0] = START
    mask = torch.arange(8) < torch.tensor([[8], [3], [1]])
    whole, memory = model(x, target, mask), model.encode(x, mask)
    for portions in ([1] * 9, [4, 1, 1, 3], [9]):
        state, found = None, []
        for part in target.split(portions, 1):
            features, state = model.step(part, state, memory)
            found.append(features)
        torch.testing.assert_close(torch.cat(found, 1), whole)


@torch.no_grad()
def test_a_step_computes_no_key_of_the_source_again():
    model = untrained("bart")
    x, target = torch.randint(5, 20, (2, 8)), torch.tensor([[START, 7]] * 2)
    memory = model.encode(x)
    for block in model.decoder.layers:
        block.encoder_attn.k_proj = block.encoder_attn.v_proj = None
    _, state = model.step(target[:, :1], None, memory)
    model.step(target[:, 1:], state, memory)


def untrained(kind, before=(END, 7), **more):
    torch.manual_seed(0)
    args = {"path": "none", "vocab_size": 24, "target_vocab_size": None, "config": pairs.config(kind)}
    own = HF(**args, before=list(before), **more).eval()
    pairs.uneven(own)
    return own


def generated(whole, model, task, batch, **options):
    """What transformers writes, by our ids, without what begins and ends it."""
    own = theirs(model, task, batch)
    order, before = torch.from_numpy(task.tokenizer.order), len(model.backbone.before)

    def allowed(ids, scores):
        return scores if ids.shape[1] < before else scores.index_fill(1, order[list(BANNED)], -torch.inf)

    rows = whole.generate(
        input_ids=own["input_ids"],
        attention_mask=own["attention_mask"],
        max_new_tokens=CONTEXT + before - 1,
        do_sample=False,
        early_stopping=False,
        logits_processor=[allowed],
        **options,
    )
    ours = order.argsort()[rows[:, before:]].tolist()
    return [row[: row.index(END)] if END in row else row for row in ours]


@every
@torch.no_grad()
def test_texts_are_those_that_transformers_writes(kind, tmp_path):
    whole = pairs.save(tmp_path, kind)
    model, task = begun(tmp_path)
    batch = batch_of(task)
    written = [answer["tokens"].tolist() for answer in task.answer(model, batch)]
    assert written == generated(whole, model, task, batch)
    penalty = 0.0 if kind in pairs.FIRST else 0.6  # theirs counts the token that is forced as written
    found = task.answer(model, batch, beams=4, length_penalty=penalty)
    assert [answer["tokens"].tolist() for answer in found] == generated(
        whole, model, task, batch, num_beams=4, length_penalty=penalty
    )
    assert len({tuple(answer["tokens"].tolist()) for answer in found}) > 1


@pytest.mark.parametrize("kind", ["t5", "bart", "m2m_100", "marian"])
@pytest.mark.parametrize("options", [{}, {"beams": 3}, {"temperature": 1.0, "top_k": 8}], ids=str)
@torch.no_grad()
def test_texts_are_written_alone_as_in_company(kind, options, tmp_path):
    pairs.save(tmp_path, kind)
    model, task = begun(tmp_path)
    together = task.answer(model, batch_of(task), **options)
    for text, target, answer in zip(TEXTS, TARGETS, together, strict=True):
        (alone,) = task.answer(model, batch_of(task, [text], [target]), **options)
        assert alone["tokens"].tolist() == answer["tokens"].tolist()
        if len(answer["tokens"]):
            torch.testing.assert_close(alone["attention"], answer["attention"], atol=1e-4, rtol=1e-4)
        assert not set(BANNED) & set(answer["tokens"].tolist())


@pytest.mark.parametrize("kind", ["t5", "bart"])
@torch.no_grad()
def test_attention_is_what_transformers_gives(kind, tmp_path):
    whole = pairs.save(tmp_path, kind)
    model, task = begun(tmp_path)
    batch = batch_of(task)
    whole.set_attn_implementation("eager")
    found = whole(**theirs(model, task, batch), output_attentions=True).cross_attentions[-1].mean(1)
    own = model.backbone
    weights = own.attention(batch.inputs["target"], own.encode(batch.inputs["x"], batch.inputs["mask"]))
    torch.testing.assert_close(weights, found[:, len(own.before) - 1 :])
    assert own.decoder.config._attn_implementation == "sdpa"


@torch.no_grad()
def test_scores_by_a_matrix_of_their_own_stay_apart(tmp_path):
    """T5's version 1.1 and mT5 have such, whatever config.json says."""
    pairs.save(tmp_path, "t5")
    values = load_file(tmp_path / "model.safetensors")
    values["lm_head.weight"] = torch.randn_like(values["shared.weight"])
    save_file(values, tmp_path / "model.safetensors", {"format": "pt"})
    model, task = begun(tmp_path)
    assert HF.implied(path=str(tmp_path))["lm_head"]
    batch, order = batch_of(task), task.tokenizer.order
    assert torch.equal(model.head.whole.lm_head.weight, values["lm_head.weight"][order])
    assert torch.equal(model.backbone.embed.weight, values["shared.weight"][order])
    import transformers

    whole = transformers.AutoModelForSeq2SeqLM.from_pretrained(tmp_path).eval()
    expected = whole(**theirs(model, task, batch)).logits[..., order]
    torch.testing.assert_close(model(**batch.inputs), expected, rtol=0, atol=1e-5)
    with pytest.raises(RunError, match="several values for what is one weight here: "):
        begun(tmp_path, lm_head=False)


@torch.no_grad()
def test_tokens_that_the_folder_lacks_are_as_the_mean_and_rows_without_a_token_are_left_out(tmp_path):
    spare = len(pairs.KINDS["bart"][1]) + 3
    whole = pairs.save(tmp_path, "bart", vocab_size=spare)
    file = tmp_path / "tokenizer.json"
    file.write_text(file.read_text().replace("<mask>", "mask"))
    model, task = begun(tmp_path)
    order, embed = task.tokenizer.order, whole.get_input_embeddings().weight
    assert order.tolist().count(-1) == 1 and len(order) == spare - 2
    torch.testing.assert_close(model.backbone.embed.weight[4], embed.mean(0))
    assert torch.equal(model.backbone.embed.weight[5:], embed[order[5:]])
    assert torch.equal(model.head.whole.final_logits_bias[0, 5:], whole.final_logits_bias[0, order[5:]])


def told(folder, **values):
    file = folder / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | values))


@pytest.mark.parametrize(
    ("kind", "values", "says"),
    [
        ("t5", {"model_type": "bert"}, r"'bert' is no encoder-decoder that is known here, as bart, .*t5"),
        ("t5", {"d_ff": "wide"}, "transformers cannot make a 't5'"),
        ("t5", {"quantization_config": {"bits": 4}}, "are quantized"),
        ("marian", {"share_encoder_decoder_embeddings": False}, "has other tokens for the target"),
        ("bart", {"forced_bos_token_id": 99}, r"forced_bos_token_id, \[2, 99\], are no tokens of its"),
        ("marian", {"eos_token_id": 3}, "its texts end with the token 3, and its tokenizer's with 0"),
    ],
)
def test_a_network_of_another_kind_is_refused(kind, values, says, tmp_path):
    pairs.save(tmp_path, kind)
    (tmp_path / "generation_config.json").unlink()
    told(tmp_path, **values)
    with pytest.raises(ConfigError, match=says):
        begun(tmp_path)


def test_places_that_the_model_lacks_are_refused():
    untrained("bart", context=24, target_context=23)
    for key in ("context", "target_context"):
        with pytest.raises(ConfigError, match=rf"task\.{key}: 25 tokens are more than the 2[34] that this model"):
            untrained("bart", **{key: 25})
    with pytest.raises(ConfigError, match=r"task\.shared: this model has one tokenizer for both sides"):
        HF("none", 24, 30, config=pairs.config("bart"))
    untrained("t5", context=1000)
    model, state = untrained("bart"), None
    memory = model.encode(torch.tensor([[7, 8]]))
    with pytest.raises(DataError, match="a target of 25 places is longer than the 24 that this model can take"):
        for _ in range(24):
            _, state = model.step(torch.tensor([[START if state is None else 9]]), state, memory)


@pytest.mark.parametrize(
    ("model", "task"), [("hf", "sequence_to_sequence"), ("hf_encoder_decoder", "language_modeling")]
)
def test_one_text_and_two_have_a_model_each(model, task, tmp_path):
    values = {"task": task, "data": {"name": "texts", "path": "x.tsv"}, "model": {"name": model, "path": "weights/t5"}}
    (tmp_path / "c.yaml").write_text(yaml.safe_dump(values))
    other = "hf_encoder_decoder" if model == "hf" else "hf"
    with pytest.raises(ConfigError, match=rf"model: '{model}' does not fit {task}: .*Models that fit: .*\b{other}\b"):
        with opened(tmp_path / "c.yaml"):
            pass


@pytest.mark.parametrize("kind", ["t5", "bart"])
def test_additions_of_low_rank_go_to_every_matrix_of_attention(kind):
    model = untrained(kind)
    x, target = torch.randint(5, 20, (2, 7)), torch.randint(5, 20, (2, 6))
    before = model(x, target)
    adapt(model, 2)
    torch.testing.assert_close(model(x, target), before)
    found = {name.split("parametrizations")[0] for name, own in model.named_parameters() if own.requires_grad}
    assert len(found) == 2 * 4 + 2 * 8


@pytest.mark.parametrize("kind", ["t5", "bart"])
def test_checkpointing_changes_no_gradient(kind):
    models = [untrained(kind) for _ in range(2)]
    checkpoint(models[1])
    x, target = torch.randint(5, 20, (2, 7)), torch.randint(5, 20, (2, 6))
    found = []
    for model in models:
        model.train()
        torch.manual_seed(1)
        model(x, target).square().sum().backward()
        found.append([weight.grad for weight in model.parameters()])
    for plain, again in zip(*found, strict=True):
        torch.testing.assert_close(plain, again, rtol=1e-4, atol=1e-5)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    place = tmp_path_factory.mktemp("pairs")
    rows = "".join(f"{text}\t{target}\n" for text, target in zip(TEXTS * 12, TARGETS * 12, strict=True))
    (place / "pairs.tsv").write_text(f"text\ttarget\n{rows}")
    pairs.save(place / "bart", "bart")
    return place


def trained(place, kind, sets=(), **train):
    values = {
        "task": {"name": "sequence_to_sequence", "context": CONTEXT, "target_context": CONTEXT, "score": "summary"},
        "data": {"name": "text_pairs", "path": str(place / "pairs.tsv"), "hold_out": 8, "test": 8},
        "model": {"name": "hf_encoder_decoder", "path": str(place / kind)},
        "optimizer": {"name": "adamw", "lr": 0.003},
        "train": {"steps": 8, "batch_size": 16, "threads": 1} | train,
    }
    (place / "c.yaml").write_text(yaml.safe_dump(values))
    with opened(place / "c.yaml", sets) as config:
        return command.train(config, root=place / "runs", quiet=True).run


@pytest.mark.parametrize("kind", ["t5", "mbart", "marian"])
def test_training_from_a_folder_lowers_the_loss(kind, tmp_path):
    pairs.save(tmp_path, kind)
    model, task = begun(tmp_path)
    batch, losses = batch_of(task), []
    optimizer = torch.optim.AdamW(model.parameters(), 0.01)
    for _ in range(12):
        loss = task.loss(model(**batch.inputs), batch) / batch.count
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] / 2


def test_a_run_needs_the_folder_no_more(place):
    kind = "bart"
    run = trained(place, kind)
    [answer] = written(portable.load(run), TEXTS[:1])
    shutil.move(place / kind, place / "away")
    try:
        arguments = [sys.executable, "-m", "dlzoo", "predict", str(run), TEXTS[0], "--json", "--device", "cpu"]
        found = subprocess.run(arguments, capture_output=True, text=True, check=True)
        assert command.resume(run, quiet=True).code == 0
    finally:
        shutil.move(place / "away", place / kind)
    assert json.loads(found.stdout)["text"] == answer["text"]


def written(found, texts):
    return found.task.answer(found.network.eval(), batch_of(found.task, texts))


def test_a_run_adapts_freezes_and_begins_from_another(place):
    run = trained(place, "bart", lora=2, checkpointing=True)
    found = portable.load(run)
    assert any("parametrizations" in name for name in found.network.state_dict())
    frozen = trained(place, "bart", ["train.steps=1"], freeze=["backbone.encoder.*"])
    whole = load_file(place / "bart" / "model.safetensors")
    own = portable.load(frozen).network.backbone
    assert torch.equal(own.encoder.layers[0].fc1.weight, whole["model.encoder.layers.0.fc1.weight"])
    assert not torch.equal(own.decoder.layers[0].fc1.weight, whole["model.decoder.layers.0.fc1.weight"])
    (place / "c.yaml").write_text(
        yaml.safe_dump(yaml.safe_load((place / "c.yaml").read_text()) | {"model": {"from": str(frozen)}})
    )
    with opened(place / "c.yaml", ["train.steps=1", "optimizer.lr=1e-12"]) as config:
        again = portable.load(command.train(config, root=place / "runs", quiet=True).run)
    assert again.network.backbone.before == own.before
    torch.testing.assert_close(again.network.backbone.embed.weight, own.embed.weight)
