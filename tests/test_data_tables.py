"""How tables are read, and what is said of bad ones."""

import csv
import json

import pytest
from made import write

from dlzoo.data.columns import Format, numbers
from dlzoo.data.dataset import Subset
from dlzoo.data.delimited import CHUNK, Delimited
from dlzoo.data.table import Table, read_rows
from dlzoo.errors import ConfigError, DataError, UserError
from dlzoo.tasks.tabular_classification import TabularClassification


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
        ("\n\n", "no rows"),
        ("x,Y\n1,2\n", "no column 'y'.*Columns: x, Y"),
        (b"\x1f\x8b\x08\x00", "gzip"),
        (b"PK\x03\x04", "Excel"),
        ("y\n1\n2\n", "no columns besides the target"),
    ],
)
def test_a_bad_table_is_named_with_its_row(tmp_path, text, says):
    with pytest.raises(DataError, match=says) as raised:
        table(tmp_path, text)[0]
    assert len(str(raised.value).splitlines()) <= 6


def test_a_point_is_no_decimal_where_that_is_a_comma():
    array, wrong = numbers(["1.234", "2,5", "1.234,5"], Format(decimal=","))
    assert wrong == [0, 2] and array[1] == 2.5


def test_a_split_is_not_named_twice(tmp_path):
    write(tmp_path / "train.csv", "x,y\n1,a\n")
    write(tmp_path / "test.csv", "x,y\n1,a\n")
    with pytest.raises(ConfigError, match="data.test_path: .*test.csv is the test split"):
        Table(str(tmp_path), "y", test_path=str(tmp_path / "test.csv"))


def test_a_table_to_predict_is_read_as_the_training_file_was(tmp_path):
    rows = "ort|grösse|y\n" + "".join(f"{'ä' if i % 2 else 'b'};|{i},5|{'no' if i % 3 else 'yes'}\n" for i in range(9))
    data = Table(write(tmp_path / "a.csv", rows.encode("latin-1")), "y", separator="|", decimal=",", encoding="latin-1")
    task = TabularClassification()
    task.fit(Subset(data, list(range(9))))
    assert [sample["row"] for sample in task.read(tmp_path / "a.csv")] == data.column("row")


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
