"""BERT: a bidirectional Transformer encoder (Devlin et al., 2018, arXiv:1810.04805)."""

from torch import Tensor, nn

from dlzoo.choices import Count, Gate, Share
from dlzoo.features import Features
from dlzoo.layers.embedding import embed
from dlzoo.layers.position import LearnedPosition
from dlzoo.layers.transformer import Blocks
from dlzoo.registry import MODELS


@MODELS.register("bert")
class BERT(nn.Module):
    """Tokens (B, T) or vectors (B, T, F) to a sequence of features (B, T, dim); every place sees all others.

    The paper's base: dim 768, depth 12, heads 12, dropout .1.

    Args:
        vocab_size: number of different tokens
        in_features: width of the vectors, where there are no tokens
        context: longest sequence, in tokens or steps
        dim: width of the features
        depth: number of blocks
        heads: of attention, each of width dim / heads
        hidden: width of the feed-forward networks; null for 4 dim
        norm_first: normalise before each branch, which trains more easily; false does it after the sum, as in the paper
        activation: of the feed-forward networks; swiglu has a gate
        dropout: share dropped of the embedding and of every residual branch
    """

    def __init__(
        self,
        vocab_size: int | None = None,
        in_features: int | None = None,
        context: int = 256,
        dim: Count = 128,
        depth: Count = 2,
        heads: Count = 4,
        hidden: Count | None = None,
        norm_first: bool = False,
        activation: Gate = "gelu",
        dropout: Share = 0.1,
    ):
        super().__init__()
        self.embed = embed(dim, vocab_size, in_features, std=0.02)
        self.position = LearnedPosition(context, dim)
        self.norm = nn.LayerNorm(dim, 1e-12)
        self.dropout = nn.Dropout(dropout)
        self.blocks = Blocks(
            depth,
            dim,
            heads,
            hidden=hidden,
            norm_first=norm_first,
            activation=activation,
            dropout=dropout,
            eps=1e-12,
        )
        self.features = Features("sequence", dim)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        return self.blocks(self.dropout(self.norm(self.position(self.embed(x)))), mask)
