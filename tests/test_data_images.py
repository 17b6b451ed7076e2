"""How pictures are read, and folders of them."""

import io
import os

import numpy as np
import pytest
import torch
from made import picture, write
from PIL import Image

from dlzoo.config import Split
from dlzoo.data.image_folder import ImageFolder
from dlzoo.data.splits import divide
from dlzoo.errors import DataError
from dlzoo.transforms.decode import read_image


def test_a_picture_is_the_same_in_every_form_that_keeps_it(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (5, 7, 3), np.uint8)
    for suffix in ("png", "bmp", "tif", "webp", "ppm"):
        path = tmp_path / f"a.{suffix}"
        Image.fromarray(pixels).save(path, **({"lossless": True} if suffix == "webp" else {}))
        assert torch.equal(read_image(path), torch.from_numpy(pixels).permute(2, 0, 1)), suffix
        assert torch.equal(read_image(path.read_bytes()), read_image(path))


def test_print_colours_and_grey_become_the_mode_asked(tmp_path):
    Image.new("CMYK", (3, 3), (0, 255, 255, 0)).save(tmp_path / "a.jpg")
    red = read_image(tmp_path / "a.jpg")[:, 0, 0]
    assert red[0] > 200 and red[1] < 60
    picture(tmp_path / "b.png", 7)
    assert read_image(tmp_path / "b.png").unique().tolist() == [7] and read_image(tmp_path / "b.png").shape == (3, 4, 6)
    assert read_image(tmp_path / "a.jpg", "grey").shape == (1, 3, 3)


@pytest.mark.parametrize(
    ("contents", "says"),
    [
        (b"", "empty"),
        (b"hello, I am text", "not a picture"),
    ],
)
def test_what_is_no_picture_is_named(tmp_path, contents, says):
    with pytest.raises(DataError, match=rf"a\.png.*{says}"):
        read_image(write(tmp_path / "a.png", contents))


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP"])
def test_a_picture_that_is_cut_short_is_named(tmp_path, kind):
    stream = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 40, 3), np.uint8)).save(stream, kind)
    with pytest.raises(DataError, match=r"a\.x"):
        read_image(write(tmp_path / "a.x", stream.getvalue()[: len(stream.getvalue()) // 2]))


@pytest.mark.parametrize(
    ("least", "shape"), [(None, (3, 512, 768)), (200, (3, 256, 384)), (64, (3, 64, 96)), (600, (3, 512, 768))]
)
def test_a_jpeg_is_decoded_no_larger_than_is_needed(least, shape, tmp_path):
    whole = Image.linear_gradient("L").resize((768, 512)).convert("RGB")
    for name in ("a.jpg", "a.png"):
        whole.save(tmp_path / name, quality=95)
    found = read_image(tmp_path / "a.jpg", least=least)
    assert found.shape == shape and read_image(tmp_path / "a.png", least=least).shape == (3, 512, 768)
    small = torch.from_numpy(np.array(whole.resize(shape[:0:-1], Image.Resampling.BOX))).permute(2, 0, 1)
    assert (found.float() - small.float()).abs().mean() < 2


def test_a_folder_gives_what_it_is_asked_to_keep(tmp_path):
    picture(tmp_path / "x" / "a.jpg", size=(400, 300))
    data = ImageFolder(str(tmp_path))
    data.least = 70
    assert data[0]["image"].shape == (3, 75, 100)


def test_pipes_and_folders_are_no_pictures(tmp_path):
    os.mkfifo(tmp_path / "a.png")
    for path in (tmp_path / "a.png", tmp_path, tmp_path / "none.png"):
        with pytest.raises(DataError):
            read_image(path)


def test_classes_are_folders_and_other_files_are_reported(tmp_path):
    for name in ("cat/1.png", "cat/2.JPG", "dog/deep/3.png"):
        picture(tmp_path / name)
    for name in ("cat/Thumbs.db", "cat/.hidden", "readme.txt", "stray.png"):
        write(tmp_path / name, "x")
    (tmp_path / "dog" / "loop").symlink_to(tmp_path / "dog")
    data = ImageFolder(str(tmp_path))
    assert data.column("label") == ["cat", "cat", "dog"]
    assert data.source(2) == str(tmp_path / "dog/deep/3.png")
    assert data.notes == ["passed over: 1 hidden files; cat/Thumbs.db, readme.txt, stray.png"]


def test_a_class_called_train_is_a_class(tmp_path):
    for name in ("train/1.png", "bus/2.png"):
        picture(tmp_path / name)
    assert ImageFolder(str(tmp_path)).column("label") == ["bus", "train"]


def test_a_folder_without_pictures_is_refused(tmp_path):
    with pytest.raises(DataError, match="no pictures"):
        ImageFolder(str(tmp_path))
    picture(tmp_path / "a" / "1.png")
    (tmp_path / "b").mkdir()
    with pytest.raises(DataError, match="/b: there are no pictures"):
        ImageFolder(str(tmp_path))
    with pytest.raises(DataError, match=r"none: there is no such"):
        ImageFolder(str(tmp_path / "none"))


def test_a_class_that_is_only_in_test_is_named(tmp_path):
    for name in ("train/a/1.png", "train/b/1.png", "test/a/1.png", "test/c/1.png"):
        picture(tmp_path / name)
    with pytest.raises(DataError, match=r"class 'c' is in the test split .*test/c/1\.png"):
        divide(ImageFolder(str(tmp_path)), Split(hold_out=0))


def test_a_csv_may_list_pictures(tmp_path):
    for i in range(4):
        picture(tmp_path / "pictures" / f"{i}.png", (i, 0, 0))
    rows = "path,label,split\n3.png,b,train\n0.png,a,train\n1.png,a,val\n2.png,b,test\n2.png,b,test\n"
    data = ImageFolder(str(tmp_path / "pictures"), csv=write(tmp_path / "list.csv", rows))
    assert data.column("path") == ["3.png", "0.png", "1.png", "2.png", "2.png"]
    assert data.splits() == {"train": [0, 1], "validation": [2], "test": [3, 4]}
    assert "2.png (row 6)" in data.notes[0]


def test_a_picture_that_is_listed_twice_stays_in_one_split(tmp_path):
    for i in range(20):
        picture(tmp_path / "pictures" / f"{i}.png", (i, 0, 0))
    rows = "".join(f"{i % 20}.png,{'ab'[i % 2]}\n" for i in range(40))
    data = ImageFolder(str(tmp_path / "pictures"), csv=write(tmp_path / "list.csv", f"path,label\n{rows}"))
    files = [set(part.column("path")) for part in divide(data, Split(hold_out=0.2, test=0.2)).values()]
    assert sum(map(len, files)) == len(set().union(*files)) == 20


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ("none.png,a", "1 listed files are not in .*none.png .row 2"),
        ("1.png,", "label is empty"),
    ],
)
def test_a_csv_cannot_list_what_is_not_there(tmp_path, row, says):
    (tmp_path / "pictures").mkdir()
    with pytest.raises(DataError, match=says):
        ImageFolder(str(tmp_path / "pictures"), csv=write(tmp_path / "list.csv", f"path,label\n{row}\n")).splits()
