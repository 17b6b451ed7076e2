"""Beam search is that of transformers, and a row's text is the same alone and in company."""

import functools

import pytest
import torch
from test_models import PAIRS, Case
from torch import nn

from dlzoo.decoding import beam_search
from dlzoo.heads.dense import Dense
from dlzoo.task import Network
from dlzoo.transforms.text import END, MASK, PAD, START, UNKNOWN

V = 24


@functools.cache
def library(kind: str):
    """A tiny model of transformers, whose scores are far from even."""
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    layers = {"encoder_layers": 2, "decoder_layers": 2, "encoder_attention_heads": 2, "decoder_attention_heads": 2}
    sizes = {"d_model": 16, "encoder_ffn_dim": 32, "decoder_ffn_dim": 32, "max_position_embeddings": 64}
    ids = {"vocab_size": V, "pad_token_id": PAD, "eos_token_id": END, "decoder_start_token_id": START}
    ends = {"forced_eos_token_id": None, "bos_token_id": START}
    names = {"marian": ("MarianConfig", "MarianMTModel"), "bart": ("BartConfig", "BartForConditionalGeneration")}
    config, model = (getattr(transformers, name) for name in names[kind])
    return uneven(model(config(**layers, **sizes, **ids, **ends))).eval()


def uneven(model):
    """The model, with weights that make its scores far from even."""
    for weight in model.parameters():
        if weight.ndim == 2:
            nn.init.normal_(weight, std=0.5)
    return model


def sources(count: int = 6):
    rng = torch.Generator().manual_seed(1)
    x = torch.randint(5, V, (count, 9), generator=rng)
    mask = torch.arange(9) < torch.randint(2, 10, (count, 1), generator=rng)
    return x.masked_fill(~mask, PAD), mask


def ours(model, x, mask, **options):
    """Our search over a model of transformers, which reads all tokens anew at each step."""

    def step(tokens, state, memory):
        hidden, seen = memory
        tokens = tokens if state is None else torch.cat([state[0], tokens], 1)
        encoded = (hidden,) if isinstance(hidden, torch.Tensor) else hidden
        outputs = model(encoder_outputs=encoded, attention_mask=seen, decoder_input_ids=tokens, use_cache=False)
        return outputs.logits[:, -1], (tokens,)

    hidden = model.get_encoder()(x, attention_mask=mask).last_hidden_state
    return beam_search(step, (hidden, mask), torch.full((len(x),), START), end=END, **options)


@pytest.mark.parametrize("kind", ["marian", "bart"])
@pytest.mark.parametrize(
    ("beams", "penalty", "new"), [(2, 1.0, 12), (4, 0.6, 12), (5, 0.0, 20), (3, 2.0, 7), (4, -1.0, 9)]
)
@torch.no_grad()
def test_the_texts_are_those_of_transformers(kind, beams, penalty, new):
    model, (x, mask) = library(kind), sources()
    model.final_logits_bias[0, END] = 6 if penalty >= 1 else 4  # so that texts end at different lengths
    theirs = model.generate(
        input_ids=x,
        attention_mask=mask.long(),
        num_beams=beams,
        length_penalty=penalty,
        max_new_tokens=new,
        do_sample=False,
        early_stopping=False,
        output_scores=True,
        return_dict_in_generate=True,
    )
    found = ours(model, x, mask, beams=beams, length_penalty=penalty, new=new)
    for (tokens, score), row, expected in zip(found, theirs.sequences.tolist(), theirs.sequences_scores, strict=True):
        row = row[1:]
        assert tokens == (row[: row.index(END)] if END in row else [token for token in row if token != PAD])
        assert score == pytest.approx(float(expected), abs=1e-4)
    assert len({len(tokens) for tokens, _ in found}) > 1


@torch.no_grad()
def test_what_is_banned_is_what_transformers_suppresses():
    model, (x, mask) = library("marian"), sources()
    banned = (PAD, UNKNOWN, START, MASK, 9, 11)
    common = {"num_beams": 3, "max_new_tokens": 10, "do_sample": False, "suppress_tokens": list(banned)}
    theirs = model.generate(input_ids=x, attention_mask=mask.long(), **common)[:, 1:].tolist()
    found = ours(model, x, mask, beams=3, new=10, banned=banned)
    assert [tokens for tokens, _ in found] == [row[: row.index(END)] if END in row else row for row in theirs]


@pytest.mark.parametrize("name", ["encoder_decoder", "rnn_encoder_decoder"])
@torch.no_grad()
def test_company_changes_nothing(name):
    case = Case(name, PAIRS, {"vocab_size": V, "target_vocab_size": V})
    torch.manual_seed(0)
    backbone = case.build().eval()
    network = uneven(Network(backbone, Dense(backbone.features, V)))
    network.head.linear.bias.data[END] = 1
    x, mask = sources(8)

    def search(x, mask):
        def step(tokens, state, memory):
            features, state = backbone.step(tokens, state, memory)
            return network.head(features)[:, -1], state

        first = torch.full((len(x),), START)
        return beam_search(step, backbone.encode(x, mask), first, beams=4, new=14, end=END, length_penalty=0.6)

    together = search(x, mask)
    for i, (tokens, score) in enumerate(together):
        ((alone, its),) = search(x[i : i + 1, : mask[i].sum()], mask[i : i + 1, : mask[i].sum()])
        assert alone == tokens and its == pytest.approx(score, abs=1e-4)
    assert len({tuple(tokens) for tokens, _ in together}) > 4
    assert len({len(tokens) for tokens, _ in together}) > 1


@torch.no_grad()
def test_more_beams_find_likelier_texts():
    """With as many beams as there are texts, the search sees all of them."""
    p = torch.tensor([[0.0, 0.0, 0.1, 0.5, 0.4], [0.0, 0.0, 0.2, 0.4, 0.4], [0.0, 0.0, 0.95, 0.01, 0.04]])
    after = {START: 0, 3: 1, 4: 2}  # the likelier first token is followed by unlikelier ones

    def step(tokens, state, memory):
        return torch.stack([p[after.get(token, 0)] for token in tokens[:, 0].tolist()]).clamp(min=1e-9).log(), ()

    def best(beams):
        ((tokens, score),) = beam_search(
            step, (torch.zeros(1),), torch.tensor([START]), beams=beams, new=3, end=END, length_penalty=0.0
        )
        return tokens, round(2.718281828459045**score, 4)

    assert best(8) == ([4], 0.38)
