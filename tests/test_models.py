"""The contract of a model, over the registry: a file that is added to dlzoo/models is held to all of this."""

import inspect
from dataclasses import dataclass, field
from math import ceil

import published
import published_pairs
import pytest
import torch
from torch import Tensor, nn

from dlzoo.errors import ConfigError, DataError
from dlzoo.features import Features
from dlzoo.registry import MODELS

torch.set_num_threads(1)
T = 6
SIZE = 32
VOCAB = 11
WIDTH = 3
TOKENS, VECTORS, IMAGES, VIDEOS, TABLE, PAIRS = "tokens", "vectors", "images", "videos", "table", "pairs"


@dataclass
class Case:
    """One way to build a model, small, and the input that it takes."""

    name: str
    takes: str
    args: dict = field(default_factory=dict)

    def __str__(self):
        args = {k: v["model_type"] if k == "config" else v for k, v in self.args.items()}
        return "-".join([self.name, self.takes, *[f"{k}={v}".replace(" ", "") for k, v in args.items()]])

    def build(self, seed=0, **more) -> nn.Module:
        facts = {
            TOKENS: {"vocab_size": VOCAB, "context": 16},
            PAIRS: {"vocab_size": VOCAB, "target_vocab_size": VOCAB + 2, "context": 16, "target_context": 16},
            VECTORS: {"in_features": WIDTH, "context": 16},
            IMAGES: {"in_channels": 3, "image_size": SIZE},
            VIDEOS: {"in_channels": 3, "image_size": SIZE, "frames": T},
            TABLE: {"in_features": WIDTH, "categories": [3, 4]},
        }[self.takes]
        known = inspect.signature(MODELS[self.name]).parameters
        args = {k: v for k, v in facts.items() if k in known} | TINY.get(self.name, {}) | self.args | more
        torch.manual_seed(seed)
        if "cnn" in args:
            args["cnn"] = Case(args["cnn"], IMAGES).build(seed)
        return MODELS[self.name](**args)

    def inputs(self, batch=3, length=T, seed=1) -> dict[str, Tensor]:
        rng = torch.Generator().manual_seed(seed)
        if self.takes == TOKENS:
            return {"x": torch.randint(VOCAB, (batch, length), generator=rng)}
        if self.takes == PAIRS:
            x = torch.randint(VOCAB, (batch, length + 2), generator=rng)
            return {"x": x, "target": torch.randint(VOCAB, (batch, length), generator=rng)}
        if self.takes == VECTORS:
            return {"x": torch.randn(batch, length, WIDTH, generator=rng)}
        if self.takes == IMAGES:
            return {"x": torch.randn(batch, 3, SIZE, SIZE, generator=rng)}
        if self.takes == VIDEOS:
            return {"x": torch.randn(batch, 3, length, SIZE, SIZE, generator=rng)}
        codes = torch.stack([torch.randint(n, (batch,), generator=rng) for n in (3, 4)], 1)
        return {"x": torch.randn(batch, WIDTH, generator=rng), "codes": codes}


