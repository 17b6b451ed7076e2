"""Runs that begin with a language model's folder: they have all of it, and need the folder no more."""

import shutil

import published
import pytest
import torch
import yaml
from torch import nn

from dlzoo.engine import weights
from dlzoo.errors import ConfigError
from dlzoo.layers.checkpointing import checkpoint
from dlzoo.layers.low_rank import adapt
from dlzoo.registry import MODELS
from dlzoo.run import portable
from dlzoo.run import train as command
from dlzoo.run.folder import Run
from dlzoo.run.opened import opened
from dlzoo.schema.writer import dump

torch.set_num_threads(1)
ROWS = [
    (f"{text} {' '.join(published.WORDS[i % 15 :][:3])}", label)
    for i in range(12)
    for text, label in (("the cat sat on a mat", "cat"), ("the dog ran to see me", "dog"))
]
MODEL = {"hf-bert": "hf", "hf-roberta": "hf", "hf-t5": "hf", "hf-gpt2": "hf", "bert-bert": "bert", "gpt-gpt2": "gpt"}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    place = tmp_path_factory.mktemp("pretrained")
    for kind in published.KINDS:
        published.save(place / kind, kind)
    (place / "rows.tsv").write_text("text\tlabel\n" + "".join(f"{text}\t{label}\n" for text, label in ROWS))
    (place / "lines.txt").write_text("".join(f"{text}\n" for text, _ in ROWS))
    return place


def trained(place, model, kind, task="text_classification", sets=(), **train):
    key = "path" if model == "hf" else "pretrained"
    file = "rows.tsv" if task == "text_classification" else "lines.txt"
    values = {
        "task": {"name": task, "context": 16},
        "data": {"name": "texts", "path": str(place / file), "hold_out": 4, "test": 4},
        "model": {"name": model, key: str(place / kind)},
        "optimizer": {"name": "adamw", "lr": 1e-12},
        "train": {"steps": 1, "batch_size": 4, "threads": 1} | train,
    }
    (place / "c.yaml").write_text(yaml.safe_dump(values))
    with opened(place / "c.yaml", sets) as config:
        return command.train(config, root=place / "runs", quiet=True).run


@pytest.mark.parametrize("name", MODEL)
def test_a_run_needs_the_folder_no_more(name, place):
    model, kind = name.split("-")
    run = trained(place, model, kind)
    shutil.move(place / kind, place / "away")
    try:
        found = portable.load(run)
        assert dump(Run(run).config) == (run / "config.yaml").read_text()
        assert command.resume(run, quiet=True).code == 0
    finally:
        shutil.move(place / "away", place / kind)
    tokenizer = MODELS[model].tokenizer(**{"path" if model == "hf" else "pretrained": str(place / kind)})
    assert found.task.tokenizer.state_dict() == tokenizer.state_dict()
    given = weights.load(place / kind / "model.safetensors")
    ends = ("word_embeddings.weight", "wte.weight", "shared.weight")
    [rows] = [value for name, value in given.items() if name.endswith(ends)]
    known = torch.from_numpy(tokenizer.order >= 0)
    torch.testing.assert_close(found.network.backbone.embed.weight[known], rows[tokenizer.order[known]])


@pytest.mark.parametrize(("model", "kind"), [("hf", "gpt2"), ("hf", "llama"), ("gpt", "gpt2"), ("gpt", "llama")])
def test_a_language_model_goes_on_as_the_published_one_does(model, kind, place):
    found = portable.load(trained(place, model, kind, "language_modeling"))
    whole, order = published.loaded(place / kind), torch.from_numpy(found.task.tokenizer.order)
    [answer] = found.task.answer(found.network, prompt(found.task, "the cat sat"), max_new_tokens=6, temperature=0)
    theirs = order[prompt(found.task, "the cat sat").inputs["x"]].clamp(min=0)
    allowed = order[5:]
    for _ in range(6):
        with torch.no_grad():
            scores = whole(input_ids=theirs).logits[:, -1]
        theirs = torch.cat([theirs, allowed[scores[:, allowed].argmax(-1)][None]], 1)
    words = published.KINDS[kind][1]
    assert answer["new"].split() == [words[i] for i in theirs[0, -6:].tolist()]


def prompt(task, text):
    return task.collate({"prompt": [task.encode({"text": text})["prompt"][-3:]]})


