"""Models that read one sequence and write another: what they see, and that stepping is the whole forward."""

import itertools

import pytest
import torch
from test_models import CASES, PAIRS, Case, close, other, reorder
from torch import nn

from dlzoo.errors import ConfigError
from dlzoo.layers.alignment import AlignmentAttention
from dlzoo.layers.copying import Copying
from dlzoo.layers.decoder import Decoder
from dlzoo.layers.transformer import Blocks
from dlzoo.models.encoder_decoder import EncoderDecoder
from dlzoo.models.rnn_encoder_decoder import RNNEncoderDecoder

every = pytest.mark.parametrize("case", [case for case in CASES if case.takes == PAIRS], ids=str)


def copy(ours: nn.Module, theirs: nn.Module) -> None:
    ours.load_state_dict(dict(zip(ours.state_dict(), theirs.state_dict().values(), strict=True)))


@pytest.mark.filterwarnings("ignore:enable_nested_tensor is True:UserWarning")
@pytest.mark.parametrize("norm_first", [True, False])
@torch.no_grad()
def test_encoder_and_decoder_are_torchs(norm_first):
    torch.manual_seed(0)
    common = {"norm_first": norm_first, "activation": "relu", "dropout": 0.0, "hidden": 24, "rotary": False}
    theirs = nn.Transformer(16, 4, 2, 2, 24, 0.0, batch_first=True, norm_first=norm_first)  # in eval it warns of itself
    if not norm_first:  # torch's has a last norm in both cases, the paper none
        theirs.encoder.norm = theirs.decoder.norm = None
    for weight in theirs.parameters():
        nn.init.normal_(weight, std=0.3)
    encoder, decoder = Blocks(2, 16, 4, **common), Decoder(2, 16, 4, norm="layer", **common)
    for ours, layer in zip(encoder.blocks, theirs.encoder.layers, strict=True):
        attention = layer.self_attn
        copy(ours.norm1, layer.norm1), copy(ours.norm2, layer.norm2)
        copy(ours.mlp.up, layer.linear1), copy(ours.mlp.down, layer.linear2)
        ours.attention.qkv.weight, ours.attention.qkv.bias = attention.in_proj_weight, attention.in_proj_bias
        copy(ours.attention.out, attention.out_proj)
    for ours, layer in zip(decoder.blocks, theirs.decoder.layers, strict=True):
        attention, cross = layer.self_attn, layer.multihead_attn
        copy(ours.norm1, layer.norm1), copy(ours.norm2, layer.norm2), copy(ours.norm3, layer.norm3)
        copy(ours.mlp.up, layer.linear1), copy(ours.mlp.down, layer.linear2)
        ours.attention.qkv.weight, ours.attention.qkv.bias = attention.in_proj_weight, attention.in_proj_bias
        copy(ours.attention.out, attention.out_proj), copy(ours.cross_attention.out, cross.out_proj)
        for part, places in ((ours.cross_attention.q, slice(16)), (ours.cross_attention.kv, slice(16, None))):
            part.weight.copy_(cross.in_proj_weight[places])
            part.bias.copy_(cross.in_proj_bias[places])
    if norm_first:
        copy(encoder.norm, theirs.encoder.norm), copy(decoder.norm, theirs.decoder.norm)
    x, y = torch.randn(3, 7, 16), torch.randn(3, 5, 16)
    mask = torch.arange(7) < torch.tensor([[7], [4], [1]])
    later = nn.Transformer.generate_square_subsequent_mask(5)
    expected = theirs(x, y, tgt_mask=later, src_key_padding_mask=~mask, memory_key_padding_mask=~mask)
    found = decoder(y, decoder.remember(encoder(x, mask), mask))
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
    weights = theirs.decoder.layers[0].multihead_attn
    memory = theirs.encoder(x, src_key_padding_mask=~mask)
    asked = torch.randn(3, 5, 16)
    _, expected = weights(asked, memory, memory, key_padding_mask=~mask)
    cross = decoder.blocks[0].cross_attention
    torch.testing.assert_close(cross.weights(asked, cross.remember(memory), mask), expected, atol=1e-5, rtol=1e-4)


@every
@torch.no_grad()
def test_stepping_is_the_whole_forward(case):
    model, inputs = case.build().eval(), case.inputs(length=9)
    whole, memory = model(**inputs), model.encode(inputs["x"])
    for portions in ([1] * 9, [4, 1, 1, 3], [9]):
        state, found = None, []
        for part in inputs["target"].split(portions, 1):
            features, state = model.step(part, state, memory)
            found.append(features)
        close(torch.cat(found, 1), whole)


@every
@torch.no_grad()
def test_the_rows_of_memory_and_state_can_be_picked(case):
    model, inputs = case.build().eval(), case.inputs(length=6)
    rows, memory = torch.tensor([2, 0, 0]), model.encode(inputs["x"])
    _, state = model.step(inputs["target"][:, :4], None, memory)
    found, _ = model.step(inputs["target"][rows, 4:], reorder(state, rows), reorder(memory, rows))
    close(found, model(**{name: value[rows] for name, value in inputs.items()})[:, 4:])


@every
@torch.no_grad()
def test_padding_of_the_source_changes_nothing(case):
    model, inputs = case.build().eval(), case.inputs(batch=4)
    x, lengths = inputs["x"], [3, 8, 1, 5]
    mask = torch.arange(x.shape[1]) < torch.tensor(lengths)[:, None]
    padded = model(x=x, mask=mask, target=inputs["target"])
    close(model(x=torch.where(mask, x, other(x)), mask=mask, target=inputs["target"]), padded)
    for i, length in enumerate(lengths):
        close(model(x=x[i : i + 1, :length], target=inputs["target"][i : i + 1])[0], padded[i])


