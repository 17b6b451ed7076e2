"""GPT: a causal Transformer (Radford et al., 2018 and 2019), with LLaMA's parts as arguments (arXiv:2302.13971)."""

from collections.abc import Mapping
from typing import Any, Literal

from torch import Tensor, nn

from dlzoo.choices import Count, Gate, Position, Share
from dlzoo.errors import ConfigError
from dlzoo.features import Features
from dlzoo.layers.attention import Cache
from dlzoo.layers.dropout import Dropout
from dlzoo.layers.embedding import embed
from dlzoo.layers.language_folder import described, has_lm_head, places, reordered, sizes, tokenizer
from dlzoo.layers.position import LearnedPosition
from dlzoo.layers.position import position as positions
from dlzoo.layers.published import joined, renamed
from dlzoo.layers.transformer import Blocks
from dlzoo.registry import MODELS
from dlzoo.transforms.text import Tokenizer

KEY = "model.pretrained"
NAMES = {  # transformers': ours; GPT-2's, then LLaMA's
    r"(?:transformer\.)?wte\.": "embed.",
    r"(?:transformer\.)?wpe\.": "position.table.",
    r"(?:transformer\.)?ln_f\.": "blocks.norm.",
    r"(?:model\.)?embed_tokens\.": "embed.",
    r"(?:model\.)?norm\.": "blocks.norm.",
    r".*(?:\.attn\.(?:masked_)?bias|inv_freq)$": "",
} | {
    rf"(?:transformer\.|model\.)?(?:h|layers)\.(\d+)\.{theirs}": rf"blocks.blocks.\1.{ours}"
    for theirs, ours in {
        r"(?:ln_1|input_layernorm)\.": "norm1.",
        r"(?:ln_2|post_attention_layernorm)\.": "norm2.",
        r"attn\.c_attn\.": "attention.qkv.",
        r"(?:attn\.c_proj|self_attn\.o_proj)\.": "attention.out.",
        r"mlp\.c_fc\.": "mlp.up.",
        r"mlp\.(?:c_proj|down_proj)\.": "mlp.down.",
        r"self_attn\.([qkv])_proj\.": r"attention.\2.",
        r"mlp\.(gate|up)_proj\.": r"mlp.\2_part.",
    }.items()
}


