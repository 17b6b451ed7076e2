"""Rows of tables: what is learned from the training rows, what is made of cells, and what is refused."""

import json
import math
import time

import numpy as np
import pytest
import torch
from memory import fitted

from dlzoo.errors import ConfigError, DataError
from dlzoo.tasks.tabular_regression import TabularRegression
from dlzoo.transforms.table import TableEncoder

ROWS = [
    {"age": 20.0, "income": 1.0, "job": "cook", "town": "x", "unit": 1.0},
    {"age": 30.0, "income": None, "job": "cook", "town": None, "unit": 1.0},
    {"age": 40.0, "income": 3.0, "job": "smith", "town": "y", "unit": 1.0},
    {"age": 50.0, "income": 5.0, "job": "smith", "town": "x", "unit": 1.0},
    {"age": 60.0, "income": None, "job": "judge", "town": None, "unit": 1.0},
]


def encoder(numbers="standard", rare=2, rows=ROWS):
    made = TableEncoder(numbers, rare)
    made.fit(rows)
    return made


def test_numbers_are_scaled_and_gaps_become_the_median_and_say_so():
    x = encoder()(ROWS)["x"]
    ages = torch.tensor([20.0, 30, 40, 50, 60])
    torch.testing.assert_close(x[:, 0], (ages - 40) / ages.std(correction=0))
    assert x[1, 1] == x[2, 1]  # the median, 3
    assert x[:, 2].tolist() == [0, 1, 0, 0, 1]


def test_a_column_that_never_varies_is_left_out():
    made = encoder()
    assert made.constant == ["unit"] and made.features == 3
    with pytest.raises(DataError, match="no column of the table varies"):
        encoder(rows=[{"a": 1.0}, {"a": 1.0}])


def test_missing_is_a_category_and_the_rare_and_the_new_are_code_0():
    made = encoder()
    codes = made([*ROWS, {**ROWS[0], "job": "pilot", "town": "z"}])["codes"]
    assert made.categories == [3, 3]
    assert codes[:, 0].tolist() == [1, 1, 2, 2, 0, 0]
    assert codes[:, 1].tolist() == [2, 1, 0, 2, 1, 0]
    assert encoder(rare=1).categories == [4, 4]


@pytest.mark.parametrize("numbers", ["standard", "robust", "quantile"])
def test_absurd_cells_do_not_drown_the_rest(numbers):
    rng = np.random.default_rng(0)
    rows = [{"a": float(value)} for value in rng.lognormal(0, 1, 2000)]
    made = encoder(numbers, rows=rows)
    x = made([*rows, {"a": 1e300}, {"a": -1e300}, {"a": None}])["x"]
    assert x.isfinite().all() and x.abs().max() <= 10
    order = np.argsort([row["a"] for row in rows])
    assert (np.diff(x[:2000, 0].numpy()[order]) >= 0).all()
    if numbers == "quantile":
        assert x[:2000].mean().abs() < 0.05 and abs(x[:2000].std() - 1) < 0.05


def test_the_encoder_goes_through_json():
    for numbers in ("standard", "robust", "quantile"):
        made, again = encoder(numbers), TableEncoder(numbers)
        again.load_state_dict(json.loads(json.dumps(made.state_dict(), allow_nan=False)))
        for one, other in zip(made(ROWS).values(), again(ROWS).values(), strict=True):
            assert torch.equal(one, other)


def test_a_lacking_column_is_named():
    row = {**ROWS[0], "Age": 1.0}
    del row["age"]
    with pytest.raises(DataError, match=r"f.csv:3: there is no column 'age'.*Did you mean 'Age'"):
        encoder()([ROWS[0], row], ["f.csv:2", "f.csv:3"])
    with pytest.raises(DataError, match="there is no column 'job'"):
        encoder()([{"age": 1.0, "income": 1.0, "town": "x"}])


@pytest.mark.parametrize(("cell", "says"), [("forty", "holds numbers, and here is 'forty'"), (math.inf, "infinite")])
def test_a_bad_cell_is_named_with_its_row(cell, says):
    with pytest.raises(DataError, match=rf"f.csv:9: column 'age'.*{says}"):
        encoder()([ROWS[0], {**ROWS[1], "age": cell}], ["f.csv:8", "f.csv:9"])


