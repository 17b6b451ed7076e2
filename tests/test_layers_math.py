"""Layers and models against torch's and torchvision's own, with the same weights, and against their formulas."""

import math
from functools import partial

import pytest
import torch
import torchvision
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from dlzoo.choices import Activation
from dlzoo.errors import ConfigError
from dlzoo.layers.activation import activation
from dlzoo.layers.attention import SelfAttention, attend
from dlzoo.layers.conv import CausalConv
from dlzoo.layers.drop_path import DropPath
from dlzoo.layers.embedding import CategoryEmbedding
from dlzoo.layers.position import SinusoidalPosition, rotate
from dlzoo.layers.recurrent import Recurrent
from dlzoo.layers.transformer import Block, Feedforward
from dlzoo.registry import MODELS

torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def close(a: Tensor, b: Tensor, tolerance: float = 1e-5) -> None:
    torch.testing.assert_close(a, b, atol=tolerance, rtol=tolerance)


def trained(model: nn.Module) -> nn.Module:
    """The model with statistics, biases and scales that are not their initial zeros and ones, in eval mode."""
    for name, value in model.state_dict().items():
        if (
            name.endswith("running_var")
            or (value.ndim == 1 and name.endswith("weight"))
            or name.endswith("layer_scale")
        ):
            value.uniform_(0.5, 1.5)
        elif name.endswith("running_mean") or (value.ndim == 1 and name.endswith("bias")):
            value.normal_(std=0.1)
    return model.eval()


# Pictures, against torchvision


@pytest.mark.parametrize("depth", [18, 50])
def test_resnet_is_torchvisions(depth):
    theirs = trained(getattr(torchvision.models, f"resnet{depth}")())
    ours = MODELS["resnet"](in_channels=3, depth=depth, stem="imagenet").eval()
    missing, unexpected = ours.load_state_dict(theirs.state_dict(), strict=False)
    assert (missing, unexpected) == ([], ["fc.weight", "fc.bias"])
    x = torch.randn(1, 3, 64, 64)
    features = ours(x)
    assert features.shape == (1, 512 if depth < 50 else 2048, 2, 2)
    logits, expected = F.linear(features.mean((2, 3)), theirs.fc.weight, theirs.fc.bias), theirs(x)
    close(logits / expected.abs().max(), expected / expected.abs().max())


@pytest.mark.parametrize("depth", [34, 101, 152])
def test_resnets_weights_have_torchvisions_names_and_shapes(depth):
    with torch.device("meta"):
        theirs = getattr(torchvision.models, f"resnet{depth}")().state_dict()
        ours = MODELS["resnet"](in_channels=3, depth=depth, stem="imagenet").state_dict()
    assert shapes(ours) == {key: shape for key, shape in shapes(theirs).items() if not key.startswith("fc.")}


def shapes(state: dict[str, Tensor]) -> dict[str, torch.Size]:
    return {key: value.shape for key, value in state.items()}


def test_resnets_pyramid_ends_in_its_map():
    x = torch.randn(1, 3, 64, 64)
    maps = MODELS["resnet"](3, 32, width=4, out="pyramid").eval()
    last = MODELS["resnet"](3, 32, width=4).eval()
    last.load_state_dict(maps.state_dict())
    close(maps(x)[-1], last(x))


def test_mobilenet_is_torchvisions():
    theirs = trained(torchvision.models.mobilenet_v2())
    ours = MODELS["mobilenet"](in_channels=3, stem="imagenet").eval()
    ours.load_state_dict(
        {
            key.replace("features.", "layers."): value
            for key, value in theirs.features.state_dict(prefix="features.").items()
        }
    )
    x = torch.randn(1, 3, 64, 64)
    close(ours(x), theirs.features(x))


@pytest.mark.parametrize("width", [0.5, 1.4])
def test_mobilenets_channels_are_torchvisions_at_any_width(width):
    theirs = torchvision.models.mobilenet_v2(width_mult=width).features.state_dict()
    assert shapes(MODELS["mobilenet"](in_channels=3, width=width).layers.state_dict()) == shapes(theirs)