TINY = {
    "mlp": {"dim": 8},
    "lenet": {"channels": [4, 6], "hidden": [12, 8]},
    "resnet": {"width": 4},
    "convnext": {"depths": [1, 1, 2, 1], "dims": [4, 6, 8, 10]},
    "mobilenet": {"width": 0.1},
    "timm": {"arch": "test_convnext"},
    "torchvision": {"arch": "shufflenet_v2_x0_5"},
    "torchvision_segmentation": {"arch": "lraspp_mobilenet_v3_large", "dim": 8},
    "unet": {"width": 4, "depth": 3},
    "vit": {"dim": 16, "depth": 2, "heads": 2, "patch": 8},
    "c3d": {"channels": [4, 6, 8]},
    "cnn_rnn": {"cnn": "resnet", "dim": 8},
    "torchvision_video": {"arch": "mc3_18"},
    "cnn1d": {"embedding": 8, "dim": 12, "kernels": [2, 3, 5]},
    "tcn": {"dim": 8, "depth": 2},
    "hf": {"path": "none", "config": published.config("bert")},
    "hf_encoder_decoder": {"path": "none", "config": published_pairs.config("t5"), "target_vocab_size": None},
    "gpt": {"dim": 16, "depth": 2, "heads": 4},
    "bert": {"dim": 16, "depth": 2, "heads": 4},
    "transformer": {"dim": 16, "depth": 2, "heads": 4},
    "encoder_decoder": {"dim": 16, "depth": 2, "heads": 4},
} | {name: {"dim": 8, "layers": 2} for name in ("rnn", "lstm", "gru", "rnn_encoder_decoder")}
"""Arguments that make a model small. One that is not listed is built with its defaults."""
VARIANTS = [
    *[Case(name, takes, {"causal": False}) for name in ("rnn", "lstm", "gru") for takes in (TOKENS, VECTORS)],
    Case("rnn", VECTORS, {"activation": "relu"}),
    *(Case(name, IMAGES, {"activation": "sigmoid"}) for name in ("convnext", "mobilenet", "resnet", "vit")),
    *(Case(name, TOKENS, {"activation": "tanh"}) for name in ("bert", "gpt", "transformer")),
    *[Case("mlp", TABLE, {"norm": norm, "residual": True, "dropout": 0.1}) for norm in ("batch", "layer")],
    Case("mlp", TABLE, {"depth": 0}),
    Case("mlp", TABLE, {"in_features": WIDTH, "activation": "selu"}),
    Case("lenet", IMAGES, {"norm": "batch", "dropout": 0.2, "channels": [4, 6, 8]}),
    Case("lenet", IMAGES, {"activation": "tanh", "pool": "mean", "same": False}),
    Case("resnet", IMAGES, {"depth": 50}),
    Case("resnet", IMAGES, {"stem": "imagenet"}),
    Case("resnet", IMAGES, {"stem": "half"}),
    Case("resnet", IMAGES, {"out": "pyramid"}),
    Case("convnext", IMAGES, {"out": "vector", "drop_path": 0.2}),
    Case("convnext", IMAGES, {"out": "pyramid", "patch": 1}),
    Case("mobilenet", IMAGES, {"stem": "imagenet"}),
    Case("timm", IMAGES, {"out": "pyramid"}),
    Case("timm", IMAGES, {"arch": "test_vit", "out": "vector"}),
    Case("torchvision", IMAGES, {"out": "pyramid"}),
    Case("torchvision", IMAGES, {"arch": "resnet18", "out": "vector"}),
    Case("vit", IMAGES, {"out": "vector", "drop_path": 0.2, "dropout": 0.1}),
    Case("c3d", VIDEOS, {"channels": [4, 6], "depths": [2, 1], "kernel": 5, "stride": 2, "dropout": 0.1}),
    Case("cnn_rnn", VIDEOS, {"cnn": "lenet", "rnn": "gru", "layers": 2, "causal": False, "dropout": 0.1}),
    *[Case("cnn1d", t, {"out": "sequence", "dropout": 0.1, "activation": "gelu"}) for t in (TOKENS, VECTORS)],
    *[Case("tcn", TOKENS, {"norm": norm, "dropout": 0.1}) for norm in ("none", "layer")],
    Case("gpt", TOKENS, {"position": "rotary", "norm": "rms", "activation": "swiglu", "bias": False, "kv_heads": 2}),
    Case("gpt", VECTORS, {"position": "sinusoidal", "dropout": 0.1, "kv_heads": 1}),
    Case("bert", TOKENS, {"norm_first": True, "position": "rotary"}),
    *(Case("hf", TOKENS, {"config": published.config(kind)}) for kind in ("roberta", "t5", "gpt2", "llama")),
    Case("transformer", TOKENS, {"position": "rotary", "norm": "rms", "norm_first": False, "activation": "swiglu"}),
    Case("transformer", VECTORS, {"position": "learned", "dropout": 0.1}),
    Case("encoder_decoder", PAIRS, {"position": "rotary", "norm": "rms", "norm_first": False, "activation": "swiglu"}),
    Case("encoder_decoder", PAIRS, {"position": "learned", "target_vocab_size": None}),
    Case("encoder_decoder", PAIRS, {"copy": True, "target_vocab_size": None}),
    Case("hf_encoder_decoder", PAIRS, {"config": published_pairs.config("bart"), "before": [2, 7]}),
    Case("hf_encoder_decoder", PAIRS, {"config": published_pairs.config("m2m_100"), "before": [2, 7]}),
    Case("rnn_encoder_decoder", PAIRS, {"rnn": "lstm", "attention": "general", "target_vocab_size": None}),
    *[Case("rnn_encoder_decoder", PAIRS, {"attention": kind, "input_feeding": False}) for kind in ("dot", "additive")],
]


