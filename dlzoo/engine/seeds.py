"""Every random stream of a run as a function of what it is for: keys instead of states, so there is nothing to save."""

import hashlib
import random

import numpy as np
import torch


def key(*parts: object) -> int:
    """A number below 2**63 that depends on every part (a seed, an epoch, the index of a sample) and on nothing else."""
    digest = hashlib.blake2b("/".join(map(str, parts)).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


def seed_globals(number: int, *, torch_alone: bool = False) -> None:
    """Seed the default generators of torch (for dropout and first weights), numpy and python (for what is imported).

    torch_alone: leave out the others, which cost a small step 2 % of its time, where nobody draws from them.
    """
    torch.default_generator.manual_seed(number)
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        torch.cuda.manual_seed_all(number)
    if torch_alone:
        return
    random.seed(number)
    np.random.seed(number & 0xFFFFFFFF)
