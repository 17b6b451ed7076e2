"""Numbers from pictures: their names and units, the circle, lists with numbers, and what is refused."""

import math

import pytest
import torch
from made import measured, picture, write
from memory import fitted

from dlzoo.config import Split
from dlzoo.data.image_folder import ImageFolder
from dlzoo.data.skipped import Skipped
from dlzoo.data.splits import divide
from dlzoo.errors import ConfigError, DataError
from dlzoo.metrics.regression import Regression, Regressions
from dlzoo.run.answers import flat, readable
from dlzoo.tasks.image_regression import ImageRegression
from dlzoo.transforms.targets import Targets


def sample(**values):
    return {"image": torch.zeros(1, 8, 8, dtype=torch.uint8), "values": values}


def learned(columns, periods=None):
    """Targets that have seen the columns, and these as a tensor (B, N)."""
    values = torch.tensor(list(columns.values()), dtype=torch.float64).T
    return Targets.fit(list(columns), values, periods or {}), values


# what is learned


def test_what_is_learned_has_mean_0_and_spread_1_and_comes_back():
    targets, values = learned({"speed": [10.0, 30.0, 80.0], "age": [1.0, 2.0, 6.0]})
    wanted = targets.encode(values)
    torch.testing.assert_close(wanted.mean(0), torch.zeros(2, dtype=torch.float64), atol=1e-9, rtol=0)
    torch.testing.assert_close(wanted.std(0, correction=0), torch.ones(2, dtype=torch.float64))
    torch.testing.assert_close(targets.decode(wanted), values)


def test_an_angle_is_a_point_on_the_circle_and_comes_back():
    targets, values = learned({"angle": [0.0, 90.0, 359.0, 200.0], "size": [1.0, 2.0, 3.0, 4.0]}, {"angle": 360})
    wanted = targets.encode(values)
    assert wanted.shape == (4, targets.width) == (4, 3)
    assert (wanted[0, :2] - wanted[2, :2]).norm() < 0.02  # 0 and 359 are neighbours
    torch.testing.assert_close(targets.decode(wanted * torch.tensor([3.0, 3.0, 1.0])), values)


def test_angles_are_answered_in_the_turn_that_the_data_uses():
    around = torch.linspace(-7, 7, 50, dtype=torch.float64)
    point = torch.stack([around.cos(), around.sin()], 1)
    for lowest, low in ((0.0, 0.0), (-10.0, -180.0)):
        targets, _ = learned({"angle": [lowest, 170.0]}, {"angle": 360})
        found = targets.decode(point)[:, 0]
        assert (found >= low).all() and (found < low + 360).all()
        torch.testing.assert_close((found * math.pi / 180).cos(), around.cos())


def test_the_mean_of_angles_goes_around_the_circle():
    targets, _ = learned({"angle": [340.0, 350.0, 20.0, 30.0]}, {"angle": 360})
    assert targets.means[0] == pytest.approx(5)


def test_a_number_that_never_varies_is_learned_without_a_division_by_zero():
    targets, values = learned({"speed": [5.0, 5.0]})
    assert targets.encode(values).eq(0).all() and targets.decode(torch.zeros(1, 1)).item() == 5


# how it is scored


def test_each_number_has_its_own_scores_and_a_single_one_needs_no_name():
    answers = [{"values": {"a": float(i), "b": 3.0 * i}} for i in range(9)]
    truths = [{"values": {"a": i + (-1.0) ** i, "b": i * i / 2}} for i in range(9)]
    metric = Regressions(["a", "b"])
    metric.update(answers, truths)
    for name in "ab":
        alone, single = Regressions([name]), Regression()
        alone.update(answers, truths)
        single.update(*([{"value": row["values"][name]} for row in rows] for rows in (answers, truths)))
        assert alone.compute() == single.compute()
        assert {key: metric.compute()[f"{key}.{name}"] for key in single.compute()} == single.compute()
    assert metric.intervals().keys() == metric.compute().keys()


def test_an_error_on_the_circle_takes_the_shorter_way():
    metric = Regressions(["angle"], {"angle": 360})
    pairs = [(359.0, 1.0), (10.0, 350.0), (-90.0, 270.0), (100.0, 70.0)]
    metric.update(*([{"values": {"angle": pair[k]}} for pair in pairs] for k in (0, 1)))
    assert metric.compute() == pytest.approx({"mae": 13.0, "rmse": math.sqrt((4 + 400 + 900) / 4)})