def test_a_size_that_the_folder_has_otherwise_is_refused_at_its_place(place):
    with pytest.raises(ConfigError, match=r"--set model\.dim: in .*bert it is 16; leave it out"):
        trained(place, "bert", "bert", sets=["model.dim=32"])
    with pytest.raises(ConfigError, match=r"c\.yaml:\d+:\d+: .*there is no folder .*nowhere"):
        trained(place, "hf", "nowhere")
    with pytest.raises(ConfigError, match=r"task\.tokenizer: the tokenizer comes with the model's weights"):
        trained(place, "hf", "bert", sets=["task.tokenizer=words"])
    with pytest.raises(ConfigError, match=r"task\.tie: this model has its own scores"):
        trained(place, "hf", "gpt2", "language_modeling", sets=["task.tie=true"])
    with pytest.raises(ConfigError, match=r"lm_head: comes with weights, by pretrained"):
        MODELS["bert"](vocab_size=9, lm_head=True)


def test_another_run_gives_its_network_and_its_tokenizer(place):
    run = trained(place, "hf", "gpt2", "language_modeling")
    values = yaml.safe_load((place / "c.yaml").read_text())
    values |= {"task": {"name": "text_classification", "context": 16}, "model": {"from": str(run)}}
    values["data"]["path"] = str(place / "rows.tsv")
    (place / "next.yaml").write_text(yaml.safe_dump(values))
    shutil.move(place / "gpt2", place / "away")
    try:
        with opened(place / "next.yaml") as config:
            found = portable.load(command.train(config, root=place / "runs", quiet=True).run)
    finally:
        shutil.move(place / "away", place / "gpt2")
    before = portable.load(run)
    assert found.task.tokenizer.state_dict() == before.task.tokenizer.state_dict()
    torch.testing.assert_close(found.network.backbone.embed.weight, before.network.backbone.embed.weight)


@pytest.mark.parametrize("kind", published.KINDS)
def test_additions_of_low_rank_go_to_every_matrix_of_attention(kind, place):
    model = hf(kind)
    x = torch.randint(5, 20, (2, 7))
    before = model(x)
    adapt(model, 2)
    torch.testing.assert_close(model(x), before)
    blocks = len(
        {name.split("parametrizations")[0] for name, weight in model.named_parameters() if weight.requires_grad}
    )
    depth = 1 if kind == "bart" else 2
    assert blocks == depth * (2 if kind == "gpt2" else 4)
    model(x).square().sum().backward()
    assert all((weight.grad is not None) == weight.requires_grad for weight in model.parameters())


def test_a_run_trains_what_is_not_frozen(place):
    run = trained(place, "hf", "bert", sets=["optimizer.lr=0.1"], freeze=["backbone.*embeddings*"])
    given = weights.load(place / "bert" / "model.safetensors")
    own = weights.load(portable.verified(portable.read(run)))
    name = "bert.embeddings.position_embeddings.weight"
    assert torch.equal(own[name.replace("bert.", "backbone.network.")], given[name])
    name = "bert.encoder.layer.0.attention.self.query.weight"
    assert not torch.equal(own[name.replace("bert.", "backbone.network.")], given[name])


def hf(kind):
    torch.manual_seed(0)
    return MODELS["hf"](path="none", vocab_size=20, context=16, config=published.config(kind)).eval()


def gradients(model, x, **options):
    model.train()
    torch.manual_seed(1)
    model(x, **options).square().sum().backward()
    return [weight.grad.clone() for weight in model.parameters()]


def kept(model, x):
    """Bytes that a forward pass keeps for the backward pass, besides weights."""
    own = {weight.data_ptr() for weight in model.parameters()}
    seen: dict[int, int] = {}

    def note(tensor):
        if tensor.data_ptr() not in own:
            seen[tensor.data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        model(x).sum()
    return sum(seen.values())


@pytest.mark.parametrize("name", ["hf-bert", "hf-gpt2", "hf-llama", "hf-t5", "bert", "gpt", "transformer"])
def test_checkpointing_changes_no_gradient_and_keeps_less(name):
    if name.startswith("hf"):
        models = [hf(name[3:]) for _ in range(2)]
    else:
        torch.manual_seed(0)
        args = {"vocab_size": 20, "context": 16, "dim": 16, "depth": 3, "heads": 2, "dropout": 0.1}
        models = [MODELS[name](**args) for _ in range(2)]
        models[1].load_state_dict(models[0].state_dict())
    checkpoint(models[1])
    x = torch.randint(5, 20, (4, 16))
    for plain, again in zip(*(gradients(model, x) for model in models), strict=True):
        torch.testing.assert_close(plain, again, rtol=1e-5, atol=1e-6)
    plain, again = (kept(model.train(), x) for model in models)
    assert again < plain / 2
    assert torch.equal(*(model.eval()(x) for model in models))


def test_checkpointing_without_blocks_is_refused():
    with pytest.raises(ConfigError, match=r"train\.checkpointing: this model has no Transformer's blocks"):
        checkpoint(nn.LSTM(3, 3))
