"""What holds of every dataset, and what each says of bad data."""

import gzip
import struct
from pathlib import Path

import pytest
import torch
from made import boxed, digit_masks, picture, scenes, tagged, talks, translated, videos, write
from PIL import Image

from dlzoo.config import Split
from dlzoo.data.location import BUNDLED
from dlzoo.data.series import Series
from dlzoo.data.splits import divide
from dlzoo.data.texts import Texts
from dlzoo.errors import DataError
from dlzoo.registry import DATASETS

SHARED = Path(__file__).parent.parent / "data"
KEYS = {
    "image",
    "video",
    "mask",
    "boxes",
    "label",
    "labels",
    "row",
    "value",
    "values",
    "text",
    "words",
    "tags",
    "target",
    "messages",
    "series",
    "past",
    "future",
    "times",
    "name",
}


def cifar(folder, count=10):
    """CIFAR-10's binary form: of picture i, label i % 2 and every pixel i."""
    for name in ("data_batch_1.bin", "data_batch_2.bin", "test_batch.bin"):
        write(folder / name, b"".join(bytes([i % 2, *[i] * 3072]) for i in range(count)))
    write(folder / "batches.meta.txt", "airplane\nautomobile\n\n")
    return folder


SIGN = "Filename;Width;Height;Roi.X1;Roi.Y1;Roi.X2;Roi.Y2;ClassId\n"


def signs(folder, count=12):
    """GTSRB's layout: of classes 14 and 17 two tracks each, and some test pictures; a white sign in black."""
    rows = {14: "", 17: "", None: ""}
    for kind in (14, 17, None):
        place = folder / "GTSRB" / ("Final_Test/Images" if kind is None else f"Training/{kind:05}")
        for i in range(count):
            name = f"{i:05}.ppm" if kind is None else f"{i // 6:05}_{i % 6:05}.ppm"
            image = Image.new("RGB", (20 + i, 18))
            image.paste((255, 255, 255), (3, 4, 13, 16))
            place.mkdir(parents=True, exist_ok=True)
            image.save(place / name)
            rows[kind] += f"{name};{20 + i};18;3;4;12;15;{kind or (14, 17)[i % 2]}\n"
        write(folder / "GT-final_test.csv" if kind is None else place / f"GT-{kind:05}.csv", SIGN + rows[kind])
    return folder / "GTSRB"


def example(name, folder):
    """A small instance of a dataset: the bundled ones as they are, the others on files made here."""
    if name == "image_folder":
        for i in range(12):
            picture(folder / "train" / "ab"[i % 2] / f"{i}.png", (i, 0, 0))
            picture(folder / "test" / "ab"[i % 2] / f"{i}.png", (i, 9, 0))
        return {"path": str(folder)}
    if name == "video_folder":
        return {"path": str(videos())}
    if name == "table":
        rows = "".join(f"{i},{'xyz'[i % 3]},{i % 2}\n" for i in range(40))
        return {"path": write(folder / "rows.csv", f"size,kind,target\n{rows}"), "target": "target"}
    if name == "texts":
        return {
            "path": write(folder / "texts.tsv", "text\tlabel\n" + "".join(f"words {i}\t{i % 2}\n" for i in range(40)))
        }
    if name == "tagged_texts":
        return {"path": tagged(folder / "a.conll")}
    if name == "text_pairs":
        return {"path": translated(folder / "pairs.tsv", 40)}
    if name == "conversations":
        return {"path": talks(folder / "talks.jsonl")}
    if name == "series":
        rows = "".join(f"2020-01-{i + 1:02},{i},{i * i},{i % 7}\n" for i in range(31))
        path = write(folder / "series.csv", f"day,a,b,weekday\n{rows}")
        return {"path": path, "time": "day", "targets": ["a", "b"], "future": ["weekday"]}
    if name == "idx":
        return {"path": str(BUNDLED / "fashion_mnist_small")}
    if name == "cifar":
        return {"path": str(cifar(folder))}
    if name in ("coco", "voc", "yolo"):
        return {"path": boxed(folder, name, {"train": scenes(20), "test": scenes(5, seed=1)})}
    if name == "mask_folder":
        return {"path": digit_masks(), "mode": "grey"}
    if name == "gtsrb":
        return {"path": str(signs(folder))}
    if name == "torchvision":
        raw = folder / "FashionMNIST" / "raw"
        raw.mkdir(parents=True)
        for file in (BUNDLED / "fashion_mnist_small").iterdir():
            (raw / file.stem).write_bytes(gzip.decompress(file.read_bytes()))
        return {"set": "FashionMNIST", "path": str(folder), "mode": "grey"}
    return {}


@pytest.fixture(params=DATASETS.names())
def dataset(request, tmp_path):
    arguments = example(request.param, tmp_path)
    made = DATASETS[request.param](**arguments)
    return made, lambda: DATASETS[request.param](**arguments)