def test_convnext_is_torchvisions():
    theirs = trained(torchvision.models.convnext_tiny())
    ours = MODELS["convnext"](in_channels=3, out="vector").eval()
    names = {"block.0": "conv", "block.2": "norm", "block.3": "up", "block.5": "down"}
    state = {"norm.weight": theirs.classifier[0].weight, "norm.bias": theirs.classifier[0].bias}
    for key, value in theirs.features.state_dict().items():
        stage, rest = key.split(".", 1)
        for old, new in names.items():
            rest = rest.replace(old, new)
        rest = rest.replace("layer_scale", "scale")
        where = (
            "stem"
            if stage == "0"
            else f"stages.{int(stage) // 2}"
            if int(stage) % 2
            else f"downs.{int(stage) // 2 - 1}"
        )
        state[f"{where}.{rest}"] = value.flatten() if rest.endswith("scale") else value
    ours.load_state_dict(state)
    x = torch.randn(1, 3, 64, 64)
    close(ours(x), theirs.classifier[0](theirs.avgpool(theirs.features(x))).flatten(1))


def vit_state(theirs: nn.Module) -> dict[str, Tensor]:
    names = {
        "conv_proj": "patches",
        "class_token": "token",
        "encoder.pos_embedding": "position",
        "encoder.ln": "blocks.norm",
        "encoder.layers.encoder_layer_": "blocks.blocks.",
        "ln_1": "norm1",
        "ln_2": "norm2",
        "self_attention.in_proj_": "attention.qkv.",
        "self_attention.out_proj": "attention.out",
        "mlp.0": "mlp.up",
        "mlp.3": "mlp.down",
    }
    state = {}
    for key, value in theirs.state_dict().items():
        for old, new in names.items():
            key = key.replace(old, new)
        state[key] = value
    return {key: value for key, value in state.items() if not key.startswith("heads")}


@pytest.mark.parametrize("size", ["small", "b_16"])
def test_vit_is_torchvisions(size):
    if size == "small":
        args = {"image_size": 32, "patch": 8, "dim": 24, "depth": 2, "heads": 3, "hidden": 40}
        theirs = torchvision.models.VisionTransformer(32, 8, 2, 3, 24, 40)
    else:
        args = {"image_size": 224, "patch": 16, "dim": 768, "depth": 2, "heads": 12}  # of vit_b_16's 12 equal blocks
        theirs = torchvision.models.VisionTransformer(224, 16, 2, 12, 768, 3072)
    nn.init.normal_(theirs.class_token)
    nn.init.normal_(theirs.heads[0].weight)
    ours = MODELS["vit"](in_channels=3, out="vector", **args).eval()
    ours.load_state_dict(vit_state(trained(theirs)))
    x = torch.randn(1, 3, args["image_size"], args["image_size"])
    with torch.inference_mode():
        expected = theirs(x)
        close(theirs.heads(ours(x)) / expected.abs().max(), expected / expected.abs().max())


# Sequences, against torch


@pytest.mark.parametrize("name", ["rnn", "lstm", "gru"])
@pytest.mark.parametrize("causal", [True, False])
def test_recurrent_layers_are_torchs(name, causal):
    cell = {"rnn": nn.RNN, "lstm": nn.LSTM, "gru": nn.GRU}[name]
    theirs = cell(8, 8 if causal else 4, 2, batch_first=True, bidirectional=not causal)
    ours = MODELS[name](vocab_size=11, dim=8, layers=2, causal=causal)
    state = {"embed.weight": ours.embed.weight}
    for key, value in theirs.state_dict().items():  # weight_ih_l1_reverse -> rnn.backwards.1.weight_ih_l0
        weight, _, layer = key.removesuffix("_reverse").rpartition("_l")
        state[f"rnn.{'backwards' if 'reverse' in key else 'forwards'}.{layer}.{weight}_l0"] = value
    ours.load_state_dict(state)
    x = torch.randint(11, (4, 7))
    lengths = torch.tensor([7, 2, 5, 1])
    mask = torch.arange(7) < lengths[:, None]
    packed = pack_padded_sequence(ours.embed(x), lengths, batch_first=True, enforce_sorted=False)
    expected = pad_packed_sequence(theirs(packed)[0], batch_first=True)[0]
    close(ours(x, mask)[mask], expected[mask])
    close(ours(x), theirs(ours.embed(x))[0])


def test_recurrent_weights_start_orthogonal():
    for gate in Recurrent(nn.LSTM, 6, 1, 0.0, causal=True).forwards[0].weight_hh_l0.split(6):
        close(gate @ gate.T, torch.eye(6))


def torch_block(ours: Block, theirs: nn.TransformerEncoderLayer) -> None:
    names = {
        "self_attn.in_proj_": "attention.qkv.",
        "self_attn.out_proj": "attention.out",
        "linear1": "mlp.up",
        "linear2": "mlp.down",
    }
    state = {}
    for key, value in theirs.state_dict().items():
        for old, new in names.items():
            key = key.replace(old, new)
        state[key] = value
    ours.load_state_dict(state)


