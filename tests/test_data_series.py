"""How series are read, and what is said of bad ones."""

import pytest
from made import write

from dlzoo.data.series import Series, read_series
from dlzoo.errors import DataError


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


def test_large_numbers_stay_as_they_are(tmp_path):
    data = Series(write(tmp_path / "s.csv", "t,a\n1,16777217\n2,123456789.125\n"), "t", ["a"])
    assert data[0]["series"].tolist() == [16777217, 123456789.125]


def test_a_series_to_predict_is_read_as_the_training_file_was(tmp_path):
    path = write(tmp_path / "s.csv", "t|ä;b\n1|2\n2|3\n".encode("latin-1"))
    data = Series(path, "t", ["ä;b"], separator="|", encoding="latin-1")
    assert next(read_series(path, **data.reading))["series"].tolist() == data[0]["series"].tolist() == [2, 3]


def test_gaps_are_filled_where_asked(tmp_path):
    data = series(tmp_path, "t,a\n1,1\n2,\n3,NA\n4,4\n", missing="interpolate")
    assert data[0]["series"].tolist() == [1, 2, 3, 4] and "2 missing values" in data.notes[0]


def test_uneven_steps_are_reported(tmp_path):
    data = series(tmp_path, "t,a\n2020-01-01,1\n2020-01-02,1\n2020-01-03,2\n2020-01-09,3\n")
    assert len(data) == 1 and "longer before row 5" in data.notes[0]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("t,a\n1,1\n2,\n3,\n", r"s\.csv:3: column 'a' is empty here, and 1 more"),
        ("t,a\n1,1\n2,inf\n", r"s\.csv:3: 'inf' in column 'a'"),
        ("t,a\n", "no rows"),
        ("t,b\n1,1\n", "no column 'a'"),
    ],
)
def test_what_is_no_series_is_named_with_its_row(tmp_path, text, says):
    with pytest.raises(DataError, match=says):
        len(series(tmp_path, text))
