"""TCN: temporal convolutional network, dilated and causal (Bai et al., 2018, arXiv:1803.01271)."""

from typing import Literal

from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm

from dlzoo.choices import Activation, Count, Share
from dlzoo.features import Features
from dlzoo.layers.activation import activation as activate
from dlzoo.layers.conv import CausalConv
from dlzoo.layers.embedding import embed
from dlzoo.registry import MODELS

State = tuple[Tensor, ...]
"""The last inputs (B, D, reach) of each convolution."""


class Layer(nn.Module):
    """Causal convolution, norm, activation, dropout: (B, D, T) to (B, D, T)."""

    def __init__(self, dim: int, kernel: int, dilation: int, activation: Activation, norm: str, dropout: float):
        super().__init__()
        conv = CausalConv(dim, dim, kernel, dilation)
        nn.init.kaiming_normal_(conv.weight, nonlinearity="relu")
        self.conv = weight_norm(conv) if norm == "weight" else conv
        self.norm = nn.LayerNorm(dim) if norm == "layer" else nn.Identity()
        self.activation = activate(activation)
        self.dropout = nn.Dropout1d(dropout)

    def forward(self, x: Tensor) -> Tensor:
        return self._rest(self.conv(x))

    def step(self, x: Tensor, past: Tensor | None) -> tuple[Tensor, Tensor]:
        x, past = self.conv.step(x, past)
        return self._rest(x), past

    def _rest(self, x: Tensor) -> Tensor:
        return self.dropout(self.activation(self.norm(x.transpose(1, 2)).transpose(1, 2)))


@MODELS.register("tcn")
class TCN(nn.Module):
    """Tokens (B, T) or vectors (B, T, F) to a sequence of features (B, T, dim); no place sees a later one.

    The last place sees 1 + 2 (kernel - 1) (2^depth - 1) steps: 61 with the defaults.

    Args:
        vocab_size: number of different tokens
        in_features: width of the vectors, where there are no tokens
        dim: width of the embedding and of the features
        depth: number of blocks of two convolutions; each is dilated twice as far as the one before
        kernel: steps that a convolution sees
        activation: after every convolution and every block
        norm: of the weights, as in the paper, or of the features of each step
        dropout: share of the channels dropped after every convolution
    """

    def __init__(
        self,
        vocab_size: int | None = None,
        in_features: int | None = None,
        dim: Count = 64,
        depth: Count = 4,
        kernel: Count = 3,
        activation: Activation = "relu",
        norm: Literal["none", "weight", "layer"] = "weight",
        dropout: Share = 0.0,
    ):
        super().__init__()
        self.embed = embed(dim, vocab_size, in_features)
        self.layers = nn.ModuleList(
            Layer(dim, kernel, 2 ** (i // 2), activation, norm, dropout) for i in range(2 * depth)
        )
        self.activation = activate(activation)
        self.features = Features("sequence", dim, causal=True)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Padding comes last, and no place sees what comes after it: the mask is not needed."""
        x = self.embed(x).transpose(1, 2)
        for first, second in zip(self.layers[::2], self.layers[1::2], strict=True):
            x = self.activation(x + second(first(x)))
        return x.transpose(1, 2)

    def step(self, x: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """Features (B, t, dim) of new tokens (B, t) or vectors that follow on `state`."""
        x = self.embed(x).transpose(1, 2)
        pasts: list[Tensor] = []
        for i in range(0, len(self.layers), 2):
            y = x
            for j in (i, i + 1):
                layer = self.layers[j]
                assert isinstance(layer, Layer)
                y, past = layer.step(y, state[j] if state else None)
                pasts.append(past)
            x = self.activation(x + y)
        return x.transpose(1, 2), tuple(pasts)
