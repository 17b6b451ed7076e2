"""Masks: which class each pixel is of."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from dlzoo.errors import ConfigError, DataError, printable
from dlzoo.transforms.decode import FORMATS, MAX_PIXELS

VOID = 255
"""The number of pixels that do not count."""
MOST = 64
"""Different values up to which those of masks are taken for classes without being named."""
Value = int | list[int]
"""What a mask holds for a class: a number of 0 to 255, or a colour [red, green, blue]."""


def read_mask(path: Path) -> Tensor:
    """The mask in a file as uint8 (1, H, W), the numbers of an index or palette picture, or (3, H, W), colours.

    Raises DataError for what is no picture, and for numbers above 255 (of single objects, say).
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(path, formats=FORMATS) as image:
                if image.width * image.height > MAX_PIXELS:
                    raise DataError(f"the mask has more than {MAX_PIXELS // 10**6} megapixels.")
                numbers = image.mode in ("1", "L", "P") or image.mode.startswith("I")
                pixels = np.array(image if numbers else image.convert("RGB"))
    except DataError as error:
        raise DataError(f"{printable(str(path))}: {error}") from None
    except Exception as error:
        raise DataError(
            f"{printable(str(path))}: no mask that can be read (PNG, BMP, TIFF ...): {printable(str(error))}"
        ) from None
    if pixels.max(initial=0) > 255 or pixels.min(initial=0) < 0:
        wanted = "a mask of classes has 0 to 255; one number an object is another kind of mask"
        raise DataError(f"{printable(str(path))}: pixels of {pixels.min()} to {pixels.max()}: {wanted}.")
    pixels = pixels.astype(np.uint8)
    return torch.from_numpy(pixels[None] if pixels.ndim == 2 else np.ascontiguousarray(pixels.transpose(2, 0, 1)))


