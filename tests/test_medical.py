"""DICOM and NIfTI files as pictures, against pydicom's and nibabel's own arrays."""

import gzip
import hashlib
import json
import sys

import numpy as np
import pytest
import torch
from made import write
from trained import train

from dlzoo.data.image_folder import ImageFolder
from dlzoo.errors import DataError
from dlzoo.run.predict import predict
from dlzoo.transforms.decode import read_image

pydicom = pytest.importorskip("pydicom", reason="the extra medical is not installed")
nibabel = pytest.importorskip("nibabel", reason="the extra medical is not installed")


def scan(path, name="CT_small.dcm", **changes):
    """One of the files that pydicom brings, with other values in its header."""
    from pydicom.data import get_testdata_file

    header = pydicom.dcmread(get_testdata_file(name, download=False))
    for key, value in changes.items():
        setattr(header, key, value)
    path.parent.mkdir(parents=True, exist_ok=True)
    header.save_as(path)
    return header


def volume(path, shape=(6, 5, 4), signs=(1, 1, 1), order=(0, 1, 2), kind=None, **header):
    """A NIfTI file of random numbers; `signs` and `order` say which way the body lies in it."""
    values = np.random.default_rng(0).normal(100, 30, shape).astype(np.float32)
    affine = np.eye(4)
    affine[:3, :3] = np.diag(signs)[list(order)].T
    image = (kind or nibabel.Nifti1Image)(values, affine)
    for key, value in header.items():
        image.header[key] = value
    path.parent.mkdir(parents=True, exist_ok=True)
    nibabel.save(image, path)
    return image


def shares(values, low, high):
    return torch.from_numpy((np.clip((values - low) / (high - low), 0, 1) * 255).round().astype(np.uint8))


@pytest.mark.parametrize("function", ["LINEAR", "LINEAR_EXACT", "SIGMOID"])
def test_a_scan_is_shown_in_its_window_as_pydicom_shows_it(tmp_path, function):
    from pydicom.pixels import apply_modality_lut, apply_windowing

    header = scan(tmp_path / "a.dcm", WindowCenter=[40, 300], WindowWidth=[400, 1500], VOILUTFunction=function)
    theirs = apply_windowing(apply_modality_lut(header.pixel_array, header), header)
    bits, slope, intercept = header.BitsStored, float(header.RescaleSlope), float(header.RescaleIntercept)
    low, high = (-(2 ** (bits - 1)) * slope + intercept, (2 ** (bits - 1) - 1) * slope + intercept)
    ours = read_image(tmp_path / "a.dcm", "grey")
    assert (ours[0].int() - shares(theirs, low, high).int()).abs().max() <= 1
    assert ours.unique().numel() > 20
    assert torch.equal(read_image(tmp_path / "a.dcm", "rgb"), ours.expand(3, -1, -1))


def test_a_scan_without_a_window_is_shown_by_its_percentiles(tmp_path):
    header = scan(tmp_path / "a.dcm")
    values = header.pixel_array * float(header.RescaleSlope) + float(header.RescaleIntercept)
    assert torch.equal(read_image(tmp_path / "a.dcm", "grey")[0], shares(values, *np.percentile(values, [1, 99])))


def test_monochrome1_is_inverted(tmp_path):
    scan(tmp_path / "a.dcm")
    scan(tmp_path / "b.dcm", PhotometricInterpretation="MONOCHROME1")
    assert torch.equal(read_image(tmp_path / "b.dcm", "grey"), 255 - read_image(tmp_path / "a.dcm", "grey"))


def test_colours_are_kept(tmp_path):
    header = scan(tmp_path / "a.dcm", "SC_rgb_jpeg_dcmtk.dcm")
    ours = read_image(tmp_path / "a.dcm", "rgb")
    assert torch.equal(ours, torch.from_numpy(pydicom.pixels.pixel_array(header)).movedim(-1, 0))