def test_a_dataset_keeps_its_contract(dataset):
    data, again = dataset
    indices = sorted({0, len(data) // 2, len(data) - 1})
    for i in indices:
        sample = data[i]
        assert set(sample) == set(data.gives) <= KEYS
        assert data.source(i) and "/root" not in data.source(i)
        if "image" in sample:
            image = sample["image"]
            assert image.dtype == torch.uint8 and image.ndim == 3 and image.shape[0] in (1, 3)
        for key in set(sample) - {"image", "video", "mask"}:
            column = data.column(key)
            assert len(column) == len(data)
            assert (
                torch.equal(column[i], sample[key])
                if isinstance(sample[key], torch.Tensor)
                else column[i] == sample[key]
            )
    assert data.fingerprint() == again().fingerprint()
    contents = data.contents()
    assert contents is None or len(contents) == len(data)
    assert data.along is None or len(data.lengths()) == len(data)


def test_a_dataset_streams_the_samples_that_it_indexes(dataset):
    data, _ = dataset
    for i, sample in zip(range(5), data.stream(), strict=False):
        assert sample.pop("source") == data.source(i)
        assert sample.keys() == data[i].keys()
        if {"row", "text", "messages"} & set(sample):
            assert sample == data[i]


def test_splits_of_a_dataset_are_disjoint_and_stable(dataset):
    data, again = dataset
    first, second = divide(data, Split()), divide(again(), Split())
    assert set(first) == {"train", "validation", "test"}
    for name, subset in first.items():
        assert (subset.indices, subset.spans) == (second[name].indices, second[name].spans)
        assert len(subset) and subset[0].keys() == data[0].keys()
    if data.along is None:
        together = [i for subset in first.values() for i in subset.indices]
        assert len(set(together)) == len(together) == len(data)


def test_the_bundled_sets_are_those_that_the_documents_describe():
    sizes = {
        "fashion_mnist_small": 2500,
        "digits": 1797,
        "breast_cancer": 569,
        "wine": 178,
        "diabetes": 442,
        "credit": 4454,
        "spam": 2500,
    }
    assert {name: len(DATASETS[name]()) for name in sizes} == sizes
    assert DATASETS["austen"]().lengths() == [684768]
    assert DATASETS["airline"]().lengths() == [144] and DATASETS["sunspots"]().lengths() == [309]
    clothes = DATASETS["fashion_mnist_small"]()
    train = clothes.column("label")[:2000]
    assert {train.count(label) for label in set(train)} == {200}
    assert (BUNDLED / "LICENSES.md").is_file()


def idx(folder, images, labels):
    head = struct.pack(">IIII", 0x803, len(images), 2, 2)
    write(folder / "train-images-idx3-ubyte", head + bytes(b for image in images for b in image))
    write(folder / "train-labels-idx1-ubyte", struct.pack(">II", 0x801, len(labels)) + bytes(labels))
    return str(folder)


def test_idx_files_are_read_and_checked(tmp_path):
    build = DATASETS["idx"]
    data = build(idx(tmp_path, [[1, 2, 3, 4], [5, 6, 7, 8]], [0, 1]), classes=["no", "yes"])
    assert data[1]["image"].tolist() == [[[5, 6], [7, 8]]] and data[1]["label"] == "yes"
    with pytest.raises(DataError, match="2 pictures, but 1 labels"):
        build(idx(tmp_path, [[1, 2, 3, 4], [5, 6, 7, 8]], [0]))[0]
    with pytest.raises(DataError, match="names only 1"):
        build(str(tmp_path), classes=["no"]).column("label") if idx(tmp_path, [[0] * 4], [3]) else None
    write(tmp_path / "train-images-idx3-ubyte", struct.pack(">IIII", 0x803, 10**5, 10**3, 10**3))
    with pytest.raises(DataError, match="promises"):
        build(str(tmp_path))[0]
    write(tmp_path / "train-images-idx3-ubyte.gz", gzip.compress(b"abc")[:-4])
    with pytest.raises(DataError, match=r"ubyte\.gz"):
        build(str(tmp_path))[0]


def test_a_set_of_torchvision_that_is_not_there_names_the_folder(tmp_path):
    with pytest.raises(DataError, match=r"SVHN is not here.*download"):
        DATASETS["torchvision"](set="SVHN", path=str(tmp_path))


def test_cifar_is_read_from_its_binary_form_and_checked(tmp_path):
    build = DATASETS["cifar"]
    data = build(str(cifar(tmp_path)))
    assert len(data) == 30 and {name: len(where) for name, where in data.splits().items()} == {"train": 20, "test": 10}
    assert data[23]["image"].eq(3).all() and data[23]["label"] == "automobile"
    assert data.source(23).endswith("test_batch.bin:3")
    write(tmp_path / "test_batch.bin", bytes(100))
    with pytest.raises(DataError, match="test_batch.bin: 100 bytes are not whole"):
        len(build(str(tmp_path)))
    write(tmp_path / "test_batch.bin", bytes([9, *[0] * 3072]))
    with pytest.raises(DataError, match="test_batch.bin:0: label 9"):
        build(str(tmp_path)).column("label")


def test_traffic_signs_are_those_that_torchvision_reads(tmp_path):
    from torchvision.datasets import GTSRB

    data = DATASETS["gtsrb"](str(signs(tmp_path / "gtsrb")))
    for split, numbers in (("train", [0, 1]), ("test", [14, 17])):  # torchvision numbers the folders that are there
        theirs = GTSRB(str(tmp_path), split)
        ours = [data[i] for i in data.splits()[split]]
        assert len(ours) == len(theirs) == {"train": 24, "test": 12}[split]
        for sample, (image, number) in zip(ours, theirs, strict=True):
            assert sample["label"] == ("stop", "no entry")[numbers.index(number)]
            assert sample["image"].permute(1, 2, 0).numpy().tobytes() == image.tobytes()


def test_a_traffic_sign_is_cropped_and_a_track_stays_together(tmp_path):
    path = str(signs(tmp_path))
    data = DATASETS["gtsrb"](path, roi=True)
    assert data[0]["image"].shape == (3, 12, 10) and (data[0]["image"] == 255).all()
    splits = divide(data, Split(group="track", hold_out=6))
    tracks = {name: set(split.column("track")) for name, split in splits.items()}
    assert len(tracks["validation"]) == 1 and not tracks["validation"] & tracks["train"]
    (tmp_path / "GT-final_test.csv").rename(tmp_path / "GTSRB" / "Final_Test" / "Images" / "GT-final_test.csv")
    (tmp_path / "GTSRB" / "Final_Training").mkdir()
    (tmp_path / "GTSRB" / "Training").rename(tmp_path / "GTSRB" / "Final_Training" / "Images")
    assert DATASETS["gtsrb"](path).column("label") == data.column("label")


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ("00000.ppm;20;18;3;4;12;15", r"GT-final_test.csv:14: .*7"),
        ("00000.ppm;20;18;3;4;12;15;43", "GT-final_test.csv:14: class 43, and there are 43: 0 to 42"),
        ("00000.ppm;20;18;3;-4;12;15;1", "GT-final_test.csv:14: '-4' is not a whole number"),
        ("../a.ppm;20;18;3;4;12;15;1", r"GT-final_test.csv:14: '../a.ppm' is no name of a file"),
        ("none.ppm;20;18;3;4;12;15;1", r"1 listed pictures are not here: .*GT-final_test.csv:14 .none.ppm"),
    ],
)
def test_a_bad_row_of_traffic_signs_is_named(row, says, tmp_path):
    path = signs(tmp_path)
    with (tmp_path / "GT-final_test.csv").open("a") as file:
        file.write(f"{row}\n")
    with pytest.raises(DataError, match=says):
        DATASETS["gtsrb"](str(path))


