"""Library transforms that draw from torch's global generator, drawn from one of ours; RandAugment of torchvision."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor


@contextmanager
def seeded(rng: torch.Generator) -> Iterator[None]:
    """Within it torch's global generator of the CPU is decided by `rng`; afterwards it is as it was before."""
    seed = int(torch.randint(2**62, (), generator=rng, device=rng.device))
    before = torch.random.get_rng_state()
    torch.default_generator.manual_seed(seed)
    try:
        yield
    finally:
        torch.random.set_rng_state(before)


def randaugment(images: Tensor, count: int, magnitude: int, rng: torch.Generator) -> Tensor:
    """Bytes (B, C, H, W), each picture changed by `count` of RandAugment's fourteen operations, drawn anew for each.

    RandAugment is Cubuk et al.'s (2020, arXiv:1909.13719), torchvision's; `magnitude` is of its 31 bins.
    """
    from torchvision.transforms.v2 import RandAugment

    change = RandAugment(num_ops=count, magnitude=magnitude)
    with seeded(rng):
        return torch.stack([change(image) for image in images])
