"""The whole Transformer of attention is all you need (Vaswani et al., 2017, arXiv:1706.03762): encoder and decoder."""

from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dlzoo.choices import Count, Gate, Position, Share
from dlzoo.errors import ConfigError
from dlzoo.features import Features
from dlzoo.layers.attention import Cache
from dlzoo.layers.copying import Copied, Copying
from dlzoo.layers.decoder import Decoder, Memory
from dlzoo.layers.dropout import Dropout
from dlzoo.layers.embedding import embed
from dlzoo.layers.position import position as positions
from dlzoo.layers.transformer import Blocks
from dlzoo.registry import MODELS


@MODELS.register("encoder_decoder")
class EncoderDecoder(nn.Module):
    """Tokens (B, S) and the target's (B, T), each a place late, to a sequence of features (B, T, dim) of the target.

    No place of the target sees a later one; all see the whole source. The paper's base: dim 512, depth 6, heads 8,
    norm_first false, activation relu, dropout .1.

    Args:
        vocab_size: number of different tokens of the source
        target_vocab_size: number of different tokens of the target; null where both are of one kind, and share vectors
        context: longest source, in tokens, where positions are learned
        target_context: longest target, likewise
        dim: width of the features
        depth: number of blocks of the encoder, and of the decoder
        heads: of attention, each of width dim / heads
        hidden: width of the feed-forward networks; null for 4 dim
        position: learned and sinusoidal are added to the embedding, rotary turns queries and keys within each side
        norm: of the features
        norm_first: normalise before each branch and at the end; false does it after each sum, as in the paper
        activation: of the feed-forward networks; swiglu has a gate
        dropout: share dropped of the embeddings and of every residual branch
        copy: tokens of the source can be written again as they are, say names in a summary (Gu et al., 2016)
    """

    def __init__(
        self,
        vocab_size: int,
        target_vocab_size: int | None,
        context: int = 256,
        target_context: int = 256,
        dim: Count = 256,
        depth: Count = 3,
        heads: Count = 4,
        hidden: Count | None = None,
        position: Position = "sinusoidal",
        norm: Literal["layer", "rms"] = "layer",
        norm_first: bool = True,
        activation: Gate = "relu",
        dropout: Share = 0.1,
        copy: bool = False,
    ):
        super().__init__()
        self.scale = dim**0.5  # section 3.4: tokens come in as large as the sinusoids
        self.embed = embed(dim, vocab_size, None, std=dim**-0.5)
        own = target_vocab_size is not None
        self.embed_target = embed(dim, target_vocab_size, None, std=dim**-0.5) if own else self.embed
        self.position = positions(position, context, dim)
        self.target_position = positions(position, target_context, dim)
        self.dropout = Dropout(dropout)
        both: dict[str, Any] = {"hidden": hidden, "norm": norm, "norm_first": norm_first, "activation": activation}
        both |= {"dropout": dropout, "rotary": position == "rotary"}
        self.encoder = Blocks(depth, dim, heads, **both)
        self.decoder = Decoder(depth, dim, heads, **both)
        if copy and own:
            raise ConfigError(["model.copy: the target has tokens of another kind; set task.shared: true"])
        self.copying = Copying(dim) if copy else None
        self.features = Features("sequence", vocab_size if copy else dim, causal=True)

    def forward(self, x: Tensor, target: Tensor, mask: Tensor | None = None) -> Tensor:
        memory, copied = self.encode(x, mask)
        return self._leave(self.decoder(self._enter(target), memory), copied)

    def lm_head(self) -> nn.Module | None:
        """Where tokens are copied the features are their scores already: those of the embedding, and the source's."""
        return nn.Identity() if self.copying is not None else None

    def encode(self, x: Tensor, mask: Tensor | None = None) -> tuple[Memory, Copied]:
        """What the decoder looks at of a source (B, S), and what can be copied of it."""
        mask = torch.ones_like(x, dtype=torch.bool) if mask is None else mask
        memory = self.encoder(self.dropout(self.position(self.scale * self.embed(x))), mask)
        return self.decoder.remember(memory, mask), self.copying.remember(memory, x, mask) if self.copying else ()

    def step(
        self, target: Tensor, state: tuple[Cache, ...] | None, memory: tuple[Memory, Copied]
    ) -> tuple[Tensor, tuple[Cache, ...]]:
        """Features (B, t, dim) of new target tokens (B, t) after `state`, the keys and values of each block."""
        start = state[0][0].shape[2] if state else 0
        features, state = self.decoder.step(self._enter(target, start), state, memory[0])
        return self._leave(features, memory[1]), state

    def attention(self, target: Tensor, memory: tuple[Memory, Copied]) -> Tensor:
        """How much each place of the target (B, T) looks at each of the source: (B, T, S), the last block's mean."""
        return self.decoder.attention(self._enter(target), memory[0])

    def _enter(self, target: Tensor, start: int = 0) -> Tensor:
        return self.dropout(self.target_position(self.scale * self.embed_target(target), start))

    def _leave(self, features: Tensor, copied: Copied) -> Tensor:
        if self.copying is None:
            return features
        return self.copying(F.linear(features, self.embed.weight), features, copied)