@every
@torch.no_grad()
def test_a_place_sees_the_whole_source_and_of_the_target_nothing_later(case):
    model, inputs = case.build().eval(), case.inputs()
    before = model(**inputs)
    for place in range(inputs["x"].shape[1]):
        x = inputs["x"].clone()
        x[:, place] = (x[:, place] + 1) % 11
        assert ((model(x=x, target=inputs["target"]) - before).abs().amax(2) > 0).all()
    for place in range(inputs["target"].shape[1]):
        target = inputs["target"].clone()
        target[:, place] = (target[:, place] + 1) % 11
        changed = (model(x=inputs["x"], target=target) - before).abs().amax((0, 2)) > 1e-6
        assert changed.tolist() == [at >= place for at in range(len(changed))]


@every
def test_a_source_of_padding_is_finite_and_leaves_gradients_finite(case):
    model, inputs = case.build(), case.inputs(batch=2)
    mask = torch.tensor([[True], [False]]).expand(inputs["x"].shape)
    output = model(**inputs, mask=mask)
    output[0].sum().backward()
    assert output.isfinite().all()
    assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())


@every
@torch.no_grad()
def test_attention_is_a_share_of_each_real_place_of_the_source(case):
    model, inputs = case.build().eval(), case.inputs()
    mask = torch.arange(inputs["x"].shape[1]) < torch.tensor([[8], [3], [1]])
    weights = model.attention(inputs["target"], model.encode(inputs["x"], mask))
    assert weights.shape == (*inputs["target"].shape, inputs["x"].shape[1])
    torch.testing.assert_close(weights.sum(2), torch.ones(inputs["target"].shape))
    assert (weights.transpose(1, 2)[~mask] == 0).all()


@torch.no_grad()
def test_scores_of_an_alignment_are_those_of_the_papers():
    torch.manual_seed(0)
    h, memory, mask = torch.randn(2, 3, 4), torch.randn(2, 5, 4), torch.ones(2, 5, dtype=torch.bool)
    for kind in ("additive", "dot", "general"):
        attention = AlignmentAttention(kind, 4)
        read, weights = attention(h, memory, attention.keys(memory), mask)
        for b, t in ((0, 0), (1, 2)):
            if kind == "additive":
                W, U, v = attention.query, attention.keys.weight, attention.score.weight[0]
                scores = torch.stack([v @ (W(h[b, t]) + U @ m).tanh() for m in memory[b]])
            else:
                W = torch.eye(4) if kind == "dot" else attention.keys.weight
                scores = torch.stack([h[b, t] @ W @ m for m in memory[b]])
            torch.testing.assert_close(weights[b, t], scores.softmax(0))
            torch.testing.assert_close(read[b, t], scores.softmax(0) @ memory[b])


@torch.no_grad()
def test_input_feeding_lets_a_state_know_what_was_read_before():
    inputs = Case("rnn_encoder_decoder", PAIRS).inputs(length=3)
    for feeding in (True, False):
        torch.manual_seed(0)
        model = RNNEncoderDecoder(11, 11, dim=8, input_feeding=feeding).eval()
        memory = model.encode(inputs["x"])
        _, (hidden, features) = model.step(inputs["target"][:, :2], None, memory)
        (one,), (other,) = (
            model.step(inputs["target"][:, 2:], (hidden, before), memory)[1][0] for before in (features, 0 * features)
        )
        assert torch.equal(one, other) != feeding


def test_one_table_serves_both_sides_that_share_their_tokens():
    for name in ("encoder_decoder", "rnn_encoder_decoder"):
        shared = Case(name, PAIRS, {"target_vocab_size": None}).build()
        assert shared.embed_target is shared.embed
        assert Case(name, PAIRS).build().embed_target.num_embeddings == 13


@torch.no_grad()
def test_what_is_copied_is_gu_s_mixture():
    torch.manual_seed(0)
    layer = Copying(8).double()
    features, memory, scores = (
        torch.randn(2, 3, 8).double(),
        torch.randn(2, 5, 8).double(),
        torch.randn(2, 3, 9).double(),
    )
    x, lengths = torch.tensor([[4, 7, 4, 2, 4], [8, 8, 1, 0, 0]]), (5, 3)
    mask = torch.arange(5) < torch.tensor(lengths)[:, None]
    found = layer(3 * scores, features, layer.remember(memory, x, mask)).softmax(-1)
    for b, t in itertools.product(range(2), range(3)):
        p = (3 * scores[b, t]).exp()
        for s in range(lengths[b]):
            p[x[b, s]] += (layer.query(features[b, t]) @ layer.key(memory[b, s]) / 8**0.5).exp()
        torch.testing.assert_close(found[b, t], p / p.sum(), atol=1e-6, rtol=1e-5)


def test_copying_learns_to_repeat_sooner():
    """The third token of four is asked for, out of 800: without copying, each of them has to be learned."""

    def learned(copy: bool) -> float:
        torch.manual_seed(0)
        model = EncoderDecoder(800, None, dim=32, depth=1, heads=2, dropout=0.0, copy=copy)
        optimizer = torch.optim.Adam(model.parameters(), 3e-3)
        for _ in range(100):
            x = torch.randint(6, 800, (64, 4))
            found = model(x, torch.full((64, 1), 2))[:, 0]
            loss = nn.functional.cross_entropy(found if copy else found @ model.embed.weight.T, x[:, 2])
            optimizer.zero_grad(), loss.backward(), optimizer.step()
        return loss.item()

    assert learned(copy=True) < learned(copy=False) / 2


def test_copying_needs_tokens_of_one_kind():
    with pytest.raises(ConfigError, match=r"model\.copy: .* set task\.shared: true"):
        EncoderDecoder(8, 9, dim=8, depth=1, heads=2, copy=True)
