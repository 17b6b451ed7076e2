"""Boxes drawn on their picture, each in the colour of its class, with its name and score."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#f0e442", "#000000")
"""Told apart also by those who see fewer colours (Okabe and Ito, 2008); classes after the eighth begin anew."""
DARK = ("#0072b2", "#d55e00", "#009e73", "#000000")
"""Those that white letters can be read on."""


def drawn(image: Tensor, boxes: list[dict[str, Any]], classes: list[str]) -> Tensor:
    """A uint8 picture (C, H, W) with boxes {label, score, x1, y1, x2, y2} in its pixels, as (3, H, W).

    The best box is drawn last, above all others.
    """
    from PIL import Image, ImageDraw, ImageFont

    picture = Image.fromarray(image.expand(3, -1, -1).movedim(0, -1).contiguous().numpy())
    height, width = image.shape[1:]
    line = max(1, round(min(height, width) / 200))
    font = ImageFont.load_default(size=max(9, min(height, width) / 32))
    draw = ImageDraw.Draw(picture)
    for box in sorted(boxes, key=lambda box: float(box["score"])):
        colour = COLOURS[classes.index(box["label"]) % len(COLOURS)]
        draw.rectangle((box["x1"], box["y1"], box["x2"], box["y2"]), outline=colour, width=line)
        text = f"{box['label']} {box['score']:.2f}"
        _, _, right, bottom = draw.textbbox((0, 0), text, font)
        x = max(0, min(box["x1"], width - right - 2 * line))
        y = max(0, box["y1"] - bottom - line)
        draw.rectangle((x, y, x + right + 2 * line, y + bottom + line), fill=colour)
        draw.text((x + line, y), text, fill="white" if colour in DARK else "black", font=font)
    return torch.from_numpy(np.array(picture)).movedim(-1, 0)
