"""Pictures with boxes: three layouts, one kind of sample; and what each says of boxes that cannot be."""

import json
import os
import re
from pathlib import Path

import pytest
import torch
from made import boxed, picture, scenes, write
from PIL import Image

from dlzoo.config import Split
from dlzoo.data.coco import COCO
from dlzoo.data.skipped import Skipped
from dlzoo.data.splits import divide
from dlzoo.data.voc import VOC
from dlzoo.data.yolo import YOLO
from dlzoo.errors import DataError
from dlzoo.transforms.decode import read_image, read_size

BCCD = Path(__file__).parent.parent / "data" / "bccd"
LAYOUTS = {"voc": VOC, "coco": COCO, "yolo": YOLO}


@pytest.mark.skipif(not BCCD.is_dir(), reason="data/bccd is not here")
def test_bccd_is_read_whole_with_its_splits():
    data = VOC(str(BCCD))
    assert {name: len(indices) for name, indices in data.splits().items()} == {
        "train": 205,
        "validation": 87,
        "test": 72,
    }
    bad = [i for i in range(len(data)) if data._pictures[i].error]
    assert [Path(data.source(i)).stem for i in bad] == ["BloodImage_00343", "BloodImage_00338"]
    with pytest.raises(DataError, match=r"00343\.xml: object 4: the box 181, 329, 181, 329 has no area"):
        data[bad[0]]
    data.skipped = Skipped(0.01)
    data.skipped.find(data)
    good = data.readable(range(len(data)))
    texts = "".join((BCCD / "Annotations" / f"{Path(data.source(i)).stem}.xml").read_text() for i in good)
    labels = [label for i in good for label in data.column("labels")[i]]
    assert labels == re.findall("<name>(.*)</name>", texts) and len(labels) > 4800
    assert {name: len(subset) for name, subset in divide(data, Split()).items()} == {
        "train": 204,
        "validation": 86,
        "test": 72,
    }


@pytest.mark.parametrize("source", ["bccd", "made"])
def test_three_layouts_give_the_same_samples(source, tmp_path):
    if source == "bccd" and not BCCD.is_dir():
        pytest.skip("data/bccd is not here")
    data = VOC(str(BCCD)) if source == "bccd" else None
    parts = {"train": range(2), "test": range(300, 301)}
    splits = (
        {split: [data[i] for i in indices] for split, indices in parts.items()}
        if data
        else {"train": scenes(5), "val": scenes(2, (48, 30), seed=1)}
    )
    mode = "rgb" if data else "grey"
    read = {name: kind(boxed(tmp_path / name, name, splits), mode) for name, kind in LAYOUTS.items()}
    expected = [sample for samples in splits.values() for sample in samples]
    for name, found in read.items():
        assert len(found) == len(expected), name
        assert found.splits() == read["voc"].splits()
        for i, sample in enumerate(expected):
            assert torch.equal(found[i]["image"], sample["image"])
            torch.testing.assert_close(found[i]["boxes"], sample["boxes"], atol=1e-3, rtol=0)
            assert found[i]["labels"] == sample["labels"]


def changed(folder, layout, box=(2, 3, 9, 8), label="disc"):
    """One picture of 20 x 10 with that box, in one of the layouts."""
    sample = {"image": torch.zeros(3, 10, 20, dtype=torch.uint8), "boxes": torch.tensor([box]), "labels": [label]}
    return LAYOUTS[layout](boxed(folder, layout, {"train": [sample]}))