@MODELS.register("gpt")
class GPT(nn.Module):
    """Tokens (B, T) or vectors (B, T, F) to a sequence of features (B, T, dim); no place sees a later one.

    GPT-2's smallest: dim 768, depth 12, heads 12. LLaMA's: position rotary, norm rms, activation swiglu, bias false.

    Args:
        vocab_size: number of different tokens
        in_features: width of the vectors, where there are no tokens
        context: longest sequence, in tokens or steps
        dim: width of the features
        depth: number of blocks
        heads: of attention, each of width dim / heads
        kv_heads: heads of keys and values, shared by groups of heads; null for as many as heads
        hidden: width of the feed-forward networks; null for 4 dim
        position: learned and sinusoidal are added to the embedding, rotary turns queries and keys
        norm: before attention, before the feed-forward network and at the end
        activation: of the feed-forward networks; swiglu has a gate
        dropout: share dropped of the embedding and of every residual branch
        bias: linear layers of the blocks have one
        pretrained: folder/ with the config.json, model.safetensors and tokenizer.json of a GPT-2 or a LLaMA to begin
            with, or hub:OWNER/NAME to fetch one; sizes that are left out are its own
        lm_head: matrix of the scores that came with pretrained: the embedding's, or one of its own; null where none
            did, for a new one of the task's
    """

    begins = "pretrained"

    def __init__(
        self,
        vocab_size: int | None = None,
        in_features: int | None = None,
        context: int = 256,
        dim: Count = 128,
        depth: Count = 4,
        heads: Count = 4,
        kv_heads: Count | None = None,
        hidden: Count | None = None,
        position: Position = "learned",
        norm: Literal["layer", "rms"] = "layer",
        activation: Gate = "gelu",
        dropout: Share = 0.0,
        bias: bool = True,
        pretrained: str | None = None,
        lm_head: Literal["tied", "own"] | None = None,
    ):
        super().__init__()
        if lm_head and not pretrained:
            raise ConfigError(["model.lm_head: comes with weights, by pretrained; leave it out"])
        self.embed = embed(dim, vocab_size, in_features, std=0.02)
        self.position = positions(position, context, dim)
        self.dropout = Dropout(dropout)
        self.blocks = Blocks(
            depth,
            dim,
            heads,
            kv_heads=kv_heads,
            hidden=hidden,
            norm=norm,
            activation=activation,
            dropout=dropout,
            causal=True,
            rotary=position == "rotary",
            bias=bias,
        )
        self.pretrained, self.scores = pretrained, lm_head
        self._published: Tensor | None = None
        """The matrix of scores that came with the weights."""
        self.features = Features("sequence", dim, causal=True)

    @staticmethod
    def implied(pretrained: str, **rest: Any) -> dict[str, Any]:
        """Arguments that follow from what is in the folder. Raises ConfigError for a network of another kind."""
        given = described(pretrained, KEY)
        if given["model_type"] == "gpt2":
            found = _gpt2(given)
        elif given["model_type"] == "llama":
            found = _llama(given)
        else:
            raise ConfigError([f"{KEY}: this is a GPT-2 or a LLaMA, no {given['model_type']}; model: hf takes others"])
        tied = given.get("tie_word_embeddings", given["model_type"] == "gpt2")
        return found | {"lm_head": "tied" if tied else "own" if has_lm_head(given) else None}

    @staticmethod
    def tokenizer(pretrained: str | None = None, **rest: Any) -> Tokenizer | None:
        """The tokenizer that comes with the weights."""
        return tokenizer(pretrained, KEY) if pretrained else None

    def adapt(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The weights of transformers' GPT-2 or LLaMA as this network's, for our order of tokens."""
        assert self.pretrained is not None
        own = renamed(state, NAMES)
        own = joined(joined(own, ("q", "k", "v"), "qkv"), ("gate_part", "up_part"), "up")
        order = tokenizer(self.pretrained, KEY).order
        for name in {"embed.weight", "lm_head.weight"} & own.keys():
            own[name] = reordered(own[name], order)
        self._published = own.pop("lm_head.weight", None)
        if isinstance(self.position, LearnedPosition) and "position.table.weight" in own:
            table = places(own["position.table.weight"], self.position.table.num_embeddings)
            turned = {name: value.T for name, value in own.items() if name.startswith("blocks.") and value.ndim == 2}
            own |= turned | {"position.table.weight": table}  # GPT-2's matrices are (in, out)
        return own

    def lm_head(self) -> nn.Module | None:
        """The layer from features (B, T, dim) to scores (B, T, V) that goes with this network; None for a new one."""
        if self.scores is None:
            return None
        assert isinstance(self.embed, nn.Embedding)
        head = nn.Linear(self.embed.embedding_dim, self.embed.num_embeddings, bias=False)
        if self.scores == "tied":
            head.weight = self.embed.weight
        elif self._published is not None:
            head.weight.data = self._published
        return head

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Padding comes last, and no place sees what comes after it: the mask is not needed."""
        return self.blocks(self.dropout(self.position(self.embed(x))))

    def step(self, x: Tensor, state: tuple[Cache, ...] | None = None) -> tuple[Tensor, tuple[Cache, ...]]:
        """Features (B, t, dim) of new tokens (B, t) or vectors after `state`, the keys and values of each block."""
        start = state[0][0].shape[2] if state else 0
        return self.blocks.step(self.dropout(self.position(self.embed(x), start)), state)


def _gpt2(given: dict[str, Any]) -> dict[str, Any]:
    names = {"dim": "n_embd", "depth": "n_layer", "heads": "n_head", "activation": "activation_function"}
    fixed = {"layer_norm_epsilon": 1e-5, "scale_attn_weights": True, "scale_attn_by_inverse_layer_idx": False}
    found = sizes(given, KEY, names, fixed | {"add_cross_attention": False})
    hidden = given.get("n_inner") or 4 * found["dim"]
    return found | {"kv_heads": found["heads"], "hidden": hidden, "position": "learned", "norm": "layer", "bias": True}


def _llama(given: dict[str, Any]) -> dict[str, Any]:
    names = {"dim": "hidden_size", "depth": "num_hidden_layers", "heads": "num_attention_heads"}
    rope = given.get("rope_parameters") or {}
    given = {"rms_norm_eps": 1e-6, "hidden_act": "silu"} | given | rope
    usual = {"rms_norm_eps": 1e-5, "hidden_act": "silu", "attention_bias": False, "mlp_bias": False}
    found = sizes(given, KEY, names, usual | {"rope_theta": 10000.0, "rope_scaling": None, "rope_type": "default"})
    sizes(given, KEY, {}, {"head_dim": found["dim"] // found["heads"]})
    wide = sizes(given, KEY, {"hidden": "intermediate_size"}, {})["hidden"]
    llama = {"position": "rotary", "norm": "rms", "activation": "swiglu", "bias": False}
    kv_heads = given.get("num_key_value_heads") or found["heads"]
    return found | llama | {"kv_heads": kv_heads, "hidden": (3 * wide + 1) // 2}  # of which swiglu takes 2/3
