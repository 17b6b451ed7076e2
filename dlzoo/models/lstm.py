"""LSTM: long short-term memory (Hochreiter and Schmidhuber, 1997)."""

from torch import Tensor, nn

from dlzoo.choices import Count, Share
from dlzoo.features import Features
from dlzoo.layers.embedding import embed
from dlzoo.layers.recurrent import Recurrent, State
from dlzoo.registry import MODELS


@MODELS.register("lstm")
class LSTM(nn.Module):
    """Tokens (B, T) or vectors (B, T, F) to a sequence of features (B, T, dim).

    Args:
        vocab_size: number of different tokens
        in_features: width of the vectors, where there are no tokens
        dim: width of the embedding and of the features
        layers: number of recurrent layers
        causal: read from left to right only; false reads in both directions, each of width dim / 2
        dropout: share dropped of the embedding, between layers and of the features
    """

    def __init__(
        self,
        vocab_size: int | None = None,
        in_features: int | None = None,
        dim: Count = 128,
        layers: Count = 1,
        causal: bool = True,
        dropout: Share = 0.0,
    ):
        super().__init__()
        self.embed = embed(dim, vocab_size, in_features)
        self.rnn = Recurrent(nn.LSTM, dim, layers, dropout, causal)
        self.features = Features("sequence", dim, causal=causal)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        return self.rnn(self.embed(x), mask)

    def step(self, x: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """Features (B, t, dim) of new tokens (B, t) or vectors that follow on `state`; only where causal."""
        return self.rnn.step(self.embed(x), state)
