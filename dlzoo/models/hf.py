"""Encoders and decoders of transformers, by the folders that it saves (Wolf et al., 2020). Extra: hf."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import torch
from torch import Tensor, nn

from dlzoo.features import Features
from dlzoo.layers.attention import Cache
from dlzoo.layers.language_folder import fit, has_lm_head, tokenizer
from dlzoo.layers.transformers_library import KEY, Given, cache, kept, reorder, told, trained, untrained
from dlzoo.registry import MODELS
from dlzoo.transforms.text import Tokenizer


@MODELS.register("hf")
class HF(nn.Module):
    """Tokens (B, T) to a sequence of features (B, T, dim), by a network of transformers.

    Its tokenizer comes with it, and so do the scores of tokens where the folder has them. A decoder is causal; of an
    encoder-decoder the encoder is taken; hf_encoder_decoder has both.

    Args:
        path: folder/ with config.json, model.safetensors and tokenizer.json, as transformers saves it; hub:OWNER/NAME
            fetches one from the Hugging Face hub
        vocab_size: number of different tokens
        context: longest sequence, in tokens
        config: what config.json says of the network; filled in from there
    """

    begins = "path"

    def __init__(self, path: str, vocab_size: int, context: int | None = None, config: dict | None = None):
        super().__init__()
        self.path = path
        self.config = config or self.implied(path)["config"]
        whole = untrained(self.config | {"vocab_size": vocab_size}, _class)
        settings, self.network = whole.config, _network(whole)
        settings.use_cache = False
        causal = _causal(settings)
        tied = causal and getattr(settings, "tie_word_embeddings", False)
        self._head = [whole] if has_lm_head(self.config) or tied else []
        """In a list, as it is no part of this network: it may become the task's."""
        self.embed.padding_idx = None
        self.features = Features("sequence", settings.hidden_size, causal=causal)
        longest = getattr(settings, "max_position_embeddings", None)
        fit(context, longest and longest - self._offset)

    @staticmethod
    def implied(path: str, **rest: Any) -> dict[str, Any]:
        """Arguments that follow from what is in the folder."""
        return {"config": told(path)}

    @staticmethod
    def tokenizer(path: str, **rest: Any) -> Tokenizer:
        """The tokenizer that the network was trained with."""
        return tokenizer(path, KEY)

    @property
    def embed(self) -> nn.Embedding:
        """The vectors (V, D) of tokens."""
        return cast(nn.Embedding, cast(Any, self.network).get_input_embeddings())

    @property
    def position(self) -> nn.Embedding | None:
        """The vectors of places, where there are such."""
        tables = (part for name, part in self.network.named_modules() if name.endswith("position_embeddings"))
        return next((table for table in tables if isinstance(table, nn.Embedding)), None)

    @property
    def _offset(self) -> int:
        """The row of the first place: RoBERTa and its kin keep one for padding, and have one unused for each before."""
        padding = self.position.padding_idx if self.position is not None else None
        return 0 if padding is None else padding + 1

    def adapt(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The folder's weights as this network's, for our order of tokens. Raises RunError for those of another."""
        given = trained(self.config, _class, state, _network if not self._head else lambda whole: whole)
        reorder(tokenizer(self.path, KEY).order, given.get_input_embeddings(), given.get_output_embeddings())
        for whole in self._head:
            whole.load_state_dict(given.state_dict())
        return {f"network.{name}": value for name, value in _network(given).state_dict().items()}

    def lm_head(self) -> nn.Module | None:
        """The layers that turn features (B, T, D) into scores (B, T, V); None where they were not saved."""
        return LMHead(self._head[0]) if self._head else None

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Padding comes last, and no place of a causal network sees what comes after it: it needs no mask."""
        seen = {}
        if mask is not None and not self.features.causal:
            seen["attention_mask"] = (mask | ~mask.any(1, keepdim=True)).long()  # a row of padding alone sees itself
        return cast(Tensor, self.network(input_ids=x, **seen, **self._places(x)).last_hidden_state)

    def step(self, x: Tensor, state: tuple[Cache, ...] | None = None) -> tuple[Tensor, tuple[Cache, ...]]:
        """Features (B, t, dim) of new tokens (B, t) after `state`, the keys and values of each block; where causal."""
        start = state[0][0].shape[2] if state else 0
        found = self.network(input_ids=x, cache=cache(state), use_cache=True, **self._places(x, start))
        return found.last_hidden_state, kept(found.cache)

    def _places(self, x: Tensor, start: int = 0) -> dict[str, Tensor]:
        """The rows of places, where transformers would count tokens that are not padding by an id of its own."""
        if not self._offset:
            return {}
        first = start + self._offset
        return {"position_ids": torch.arange(first, first + x.shape[1], device=x.device)[None]}


class LMHead(nn.Module):
    """All of a language model of transformers but its network: features (B, T, D) to scores (B, T, V)."""

    def __init__(self, whole: Any):
        super().__init__()
        whole.register_module(whole.base_model_prefix, Given())
        self.whole = whole

    def forward(self, features: Tensor) -> Tensor:
        return cast(Tensor, self.whole(inputs_embeds=features).logits)


def _causal(settings: Any) -> bool:
    from transformers.models.auto import modeling_auto as auto

    if getattr(settings, "is_encoder_decoder", False):
        return False
    masked = type(settings) in auto.MODEL_FOR_MASKED_LM_MAPPING and not getattr(settings, "is_decoder", False)
    return not masked and type(settings) in auto.MODEL_FOR_CAUSAL_LM_MAPPING


def _class(settings: Any) -> Any:
    """The class of a language model where there is one: its network has no layers that are for classes only."""
    from transformers.models.auto import modeling_auto as auto

    if getattr(settings, "is_encoder_decoder", False):
        own = auto.MODEL_FOR_TEXT_ENCODING_MAPPING
        if hasattr(settings, "decoder_layers"):
            settings.decoder_layers = 0  # nothing is asked of it
    else:
        own = auto.MODEL_FOR_CAUSAL_LM_MAPPING if _causal(settings) else auto.MODEL_FOR_MASKED_LM_MAPPING
    return own[type(settings)] if type(settings) in own else auto.MODEL_MAPPING[type(settings)]


def _network(whole: Any) -> Any:
    return whole.get_encoder() if getattr(whole.config, "is_encoder_decoder", False) else whole.base_model