def plain(name: str) -> list[Case]:
    """A case for each input that the signature of a model asks for."""
    parameters = {p.name for p in MODELS.entry(name).parameters}
    if "frames" in parameters:
        return [Case(name, VIDEOS)]
    if "target_vocab_size" in parameters:
        return [Case(name, PAIRS)]
    if "in_channels" in parameters:
        return [Case(name, IMAGES)]
    takes = [TOKENS] * ("vocab_size" in parameters) + [VECTORS] * ("in_features" in parameters)
    return [Case(name, TABLE)] if takes == [VECTORS] else [Case(name, kind) for kind in takes]


OWN_HEAD = [entry.name for entry in MODELS.entries() if entry.kinds == ("complete",)]
"""They give answers, not features: tests/test_torchvision_detectors.py."""
CASES = [case for name in MODELS.names() if name not in OWN_HEAD for case in plain(name)] + VARIANTS
every = pytest.mark.parametrize("case", CASES, ids=str)
sequences = pytest.mark.parametrize("case", [c for c in CASES if c.takes in (TOKENS, VECTORS)], ids=str)


def listed(output: Tensor | list[Tensor]) -> list[Tensor]:
    return output if isinstance(output, list) else [output]


def close(a: Tensor | list[Tensor], b: Tensor | list[Tensor], atol=2e-6) -> None:
    for x, y in zip(listed(a), listed(b), strict=True):
        torch.testing.assert_close(x, y, atol=atol * max(1.0, float(y.detach().abs().max())), rtol=1e-5)


def other(x: Tensor) -> Tensor:
    """A different input everywhere."""
    return x + 3.0 if x.is_floating_point() else (x + 1) % VOCAB