@pytest.mark.parametrize("norm_first", [True, False])
@pytest.mark.parametrize("act", ["relu", "gelu"])
def test_the_block_is_torchs(norm_first, act):
    theirs = trained(nn.TransformerEncoderLayer(12, 3, 20, 0.1, act, batch_first=True, norm_first=norm_first))
    ours = Block(12, 3, hidden=20, dropout=0.1, norm_first=norm_first, activation=act).eval()
    torch_block(ours, theirs)
    x = torch.randn(3, 6, 12)
    mask = torch.arange(6) < torch.tensor([6, 2, 4])[:, None]
    with torch.enable_grad():  # keeps torch from its inference path, which zeroes padding
        close(ours(x), theirs(x))
        close(ours(x, mask)[mask], theirs(x, src_key_padding_mask=~mask)[mask])


def test_the_causal_block_is_torchs():
    theirs = trained(nn.TransformerEncoderLayer(12, 3, 48, 0.0, "gelu", batch_first=True, norm_first=True))
    ours = Block(12, 3, hidden=48, causal=True).eval()
    torch_block(ours, theirs)
    x = torch.randn(2, 6, 12)
    close(ours(x), theirs(x, nn.Transformer.generate_square_subsequent_mask(6), is_causal=True))


def test_bert_is_torchs_encoder_on_normed_embeddings():
    ours = MODELS["bert"](vocab_size=11, context=8, dim=12, depth=2, heads=3, hidden=20).eval()
    layer = nn.TransformerEncoderLayer(12, 3, 20, 0.1, "gelu", layer_norm_eps=1e-12, batch_first=True)
    theirs = trained(nn.TransformerEncoder(layer, 2, enable_nested_tensor=False))
    for block, layer in zip(ours.blocks.blocks, theirs.layers, strict=True):
        torch_block(block, layer)
    x = torch.randint(11, (2, 6))
    embedded = F.layer_norm(ours.embed.weight[x] + ours.position.table.weight[:6], (12,), eps=1e-12)
    close(ours(x), theirs(embedded))


@pytest.mark.parametrize(("kv_heads", "rotary"), [(4, False), (2, False), (1, True), (4, True)])
def test_causal_attention_is_a_softmax_over_the_past(kv_heads, rotary):
    layer = SelfAttention(16, 4, kv_heads, causal=True, rotary=rotary)
    x = torch.randn(2, 5, 16)
    q, k, v = layer.qkv(x).split([16, 4 * kv_heads, 4 * kv_heads], -1)
    outputs = torch.zeros(2, 5, 4, 4)
    for h in range(4):
        shared = h * kv_heads // 4  # heads of a group stand together
        qh, kh, vh = q[..., 4 * h : 4 * h + 4], k[..., 4 * shared : 4 * shared + 4], v[..., 4 * shared : 4 * shared + 4]
        if rotary:
            qh, kh = turned(qh), turned(kh)
        for t in range(5):
            weights = torch.softmax(torch.einsum("bd,bsd->bs", qh[:, t], kh[:, : t + 1]) / 2.0, -1)
            outputs[:, t, h] = torch.einsum("bs,bsd->bd", weights, vh[:, : t + 1])
    close(layer(x), layer.out(outputs.flatten(2)))


@pytest.mark.parametrize("kv_heads", [4, 2])
@pytest.mark.parametrize(("masked", "causal"), [(False, False), (True, False), (False, True)])
def test_attention_in_bfloat16_is_that_in_float32_but_for_the_last_digits(kv_heads, masked, causal):
    sizes = [(3, heads, 9, 16) for heads in (4, kv_heads, kv_heads)]
    given = [torch.randn(size).bfloat16().float().requires_grad_() for size in sizes]
    mask = torch.ones(3, 1, 1, 9, dtype=torch.bool)
    mask[1, ..., 5:] = False
    exact = attend(*given, mask if masked else None, causal)
    rounded = attend(*(part.bfloat16() for part in given), mask if masked else None, causal)
    assert rounded.dtype == torch.bfloat16
    weight = torch.randn_like(exact)
    torch.testing.assert_close(rounded.float(), exact, atol=0.03, rtol=0.02)
    for ours, theirs in zip(
        torch.autograd.grad((rounded.float() * weight).sum(), given),
        torch.autograd.grad((exact * weight).sum(), given),
        strict=True,
    ):
        assert (ours - theirs).norm() < 0.01 * theirs.norm()
    if masked:
        assert not torch.autograd.grad(attend(*given, mask).sum(), given)[2][1, :, 5:].any()