@dataclass
class MaskClasses:
    """The classes of masks: their names, what stands for each in a file, and what stands for nothing."""

    names: list[str]
    values: list[Value]
    void: list[Value]

    @classmethod
    def named(cls, classes: list[str] | dict[str, Value], void: list[Value]) -> MaskClasses:
        """From a config: names of 0, 1, 2 ..., or the value of each. Raises ConfigError for what cannot be."""
        names = list(classes)
        values: list[Value] = list(range(len(names))) if isinstance(classes, list) else list(classes.values())
        every = [*values, *void]
        problems = [
            f"task.classes: {value} is neither a number of 0 to 255 nor a colour [red, green, blue]"
            for value in every
            if not all(0 <= part <= 255 for part in ([value] if isinstance(value, int) else value))
            or (isinstance(value, list) and len(value) != 3)
        ]
        if len({isinstance(value, int) for value in every}) > 1:
            problems.append("task.classes, task.void: some values are numbers and some colours")
        if len({str(value) for value in every}) < len(every) or len(set(names)) < len(names):
            problems.append("task.classes: a name or a value stands there twice")
        if len(names) < 2:
            problems.append("task.classes: two classes or more are needed (the background is one)")
        if len(names) > VOID:
            problems.append(f"task.classes: {len(names)} are more than {VOID}")
        if problems:
            raise ConfigError(problems)
        return cls(names, values, void)

    @classmethod
    def found(cls, values: Iterable[int], void: list[Value]) -> MaskClasses:
        """From the numbers that occur in masks: each is a class, but for the void ones.

        Raises DataError for more than 64 numbers, or for a single one.
        """
        numbers = [number for number in sorted(values) if number not in void]
        if len(numbers) > MOST:
            raise DataError(
                f"the masks have {len(numbers)} different values; are they pictures, or saved as JPEG? Where they are "
                "classes, name them: task.classes."
            )
        if len(numbers) < 2:
            only = f"only the value {numbers[0]}" if numbers else "no value that counts"
            raise DataError(f"the masks of the training split have {only}: two classes or more are needed.")
        return cls([str(number) for number in numbers], list(numbers), void)

    @cached_property
    def _table(self) -> dict[int, int]:
        """Class numbers by key of what stands for them."""
        table = {_key(value): number for number, value in enumerate(self.values)}
        return table | {_key(value): VOID for value in self.void}

    def counts(self, tally: dict[int, int]) -> list[int]:
        """Pixels of each class, from those of each key; keys of no class are left for `numbers` to refuse."""
        return [tally.get(_key(value), 0) for value in self.values]

    def numbers(self, mask: Tensor, where: str = "") -> Tensor:
        """A mask of a file (1 or 3, H, W) as class numbers uint8 (H, W), VOID where it is void.

        Raises DataError, with `where` in front, for a value that is no class.
        """
        colours = len(mask) == 3
        if colours != isinstance(self.values[0], list):
            kinds = ("coloured", "numbers") if colours else ("numbers", "colours")
            raise DataError(f"{where}the mask's pixels are {kinds[0]}, the classes are {kinds[1]}.")
        keys, known = _keys(mask), np.array(sorted(self._table))
        places = np.searchsorted(known, keys).clip(max=len(known) - 1)
        if (wrong := known[places] != keys).any():
            y, x = (int(part[0]) for part in np.nonzero(wrong))
            value = mask[:, y, x].tolist() if colours else int(mask[0, y, x])
            hint = "; where it is to count for nothing: task.void"
            raise DataError(f"{where}the mask has {value} at column {x}, row {y}, which is no class{hint}.")
        return torch.from_numpy(np.array([self._table[int(key)] for key in known], np.uint8)[places])

    def picture(self, mask: Tensor) -> Image.Image:
        """Class numbers (H, W) as a file holds them: numbers with a palette, or colours."""
        numbers = mask.numpy()
        if isinstance(self.values[0], list):
            return Image.fromarray(np.array(self.values, np.uint8)[numbers])
        image = Image.fromarray(np.array(self.values, np.uint8)[numbers]).convert("P")
        image.putpalette(palette(256).flatten().tolist())
        return image

    def overlay(self, image: Tensor, mask: Tensor) -> Tensor:
        """A picture (C, H, W) under the colours of its classes (H, W): uint8 (3, H, W)."""
        values = np.array(self.values)
        colours = torch.from_numpy(palette(256)[values] if values.ndim == 1 else values.astype(np.uint8))
        picture = image.expand(3, -1, -1).float()
        return ((picture + colours[mask.long()].movedim(-1, 0)) / 2).to(torch.uint8)


def tally(mask: Tensor) -> dict[int, int]:
    """How many pixels of a mask (1 or 3, H, W) have each number, or the number of each colour."""
    keys, counts = np.unique(_keys(mask), return_counts=True)
    return dict(zip(keys.tolist(), counts.tolist(), strict=True))


def _keys(mask: Tensor) -> np.ndarray:
    """The pixels of a mask as numbers (H, W): of colours, red << 16 | green << 8 | blue."""
    pixels = mask.numpy()
    if len(pixels) == 1:
        return pixels[0]
    red, green, blue = pixels.astype(np.int64)
    return red << 16 | green << 8 | blue


def _key(value: Value) -> int:
    return value if isinstance(value, int) else value[0] << 16 | value[1] << 8 | value[2]


def palette(count: int) -> np.ndarray:
    """`count` colours (count, 3) uint8 by the rule of Pascal VOC: the bits of a number, three by three."""
    numbers, colours = np.arange(count), np.zeros((count, 3), np.uint8)
    for bit in range(8):
        for channel in range(3):
            colours[:, channel] |= ((numbers >> (3 * bit + channel) & 1) << (7 - bit)).astype(np.uint8)
    return colours


def scaled(mask: Tensor, height: int, width: int) -> Tensor:
    """Class numbers (H, W) at another size, each place those of the nearest."""
    if mask.shape == (height, width):
        return mask
    return F.interpolate(mask[None, None].float(), (height, width), mode="nearest-exact")[0, 0].to(mask.dtype)
