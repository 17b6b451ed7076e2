"""Pictures as tensors: any file of a user, upright, 8 bits a channel, grey or colour."""

import io
import os
import warnings
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from dlzoo.errors import DataError, printable
from dlzoo.transforms import medical

FORMATS = ("PNG", "JPEG", "BMP", "TIFF", "WEBP", "GIF", "PPM")
"""What Pillow may open: EPS and other formats that run programs are not among them."""
SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp", ".gif", ".pgm", ".ppm", *medical.SUFFIXES)
ANIMATED = (".gif", ".tif", ".tiff", ".webp", ".dcm")
"""Those of them that may have several frames."""
MAX_PIXELS = 50_000_000
"""Read from the header, before anything is decoded."""
UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What undoes each orientation of the EXIF standard (tag 0x0112)."""

Mode = Literal["grey", "rgb"]


def read_image(
    source: Path | str | bytes, mode: Mode = "rgb", name: str | None = None, least: int | None = None
) -> Tensor:
    """The picture in a file (or in its bytes) as uint8 (C, H, W), C = 1 for grey and 3 for rgb.

    With `least`, a JPEG is decoded at a half, a quarter or an eighth of its size where both sides keep so many pixels.

    Turned as its EXIF orientation says; 16 bits scaled to 8, floats from 0..1; what is transparent shows
    white; CMYK and palettes converted; the first frame of several. Files named .dcm, .nii and .nii.gz are read by
    transforms/medical.py. Raises DataError, with `name` or the path, for
    whatever is no such picture, is cut short, or has more than 50 megapixels.
    """
    try:
        return _decoded(source, mode, least, str(source if name is None else name).lower())
    except Exception as error:
        name = printable(name if name is not None else "picture" if isinstance(source, bytes) else str(source))
        raise DataError(f"{name}: {_wrong(source, error)}") from None


def _decoded(source: Path | str | bytes, mode: Mode, least: int | None, name: str) -> Tensor:
    if not isinstance(source, bytes) and not os.path.isfile(source):
        raise DataError("not a regular file." if os.path.exists(source) else "there is no such file.")
    with warnings.catch_warnings(), io.BytesIO(source) if isinstance(source, bytes) else open(source, "rb") as file:
        warnings.simplefilter("ignore")  # of Pillow, on odd metadata; too many pixels are refused below
        if name.endswith(medical.SUFFIXES):
            return to_tensor(Image.fromarray(medical.read(file, name, MAX_PIXELS)), mode)
        with Image.open(file, formats=FORMATS) as image:
            width, height = image.size
            if width * height > MAX_PIXELS:
                most = f"{MAX_PIXELS // 10**6} megapixels"
                raise DataError(f"{width} x {height} is more than {most}. Make the picture smaller.")
            if least is not None:
                image.draft(None, (least, least))  # type: ignore[arg-type]
            return to_tensor(image, mode)


def _wrong(source: Path | str | bytes, error: Exception) -> str:
    """What is wrong with a picture; Pillow raises nearly anything: OSError, SyntaxError, struct.error ..."""
    if isinstance(error, DataError):
        return str(error)
    if isinstance(error, Image.DecompressionBombError):
        return f"the picture is far larger than {MAX_PIXELS // 10**6} megapixels."
    if isinstance(error, Image.UnidentifiedImageError):
        empty = not (len(source) if isinstance(source, bytes) else os.path.getsize(source))
        kinds = "not a picture that can be read (PNG, JPEG, BMP, TIFF, WebP, GIF, PGM or PPM)"
        return "the file is empty." if empty else f"{kinds}."
    return f"the picture is damaged or cut short ({printable(str(error))})."


def read_size(path: Path) -> tuple[int, int]:
    """Height and width of the picture in a file as `read_image` gives it, from its header; raises likewise."""
    try:
        if not os.path.isfile(path):
            raise DataError("not a regular file.")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(path, formats=FORMATS) as image:
                width, height = image.size
                return (width, height) if image.getexif().get(0x0112, 1) >= 5 else (height, width)
    except Exception as error:
        raise DataError(f"{printable(str(path))}: {_wrong(path, error)}") from None


def frames(path: Path) -> int:
    """How many pictures a file holds, from its headers; 1 where that cannot be told."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if path.suffix.lower() == ".dcm":
                with path.open("rb") as file:
                    return medical.frames(file)
            with Image.open(path, formats=FORMATS) as image:
                return int(getattr(image, "n_frames", 1))
    except Exception:  # what is wrong with it is said when it is read
        return 1


def to_tensor(image: Image.Image, mode: Mode = "rgb") -> Tensor:
    """A picture of Pillow as uint8 (C, H, W), by the rules of `read_image`."""
    image = _eight_bits(_upright(image))
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        colours = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", colours.size, "white"), colours)
    wanted = "L" if mode == "grey" else "RGB"
    if image.mode not in ("L", "RGB", wanted):
        image = image.convert("RGB") if image.mode not in ("1", "L") else image.convert("L")
    pixels = np.array(image.convert(wanted))
    return torch.from_numpy(pixels[None] if mode == "grey" else np.ascontiguousarray(pixels.transpose(2, 0, 1)))


def _upright(image: Image.Image) -> Image.Image:
    try:
        turn = UPRIGHT.get(image.getexif().get(0x0112, 1))
    except Exception:  # metadata that cannot be read turns nothing
        turn = None
    return image if turn is None else image.transpose(turn)


def _eight_bits(image: Image.Image) -> Image.Image:
    """Deep grey pictures scaled to 8 bits; Pillow's own conversion would clip them."""
    if not image.mode.startswith(("I", "F")):
        return image
    pixels = np.array(image)
    low, high = pixels.min(), pixels.max()
    if image.mode == "F":
        if not (low >= 0 and high <= 1):
            raise DataError(f"pixels are floats from {low:g} to {high:g}; only 0 to 1 has a known meaning.")
        return Image.fromarray((pixels * 255 + 0.5).astype(np.uint8))
    if low < 0 or high > 65535:
        raise DataError(f"pixels are integers from {low} to {high}; at most 16 bits (0 to 65535) have a known meaning.")
    return Image.fromarray(((pixels.astype(np.uint32) * 255 + 32767) // 65535).astype(np.uint8))
