"""From features to the scores of tokens, as BERT does it (Devlin et al., 2018, arXiv:1810.04805)."""

from torch import Tensor, nn

from dlzoo.choices import Activation
from dlzoo.layers.activation import activation as activate


class LMHead(nn.Module):
    """Features (..., D) to scores (..., tokens): a layer with its norm, then a matrix and a bias.

    With `tie` the matrix is that of an embedding (Press and Wolf, 2016), and the layer before as wide.
    """

    def __init__(
        self, dim: int, tokens: int, tie: nn.Embedding | None, activation: Activation = "gelu", eps: float = 1e-12
    ):
        super().__init__()
        width = dim if tie is None else tie.embedding_dim
        self.dense = nn.Linear(dim, width)
        self.activation = activate(activation)
        self.norm = nn.LayerNorm(width, eps)
        self.linear = nn.Linear(width, tokens)
        nn.init.normal_(self.dense.weight, std=0.02)
        nn.init.zeros_(self.dense.bias)
        if tie is not None:
            assert tie.num_embeddings == tokens
            self.linear.weight = tie.weight
            nn.init.zeros_(self.linear.bias)

    def forward(self, features: Tensor) -> Tensor:
        return self.linear(self.norm(self.activation(self.dense(features))))
