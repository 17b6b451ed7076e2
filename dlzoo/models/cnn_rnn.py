"""CNN, then RNN: long-term recurrent convolutional networks (Donahue et al., 2015, arXiv:1411.4389)."""

from typing import Literal, cast

from torch import Tensor, nn

from dlzoo.choices import Count, Share
from dlzoo.config import Component
from dlzoo.errors import ConfigError
from dlzoo.features import Features
from dlzoo.layers.recurrent import Recurrent
from dlzoo.registry import MODELS


@MODELS.register("cnn_rnn")
class CNNThenRNN(nn.Module):
    """Videos (B, C, T, H, W) to a sequence of features (B, T, dim): a network for pictures, one for sequences upon it.

    Args:
        frames: frames that are seen at a time
        cnn: the network that sees each frame, say {name: resnet, depth: 10}; it gives a map or a vector
        rnn: the kind of cells that go through the frames in order
        dim: width of the features; a network that is not causal shares it between two directions
        layers: number of recurrent layers
        causal: read from the first frame to the last only, not also backwards
        dropout: share dropped of the frames' features, between recurrent layers and of the features
    """

    def __init__(
        self,
        frames: int,
        cnn: Component,
        rnn: Literal["lstm", "gru"] = "lstm",
        dim: Count = 128,
        layers: Count = 1,
        causal: bool = True,
        dropout: Share = 0.0,
    ):
        super().__init__()
        if frames < 2:
            raise ConfigError(["task.frames: one frame has no order that 'cnn_rnn' could see; give two or more"])
        self.cnn = cast(nn.Module, cnn)  # built by then
        features = cast(Features, self.cnn.features)
        if features.kind not in ("map", "vector"):
            raise ConfigError([f"model.cnn: a map or a vector of each frame is wanted, not a {features.kind}"])
        self.project = nn.Linear(cast(int, features.dim), dim)
        self.rnn = Recurrent({"lstm": nn.LSTM, "gru": nn.GRU}[rnn], dim, layers, dropout, causal)
        self.features = Features("sequence", dim, causal=causal)

    def forward(self, x: Tensor) -> Tensor:
        B, _, T, _, _ = x.shape
        y = self.cnn(x.transpose(1, 2).flatten(0, 1))
        y = y.mean((2, 3)) if y.ndim == 4 else y
        return self.rnn(self.project(y).view(B, T, -1))
