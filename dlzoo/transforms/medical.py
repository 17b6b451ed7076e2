"""DICOM and NIfTI as 8-bit pictures: in the window that a radiologist would see them in. Extra: medical."""

from __future__ import annotations

import gzip
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from dlzoo.errors import DataError

Array = NDArray[Any]
SUFFIXES = (".dcm", ".nii", ".nii.gz")
CUT = (1, 99)
"""Percentiles of the values that become black and white where a file names no window."""


def read(file: BinaryIO, name: str, most: int) -> Array:
    """The picture in a file called `name`, uint8 (H, W), or (H, W, 3) for colours.

    Raises DataError for more than `most` pixels, for values that are no picture, and where the library is missing.
    """
    try:
        return _dicom(file, most) if name.endswith(".dcm") else _nifti(file, name.endswith(".gz"), most)
    except ImportError as error:
        kind = "DICOM" if name.endswith(".dcm") else "NIfTI"
        hint = "pip install 'dlzoo[medical]'"
        raise DataError(f"a {kind} file needs a package that is not here ({error}): {hint}") from error


def _dicom(file: BinaryIO, most: int) -> Array:
    """Stored values to modality units (rescale slope and intercept, or their table), then the first window of the
    header, then MONOCHROME1 inverted, of which large values are dark; the first of several frames.
    """
    from pydicom import dcmread
    from pydicom.pixels import apply_color_lut, apply_modality_lut, pixel_array

    header = dcmread(file)
    if "PixelData" not in header:
        raise DataError("there is no picture in this DICOM file.")
    _small(header.Columns, header.Rows, most)
    pixels = pixel_array(header, index=0)
    kind = header.PhotometricInterpretation
    if kind == "PALETTE COLOR":
        pixels = apply_color_lut(pixels, header)
    if pixels.ndim == 3:
        return (pixels >> 8 if pixels.dtype == np.uint16 else pixels).astype(np.uint8)
    values = apply_modality_lut(pixels, header).astype(np.float64)
    shown = _windowed(values, header) if "WindowWidth" in header and "WindowCenter" in header else _stretched(values)
    return 255 - shown if kind == "MONOCHROME1" else shown


def _windowed(values: Array, header: Any) -> Array:
    """By the window's centre and width, as DICOM's part 3 says in C.11.2.1.2 and C.11.2.1.3."""
    center, width = (float(np.atleast_1d(header[key].value)[0]) for key in ("WindowCenter", "WindowWidth"))
    function = header.get("VOILUTFunction", "LINEAR")
    if function == "SIGMOID":
        return _bytes(1 / (1 + np.exp(np.clip(-4 * (values - center) / width, -50, 50))))
    if function == "LINEAR":
        center, width = center - 0.5, width - 1
    return _bytes((values - (center - width / 2)) / max(width, 1e-9))


def _nifti(file: BinaryIO, packed: bool, most: int) -> Array:
    """The middle slice of a volume from feet to head (of several volumes the first), front up, the body's left on the
    left; in the header's cal_min and cal_max where it has them.
    """
    from nibabel import Nifti1Image, Nifti2Image, as_closest_canonical, io_orientation

    stream: Any = gzip.GzipFile(fileobj=file) if packed else file
    size = stream.read(4)
    stream.seek(0)
    image = Nifti2Image if 540 in (int.from_bytes(size, order) for order in ("little", "big")) else Nifti1Image
    volume = image.from_stream(stream)
    *_, height, width = sorted(volume.shape)
    _small(width, height, most)
    if len(volume.shape) > 2:
        axes = io_orientation(volume.affine)
        axis = int(np.flatnonzero(axes[:, 0] == 2)[0])
        middle = volume.shape[axis] // 2 if axes[axis, 1] > 0 else (volume.shape[axis] - 1) // 2
        place: list[Any] = [slice(None)] * 3 + [0] * (len(volume.shape) - 3)
        place[axis] = slice(middle, middle + 1)
        volume = as_closest_canonical(volume.slicer[tuple(place)])
    values = np.asanyarray(volume.dataobj)
    if values.dtype.fields is not None:
        raise DataError("the voxels are colours; only volumes of one number a voxel can be read.")
    values = values.reshape(values.shape[:2]).astype(np.float64).T[::-1]
    low, high = (float(volume.header[key]) for key in ("cal_min", "cal_max"))
    return _bytes((values - low) / (high - low)) if high > low else _stretched(values)


def frames(file: BinaryIO) -> int:
    """How many pictures a DICOM file holds, from its header."""
    from pydicom import dcmread

    return int(dcmread(file, stop_before_pixels=True).get("NumberOfFrames") or 1)


def _small(width: int, height: int, most: int) -> None:
    if width * height > most:
        raise DataError(f"{width} x {height} is more than {most // 10**6} megapixels. Make the picture smaller.")


def _stretched(values: Array) -> Array:
    """From the 1st to the 99th percentile; a picture of one value is black."""
    finite = values[np.isfinite(values)]
    if not len(finite):
        raise DataError("none of its values is a number.")
    low, high = np.percentile(finite, CUT)
    return _bytes((values - low) / max(high - low, 1e-9))


def _bytes(shares: Array) -> Array:
    """0 to 1 as bytes; what lies outside is cut, and what is no number is black."""
    return (np.nan_to_num(np.clip(shares, 0, 1), nan=0.0) * 255).round().astype(np.uint8)