def test_two_processes_score_as_one_does():
    rows = torch.rand(2, 40, 2, dtype=torch.float64).numpy() * 360
    whole, one, other = (Regressions(["a", "angle"], {"angle": 360}) for _ in range(3))
    whole.update_arrays(*rows)
    one.update_arrays(*rows[:, :15])
    other.update_arrays(*rows[:, 15:])
    one.merge(other.state_dict())
    assert one.compute() == pytest.approx(whole.compute())


def test_an_answer_is_printed_by_name():
    answer = {"source": "a.png", "values": {"angle": 12.5, "speed": 30.0}}
    assert readable(answer) == "a.png: angle 12.5  speed 30"
    assert flat(answer) == {"source": "a.png", "values.angle": 12.5, "values.speed": 30.0}


# what is refused


def test_a_period_of_no_target_is_refused():
    with pytest.raises(ConfigError, match="task.period: unknown target 'angel'. Did you mean 'angle'"):
        fitted("image_regression", [sample(angle=3.0)], period={"angel": 360})


def test_delta_is_of_huber_alone():
    assert ImageRegression(loss="huber", delta=2.0).delta == 2
    with pytest.raises(ConfigError, match="task.delta: loss: mae has none"):
        ImageRegression(loss="mae", delta=2.0)


# lists with numbers


def test_a_list_gives_numbers_by_name_and_its_other_columns(tmp_path):
    data = ImageFolder(**{key: value for key, value in measured(tmp_path).items() if key != "name"})
    assert data.gives == ("image", "values") and data[7]["values"].keys() == {"place", "angle"}
    assert data.column("values")[0] == data[0]["values"] == {"place": 0.0, "angle": 0.0}
    assert data.headings() == ["place", "angle"] and data.column("place")[2] == "2"
    with pytest.raises(DataError, match="no column 'label', only values, path, place, angle"):
        data.column("label")


def test_pictures_of_one_drive_stay_in_one_split(tmp_path):
    rows = "path,angle,drive\n"
    for i in range(30):
        picture(tmp_path / f"{i}.png", i)
        rows += f"{i}.png,{i},{i // 5}\n"
    data = ImageFolder(str(tmp_path), csv=write(tmp_path / "list.csv", rows), targets=["angle"])
    splits = divide(data, Split(group="drive", test=5, hold_out=5))
    drives = [set(split.column("drive")) for split in splits.values()]
    assert [len(split) for split in drives] == [4, 1, 1] and len(set.union(*drives)) == 6


@pytest.mark.parametrize(
    ("cell", "says"),
    [
        ("left", "the target 'angle' is 'left', not a finite number"),
        ("", "the target 'angle' is empty"),
        ("inf", "the target 'angle' is 'inf', not a finite number"),
    ],
)
def test_a_row_without_its_number_is_named_or_skipped(cell, says, tmp_path):
    for i in range(3):
        picture(tmp_path / f"{i}.png", i)
    path = write(tmp_path / "list.csv", f"path,angle\n0.png,1\n1.png,{cell}\n2.png,3\n")
    data = ImageFolder(str(tmp_path), csv=path, targets=["angle"])
    with pytest.raises(DataError, match=f"list.csv:3: {says}"):
        divide(data, Split(test=0, hold_out=0))
    data.skipped = Skipped(1)
    data.skipped.find(data)
    assert divide(data, Split(test=0, hold_out=0))["train"].column("values") == [{"angle": 1.0}, {"angle": 3.0}]


@pytest.mark.parametrize(
    ("csv", "targets", "error", "says"),
    [
        (None, ["angle"], ConfigError, "data.targets: .* name it with data.csv"),
        ("path,angle\n0.png,1\n", [], ConfigError, "data.targets: name at least one"),
        ("path,angle\n0.png,1\n", ["angel"], DataError, "angel.*Did you mean 'angle'"),
    ],
)
def test_targets_must_be_columns_of_a_list(csv, targets, error, says, tmp_path):
    picture(tmp_path / "0.png")
    with pytest.raises(error, match=says):
        ImageFolder(str(tmp_path), csv=csv and write(tmp_path / "list.csv", csv), targets=targets)
