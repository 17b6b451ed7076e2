"""What holds of every dataset, and what each says of bad data."""

import csv
import gzip
import io
import json
import os
import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from dlzoo.config import Split
from dlzoo.data.delimited import CHUNK, Delimited
from dlzoo.data.image_folder import ImageFolder
from dlzoo.data.location import BUNDLED
from dlzoo.data.series import Series, read_series
from dlzoo.data.splits import divide
from dlzoo.data.table import Table, read_rows
from dlzoo.data.texts import Texts, read_texts
from dlzoo.errors import DataError, UserError
from dlzoo.registry import DATASETS
from dlzoo.transforms.decode import read_image

SHARED = Path(__file__).parent.parent / "data"
KEYS = {"image", "label", "row", "value", "text", "series", "past", "future", "times", "name"}


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return str(path)


def picture(path, colour=(255, 0, 0), size=(6, 4), **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB" if isinstance(colour, tuple) else "L", size, colour).save(path, **options)
    return path


def example(name, folder):
    """A small instance of a dataset: the bundled ones as they are, the others on files made here."""
    if name == "image_folder":
        for i in range(12):
            picture(folder / "train" / "ab"[i % 2] / f"{i}.png", (i, 0, 0))
            picture(folder / "test" / "ab"[i % 2] / f"{i}.png", (i, 9, 0))
        return {"path": str(folder)}
    if name == "table":
        rows = "".join(f"{i},{'xyz'[i % 3]},{i % 2}\n" for i in range(40))
        return {"path": write(folder / "rows.csv", f"size,kind,target\n{rows}"), "target": "target"}
    if name == "texts":
        return {
            "path": write(folder / "texts.tsv", "text\tlabel\n" + "".join(f"words {i}\t{i % 2}\n" for i in range(40)))
        }
    if name == "series":
        rows = "".join(f"2020-01-{i + 1:02},{i},{i * i},{i % 7}\n" for i in range(31))
        path = write(folder / "series.csv", f"day,a,b,weekday\n{rows}")
        return {"path": path, "time": "day", "targets": ["a", "b"], "future": ["weekday"]}
    if name == "idx":
        return {"path": str(BUNDLED / "fashion_mnist_small")}
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
        for key in set(sample) - {"image"}:
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
        if "row" in sample or "text" in sample:
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


# pictures


def test_a_picture_is_the_same_in_every_form_that_keeps_it(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (5, 7, 3), np.uint8)
    for suffix in ("png", "bmp", "tif", "webp", "ppm"):
        path = tmp_path / f"a.{suffix}"
        Image.fromarray(pixels).save(path, **({"lossless": True} if suffix == "webp" else {}))
        assert torch.equal(read_image(path), torch.from_numpy(pixels).permute(2, 0, 1)), suffix
        assert torch.equal(read_image(path.read_bytes()), read_image(path))


def test_deep_pictures_are_scaled_not_clipped(tmp_path):
    deep = np.array([[0, 257, 32896, 65535]], np.uint16)
    for suffix in ("png", "tif"):
        Image.fromarray(deep).save(tmp_path / f"a.{suffix}")
        assert read_image(tmp_path / f"a.{suffix}", "grey").tolist() == [[[0, 1, 128, 255]]]
    Image.fromarray(np.array([[0, 0.5, 1]], np.float32)).save(tmp_path / "f.tif")
    assert read_image(tmp_path / "f.tif", "grey").tolist() == [[[0, 128, 255]]]
    Image.fromarray(np.array([[0, 300.0]], np.float32)).save(tmp_path / "g.tif")
    with pytest.raises(DataError, match=r"g\.tif: pixels are floats from 0 to 300"):
        read_image(tmp_path / "g.tif")


def test_what_is_transparent_shows_white(tmp_path):
    Image.new("RGBA", (2, 2), (10, 20, 30, 0)).save(tmp_path / "a.png")
    Image.new("LA", (2, 2), (10, 0)).save(tmp_path / "b.png")
    hidden = Image.new("P", (2, 2), 3)
    hidden.putpalette([0] * 768)
    hidden.save(tmp_path / "c.png", transparency=3)
    for name in "abc":
        assert read_image(tmp_path / f"{name}.png").unique().tolist() == [255]
        assert read_image(tmp_path / f"{name}.png", "grey").unique().tolist() == [255]


def test_a_picture_is_turned_as_its_camera_says(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    picture(tmp_path / "a.jpg", size=(80, 40), exif=exif)
    assert read_image(tmp_path / "a.jpg").shape == (3, 80, 40)


def test_print_colours_and_grey_become_the_mode_asked(tmp_path):
    Image.new("CMYK", (3, 3), (0, 255, 255, 0)).save(tmp_path / "a.jpg")
    red = read_image(tmp_path / "a.jpg")[:, 0, 0]
    assert red[0] > 200 and red[1] < 60
    picture(tmp_path / "b.png", 7)
    assert read_image(tmp_path / "b.png").unique().tolist() == [7] and read_image(tmp_path / "b.png").shape == (3, 4, 6)
    assert read_image(tmp_path / "a.jpg", "grey").shape == (1, 3, 3)


def test_a_huge_picture_is_refused_by_its_header(tmp_path):
    Image.new("1", (12_000, 10_000)).save(tmp_path / "a.png")
    with pytest.raises(DataError, match=r"a\.png.*megapixels"):
        read_image(tmp_path / "a.png")


@pytest.mark.parametrize(
    ("contents", "says"),
    [
        (b"", "empty"),
        (b"hello, I am text", "not a picture"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not a picture"),
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


def test_pipes_and_folders_are_no_pictures(tmp_path):
    os.mkfifo(tmp_path / "a.png")
    for path in (tmp_path / "a.png", tmp_path, tmp_path / "none.png"):
        with pytest.raises(DataError):
            read_image(path)


# folders


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


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ("none.png,a", "1 listed files are not in .*none.png .row 2"),
        ("../../x,a", "not inside"),
        ("/etc/passwd,a", "not inside"),
        ("1.png,", "label is empty"),
    ],
)
def test_a_csv_cannot_list_what_is_not_there(tmp_path, row, says):
    (tmp_path / "pictures").mkdir()
    with pytest.raises(DataError, match=says):
        ImageFolder(str(tmp_path / "pictures"), csv=write(tmp_path / "list.csv", f"path,label\n{row}\n"))


# tables


def table(folder, text, target="y", **arguments):
    return Table(write(folder / "rows.csv", text), target, **arguments)


def test_types_are_inferred_and_told(tmp_path):
    lines = [
        f"{i},{i / 7},{'NO' if i % 2 else 'NA'},0{i % 10},name {i},{'' if i == 3 else i},{i % 2}\n" for i in range(30)
    ]
    data = table(tmp_path, "count,share,country,zip,who,gap,y\n" + "".join(lines))
    assert data[3]["row"] == {"count": 3.0, "share": 3 / 7, "country": "NO", "zip": "03", "gap": None}
    assert data[4]["row"]["country"] == "NA"
    assert data.arguments()["columns"]["who"] == "ignore" and "'who'" in data.notes[0]
    assert data.column("who")[2] == "name 2"
    again = table(tmp_path, "count,share,country,zip,who,gap,y\n" + "".join(lines), columns=data.arguments()["columns"])
    assert again[5] == data[5] and again.arguments() == data.arguments()


def test_a_column_that_only_numbers_the_rows_is_no_feature(tmp_path):
    data = table(tmp_path, ",x,y\n" + "".join(f"{i},{i % 5},{i % 2}\n" for i in range(9)))
    assert data[0]["row"].keys() == {"x"} and "numbers the rows" in data.notes[0]


def test_separators_and_decimal_commas_are_understood(tmp_path):
    text = "x;z;y\n1,5;a;0\n-2,25;b;1\n"
    assert table(tmp_path, text, decimal=",")[1] == {"row": {"x": -2.25, "z": "b"}, "label": "1", "value": 1.0}
    with pytest.raises(DataError, match=r"rows\.csv:2: column 'x' has decimal commas"):
        len(table(tmp_path, text))
    assert table(tmp_path, "\ufeffx\ty\r\n1\ta\r\n")[0] == {"row": {"x": 1.0}, "label": "a"}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "the file is empty"),
        ("\n\n", "no rows"),
        ("x,y\n", "no rows below the header"),
        ("x,y,x\n1,2,3\n", "columns 1 and 3 are both called 'x'"),
        ("x,Y\n1,2\n", "no column 'y'.*Columns: x, Y"),
        ("x,y\n1,0\n2,1,5\n", r"rows\.csv:3: the row has 3 cells, the header 2"),
        ("x,y\n1,0\n2\n", r"rows\.csv:3: the row has 1 cells"),
        ('x,y\n1,0\n"2,1\n3,0\n', r"rows\.csv:3: a quote .* never closed"),
        (b"x,y\n1,0\n\xff,1\n", r"rows\.csv:3: byte 8 is no UTF-8"),
        ("x,y\n1,0\n".encode("utf-16"), "UTF-16"),
        ("x,y\n1,0\n\0,1\n", r"rows\.csv:3: a NUL byte"),
        (b"\x1f\x8b\x08\x00", "gzip"),
        (b"PK\x03\x04", "Excel"),
        ("x,y\n" + "1,0\n" * 9 + "abc,1\n", r"rows\.csv:11: 'abc' in column 'x' is not a finite number"),
        ("x,y\n" + "1,0\n" * 9 + "inf,1\n", r"rows\.csv:11: 'inf' in column 'x'"),
        ("x,y\n" + "1,0\n" * 9 + "1e400,1\n", r"rows\.csv:11: '1e400'"),
        ("x,y\n" + "1,0\n" * 9 + "nan,1\n", r"rows\.csv:11: 'nan'"),
        ("x,y\n" + "1,0\n" * 9 + "1,\n", r"rows\.csv:11: the target 'y' is empty"),
        ("x,y\n" + "1,a\n" * 9 + "1,\n2,\n", r"rows\.csv:11: the target 'y' is empty(.|\n)*2 rows .*: 11, 12"),
        ("x,y\n" + "1,0.5\n" * 9 + "1,many\n", r"rows\.csv:11: 'many' in column 'y'"),
        ("y\n1\n2\n", "no columns besides the target"),
    ],
)
def test_a_bad_table_is_named_with_its_row(tmp_path, text, says):
    with pytest.raises(DataError, match=says) as raised:
        table(tmp_path, text)[0]
    assert len(str(raised.value).splitlines()) <= 6