@every
def test_features_are_as_promised(case):
    model = case.build().eval()
    features = model.features
    assert isinstance(features, Features)
    output = model(**case.inputs())
    if features.kind == "vector":
        assert output.shape == (3, features.dim)
    elif features.kind == "sequence":
        assert output.shape == (3, ceil(T / features.stride), features.dim)
    elif features.kind == "map":
        assert output.shape == (3, features.dim, SIZE // features.stride, SIZE // features.stride)
    else:
        shapes = [(3, dim, SIZE // s, SIZE // s) for dim, s in zip(features.dim, features.stride, strict=True)]
        assert [tuple(m.shape) for m in output] == shapes


@every
def test_every_parameter_gets_a_gradient(case):
    model = case.build()
    outputs = listed(model(**case.inputs(batch=8)))
    torch.manual_seed(2)
    sum((output * torch.randn_like(output)).sum() for output in outputs).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.abs().sum() > 0, name


@every
def test_batch_mates_change_nothing(case):
    model = case.build().eval()
    inputs = case.inputs(batch=4)
    together = listed(model(**inputs))
    for i in range(4):
        alone = listed(model(**{key: value[i : i + 1] for key, value in inputs.items()}))
        close(alone, [output[i : i + 1] for output in together], atol=1e-5)


@sequences
def test_padding_changes_nothing(case):
    model = case.build().eval()
    lengths = [3, T, 1, 4]
    mask = torch.arange(T + 2) < torch.tensor(lengths)[:, None]
    x = case.inputs(batch=4, length=T + 2)["x"]
    padded = model(x=x, mask=mask)
    rubbish = torch.where(mask if case.takes == TOKENS else mask[..., None], x, other(x))
    close(
        model(x=rubbish, mask=mask)[mask] if padded.ndim == 3 else model(x=rubbish, mask=mask),
        padded[mask] if padded.ndim == 3 else padded,
    )
    for i, length in enumerate(lengths):
        alone = model(x=x[i : i + 1, :length])[0]
        close(alone, padded[i, :length] if padded.ndim == 3 else padded[i])


@sequences
def test_a_mask_of_ones_is_no_mask(case):
    model = case.build().eval()
    x = case.inputs()["x"]
    close(model(x=x, mask=torch.ones(x.shape[:2], dtype=torch.bool)), model(x=x))


@sequences
def test_a_row_of_padding_is_finite_and_leaves_gradients_finite(case):
    model = case.build()
    mask = torch.tensor([[True] * T, [False] * T])
    output = model(x=case.inputs(batch=2)["x"], mask=mask)
    assert output.isfinite().all()
    output[0].sum().backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())


@sequences
def test_a_causal_model_does_not_see_the_future_and_another_sees_everything(case):
    model = case.build().eval()
    x = case.inputs(length=3)["x"]
    before = model(x=x)
    for t in range(3):
        after = model(x=torch.cat([x[:, :t], other(x[:, t : t + 1]), x[:, t + 1 :]], 1))
        if before.ndim == 2:
            assert not torch.allclose(before, after)
            continue
        changed = (before - after).abs().amax((0, 2)) > 1e-6
        seen_by = [not model.features.causal or place >= t for place in range(3)]
        assert changed.tolist() == seen_by


@every
def test_state_goes_round(case):
    model, twin = case.build(seed=0).eval(), case.build(seed=1).eval()
    inputs = case.inputs()
    twin.load_state_dict(model.state_dict())
    close(model(**inputs), twin(**inputs), atol=0)


@every
def test_evaluation_draws_nothing_and_learns_nothing(case):
    model = case.build().eval()
    inputs = case.inputs()
    state = {key: value.clone() for key, value in model.state_dict().items()}
    torch.manual_seed(0)
    first = model(**inputs)
    torch.manual_seed(1)
    close(first, model(**inputs), atol=0)
    assert all(torch.equal(value, state[key]) for key, value in model.state_dict().items())


@every
def test_dropout_acts_in_training(case):
    known = inspect.signature(MODELS[case.name]).parameters
    name = next((n for n in ("dropout", "drop_path") if n in known), None)
    if name is None or case.args.get("depth") == 0:
        return
    model = case.build(**{name: 0.5})
    inputs = case.inputs()
    torch.manual_seed(0)
    first = listed(model(**inputs))
    torch.manual_seed(1)
    scale = 1e-4 if name == "dropout" else 0.0
    assert any((a - b).abs().max() > scale for a, b in zip(first, listed(model(**inputs)), strict=True))


@sequences
def test_steps_equal_the_whole(case):
    model = case.build().eval()
    if not (model.features.causal and hasattr(model, "step")):
        return
    x = case.inputs(batch=3, length=9)["x"]
    whole = model(x=x)
    for portions in ([1] * 9, [4, 1, 1, 3], [9], [2, 5, 2]):
        state, outputs = None, []
        for part in x.split(portions, 1):
            output, state = model.step(part, state)
            outputs.append(output)
        close(torch.cat(outputs, 1), whole)


def reorder(state, rows):
    return state[rows] if isinstance(state, Tensor) else tuple(reorder(part, rows) for part in state)


@sequences
def test_the_rows_of_a_state_can_be_picked(case):
    """As beam search does, and generation when some rows have ended: every tensor of a state has the batch first."""
    model = case.build().eval()
    if not (model.features.causal and hasattr(model, "step")):
        return
    x = case.inputs(batch=3, length=6)["x"]
    rows = torch.tensor([2, 0, 0])
    _, state = model.step(x[:, :4])
    output, _ = model.step(x[rows, 4:], reorder(state, rows))
    close(output, model(x=x[rows])[:, 4:])


@every
def test_bfloat16_trains(case):
    model = case.build()
    with torch.autocast("cpu", torch.bfloat16):
        outputs = listed(model(**case.inputs(batch=4)))
    sum(output.float().square().sum() for output in outputs).backward()
    assert all(p.grad.isfinite().all() for p in model.parameters())


@pytest.mark.parametrize(
    ("name", "args", "says"),
    [
        ("gpt", {"vocab_size": 5, "dim": 10, "heads": 4}, "4 heads do not divide a dim of 10"),
        ("gpt", {"vocab_size": 5, "dim": 16, "heads": 4, "kv_heads": 3}, "kv_heads: 3 do not divide 4"),
        ("gpt", {"vocab_size": 5, "dim": 12, "heads": 4, "position": "rotary"}, "even"),
        ("transformer", {"vocab_size": 5, "dim": 15, "heads": 3}, "odd"),
        ("bert", {}, "vocab_size"),
        ("lstm", {"vocab_size": 5, "in_features": 5}, "vocab_size"),
        ("lstm", {"vocab_size": 5, "dim": 9, "causal": False}, "9 is odd"),
        ("cnn1d", {"vocab_size": 5, "dim": 10, "kernels": [3, 4, 5]}, "3 kernels do not share 10"),
        ("resnet", {"in_channels": 3, "image_size": 7}, "pictures of 7x7 are smaller than the 8x8"),
        ("resnet", {"in_channels": 3, "image_size": 31, "stem": "imagenet"}, "32x32"),
        ("mobilenet", {"in_channels": 3, "image_size": 4}, "8x8"),
        ("convnext", {"in_channels": 3, "image_size": 31, "patch": 4}, "32x32"),
        ("convnext", {"in_channels": 3, "depths": [1, 1]}, "4 stages"),
        ("lenet", {"in_channels": 1, "image_size": 8, "same": False}, "pictures of 8x8 are smaller than the 12x12"),
        ("lenet", {"in_channels": 1, "image_size": 3}, "4x4"),
        ("c3d", {"in_channels": 3, "frames": 8, "depths": [1, 1]}, "model.depths: 2 stages, and model.channels has 5"),
        ("cnn_rnn", {"frames": 1, "cnn": nn.Identity()}, "one frame has no order"),
        ("vit", {"in_channels": 1, "image_size": 28, "patch": 16}, "16 pixels do not divide pictures of 28x28"),
    ],
)
def test_arguments_that_contradict_are_refused_with_what_to_do(name, args, says):
    with pytest.raises(ConfigError, match=says):
        MODELS[name](**args)


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("lenet", 8),
        ("lenet", 28),
        ("resnet", 8),
        ("resnet", 28),
        ("convnext", 8),
        ("convnext", 28),
        ("mobilenet", 8),
        ("vit", 8),
        ("vit", 28),
    ],
)
def test_small_pictures_fit(name, size):
    args = TINY[name] | {"in_channels": 1, "image_size": size}
    args.pop("patch", None)
    assert MODELS[name](**args).eval()(torch.randn(2, 1, size, size)).isfinite().all()


