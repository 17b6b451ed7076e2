"""Shares of counted things, and how far they can be trusted."""

from __future__ import annotations

import numpy as np

from dlzoo.metrics.bootstrap import Array

Z = 1.959963984540054
"""The 97.5th percentile of the normal distribution."""


def share(hits: Array, total: Array) -> Array:
    """`hits` over `total`; nan where there is nothing."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return hits / total


def wilson(hits: Array, total: Array) -> tuple[Array, Array]:
    """The 95 % interval of a share by the score test (Wilson, 1927), which holds for few samples and near 0 and 1."""
    p, z2 = share(hits, total), Z * Z
    with np.errstate(divide="ignore", invalid="ignore"):
        middle = (p + z2 / (2 * total)) / (1 + z2 / total)
        half = Z * np.sqrt(p * (1 - p) / total + z2 / (4 * total**2)) / (1 + z2 / total)
    return np.clip(middle - half, 0, 1), np.clip(middle + half, 0, 1)
