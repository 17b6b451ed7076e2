"""Files that tests make."""

import atexit
import functools
import shutil
import tempfile
from fractions import Fraction
from pathlib import Path

import numpy as np
from PIL import Image


def write(path: Path, content: str | bytes) -> str:
    """A file of that text or those bytes, its folder with it; returns its path as text."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return str(path)


def picture(path: Path, colour=(255, 0, 0), size=(6, 4), **options) -> Path:
    """A picture of one colour: grey for a number, else RGB; `size` is width, height."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB" if isinstance(colour, tuple) else "L", size, colour).save(path, **options)
    return path


def video(path: Path, frames, fps=10, codec="mpeg4", times=None, gop=12) -> Path:
    """A video of frames (T, H, W, 3) uint8, shown at `times` in seconds, or so many a second."""
    import av

    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=fps)
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt, stream.gop_size, stream.bit_rate = "yuv420p", gop, 10**6
        unit = Fraction(1, 1000) if times else Fraction(1, fps)
        stream.codec_context.time_base = unit
        for i, pixels in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.pts, frame.time_base = (round(times[i] * 1000) if times else i), unit
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def square(direction: int, seed: int, length=20, side=32):
    """Frames (length, side, side, 3) of a bright square that moves to the right (1) or to the left (-1) over noise."""
    rng = np.random.default_rng(seed)
    frames = rng.integers(0, 60, (length, side, side, 3), np.uint8)
    row, start = rng.integers(0, side - 8, 2)
    for t in range(length):
        column = (start + direction * 2 * t) % (side - 8)
        frames[t, row : row + 8, column : column + 8] = 230
    return frames


@functools.cache
def videos() -> Path:
    """A folder of 50 videos, of 2 s at 10 frames a second and a little longer: squares that move left or right."""
    folder = Path(tempfile.mkdtemp(prefix="dlzoo-videos-"))
    atexit.register(shutil.rmtree, folder)
    for i in range(50):
        label, direction = (("left", -1), ("right", 1))[i % 2]
        video(folder / label / f"{i}.mp4", square(direction, i, length=20 + i % 5))
    return folder