@pytest.mark.parametrize(("size", "same", "least"), [(12, False, 12), (4, True, 4)])
def test_lenet_takes_the_least_size_that_its_error_names(size, same, least):
    assert MODELS["lenet"](1, least, same=same).eval()(torch.randn(2, 1, size, size)).shape == (2, 84)


def test_a_sequence_beyond_the_context_is_refused():
    model = MODELS["gpt"](vocab_size=5, context=4, dim=8, depth=1, heads=2)
    with pytest.raises(DataError, match="sequence of 5 places is longer than the context of this model, 4"):
        model(torch.zeros(1, 5, dtype=torch.long))
    _, state = model.step(torch.zeros(1, 4, dtype=torch.long))
    with pytest.raises(DataError, match="5 places"):
        model.step(torch.zeros(1, 1, dtype=torch.long), state)


@pytest.mark.parametrize("size", [224, 96, 64, 32, 28, 8, 7, 17])
def test_vit_finds_a_patch_that_divides(size):
    patch = MODELS["vit"](1, size, dim=6, depth=1).features.stride
    assert size % patch == 0
    assert size // patch >= 7 or patch == 1


@pytest.mark.parametrize("name", [n for n in MODELS.names() if MODELS.entry(n).parameter("activation")])
def test_the_activation_is_the_one_that_is_named(name):
    case = next(case for case in CASES if case.name == name)
    with torch.no_grad():
        x = case.inputs()
        named = [case.build(activation=kind).eval()(**x) for kind in ("tanh", "relu")]
    assert not torch.allclose(*named)


def test_an_embedding_can_be_tied():
    for case in CASES:
        if case.takes == TOKENS and case.build().features.causal:
            model = case.build()
            assert model.embed.weight.shape == (VOCAB, model.features.dim)