def turned(x: Tensor) -> Tensor:
    """RoPE with complex numbers: (B, T, d)."""
    half = x.shape[-1] // 2
    z = torch.complex(x[..., :half], x[..., half:])
    angles = torch.arange(x.shape[1])[:, None] * 10000.0 ** (-torch.arange(half) / half)
    z = z * torch.polar(torch.ones_like(angles), angles)
    return torch.cat([z.real, z.imag], -1)


def test_rotated_products_know_the_distance_only():
    q, k = torch.randn(1, 1, 1, 8), torch.randn(1, 1, 1, 8)

    def product(i: int, j: int) -> Tensor:
        return (rotate(q, q, i)[0] * rotate(k, k, j)[0]).sum()

    close(product(3, 1), product(103, 101), 1e-4)
    assert abs(float(product(3, 1) - product(3, 2))) > 1e-3


def test_sinusoids_are_the_papers():
    table = SinusoidalPosition(8)(torch.zeros(1, 20, 8), start=5)[0]
    for t, i in ((0, 0), (7, 2), (19, 3)):
        angle = (t + 5) / 10000 ** (2 * i / 8)
        assert float(table[t, 2 * i]) == pytest.approx(math.sin(angle), abs=1e-5)
        assert float(table[t, 2 * i + 1]) == pytest.approx(math.cos(angle), abs=1e-5)


def test_swiglu_is_its_formula():
    layer = Feedforward(6, 12, "swiglu")
    w1, w2 = layer.up.weight.chunk(2)
    b1, b2 = layer.up.bias.chunk(2)
    x = torch.randn(2, 6)
    close(layer(x), layer.down(F.silu(x @ w1.T + b1) * (x @ w2.T + b2)))


def test_a_causal_convolution_is_a_sum_over_the_past():
    conv = CausalConv(2, 3, kernel=3, dilation=2)
    x = torch.randn(1, 2, 9)
    y = conv(x)
    for t in range(9):
        taps = [x[0, :, t - 2 * (2 - i)] if t - 2 * (2 - i) >= 0 else torch.zeros(2) for i in range(3)]
        close(y[0, :, t], conv.bias + sum(conv.weight[:, :, i] @ taps[i] for i in range(3)))


def test_tcn_sees_as_far_as_it_says():
    model = MODELS["tcn"](in_features=1, dim=4, norm="none", activation="softplus")
    x = torch.randn(1, 80, 1, requires_grad=True)
    model(x)[0, -1].sum().backward()
    assert int((x.grad[0, :, 0] != 0).sum()) == 61


def test_kims_network_takes_the_largest_window():
    model = MODELS["cnn1d"](vocab_size=11, embedding=4, dim=3, kernels=[3]).eval()
    x = torch.randint(11, (1, 6))
    e = F.pad(model.embed(x)[0], (0, 0, 1, 1))
    conv = model.convs[0]
    windows = [torch.einsum("dfk,kf->d", conv.weight, e[t : t + 3]) + conv.bias for t in range(6)]
    close(model(x)[0], F.relu(torch.stack(windows)).amax(0))


# The rest


def test_each_category_column_has_its_own_part_of_the_table():
    layer = CategoryEmbedding([3, 2, 4], 5)
    assert layer.dim == 15
    codes = torch.tensor([[2, 0, 3], [0, 1, 0]])
    rows = torch.tensor([[2, 3, 8], [0, 4, 5]])
    close(layer(codes), layer.table.weight[rows].flatten(1))


def test_a_table_without_number_columns_serves():
    model = MODELS["mlp"](in_features=0, categories=[3, 2])
    assert model(torch.zeros(4, 0), torch.ones(4, 2, dtype=torch.long)).shape == (4, 128)


def test_drop_path_keeps_the_mean():
    layer = DropPath(0.25)
    y = layer(torch.ones(8000, 2))
    assert set(y.unique().tolist()) == {0.0, float(torch.tensor(1.0) / 0.75)}
    assert float(y.mean()) == pytest.approx(1.0, abs=0.03)
    assert torch.equal(y[:, 0], y[:, 1])
    assert torch.equal(layer.eval()(torch.ones(3)), torch.ones(3))


@pytest.mark.parametrize("name", Activation.__args__)
def test_activations_go_by_torchs_names(name):
    x = torch.linspace(-3, 3, 7)
    own = {"gelu_tanh": partial(F.gelu, approximate="tanh")}.get(name) or getattr(F, name, getattr(torch, name, None))
    close(activation(name)(x), own(x))


def test_an_unknown_activation_is_refused():
    with pytest.raises(ConfigError, match="Did you mean 'gelu'"):
        activation("gelo")
