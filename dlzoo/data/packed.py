"""Many tensors end to end, in memory while they are few bytes, else in a memory-mapped temporary file."""

from __future__ import annotations

import errno
import mmap
import tempfile
from typing import Any

import torch
from torch import Tensor

from dlzoo.errors import ResourceError

IN_MEMORY = 2 * 2**30
"""Bytes of encoded pieces, or of the tokens of a split, that are kept in memory."""


class Packed:
    """Tensors of one dtype, one after the other: in memory up to `limit` bytes, then in a file without a name."""

    def __init__(self, dtype: torch.dtype, limit: int):
        self.dtype, self.limit = dtype, limit
        self.parts: list[Tensor] = []
        self.held = 0
        self.file: Any = None

    def add(self, tensor: Tensor) -> None:
        self.parts.append(tensor.reshape(-1))
        self.held += tensor.numel() * tensor.element_size()
        if self.held > self.limit:
            self._spill()

    def _spill(self) -> None:
        self.limit = 16 * 2**20
        self.file = self.file or tempfile.TemporaryFile()
        try:
            self.file.write(torch.cat(self.parts).view(torch.uint8).numpy())
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
            raise ResourceError(
                f"the encoded data fills the disk of {tempfile.gettempdir()}; set TMPDIR to a larger one"
            ) from error
        self.parts, self.held = [], 0

    def close(self) -> Tensor:
        """All of it, as one flat tensor (mapped, where it is in a file)."""
        if self.file is None:
            return torch.cat(self.parts) if self.parts else torch.empty(0, dtype=self.dtype)
        if self.parts:
            self._spill()
        self.file.flush()
        mapped = mmap.mmap(self.file.fileno(), 0, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ | mmap.PROT_WRITE)
        self.file.close()  # the mapping keeps what is in it
        return torch.frombuffer(mapped, dtype=self.dtype)
