"""Figures that show pictures, drawn like those of figures.py."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dlzoo.report.figures import Array, figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def masks(pairs: list[tuple[Array, Array]], classes: list[str], void: int) -> Figure:
    """Class numbers (H, W) of truths above those of answers; white where the truth is `void`."""
    import numpy as np
    from matplotlib import colormaps
    from matplotlib.patches import Patch

    drawing, axes = figure(2.2 * max(3, len(pairs)), 5.2, columns=max(1, len(pairs)))
    colours = colormaps["tab20"].resampled(max(2, len(classes)))
    table = np.ones((void + 1, 3))
    table[: len(classes)] = [colours(k)[:3] for k in range(len(classes))]
    for axis, (truth, answer) in zip(axes, pairs, strict=False):
        gap = np.full((max(2, len(truth) // 20), truth.shape[1]), void)
        axis.imshow(table[np.concatenate([truth, gap, answer])], interpolation="nearest")
        axis.set(xticks=[], yticks=[], xlabel="truth above, answer below")
        axis.grid(False)
    if pairs:
        axes[0].set(title="Masks", ylabel="rows")
    drawing.legend(
        handles=[Patch(color=colours(k), label=name) for k, name in enumerate(classes[:20])],
        loc="outside lower center",
        ncols=min(6, len(classes)),
        frameon=False,
        fontsize=8,
    )
    return drawing