PLACES = {
    "voc": r"train000\.xml: object 1",
    "coco": r"train\.json: annotations\[0\] \(id 0\)",
    "yolo": r"train000\.txt:1",
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(
    ("box", "says"),
    [
        ((5, 5, 5, 9), "the box 5, 5, 5, 9 has no area"),
        ((9, 5, 5, 9), "the box 9, 5, 5, 9 has no area"),
        ((5, 5, 23, 9), "the box 5, 5, 23, 9 is not inside its picture, 20 x 10"),
        ((-4, 5, 8, 9), "the box -4, 5, 8, 9 is not inside"),
        ((21, 5, 22, 9), "the box 21, 5, 22, 9 is not inside"),
    ],
)
def test_a_box_that_cannot_be_is_named_with_its_place(layout, box, says, tmp_path):
    data = changed(tmp_path, layout, box)
    with pytest.raises(DataError, match=f"{PLACES[layout]}: {says}"):
        data[0]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_box_that_sticks_out_by_a_pixel_is_cut(layout, tmp_path):
    torch.testing.assert_close(
        changed(tmp_path, layout, (-1, 2, 21, 11.5))[0]["boxes"], torch.tensor([[0.0, 2, 20, 10]])
    )


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_picture_without_boxes_is_a_sample(layout, tmp_path):
    samples = scenes(2)
    samples[0] |= {"boxes": torch.zeros(0, 4), "labels": []}
    data = LAYOUTS[layout](boxed(tmp_path, layout, {"train": samples}))
    assert data[0]["boxes"].shape == (0, 4) and data[0]["labels"] == [] and data[1]["labels"]
    assert "1 of 2 pictures have no box" in data.notes[0]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_bad_picture_can_be_left_out(layout, tmp_path):
    samples = scenes(4)
    samples[2]["boxes"] = samples[2]["boxes"] + 40
    data = LAYOUTS[layout](boxed(tmp_path, layout, {"train": samples}))
    data.skipped = Skipped(0.5)
    data.skipped.find(data)
    assert data.skipped.indices == {2}
    assert [sample["source"] for sample in data.stream()] == [data.source(i) for i in (0, 1, 3)]


def coco(folder, **changes):
    for name in ("a.png", "b.png"):
        picture(folder / name, size=(20, 10))
    content = {
        "images": [{"id": 1, "file_name": "a.png"}, {"id": 2, "file_name": "b.png"}],
        "annotations": [{"id": 7, "image_id": 1, "category_id": 3, "bbox": [1, 2, 3, 4]}],
        "categories": [{"id": 3, "name": "cat"}],
    }
    return COCO(write(folder / "all.json", json.dumps(content | changes)))


def test_one_json_beside_its_pictures_is_a_dataset(tmp_path):
    data = coco(tmp_path)
    assert data.column("labels") == [["cat"], []] and data.splits() == {"train": [0, 1]}
    assert data[0]["boxes"].tolist() == [[1, 2, 4, 6]]


def test_crowds_are_left_out(tmp_path):
    crowd = {"id": 8, "image_id": 1, "category_id": 3, "bbox": [0, 0, 9, 9], "iscrowd": 1}
    data = coco(tmp_path, annotations=[crowd])
    assert data[0]["labels"] == []


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ({"category_id": 4}, r"annotations\[0\] \(id 7\): category_id 4 is none of the categories"),
        ({"bbox": [1, 2, 3]}, r"annotations\[0\] \(id 7\): bbox \[1, 2, 3\] is not four numbers"),
        ({"bbox": [1, 2, 3, "x"]}, "is not four numbers"),
        ({"bbox": None}, "is not four numbers"),
        ({"bbox": [1, 2, float("nan"), 4]}, "is not four numbers"),
    ],
)
def test_an_annotation_that_cannot_be_is_named(row, says, tmp_path):
    data = coco(tmp_path, annotations=[{"id": 7, "image_id": 1, "category_id": 3, "bbox": [1, 2, 3, 4]} | row])
    with pytest.raises(DataError, match=says):
        data[0]
    assert data[1]["labels"] == []


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        (
            {"annotations": [{"id": 7, "image_id": 5, "category_id": 3}]},
            r"of no image that is listed: annotations\[0\]",
        ),
        ({"annotations": ["x"]}, r"of no image that is listed: annotations\[0\]"),
        ({"images": [{"id": 1, "file_name": "a.png"}] * 2}, "1 images have the id of another"),
        ({"images": [{"id": 1}]}, "there is no 'file_name'; wanted are images"),
        ({"categories": 3}, "wanted are images"),
        ({"images": [], "annotations": []}, "there are no pictures with boxes in it"),
    ],
)
def test_a_json_that_is_none_of_cocos_says_what_is_wanted(changes, says, tmp_path):
    with pytest.raises(DataError, match=says):
        coco(tmp_path, **changes)


def test_a_json_reads_no_picture_outside_its_folder(tmp_path):
    picture(tmp_path / "secret.png")
    data = coco(tmp_path / "in", images=[{"id": 1, "file_name": "../secret.png"}, {"id": 2, "file_name": "b.png"}])
    with pytest.raises(DataError, match=r"'\.\./secret\.png' is not inside"):
        data[0]


def test_a_document_type_is_refused_before_it_grows(tmp_path):
    data = changed(tmp_path, "voc")
    bomb = '<!DOCTYPE a [<!ENTITY x "' + "x" * 100 + '"><!ENTITY y "&x;&x;&x;&x;">]><annotation>&y;</annotation>'
    write(tmp_path / "Annotations" / "train000.xml", bomb)
    data = VOC(str(tmp_path))
    with pytest.raises(DataError, match=r"train000\.xml: not XML that can be read: it declares a document type"):
        data[0]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("<annotation><object>", "not XML that can be read"),
        (
            "<annotation><object><name>a</name></object></annotation>",
            "object 1: the sides of its bndbox are no numbers",
        ),
        (
            "<annotation><object><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>inf</xmax><ymax>4</ymax></bndbox></object>"
            "</annotation>",
            "is not finite",
        ),
        (
            "<annotation><object><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>3</xmax><ymax>4</ymax></bndbox></object>"
            "</annotation>",
            "object 1: the box has no name",
        ),
    ],
)
def test_an_xml_that_cannot_be_used_is_named(text, says, tmp_path):
    changed(tmp_path, "voc")
    write(tmp_path / "Annotations" / "train000.xml", text)
    with pytest.raises(DataError, match=rf"train000\.xml.*{says}"):
        VOC(str(tmp_path))[0]


