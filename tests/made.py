"""Files that tests make."""

from pathlib import Path

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
