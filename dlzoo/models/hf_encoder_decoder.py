"""Encoder-decoders of transformers, by the folders that it saves (Wolf et al., 2020). Extra: hf."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from dlzoo.errors import ConfigError, DataError, RunError, first_few, printable
from dlzoo.features import Features
from dlzoo.layers import language_folder
from dlzoo.layers.attention import Cache
from dlzoo.layers.language_folder import fit, reordered
from dlzoo.layers.transformers_library import KEY, Given, cache, kept, library, reorder, told, trained, untrained
from dlzoo.registry import MODELS
from dlzoo.transforms.text import END, START, Tokenizer

KINDS = ("bart", "blenderbot", "m2m_100", "marian", "mbart", "mt5", "pegasus", "t5", "umt5")
"""What config.json calls those that were tried: their scores and texts are transformers' own."""
BY_VECTORS = ("m2m_100",)
"""They count places by ids that are not padding, which is another id here: they get the vectors of tokens."""
BEFORE = ("decoder_start_token_id", "forced_bos_token_id")
"""What transformers calls the tokens that its decoders read before a target."""
Memory = tuple[tuple[Cache, ...], Tensor, Tensor]
"""Keys and values of the source for each block of the decoder, its features (B, S, dim), and its mask (B, S)."""


@MODELS.register("hf_encoder_decoder")
class HFEncoderDecoder(nn.Module):
    """Tokens (B, S) and the target's (B, T), each a place late, to a sequence of features (B, T, dim) of the target.

    T5, BART, mBART, NLLB, Marian, Pegasus and their kin. Tokenizer and scores of tokens come with the network, and with
    them what its decoder reads before a target: the first is fed where START is, so that what is written begins as what
    was trained on, and both as in transformers.

    Args:
        path: folder/ with config.json, model.safetensors and tokenizer.json, as transformers saves it; hub:OWNER/NAME
            fetches one from the Hugging Face hub
        vocab_size: number of different tokens
        target_vocab_size: null, as one tokenizer serves both sides
        context: longest source, in tokens
        target_context: longest target, likewise
        config: what config.json says of the network; filled in from there
        before: tokens that stand before every target, by our ids; filled in from the folder
        lm_head: tokens are scored by a matrix of its own, not by that of the embedding; filled in from the folder
    """

    begins = "path"

    def __init__(
        self,
        path: str,
        vocab_size: int,
        target_vocab_size: int | None,
        context: int | None = None,
        target_context: int | None = None,
        config: dict | None = None,
        before: list[int] | None = None,
        lm_head: bool = False,
    ):
        super().__init__()
        if target_vocab_size is not None:
            raise ConfigError(["task.shared: this model has one tokenizer for both sides; leave it out"])
        if config is None:
            config, before, lm_head = self.implied(path).values()
        self.path, self.config, self.before = path, config, before or [START]
        whole = untrained(self.config | {"vocab_size": vocab_size, "decoder_vocab_size": vocab_size}, _class)
        if lm_head:
            out = whole.get_output_embeddings()
            out.weight = nn.Parameter(out.weight.detach().clone())
        whole.config.use_cache = False
        self.encoder, self.decoder = whole.get_encoder(), whole.get_decoder()
        self._whole = [whole]
        """In a list, as its scores are no part of this network: they become the task's."""
        for table in (self.embed, self.embed_target):
            table.padding_idx = None
        self.features = Features("sequence", whole.config.hidden_size, causal=True)
        self.longest: int | None = getattr(whole.config, "max_position_embeddings", None)
        fit(context, self.longest)
        fit(target_context, self.longest and self.longest + 1 - len(self.before), "task.target_context")

    @staticmethod
    def implied(path: str, **rest: Any) -> dict[str, Any]:
        """Arguments that follow from what is in the folder. Raises ConfigError for a network of another kind."""
        config = told(path)
        if config["model_type"] not in KINDS:
            kind = printable(config["model_type"])
            raise ConfigError([f"{KEY}: '{kind}' is no encoder-decoder that is known here, as {', '.join(KINDS)} are"])
        if not config.get("share_encoder_decoder_embeddings", True):
            raise ConfigError([f"{KEY}: {printable(path)} has other tokens for the target, and one tokenizer for both"])
        names = language_folder.weights(path, KEY)
        apart = "lm_head.weight" in names and any("embed_tokens" in name or "shared" in name for name in names)
        return {"config": config, "before": _before(path, config), "lm_head": apart}

    @staticmethod
    def tokenizer(path: str, **rest: Any) -> Tokenizer:
        """The tokenizer that the network was trained with."""
        return language_folder.tokenizer(path, KEY)

    @property
    def embed(self) -> nn.Embedding:
        """The vectors (V, D) of tokens."""
        return cast(nn.Embedding, cast(Any, self.encoder).get_input_embeddings())

    @property
    def embed_target(self) -> nn.Embedding:
        """Those of the target's tokens, mostly the same."""
        return cast(nn.Embedding, cast(Any, self.decoder).get_input_embeddings())

    def adapt(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The folder's weights as this network's, for our order of tokens. Raises RunError for those of another."""
        given = trained(self.config, _class, state, lambda whole: whole)
        order = language_folder.tokenizer(self.path, KEY).order
        halves = given.get_encoder(), given.get_decoder()
        reorder(order, *(half.get_input_embeddings() for half in halves), given.get_output_embeddings())
        if hasattr(given, "final_logits_bias"):
            given.final_logits_bias = reordered(given.final_logits_bias[0], order)[None]
        [whole] = self._whole
        whole.load_state_dict(given.state_dict())
        own = whole.state_dict()
        if odd := sorted(name for name, value in given.state_dict().items() if not torch.equal(own[name], value)):
            raise RunError(f"{KEY}: the folder has several values for what is one weight here: {first_few(odd)}")
        return self.state_dict()

    def lm_head(self) -> nn.Module:
        """The layers that turn features (B, T, D) into scores (B, T, V)."""
        return LMHead(self._whole[0])

    def forward(self, x: Tensor, target: Tensor, mask: Tensor | None = None) -> Tensor:
        found = self._decoded(self._begun(target), *self._encoded(x, mask))
        return cast(Tensor, found.last_hidden_state[:, len(self.before) - 1 :])

    def encode(self, x: Tensor, mask: Tensor | None = None) -> Memory:
        """What the decoder looks at of a source (B, S), as it has it when it reads a token."""
        hidden, seen = self._encoded(x, mask)
        found = self._decoded(torch.full_like(x[:, :1], self.before[0]), hidden, seen, cache=_caches(), use_cache=True)
        return kept(found.cache.cross_attention_cache), hidden, seen

    def step(self, target: Tensor, state: tuple[Cache, ...] | None, memory: Memory) -> tuple[Tensor, tuple[Cache, ...]]:
        """Features (B, t, dim) of new target tokens (B, t) after `state`, the keys and values of each block."""
        caches, hidden, seen = memory
        ids = self._begun(target, state is None)
        end = ids.shape[1] + (state[0][0].shape[2] if state else 0)
        if self.longest is not None and end > self.longest:
            raise DataError(f"a target of {end} places is longer than the {self.longest} that this model can take")
        found = self._decoded(ids, hidden, seen, cache=_caches(state, caches), use_cache=True)
        return found.last_hidden_state[:, -target.shape[1] :], kept(found.cache.self_attention_cache)

    def attention(self, target: Tensor, memory: Memory) -> Tensor:
        """How much each place of the target (B, T) looks at each of the source: (B, T, S), the last block's mean."""
        decoder: Any = self.decoder
        fused = decoder.config._attn_implementation
        decoder.set_attn_implementation("eager")  # the fused kernels give no weights
        try:
            found = self._decoded(self._begun(target), *memory[1:], output_attentions=True)
        finally:
            decoder.set_attn_implementation(fused)
        return cast(Tensor, found.cross_attentions[-1].mean(1)[:, len(self.before) - 1 :])

    def _begun(self, target: Tensor, first: bool = True) -> Tensor:
        """With what the decoder reads before a target in the place of START, which is the `first` of it."""
        *ahead, last = self.before
        own = target.masked_fill(target == START, last)
        return torch.cat([own.new_tensor(ahead).expand(len(own), -1), own], 1) if first else own

    def _encoded(self, x: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor]:
        seen = torch.ones_like(x) if mask is None else (mask | ~mask.any(1, keepdim=True)).long()
        return self.encoder(**self._tokens(self.embed, x), attention_mask=seen).last_hidden_state, seen

    def _decoded(self, ids: Tensor, hidden: Tensor, seen: Tensor, **rest: Any) -> Any:
        source = {"encoder_hidden_states": hidden, "encoder_attention_mask": seen}
        return self.decoder(**self._tokens(self.embed_target, ids), **source, **rest)

    def _tokens(self, table: nn.Embedding, ids: Tensor) -> dict[str, Tensor]:
        return {"inputs_embeds": table(ids)} if self.config["model_type"] in BY_VECTORS else {"input_ids": ids}


class LMHead(nn.Module):
    """All of an encoder-decoder of transformers but its two halves: features (B, T, D) to scores (B, T, V)."""

    def __init__(self, whole: Any):
        super().__init__()
        whole.set_encoder(Given())
        whole.set_decoder(Given())
        self.whole = whole

    def forward(self, features: Tensor) -> Tensor:
        return cast(Tensor, self.whole(encoder_outputs=(features,), decoder_inputs_embeds=features).logits)


def _class(settings: Any) -> Any:
    from transformers.models.auto import modeling_auto as auto

    return auto.MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING[type(settings)]


def _before(path: str, config: dict[str, Any]) -> list[int]:
    """What the decoder reads before a target, by our ids: what starts it, and what then is the first of every target:
    what the folder says, or what its tokenizer puts before every text.
    """
    own = language_folder.tokenizer(path, KEY)
    with library(config) as settings:
        known = settings.to_dict()
        said = {name: known.get(name) for name in ("eos_token_id", "bos_token_id", *BEFORE)}
    said |= language_folder.writing(path, KEY)
    if (ends := said["eos_token_id"]) is not None and own.order[END] not in np.atleast_1d(ends):
        raise ConfigError([f"{KEY}: its texts end with the token {ends}, and its tokenizer's with {own.order[END]}"])
    starts, first = (said[name] for name in BEFORE)
    begins = [said["bos_token_id"] if starts is None else starts] + ([] if first is None else [first])
    found = [np.flatnonzero(own.order == theirs) for theirs in begins if theirs is not None]
    if not all(len(ours) for ours in found) or len(found) < len(begins):
        raise ConfigError([f"{KEY}: its {' and '.join(BEFORE)}, {begins}, are no tokens of its tokenizer"])
    ours = [int(places[0]) for places in found]
    return [*ours, START] if first is None and own.before == (START,) else ours


def _caches(own: tuple[Cache, ...] | None = None, source: tuple[Cache, ...] | None = None) -> Any:
    """The library's form of the keys and values of self-attention, and of the source's."""
    from transformers import EncoderDecoderCache

    return EncoderDecoderCache(cache(own), cache(source))
