"""BERT: a bidirectional Transformer encoder (Devlin et al., 2018, arXiv:1810.04805)."""

from collections.abc import Mapping
from typing import Any, Literal

from torch import Tensor, nn

from dlzoo.choices import Count, Gate, Share
from dlzoo.errors import ConfigError
from dlzoo.features import Features
from dlzoo.layers.dropout import Dropout
from dlzoo.layers.embedding import embed
from dlzoo.layers.language_folder import described, has_lm_head, places, reordered, sizes, tokenizer
from dlzoo.layers.lm_head import LMHead
from dlzoo.layers.position import LearnedPosition
from dlzoo.layers.position import position as positions
from dlzoo.layers.published import joined, renamed
from dlzoo.layers.transformer import Blocks
from dlzoo.registry import MODELS
from dlzoo.transforms.text import Tokenizer

KEY = "model.pretrained"
EPS = 1e-12
NAMES = {  # transformers': ours
    r"(?:bert\.)?embeddings\.word_embeddings\.": "embed.",
    r"(?:bert\.)?embeddings\.position_embeddings\.": "position.table.",
    r"(?:bert\.)?embeddings\.token_type_embeddings\.": "types.",
    r"(?:bert\.)?embeddings\.LayerNorm\.": "norm.",
    r"(?:bert\.)?embeddings\.position_ids|(?:bert\.)?pooler\.|cls\.seq_relationship\.": "",
    r"cls\.predictions\.transform\.dense\.": "lm_head.dense.",
    r"cls\.predictions\.transform\.LayerNorm\.": "lm_head.norm.",
    r"cls\.predictions\.bias": "lm_head.linear.bias",
    r"cls\.predictions\.decoder\.": "",
} | {
    rf"(?:bert\.)?encoder\.layer\.(\d+)\.{theirs}": rf"blocks.blocks.\1.{ours}"
    for theirs, ours in {
        r"attention\.self\.(query|key|value)\.": r"attention.\2.",
        r"attention\.output\.dense\.": "attention.out.",
        r"attention\.output\.LayerNorm\.": "norm1.",
        r"intermediate\.dense\.": "mlp.up.",
        r"output\.dense\.": "mlp.down.",
        r"output\.LayerNorm\.": "norm2.",
    }.items()
}


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
        position: learned is added to the embedding, as in the paper; rotary turns queries and keys, which learns faster
            from little text
        norm_first: normalise before each branch, which trains more easily; false does it after the sum, as in the paper
        activation: of the feed-forward networks; swiglu has a gate
        dropout: share dropped of the embedding and of every residual branch
        pretrained: folder/ with the config.json, model.safetensors and tokenizer.json of a BERT to begin with, or
            hub:OWNER/NAME to fetch one; sizes that are left out are its own
        lm_head: the paper's layers from features to the scores of tokens came with pretrained, and a task has them
    """

    begins = "pretrained"

    def __init__(
        self,
        vocab_size: int | None = None,
        in_features: int | None = None,
        context: int = 256,
        dim: Count = 128,
        depth: Count = 2,
        heads: Count = 4,
        hidden: Count | None = None,
        position: Literal["learned", "rotary"] = "learned",
        norm_first: bool = False,
        activation: Gate = "gelu",
        dropout: Share = 0.1,
        pretrained: str | None = None,
        lm_head: bool = False,
    ):
        super().__init__()
        if lm_head and not pretrained:
            raise ConfigError(["model.lm_head: comes with weights, by pretrained; leave it out"])
        self.embed = embed(dim, vocab_size, in_features, std=0.02)
        self.position = positions(position, context, dim)
        self.norm = nn.LayerNorm(dim, EPS)
        self.dropout = Dropout(dropout)
        self.blocks = Blocks(
            depth,
            dim,
            heads,
            hidden=hidden,
            norm_first=norm_first,
            activation=activation,
            dropout=dropout,
            rotary=position == "rotary",
            eps=EPS,
        )
        self.pretrained, self.scores, self.activation = pretrained, lm_head, activation
        self._published: dict[str, Tensor] = {}
        """The weights of the scores that came with the others."""
        self.features = Features("sequence", dim)

    @staticmethod
    def implied(pretrained: str, **rest: Any) -> dict[str, Any]:
        """Arguments that follow from what is in the folder. Raises ConfigError for a network of another kind."""
        given = described(pretrained, KEY)
        if given["model_type"] != "bert":
            raise ConfigError([f"{KEY}: this is a BERT, no {given['model_type']}; model: hf takes others"])
        names = {"dim": "hidden_size", "depth": "num_hidden_layers", "heads": "num_attention_heads"}
        names |= {"hidden": "intermediate_size", "activation": "hidden_act"}
        fixed = {"layer_norm_eps": EPS, "position_embedding_type": "absolute", "is_decoder": False}
        own = {"position": "learned", "norm_first": False, "lm_head": has_lm_head(given)}
        return sizes(given, KEY, names, fixed) | own

    @staticmethod
    def tokenizer(pretrained: str | None = None, **rest: Any) -> Tokenizer | None:
        """The tokenizer that comes with the weights."""
        return tokenizer(pretrained, KEY) if pretrained else None

    def adapt(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The weights of transformers' BERT as this network's, for our order of tokens, all of the first type."""
        assert self.pretrained is not None and isinstance(self.position, LearnedPosition)
        named = {name.replace("gamma", "weight").replace("beta", "bias"): value for name, value in state.items()}
        own = joined(renamed(named, NAMES), ("query", "key", "value"), "qkv")
        order = tokenizer(self.pretrained, KEY).order
        for name in {"embed.weight", "lm_head.linear.bias"} & own.keys():
            own[name] = reordered(own[name], order)
        if {"position.table.weight", "types.weight"} <= own.keys():
            table = places(own["position.table.weight"], self.position.table.num_embeddings)
            own["position.table.weight"] = table + own.pop("types.weight")[0]
        front = "lm_head."
        self._published = {name.removeprefix(front): own.pop(name) for name in list(own) if name.startswith(front)}
        return own

    def lm_head(self) -> nn.Module | None:
        """The layers from features (B, T, dim) to scores (B, T, V) that go with this network; None for new ones."""
        if not self.scores:
            return None
        assert isinstance(self.embed, nn.Embedding) and self.activation != "swiglu"
        tokens, dim = self.embed.weight.shape
        head = LMHead(dim, tokens, self.embed, self.activation, EPS)
        if self._published:
            head.load_state_dict(self._published | {"linear.weight": self.embed.weight})
        return head

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        return self.blocks(self.dropout(self.norm(self.position(self.embed(x)))), mask)
