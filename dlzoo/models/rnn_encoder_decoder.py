"""Recurrent encoder and decoder with attention (Bahdanau et al., 2014, arXiv:1409.0473; Luong et al., 2015)."""

from typing import Literal

import torch
from torch import Tensor, nn

from dlzoo.choices import Alignment, Count, Share
from dlzoo.features import Features
from dlzoo.layers.alignment import AlignmentAttention
from dlzoo.layers.dropout import Dropout
from dlzoo.layers.embedding import embed
from dlzoo.layers.recurrent import Recurrent
from dlzoo.layers.recurrent import State as Hidden
from dlzoo.registry import MODELS

Memory = tuple[Tensor, Tensor, Tensor, Hidden]
"""What was encoded (B, S, dim), its keys (B, S, dim), its mask (B, S), and the first state of the decoder."""
State = tuple[Hidden, Tensor]
"""The hidden states of the decoder, and the features (B, 1, dim) of the last place."""


@MODELS.register("rnn_encoder_decoder")
class RNNEncoderDecoder(nn.Module):
    """Tokens (B, S) and the target's (B, T), each a place late, to a sequence of features (B, T, dim) of the target.

    The encoder reads in both directions; at each place of the target a state h looks at the source, reads c of it, and
    gives tanh(W [c; h]) (arXiv:1508.04025, eq. 5).

    Args:
        vocab_size: number of different tokens of the source
        target_vocab_size: number of different tokens of the target; null where both are of one kind, and share vectors
        rnn: the cells of encoder and decoder
        dim: width of the embeddings, of the states and of the features
        layers: number of recurrent layers of the encoder, and of the decoder
        attention: how places of the source are scored: additive is Bahdanau's, dot and general are Luong's
        input_feeding: the decoder also reads the features of the place before; without, training is faster
        dropout: share dropped of the embeddings, between layers and of the features
    """

    def __init__(
        self,
        vocab_size: int,
        target_vocab_size: int | None,
        rnn: Literal["lstm", "gru"] = "gru",
        dim: Count = 256,
        layers: Count = 1,
        attention: Alignment = "additive",
        input_feeding: bool = True,
        dropout: Share = 0.2,
    ):
        super().__init__()
        cell = nn.LSTM if rnn == "lstm" else nn.GRU
        self.embed = embed(dim, vocab_size, None)
        own = target_vocab_size is not None
        self.embed_target = embed(dim, target_vocab_size, None) if own else self.embed
        self.encoder = Recurrent(cell, dim, layers, dropout, causal=False)
        self.begin = nn.ModuleList(nn.Linear(dim, layers * dim) for _ in range(2 if rnn == "lstm" else 1))
        self.feed = nn.Linear(2 * dim, dim) if input_feeding else None
        self.decoder = Recurrent(cell, dim, layers, dropout, causal=True)
        self.alignment = AlignmentAttention(attention, dim)
        self.out = nn.Linear(2 * dim, dim)
        self.dropout = Dropout(dropout)
        self.features = Features("sequence", dim, causal=True)

    def forward(self, x: Tensor, target: Tensor, mask: Tensor | None = None) -> Tensor:
        return self.step(target, None, self.encode(x, mask))[0]

    def encode(self, x: Tensor, mask: Tensor | None = None) -> Memory:
        """What the decoder looks at of a source (B, S), and where it begins: both ends of what was read."""
        mask = torch.ones_like(x, dtype=torch.bool) if mask is None else mask
        memory = self.encoder(self.embed(x), mask)
        last = (mask.sum(1) - 1).clamp(min=0)
        forwards, backwards = memory[torch.arange(len(x), device=x.device), last], memory[:, 0]
        half = memory.shape[2] // 2
        ends = torch.cat([forwards[:, :half], backwards[:, half:]], 1)
        begun = (linear(ends).tanh().to(memory.dtype) for linear in self.begin)
        state = tuple(part.unflatten(1, (-1, memory.shape[2])) for part in begun)
        return memory, self.alignment.keys(memory), mask, state

    def step(self, target: Tensor, state: State | None, memory: Memory) -> tuple[Tensor, State]:
        """Features (B, t, dim) of new target tokens (B, t) after `state`."""
        features, state, _ = self._read(target, state, memory)
        return features, state

    def attention(self, target: Tensor, memory: Memory) -> Tensor:
        """How much each place of the target (B, T) looks at each of the source: (B, T, S)."""
        return self._read(target, None, memory)[2]

    def _read(self, target: Tensor, state: State | None, memory: Memory) -> tuple[Tensor, State, Tensor]:
        hidden, before = state if state is not None else (memory[3], torch.zeros_like(memory[0][:, :1]))
        y = self.embed_target(target)
        if self.feed is None:
            features, weights, hidden = self._places(y, hidden, memory)
            return features, (hidden, features[:, -1:]), weights
        found = []
        for place in y.split(1, 1):
            before, weights, hidden = self._places(self.feed(torch.cat([place, before], -1)), hidden, memory)
            found.append((before, weights))
        features, weights = (torch.cat(parts, 1) for parts in zip(*found, strict=True))
        return features, (hidden, before), weights

    def _places(self, y: Tensor, hidden: Hidden, memory: Memory) -> tuple[Tensor, Tensor, Hidden]:
        h, hidden = self.decoder.step(y, hidden)
        read, weights = self.alignment(h, *memory[:3])
        return self.dropout(self.out(torch.cat([read, h], -1)).tanh()), weights, hidden