def test_a_wrong_separator_or_column_is_met_with_a_guess(tmp_path):
    with pytest.raises(DataError, match="separated by ';'"):
        table(tmp_path, "x;y\n1;2\n", separator=",")
    with pytest.raises(DataError, match="Did you mean 'price'"):
        table(tmp_path, "x,price\n1,2\n", target="prize")
    with pytest.raises(UserError, match="Did you mean 'number'"):
        table(tmp_path, "x,y\n1,2\n", columns={"x": "numbr"})


def test_a_table_may_lie_in_a_file_for_each_split(tmp_path):
    for name, value in (("train", 1), ("valid", 2), ("test", 3)):
        write(tmp_path / f"{name}.csv", "x,y\n" + f"{value},a\n{value},b\n" * 2)
    data = Table(str(tmp_path), "y")
    assert data.splits() == {"train": [0, 1, 2, 3], "validation": [4, 5, 6, 7], "test": [8, 9, 10, 11]}
    assert data.source(8) == f"{tmp_path}/test.csv:2" and data[8]["row"]["x"] == 3
    write(tmp_path / "test.csv", "x,y\nlarge,a\n")
    with pytest.raises(DataError, match=r"test\.csv:2: 'large' in column 'x'"):
        len(Table(str(tmp_path), "y"))


