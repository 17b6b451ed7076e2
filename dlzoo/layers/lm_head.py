"""From features to the scores of tokens, as BERT does it (Devlin et al., 2018, arXiv:1810.04805)."""

from torch import Tensor, nn

from dlzoo.choices import Activation
from dlzoo.layers.activation import activation as activate


class LMHead(nn.Module):
    """Features (B, T, D) to scores (B, T, V): a layer with its norm, then the embedding's own matrix and a bias."""

    def __init__(self, embedding: nn.Embedding, activation: Activation, eps: float):
        super().__init__()
        tokens, dim = embedding.weight.shape
        self.dense = nn.Linear(dim, dim)
        self.activation = activate(activation)
        self.norm = nn.LayerNorm(dim, eps)
        self.linear = nn.Linear(dim, tokens)
        self.linear.weight = embedding.weight
        nn.init.normal_(self.dense.weight, std=0.02)
        for bias in (self.dense.bias, self.linear.bias):
            nn.init.zeros_(bias)

    def forward(self, features: Tensor) -> Tensor:
        return self.linear(self.norm(self.activation(self.dense(features))))