def samples(key, values):
    return [
        {"row": row, key: value, "source": f"f.csv:{i}"}
        for i, (row, value) in enumerate(zip(ROWS, values, strict=False))
    ]


def test_tables_of_numbers_alone_need_no_codes():
    rows = [{"row": {"a": float(i)}, "label": "xy"[i % 2]} for i in range(6)]
    task = fitted("tabular_classification", rows)
    assert task.inputs == ("x",) and task.requires == () and task.facts() == {"in_features": 1, "categories": []}
    task = fitted("tabular_classification", samples("label", "xyxyx"))
    assert task.inputs == ("x", "codes") and task.requires == ("categories",)
    assert task.notes == ["left out, as they never vary in the training split: unit."]


def test_the_target_comes_back_in_its_own_unit():
    task = fitted("tabular_regression", samples("value", [100.1, 200.2, 300.3, 400.4, 500.5]))
    batch = task.collate(task.encode_many(samples("value", [100.1, 200.2, 300.3, 400.4, 500.5])))
    assert [truth["value"] for truth in task.truth(batch)] == [100.1, 200.2, 300.3, 400.4, 500.5]
    outputs = (batch.targets["value"] - task.mean)[:, None] / task.std
    assert task.loss(outputs.float(), batch).item() == pytest.approx(0, abs=1e-9)
    assert [a["value"] for a in task.decode(outputs, batch)] == pytest.approx([100.1, 200.2, 300.3, 400.4, 500.5])


def test_delta_is_hubers_alone():
    assert TabularRegression(loss="huber", delta=2.0).delta == 2.0
    with pytest.raises(ConfigError, match="task.delta: loss: mae has none"):
        TabularRegression(loss="mae", delta=2.0)


@pytest.mark.parametrize("bad", [None, math.nan, math.inf])
def test_a_missing_target_is_named_with_its_row(bad):
    with pytest.raises(DataError, match="memory:1: the target is"):
        fitted("tabular_regression", samples("value", [1.0, bad, 3.0, 4.0, 5.0]))
    task = fitted("tabular_regression", samples("value", [1.0, 2.0, 3.0, 4.0, 5.0]))
    with pytest.raises(DataError, match="f.csv:1: the target is"):
        task.encode_many(samples("value", [1.0, bad]))


def test_a_row_is_read_from_json_and_from_a_file(tmp_path):
    task = fitted("tabular_classification", samples("label", "xyxyx"))
    (sample,) = task.read('{"age": "30", "income": "NA", "job": "cook", "town": "", "more": 1}')
    want = task.encode({"row": ROWS[1]})
    assert all(torch.equal(want[key], value) for key, value in task.encode(sample).items())
    path = tmp_path / "rows.csv"
    path.write_text("town,job,income,age\n,cook,NA,30\n,cook,lots,30\nx,cook,1,20\n")
    first, bad, third = task.read(path)
    assert all(torch.equal(want[key], value) for key, value in task.encode(first).items())
    assert isinstance(bad, DataError) and f"{path}:3" in str(bad) and third["source"] == f"{path}:4"


@pytest.mark.parametrize("text", ["not json", "[1, 2]", '{"age": [1]}', '{"age": 1}'])
def test_what_is_no_row_is_refused(text):
    task = fitted("tabular_classification", samples("label", "xyxyx"))
    with pytest.raises(DataError):
        [task.encode(sample) for sample in task.read(text)]


def test_a_hundred_thousand_rows_take_a_moment():
    rng = np.random.default_rng(0)
    rows = [
        {**{f"n{k}": value for k, value in enumerate(line)}, "c": "abc"[i % 3]}
        for i, line in enumerate(rng.normal(size=(20_000, 10)).tolist())
    ]
    made = encoder(rows=rows)
    start = time.process_time()
    for i in range(0, len(rows), 1000):
        made(rows[i : i + 1000])
    assert time.process_time() - start < 0.8  # 25,000 rows a second at the least; alone it is ten times as fast