def test_a_sign_outside_its_picture_is_named(tmp_path):
    path = signs(tmp_path)
    write(path / "Training" / "00014" / "GT-00014.csv", f"{SIGN}00000_00000.ppm;20;18;3;4;20;15;14\n")
    with pytest.raises(DataError, match=r"GT-00014.csv:2: the sign, .3, 4, 20, 15., is not inside .* 20 x 18"):
        DATASETS["gtsrb"](str(path), roi=True)[0]


def test_a_folder_without_traffic_signs_says_what_is_wanted(tmp_path):
    with pytest.raises(DataError, match=r"Final_Training/Images/00000/GT-00000.csv or Training/00000"):
        DATASETS["gtsrb"](str(tmp_path))


# the shared sets, where they are


@pytest.mark.skipif(not (SHARED / "fashion_mnist").is_dir(), reason="data/fashion_mnist is not here")
def test_the_whole_of_fashion_mnist_is_read():
    data = DATASETS["idx"](str(SHARED / "fashion_mnist"))
    assert {name: len(subset) for name, subset in divide(data, Split()).items()} == {
        "train": 54000,
        "validation": 6000,
        "test": 10000,
    }


@pytest.mark.skipif(not (SHARED / "etth1.csv").is_file(), reason="data/etth1.csv is not here")
def test_etth1_is_seven_series():
    columns = ["HUFL", "HULL", "MUFL", "MULL", "LUFL", "LULL", "OT"]
    data = Series(str(SHARED / "etth1.csv"), "date", columns, rows=14400)
    assert len(data) == 7 and data.lengths() == [14400] * 7
    assert divide(data, Split(test=2880, hold_out=2880))["train"].spans == [(0, 8640)] * 7


@pytest.mark.skipif(not (SHARED / "sst2").is_dir(), reason="data/sst2 is not here")
def test_sst2_has_its_own_splits():
    data = Texts(str(SHARED / "sst2"), header=False)
    assert {name: len(subset) for name, subset in divide(data, Split()).items()} == {
        "train": 6920,
        "validation": 872,
        "test": 1821,
    }
