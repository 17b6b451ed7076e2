"""What all language models of transformers have in common, whatever a task makes of them (Wolf et al., 2020)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, cast

import torch
from torch import Tensor, nn

from dlzoo.errors import ConfigError, RunError, first_few, printable
from dlzoo.layers.attention import Cache
from dlzoo.layers.language_folder import described, reordered

KEY = "model.path"
"""Where a config names the folder."""
ASIDE = {"transformers_version", "torch_dtype", "dtype", "id2label", "label2id", "task_specific_params", "auto_map"}
"""Of config.json: what says nothing of the network, or names code to run."""
WRONG = (ValueError, KeyError, TypeError, AttributeError, ImportError, AssertionError, RuntimeError)
"""What transformers raises for settings that it cannot do with."""
Choose = Callable[[Any], Any]
"""The library's settings of a network to the class of language model that is to be made of them."""


def told(path: str) -> dict[str, Any]:
    """What a folder's config.json says of the network itself. Raises ConfigError for weights that are quantized."""
    config = described(path, KEY)
    if "quantization_config" in config:
        raise ConfigError([f"{KEY}: the weights in {printable(path)} are quantized; take those that are not"])
    return _own(config)


def _own(config: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in config.items() if key not in ASIDE and key[:1] != "_"}


@contextmanager
def library(config: dict[str, Any]) -> Iterator[Any]:
    """The library's settings for a config.json; what goes wrong with them is the config's fault."""
    kind = printable(str(config.get("model_type")))
    try:
        from huggingface_hub.errors import StrictDataclassError
        from transformers import AutoConfig
        from transformers.utils import logging
    except ImportError as error:
        hint = "pip install 'dlzoo[hf]'"
        raise ConfigError([f"model: '{kind}' needs a package that is not here ({error}): {hint}"]) from error
    before, bar = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield AutoConfig.for_model(**_own(config))
    except (*WRONG, StrictDataclassError) as error:
        why = printable(" ".join(str(error).split()) or type(error).__name__)[:200]
        raise ConfigError([f"{KEY}: transformers cannot make a '{kind}' of its config.json: {why}"]) from error
    finally:
        logging.set_verbosity(before)
        if bar:
            logging.enable_progress_bar()


def untrained(config: dict[str, Any], choose: Choose) -> Any:
    """A language model with new weights."""
    with library(config) as settings:
        kind = choose(settings)
        return kind._from_config(settings, dtype=torch.float32, attn_implementation=_attention(kind))


def trained(config: dict[str, Any], choose: Choose, state: Mapping[str, Tensor], part: Choose) -> Any:
    """A language model with the weights `state`. Raises RunError where some of its `part`, a module, are missing."""
    with library(config) as settings:
        kind = choose(settings)
        given, found = kind.from_pretrained(
            None,
            config=settings,
            state_dict=dict(state),
            dtype=torch.float32,
            attn_implementation=_attention(kind),
            output_loading_info=True,
        )
    own = {id(weight) for weight in part(given).parameters()}
    weights = dict(given.named_parameters(remove_duplicate=False))
    if missing := sorted(name for name in found["missing_keys"] if id(weights.get(name)) in own):
        raise RunError(f"{KEY}: the folder lacks weights of its own network: {first_few(missing)}")
    return given


def _attention(kind: Any) -> str:
    """The fused kernels of torch where the library has them; said aloud, as a config.json may name others."""
    return "sdpa" if kind._supports_sdpa else "eager"


def reorder(order: Any, *tables: nn.Module | None) -> None:
    """Put the rows of layers that have one for each token into the `order` of ours; those that are tied once."""
    weights = [weight for table in tables if table is not None for weight in table.parameters(recurse=False)]
    for weight in dict.fromkeys(weights):
        weight.data = reordered(weight.data, order)


def cache(state: tuple[Cache, ...] | None = None) -> Any:
    """The library's own form of the keys and values of each block; its constructor would copy them at every step."""
    from transformers import DynamicCache
    from transformers.cache_utils import DynamicLayer

    own = DynamicCache()
    for keys, values in state or ():
        layer = DynamicLayer()
        layer.lazy_initialization(keys, values)
        layer.keys, layer.values = keys, values
        own.layers.append(layer)
    return own


def kept(cache: Any) -> tuple[Cache, ...]:
    """The inverse of `cache`."""
    return tuple((layer.keys, layer.values) for layer in cache.layers)


class Given(nn.Module):
    """Stands where a network stood, and gives on its features."""

    @property
    def decoder(self) -> nn.Module:
        return self  # some models look for their network one room further

    def forward(self, input_ids: None = None, inputs_embeds: Tensor | None = None, **rest: Any) -> Any:
        from transformers.modeling_outputs import BaseModelOutputWithPastAndCrossAttentions

        return BaseModelOutputWithPastAndCrossAttentions(last_hidden_state=cast(Any, inputs_embeds))
