"""Language models from folders of transformers: by the library itself (hf), and in our own gpt and bert."""

import json
import shutil

import published
import pytest
import torch

from dlzoo.errors import ConfigError, RunError
from dlzoo.layers.language_folder import described, find
from dlzoo.registry import MODELS
from dlzoo.run.beginning import begins
from dlzoo.run.beginning import published as begin
from dlzoo.tasks import texts

torch.set_num_threads(1)
LINES = ["the cat sat on a mat", "dog ran", "to see me in all my years and the dog"]
CONTEXT = 20
ENCODERS = ("bert", "distilbert", "roberta", "t5", "bart")
DECODERS = ("gpt2", "llama", "gemma2", "opt")
OURS = (("hf", "bert"), ("hf", "gpt2"), ("bert", "bert"), ("gpt", "gpt2"), ("gpt", "llama"))


def begun(model, folder, **more):
    """One of our models with the weights of a folder, and its tokenizer."""
    key = begins(model)
    tokenizer = MODELS[model].tokenizer(**{key: str(folder)})
    args = MODELS[model].implied(**{key: str(folder)}) | {key: str(folder)} | more
    own = MODELS[model](vocab_size=tokenizer.size, context=CONTEXT, **args)
    begin(own, str(folder), f"model.{key}")
    return own.eval(), tokenizer


def lines(tokenizer):
    """LINES as tokens (B, T) with their mask, and the same by the ids of the folder."""
    rows = [texts.places(tokenizer, line, CONTEXT) for line in LINES]
    x = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True)
    return x, x != 0, torch.from_numpy(tokenizer.order)[x].clamp(min=0)


@torch.no_grad()
def same_features(model, kind, folder, **more):
    whole = published.save(folder, kind, **more)
    own, tokenizer = begun(model, folder)
    x, mask, theirs = lines(tokenizer)
    network = whole.get_encoder() if kind in ("t5", "bart") else whole.base_model
    expected = network(input_ids=theirs, attention_mask=mask.long()).last_hidden_state
    torch.testing.assert_close(own(x, mask)[mask], expected[mask], rtol=0, atol=1e-5)
    return own, tokenizer, whole


@torch.no_grad()
def same_scores(model, kind, folder, **more):
    own, tokenizer, whole = same_features(model, kind, folder, **more)
    x, mask, theirs = lines(tokenizer)
    scores = own.lm_head().eval()(own(x, mask))
    known = torch.from_numpy(tokenizer.order >= 0)
    expected = whole(input_ids=theirs, attention_mask=mask.long()).logits[..., tokenizer.order[known]]
    torch.testing.assert_close(scores[..., known][mask], expected[mask], rtol=0, atol=1e-5)
    return own


@pytest.mark.parametrize("kind", ENCODERS + DECODERS)
def test_features_are_those_of_transformers(kind, tmp_path):
    own, _, _ = same_features("hf", kind, tmp_path)
    assert own.features.causal == (kind in DECODERS) and own.features.dim == 16


@pytest.mark.parametrize("kind", ["bert", "distilbert", "roberta", *DECODERS])
def test_scores_are_those_of_transformers_in_our_order(kind, tmp_path):
    same_scores("hf", kind, tmp_path)


@pytest.mark.parametrize(("model", "kind"), OURS[2:])
def test_our_own_networks_give_what_transformers_give(model, kind, tmp_path):
    same_scores(model, kind, tmp_path)


@pytest.mark.parametrize("model", ["gpt", "hf"])
def test_scores_by_the_embeddings_own_matrix_are_so_here(model, tmp_path):
    own = same_scores(model, "llama", tmp_path / "tied", tie_word_embeddings=True)
    assert any(weight is own.embed.weight for weight in own.lm_head().parameters())
    own = same_scores(model, "llama", tmp_path / "apart", tie_word_embeddings=False)
    assert all(weight is not own.embed.weight for weight in own.lm_head().parameters())


@pytest.mark.parametrize("activation", ["gelu_new", "gelu", "relu"])
def test_an_activation_is_the_one_that_config_json_names(activation, tmp_path):
    same_features("gpt", "gpt2", tmp_path / "gpt", activation_function=activation)
    if activation != "gelu_new":
        same_features("bert", "bert", tmp_path / "bert", hidden_act=activation)


@pytest.mark.parametrize(("model", "kind"), [("hf", "bert"), ("bert", "bert"), ("gpt", "llama"), ("hf", "llama")])
def test_without_published_scores_a_task_has_its_own(model, kind, tmp_path):
    own, _, _ = same_features(model, kind, tmp_path, head=False)
    assert own.lm_head() is None


@pytest.mark.parametrize("kind", DECODERS)
@torch.no_grad()
def test_steps_equal_the_whole(kind, tmp_path):
    published.save(tmp_path, kind)
    own, tokenizer = begun("hf", tmp_path)
    x = torch.randint(5, tokenizer.size, (3, 9))
    for portions in ([1] * 9, [4, 1, 1, 3], [9]):
        state, features = None, []
        for part in x.split(portions, 1):
            found, state = own.step(part, state)
            features.append(found)
        torch.testing.assert_close(torch.cat(features, 1), own(x), rtol=1e-5, atol=1e-5)


def test_tokens_that_the_folder_lacks_are_as_the_mean_of_all(tmp_path):
    whole = published.save(tmp_path, "gpt2")
    own, tokenizer = begun("hf", tmp_path)
    rows = whole.get_input_embeddings().weight
    assert tokenizer.order.tolist()[:6] == [-1, -1, 16, -1, -1, 0]
    torch.testing.assert_close(own.embed.weight[0], rows.mean(0))
    assert torch.equal(own.embed.weight[2], rows[16]) and torch.equal(own.embed.weight[5], rows[0])