@pytest.mark.parametrize("signs", [(1, 1, 1), (-1, -1, 1), (1, -1, -1)])
@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1)])
def test_the_middle_slice_of_a_volume_is_nibabels_however_the_body_lies(tmp_path, signs, order):
    image = nibabel.as_closest_canonical(volume(tmp_path / "a.nii", signs=signs, order=order))
    values = np.asarray(image.dataobj)
    expected = values[:, :, values.shape[2] // 2].T[::-1]
    ours = read_image(tmp_path / "a.nii", "grey")
    assert torch.equal(ours[0], shares(expected.astype(float), *np.percentile(expected, [1, 99])))


def test_packed_volumes_series_of_them_and_nifti_2_are_read_alike(tmp_path):
    volume(tmp_path / "a.nii")
    plain = read_image(tmp_path / "a.nii", "grey")
    (tmp_path / "a.nii.gz").write_bytes(gzip.compress((tmp_path / "a.nii").read_bytes()))
    assert torch.equal(read_image(tmp_path / "a.nii.gz", "grey"), plain)
    volume(tmp_path / "b.nii", kind=nibabel.Nifti2Image)
    assert torch.equal(read_image(tmp_path / "b.nii", "grey"), plain)
    series = volume(tmp_path / "c.nii", shape=(6, 5, 4, 3))
    first = nibabel.Nifti1Image(np.asarray(series.dataobj)[..., 0], series.affine)
    nibabel.save(first, tmp_path / "d.nii")
    assert torch.equal(read_image(tmp_path / "c.nii", "grey"), read_image(tmp_path / "d.nii", "grey"))


def test_a_volume_is_shown_in_its_headers_window(tmp_path):
    image = volume(tmp_path / "a.nii", cal_min=90, cal_max=130)
    expected = np.asarray(image.dataobj)[:, :, 2].T[::-1]
    assert torch.equal(read_image(tmp_path / "a.nii", "grey")[0], shares(expected.astype(float), 90, 130))


def test_a_folder_of_scans_is_a_dataset_and_says_which_slice_is_read(tmp_path):
    for i in range(2):
        volume(tmp_path / "head" / f"{i}.nii.gz")
        scan(tmp_path / "body" / f"{i}.dcm")
    data = ImageFolder(str(tmp_path), mode="grey")
    assert data.column("label") == ["body", "body", "head", "head"] and data[0]["image"].shape == (1, 128, 128)
    assert any("of 2 NIfTI volumes the middle slice is read" in note for note in data.notes)
    digest = hashlib.sha256((tmp_path / "head" / "0.nii.gz").read_bytes()).hexdigest()
    rows = f"path,label,sha256\nhead/0.nii.gz,a,{digest}\nbody/0.dcm,b,\n"
    listed = ImageFolder(str(tmp_path), mode="grey", csv=write(tmp_path / "list.csv", rows))
    assert torch.equal(listed[0]["image"], data[2]["image"])


def test_scans_are_answered(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    train(tmp_path / "runs" / "digits", "digits", steps=1)
    scan(tmp_path / "scans" / "a.dcm")
    volume(tmp_path / "scans" / "b.nii.gz")
    assert predict("digits", ["scans"], output=tmp_path / "out.jsonl") == 0
    rows = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert [row["source"] for row in rows] == ["scans/a.dcm", "scans/b.nii.gz"]


@pytest.mark.parametrize("name", ["a.dcm", "a.nii", "a.nii.gz"])
@pytest.mark.parametrize("content", [b"", b"not a scan", b"\0" * 600])
def test_a_file_that_is_no_scan_is_named(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=f"{name}: "):
        read_image(tmp_path / name)


def test_a_scan_that_is_cut_short_or_has_no_picture_is_refused(tmp_path):
    scan(tmp_path / "a.dcm")
    volume(tmp_path / "a.nii", shape=(60, 50, 40))
    for name in ("a.dcm", "a.nii"):
        content = (tmp_path / name).read_bytes()
        (tmp_path / name).write_bytes(content[: len(content) // 3])
        with pytest.raises(DataError, match=f"{name}: the picture is damaged or cut short"):
            read_image(tmp_path / name)
    scan(tmp_path / "plan.dcm", "rtplan.dcm")
    with pytest.raises(DataError, match=r"plan.dcm: there is no picture in this DICOM file"):
        read_image(tmp_path / "plan.dcm")


@pytest.mark.parametrize("package, name", [("pydicom", "a.dcm"), ("nibabel", "a.nii.gz")])
def test_a_missing_package_is_named_with_its_extra(tmp_path, monkeypatch, package, name):
    (tmp_path / name).write_bytes(b"anything")
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(DataError, match=r"pip install 'dlzoo\[medical\]'"):
        read_image(tmp_path / name)