def test_difficult_boxes_are_counted_if_asked(tmp_path):
    changed(tmp_path, "voc")
    file = tmp_path / "Annotations" / "train000.xml"
    write(file, file.read_text().replace("<difficult>0", "<difficult>1"))
    assert VOC(str(tmp_path))[0]["labels"] == []
    assert VOC(str(tmp_path), difficult=True)[0]["labels"] == ["disc"]


def test_a_list_that_names_what_is_not_there_is_told(tmp_path):
    changed(tmp_path, "voc")
    write(tmp_path / "ImageSets" / "Main" / "train.txt", "train000\nnobody\n")
    with pytest.raises(DataError, match=r"nobody\.xml: there is no picture of this name"):
        VOC(str(tmp_path))[1]


def test_pictures_beside_their_xml_are_read_too(tmp_path):
    for split in ("train", "valid"):
        picture(tmp_path / split / "a.jpg", size=(20, 10))
        box = "<bndbox><xmin>1</xmin><ymin>1</ymin><xmax>5</xmax><ymax>6</ymax></bndbox>"
        write(tmp_path / split / "a.xml", f"<annotation><object><name>x</name>{box}</object></annotation>")
    data = VOC(str(tmp_path))
    assert data.splits() == {"train": [0], "validation": [1]} and data[1]["boxes"].tolist() == [[1, 1, 5, 6]]


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("0 .5 .5 .2", "five numbers are wanted"),
        ("0 .5 .5 .2 .2 .1 .3", "five numbers are wanted"),
        ("0 120 40 30 20", "shares of the picture, 0 to 1, and not pixels"),
        ("1 .5 .5 .2 .2", "1 is not the number of a class, of 1 that are named"),
        ("0.5 .5 .5 .2 .2", "0.5 is not the number of a class"),
        ("0 nan .5 .2 .2", "shares of the picture"),
    ],
)
def test_a_line_that_is_no_box_is_named(line, says, tmp_path):
    changed(tmp_path, "yolo")
    write(tmp_path / "labels" / "train" / "train000.txt", f"\n{line}\n")
    with pytest.raises(DataError, match=rf"train000\.txt:2: .*{says}"):
        YOLO(str(tmp_path))[0]


def test_names_of_classes_come_from_a_file_or_from_the_config_or_are_numbers(tmp_path):
    changed(tmp_path, "yolo")
    assert YOLO(str(tmp_path)).column("labels") == [["disc"]]
    assert YOLO(str(tmp_path), classes=["ball"]).column("labels") == [["ball"]]
    write(tmp_path / "data.yaml", "names:\n  0: dot\n  1: line\n")
    assert YOLO(str(tmp_path)).column("labels") == [["dot"]]
    write(tmp_path / "data.yaml", "names: 3\n")
    with pytest.raises(DataError, match="names` is no list of the classes"):
        YOLO(str(tmp_path))
    (tmp_path / "data.yaml").unlink()
    assert YOLO(str(tmp_path)).column("labels") == [["0"]]
    write(tmp_path / "classes.txt", "ring\n")
    assert YOLO(str(tmp_path)).column("labels") == [["ring"]]


def test_two_pictures_of_one_name_are_refused(tmp_path):
    changed(tmp_path, "yolo")
    picture(tmp_path / "images" / "train" / "train000.jpg")
    with pytest.raises(DataError, match=r"train000\.jpg and train000\.png have one name"):
        YOLO(str(tmp_path))


@pytest.mark.parametrize("turned", [1, 3, 6, 8])
def test_the_size_of_a_picture_is_that_of_the_upright_one(turned, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = turned
    file = picture(tmp_path / "a.jpg", size=(40, 20), exif=exif)
    assert read_size(file) == tuple(read_image(file).shape[1:]) == ((20, 40) if turned < 5 else (40, 20))


def test_a_pipe_has_no_size(tmp_path):
    os.mkfifo(tmp_path / "a.png")
    with pytest.raises(DataError, match=r"a\.png: not a regular file"):
        read_size(tmp_path / "a.png")