@pytest.mark.parametrize(("model", "kind"), OURS)
def test_what_is_longer_than_the_model_can_take_is_refused(model, kind, tmp_path):
    published.save(tmp_path, kind, **({"max_position_embeddings": 24} if kind == "llama" else {}))
    if (model, kind) != ("gpt", "llama"):  # rotations have no end
        with pytest.raises(
            ConfigError, match=r"task\.context: 30 tokens are more than the 24 that this model can take"
        ):
            begun_with_context(model, tmp_path, 30)
    begun_with_context(model, tmp_path, 24)


def test_robertas_places_begin_behind_that_of_padding(tmp_path):
    published.save(tmp_path, "roberta")
    begun_with_context("hf", tmp_path, 24)
    with pytest.raises(ConfigError, match="25 tokens are more than the 24"):
        begun_with_context("hf", tmp_path, 25)


def begun_with_context(model, folder, context):
    key = begins(model)
    tokenizer = MODELS[model].tokenizer(**{key: str(folder)})
    args = MODELS[model].implied(**{key: str(folder)}) | {key: str(folder)}
    own = MODELS[model](vocab_size=tokenizer.size, context=context, **args)
    begin(own, str(folder), f"model.{key}")
    assert own.eval()(torch.full((1, context), 7)).isfinite().all()


def test_weights_in_several_files_are_read(tmp_path):
    whole = published.save(tmp_path, "bert")
    first, _ = begun("bert", tmp_path)
    (tmp_path / "model.safetensors").unlink()
    whole.save_pretrained(tmp_path, max_shard_size="4KB")
    assert len(list(tmp_path.glob("*.safetensors"))) > 2
    again, _ = begun("bert", tmp_path)
    for name, value in first.state_dict().items():
        assert torch.equal(again.state_dict()[name], value)


@pytest.mark.parametrize(("model", "kind"), OURS[1:3])
def test_a_pickle_is_not_read(model, kind, tmp_path):
    whole = published.save(tmp_path, kind)
    (tmp_path / "model.safetensors").unlink()
    torch.save(whole.state_dict(), tmp_path / "pytorch_model.bin")
    with pytest.raises(ConfigError, match=r"has no model\.safetensors; its pytorch_model\.bin is a pickle"):
        begun(model, tmp_path)


def broken(folder, **values):
    file = folder / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | values))


@pytest.mark.parametrize(
    ("model", "kind", "values", "says"),
    [
        ("hf", "bert", {"model_type": "nonesuch"}, "transformers cannot make a 'nonesuch'"),
        ("hf", "bert", {"hidden_size": 15}, "transformers cannot make a 'bert'"),
        ("hf", "bert", {"quantization_config": {"bits": 4}}, "are quantized"),
        ("bert", "roberta", {}, "this is a BERT, no roberta; model: hf takes others"),
        ("bert", "bert", {"layer_norm_eps": 1e-5}, "layer_norm_eps is 1e-05 in config.json, and 1e-12 in this network"),
        ("bert", "bert", {"hidden_act": "mystery"}, "activation 'mystery' is not known here"),
        ("gpt", "bert", {}, "this is a GPT-2 or a LLaMA, no bert"),
        ("gpt", "llama", {"rms_norm_eps": 1e-6}, "rms_norm_eps is 1e-06"),
        ("gpt", "llama", {"rope_parameters": {"rope_type": "llama3", "rope_theta": 10000.0}}, "rope_type is llama3"),
        ("gpt", "llama", {"head_dim": 4}, "head_dim is 4 in config.json, and 8"),
    ],
)
def test_a_network_of_another_kind_is_refused(model, kind, values, says, tmp_path):
    published.save(tmp_path, kind)
    broken(tmp_path, **values)
    with pytest.raises(ConfigError, match=says):
        begun(model, tmp_path)


@pytest.mark.parametrize(("model", "kind"), OURS)
def test_weights_that_are_missing_are_named(model, kind, tmp_path):
    from safetensors.torch import load_file, save_file

    published.save(tmp_path, kind)
    weights = load_file(tmp_path / "model.safetensors")
    lost = next(name for name in weights if ".1." in name and name.endswith("weight"))
    del weights[lost]
    save_file(weights, tmp_path / "model.safetensors", {"format": "pt"})
    with pytest.raises(RunError, match=r"lacks weights of its own network|does not fit this network"):
        begun(model, tmp_path)


def test_a_folder_that_is_not_there_says_how_to_get_one(tmp_path):
    for model in ("hf", "bert", "gpt"):
        with pytest.raises(ConfigError, match=r"there is no folder nowhere/minilm; .* or hub:OWNER/NAME"):
            begun(model, "nowhere/minilm")
    published.save(tmp_path, "bert")
    (tmp_path / "tokenizer.json").unlink()
    with pytest.raises(ConfigError, match=r"has no tokenizer\.json; .*save_pretrained"):
        begun("hf", tmp_path)
    (tmp_path / "config.json").write_text("[1]")
    with pytest.raises(ConfigError, match=r"config\.json is no description of a network"):
        described(str(tmp_path), "model.path")


def test_the_hub_is_asked_only_for_what_is_called_so(tmp_path, monkeypatch):
    import huggingface_hub

    asked = []
    published.save(tmp_path / "hub", "bert")

    def fetch(name, allow_patterns):
        asked.append((name, tuple(allow_patterns)))
        return str(tmp_path / "hub")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", fetch)
    find.cache_clear()
    begun("hf", "hub:somebody/small")
    assert [name for name, _ in asked] == ["somebody/small"]
    assert not any("bin" in pattern or "py" in pattern for _, patterns in asked for pattern in patterns)
    shutil.rmtree(tmp_path / "hub")
    find.cache_clear()