def test_a_row_is_the_same_in_every_form(tmp_path):
    rows = [{"x": i / 3, "kind": "ab"[i % 2], "y": str(i % 2)} for i in range(10)]
    csv_path = write(tmp_path / "a.csv", "x,kind,y\n" + "".join(f"{r['x']!r},{r['kind']},{r['y']}\n" for r in rows))
    json_path = write(tmp_path / "a.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    first, second = Table(csv_path, "y"), Table(json_path, "y")
    assert [first[i] for i in range(10)] == [second[i] for i in range(10)]
    assert list(first.contents()) == list(second.contents())
    pa = pytest.importorskip("pyarrow")
    import pyarrow.parquet

    pyarrow.parquet.write_table(pa.Table.from_pylist(rows), tmp_path / "a.parquet")
    third = Table(str(tmp_path / "a.parquet"), "y")
    assert [third[i]["row"] for i in range(10)] == [first[i]["row"] for i in range(10)]


def test_rows_of_a_user_are_read_one_by_one_and_bad_ones_named(tmp_path):
    text = 'z,x,kind\n1,2.5,a\n1,,NA\n1,two,b\n1\n1,3,"say ""hi"""\n1,4,"two\nlines"\n\n1,5,c\n'
    rows = list(read_rows(write(tmp_path / "r.csv", text), {"x": "number", "kind": "category"}))
    assert [line for line, _ in rows] == [2, 3, 4, 5, 6, 7, 10]
    assert [row for _, row in rows if isinstance(row, dict)] == [
        {"x": 2.5, "kind": "a"},
        {"x": None, "kind": "NA"},
        {"x": 3.0, "kind": 'say "hi"'},
        {"x": 4.0, "kind": "two\nlines"},
        {"x": 5.0, "kind": "c"},
    ]
    assert "r.csv:4: 'two' in column 'x'" in str(rows[2][1]) and "r.csv:5: the row has 1 cells" in str(rows[3][1])
    with pytest.raises(DataError, match="no column 'y'"):
        next(read_rows(tmp_path / "r.csv", {"y": "number"}))


def test_reading_a_long_table_takes_no_more_memory_than_a_short_one(tmp_path):
    import tracemalloc

    peaks = []
    for count in (2 * CHUNK, 5 * CHUNK):
        path = tmp_path / f"{count}.csv"
        with path.open("w", newline="") as stream:
            csv.writer(stream).writerows([["x", "k", "y"], *([i % 1000 / 7, "ab"[i % 2], i % 2] for i in range(count))])
        data = Table(str(path), "y", columns={"x": "number", "k": "category", "y": "category"})
        tracemalloc.start()
        assert sum(1 for _ in data.stream()) == sum(1 for _ in read_rows(path, {"x": "number"})) == count
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.2 * peaks[0]


def test_a_cell_may_be_long_but_not_endless(tmp_path):
    long = "a" * 200_000
    assert Delimited(write(tmp_path / "a.csv", f"x,y\n{long},1\n")).columns == ["x", "y"]
    assert next(Delimited(tmp_path / "a.csv").chunks()).cells == [[long, "1"]]


# texts


def test_texts_in_class_folders(tmp_path):
    for name in ("pos/1.txt", "pos/2.txt", "neg/1.txt"):
        write(tmp_path / name, name)
    data = Texts(str(tmp_path))
    assert data.gives == ("text", "label")
    assert [data[i] for i in range(3)] == [
        {"text": "neg/1.txt", "label": "neg"},
        {"text": "pos/1.txt", "label": "pos"},
        {"text": "pos/2.txt", "label": "pos"},
    ]


def test_several_documents_are_kept_whole_and_one_is_cut(tmp_path):
    for i in range(10):
        write(tmp_path / "many" / f"{i}.txt", "word " * (i + 1))
    many = Texts(str(tmp_path / "many"))
    assert many.along is None and many.gives == ("text",)
    assert {name: subset.spans for name, subset in divide(many, Split()).items()} == dict.fromkeys(
        ("train", "validation", "test")
    )
    one = Texts(str(tmp_path / "many" / "9.txt"), unit="document")
    assert one.along == "text" and one.lengths() == [50]
    assert divide(one, Split(test=0.2, hold_out=0))["test"].spans == [(40, 50)]


def test_plain_lines_are_texts(tmp_path):
    data = Texts(write(tmp_path / "a.txt", "one\n\ntwo\n"))
    assert data.column("text") == ["one", "two"] and data.source(1).endswith("a.txt:3")


def test_texts_without_header_or_quotes(tmp_path):
    write(tmp_path / "train.tsv", 'good "film\t1\n"bad film\t0\n')
    write(tmp_path / "dev.tsv", "fine\t1\n")
    data = Texts(str(tmp_path), header=False, quotes=False)
    assert data.column("text") == ['good "film', '"bad film', "fine"] and data.column("label") == ["1", "0", "1"]
    assert data.splits() == {"train": [0, 1], "validation": [2]}


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("a.csv", "body,label\nx,y\n", "no column 'text'.*Set `text`"),
        ("a.csv", "text,label\nx,y\nz,\n", r"a\.csv:3: the label is empty"),
        ("a.jsonl", '{"text": "x"}\n{"text": \n', r"a\.jsonl:2: the line is no JSON"),
        ("a.jsonl", '{"text": "x"}\n[1]\n', r"a\.jsonl:2: .* no JSON object"),
        ("a.txt", b"good\nb\xe4d\n", r"a\.txt:2: byte 6 is no UTF-8"),
        ("a.txt", "\n", "no texts"),
    ],
)
def test_bad_texts_are_named_with_their_row(tmp_path, name, text, says):
    with pytest.raises(DataError, match=says):
        len(Texts(write(tmp_path / name, text)))


def test_another_encoding_can_be_named(tmp_path):
    assert Texts(write(tmp_path / "a.txt", "bäd\n".encode("latin-1")), encoding="latin-1").column("text") == ["bäd"]
    with pytest.raises(DataError, match="not known"):
        len(Texts(str(tmp_path / "a.txt"), encoding="latin-99"))


def test_texts_of_a_user_are_read_one_by_one(tmp_path):
    write(tmp_path / "a.csv", 'id,text\n1,hello\n2\n3,"a\nb"\n')
    found = list(read_texts(tmp_path / "a.csv", "text"))
    assert [isinstance(sample, DataError) or sample["text"] for sample in found] == ["hello", True, "a\nb"]
    write(tmp_path / "a.txt", "one\ntwo\n")
    assert [sample["text"] for sample in read_texts(tmp_path / "a.txt", "text")] == ["one", "two"]
    assert [sample["text"] for sample in read_texts(tmp_path / "a.txt")] == ["one\ntwo\n"]


# series


def series(folder, text, **arguments):
    return Series(write(folder / "s.csv", text), **{"time": "t", "targets": ["a"], **arguments})


def test_series_with_covariates_and_ids(tmp_path):
    text = "shop,t,a,b,p,f\n" + "".join(
        f"{s},2020-0{m}-01,{m},{-m},{m * 2},{m * 3}\n" for s in "xy" for m in range(1, 6)
    )
    data = series(tmp_path, text, targets=["a", "b"], past=["p"], future=["f"], id="shop", rows=4)
    assert [data[i]["name"] for i in range(4)] == ["x a", "x b", "y a", "y b"]
    sample = data[3]
    assert sample["series"].tolist() == [-1, -2, -3, -4] and sample["past"].shape == sample["future"].shape == (4, 1)
    assert sample["times"][0] == "2020-01-01" and data.source(3).endswith("s.csv [y b]")
    assert data.notes == []


def test_a_users_series_may_know_more_of_the_future(tmp_path):
    path = write(tmp_path / "s.csv", "t,a,f\n1,5,0\n2,6,1\n3,,1\n4,,0\n")
    (sample,) = read_series(path, "t", ["a"], future=["f"])
    assert sample["series"].tolist() == [5, 6] and sample["future"].tolist() == [[0], [1], [1], [0]]
    assert len(sample["times"]) == 4


def test_gaps_are_filled_where_asked(tmp_path):
    data = series(tmp_path, "t,a\n1,1\n2,\n3,NA\n4,4\n", missing="interpolate")
    assert data[0]["series"].tolist() == [1, 2, 3, 4] and "2 missing values" in data.notes[0]


def test_uneven_steps_are_reported(tmp_path):
    data = series(tmp_path, "t,a\n2020-01-01,1\n2020-01-02,1\n2020-01-03,2\n2020-01-09,3\n")
    assert len(data) == 1 and "longer before row 5" in data.notes[0]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("t,a\n2020-01-01,1\n2020-01-03,1\n2020-01-02,1\n", r"s\.csv:4: '2020-01-02' .* comes after '2020-01-03'"),
        ("t,a\n1,1\n1,2\n", r"s\.csv:3: '1' in column 't' comes twice"),
        ("t,a\n1,1\nsoon,2\n", r"s\.csv:3: 'soon' in column 't' is no time"),
        ("t,a\n1,1\n2,\n3,\n", r"s\.csv:3: column 'a' is empty here, and 1 more"),
        ("t,a\n1,1\n2,inf\n", r"s\.csv:3: 'inf' in column 'a'"),
        ("t,a\n1,1\n2,x\n", r"s\.csv:3: 'x' in column 'a'"),
        ("t,a\n", "no rows"),
        ("t,b\n1,1\n", "no column 'a'"),
    ],
)
def test_what_is_no_series_is_named_with_its_row(tmp_path, text, says):
    with pytest.raises(DataError, match=says):
        len(series(tmp_path, text))


# idx and torchvision


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
    with pytest.raises(DataError, match=r"cifar-10-batches-py.*download"):
        DATASETS["torchvision"](set="CIFAR10", path=str(tmp_path))


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
