"""Forecasting: what is seen, what is foretold, what is learned, and the way back to the unit of the series."""

import json

import numpy as np
import pytest
import torch
from memory import Memory, fitted

from dlzoo.errors import ConfigError, DataError
from dlzoo.features import Features
from dlzoo.heads.horizon import Horizon
from dlzoo.models.gru import GRU
from dlzoo.task import Network, columns
from dlzoo.tasks.forecasting import Forecasting
from dlzoo.transforms.series import Clock

T, CUT = 120, 90
MONTHS = [f"{1949 + i // 12}-{i % 12 + 1:02d}-01" for i in range(T + 24)]


def made(seed=0, length=T, **more):
    rng = np.random.default_rng(seed)
    values = 100 + 20 * np.sin(np.arange(length) / 12 * 2 * np.pi) + rng.normal(size=length).cumsum()
    return {"series": torch.tensor(values).float(), "times": MONTHS[:length], "name": f"s{seed}", **more}


def rich(seed=0, ahead=0):
    noise = torch.Generator().manual_seed(seed)
    past, future = torch.randn(T, 2, generator=noise), torch.randn(T + ahead, 1, generator=noise)
    return made(seed, past=past, future=future) | {"times": MONTHS[: T + ahead]}


def cut(samples, start, stop):
    data = Memory(samples)
    data.spans = [(start, stop)] * len(samples)
    return data


def learned(samples, **arguments):
    task = Forecasting(**{"context": 12, "horizon": 6} | arguments)
    task.fit(cut(samples, 0, CUT))
    return task


def network(task):
    torch.manual_seed(0)
    backbone = GRU(in_features=task.facts()["in_features"], dim=8)
    return Network(backbone, task.head(backbone)).eval()


KINDS = {
    "window": {},
    "last": {"normalize": "last"},
    "series": {"normalize": "series"},
    "none": {"normalize": "none"},
    "log": {"transform": "log"},
    "calendar": {"calendar": True},
    "season": {"season": 30},
    "pinball": {"loss": "pinball", "quantiles": [0.1, 0.4, 0.9]},
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("sample", [made, rich])
def test_gathering_is_encoding(kind, sample):
    samples = [sample(0), sample(1)]
    task = learned(samples, **KINDS[kind])
    for split, span in (("train", (0, CUT)), ("test", (CUT, T))):
        pieces = task.pieces(cut(samples, *span), split)
        some = [0, 3, len(pieces) - 1]
        one_by_one = columns([task.encode(pieces[i]) for i in some])
        together = pieces.gather(some)
        assert together.keys() == one_by_one.keys()
        for key in together:
            torch.testing.assert_close(together[key], one_by_one[key], equal_nan=True)


@pytest.mark.parametrize("kind", KINDS)
@torch.no_grad()
def test_the_perfect_output_is_the_truth(kind):
    task = learned([made(0), made(1)], **KINDS[kind])
    pieces = task.pieces(cut([made(0), made(1)], CUT, T), "test")
    batch = task.collate(pieces.gather(range(len(pieces))))
    target = batch.targets["target"]
    outputs = target[..., None].expand(-1, -1, 3) if kind == "pinball" else target
    assert float(task.loss(outputs, batch)) == 0
    for answer, truth in zip(task.decode(outputs, batch), task.truth(batch), strict=True):
        np.testing.assert_allclose(answer["forecast"], truth["forecast"], rtol=1e-5)
        assert answer["times"] == truth["times"] and answer["series"] == truth["series"]


def test_a_test_span_as_long_as_the_horizon_is_one_forecast_and_longer_ones_roll():
    task = learned([made()])
    assert len(task.pieces(cut([made()], T - 6, T), "test")) == 1
    pieces = task.pieces(cut([made()], CUT, T), "test")
    assert len(pieces) == T - CUT - 6 + 1
    values = pieces.gather(range(len(pieces)))["value"]
    torch.testing.assert_close(values[:, 0], made()["series"][CUT : T - 5].double())
    assert pieces.source(0) == f"memory:0: step {CUT + 1}"
    assert task.decode(torch.zeros(1, 6), task.collate(pieces.gather([0])))[0]["times"] == MONTHS[CUT : CUT + 6]


def test_training_windows_start_every_stride():
    task = learned([made()], stride=5)
    pieces = task.pieces(cut([made()], 0, CUT), "train")
    firsts = [int(pieces.source(i).rsplit(" ", 1)[1]) for i in range(len(pieces))]
    assert firsts == list(range(13, CUT - 6 + 2, 5))
    assert len(task.pieces(cut([made()], CUT, T), "test")) == 25


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_after_train_is_learned_or_trained_on(kind):
    other = rich()
    for key in ("series", "past", "future"):
        other[key] = torch.cat([other[key][:CUT], other[key][CUT:] * 7 + 1000])
    task, again = learned([rich()], **KINDS[kind]), learned([other], **KINDS[kind])
    assert task.state_dict() == again.state_dict()
    batches = [t.pieces(cut([s], 0, CUT), "train") for t, s in ((task, rich()), (again, other))]
    first, second = (pieces.gather(range(len(pieces))) for pieces in batches)
    assert all(torch.equal(first[key], second[key]) for key in first)


def test_what_a_model_sees_ends_before_what_it_foretells():
    task = learned([rich()], season=24)
    other = rich()
    other["series"] = torch.cat([other["series"][:CUT], other["series"][CUT:] + 50])
    other["past"] = torch.cat([other["past"][:CUT], other["past"][CUT:] + 50])
    ours, theirs = (task.pieces(cut([sample], CUT, T), "test").gather([0]) for sample in (rich(), other))
    for key in ours:
        assert torch.equal(ours[key], theirs[key]) is (key not in ("value", "target"))


@pytest.mark.parametrize("normalize", ["window", "last"])
def test_a_level_and_a_scale_change_nothing_but_the_level_and_the_scale(normalize):
    task = learned([made()], normalize=normalize)
    model = network(task)
    plain, changed = made(), made()
    changed["series"] = changed["series"].double() * 4 + 5000
    answers = [
        task.answer(model, task.collate(columns([task.encode({**sample, "name": "new"})])))
        for sample in (plain, changed)
    ]
    ours, theirs = (np.array(answer[0]["forecast"]) for answer in answers)
    np.testing.assert_allclose(ours * 4 + 5000, theirs, rtol=1e-4)


def test_a_flat_series_has_a_flat_forecast():
    flat = {"series": torch.full((60,), 7.0), "name": "flat"}
    for normalize in ("window", "last", "series"):
        task = Forecasting(12, 6, normalize)
        task.fit(Memory([flat]))
        batch = task.collate(task.pieces(Memory([flat]), "train").gather([0]))
        answer = task.decode(torch.zeros(1, 6), batch)[0]
        assert answer["forecast"] == [7.0] * 6 and "times" not in answer
        task.update(task.metrics(), torch.zeros(1, 6), batch)


@pytest.mark.parametrize("season", [None, 5, 30])
def test_the_baseline_is_the_last_season_again(season):
    task = learned([made()], season=season, horizon=14)
    batch = task.collate(task.pieces(cut([made()], CUT, T), "test").gather([0]))
    values = made()["series"].double().tolist()
    s = season or 12
    assert task.guess(batch)[0]["forecast"] == [values[CUT - s + h % s] for h in range(14)]


def test_quantiles_do_not_cross_and_the_middle_one_is_the_forecast():
    task = learned([made()], loss="pinball")
    batch = task.collate(task.pieces(cut([made()], CUT, T), "test").gather([0]))
    answer = task.decode(torch.randn(1, 6, 3), batch)[0]
    low, middle, high = (np.array(answer["quantiles"][q]) for q in ("0.1", "0.5", "0.9"))
    assert (low <= middle).all() and (middle <= high).all() and answer["forecast"] == answer["quantiles"]["0.5"]


def test_state_goes_through_json():
    task = learned([rich()], calendar=True)
    other = Forecasting(12, 6, calendar=True)
    other.load_state_dict(json.loads(json.dumps(task.state_dict())))
    assert other.facts() == task.facts() == {"in_features": 1 + 2 + 1 + 2, "context": 12}
    sample = rich(ahead=6)
    ours, theirs = task.encode(sample), other.encode(sample)
    assert all(torch.equal(ours[key], theirs[key]) for key in ours)


def test_a_series_without_end_is_foretold_after_it():
    task = learned([made()])
    answer = task.answer(network(task), task.collate(columns([task.encode(made())])))[0]
    assert answer["times"] == MONTHS[T : T + 6] and len(answer["forecast"]) == 6
    shown = {"series": made()["series"].tolist(), "times": MONTHS[:T]}
    (sample,) = task.read(json.dumps(shown))
    again = task.answer(network(task), task.collate(columns([task.encode(sample)])))[0]
    np.testing.assert_allclose(again["forecast"], answer["forecast"], rtol=1e-5)


def test_a_file_goes_on_with_rows_that_have_no_value(tmp_path):
    from dlzoo.data.series import Series

    sample = rich(ahead=6)
    lines = ["month,sales,rain,wind,price"]
    for i, time in enumerate(sample["times"]):
        own = [float(sample["series"][i]), *sample["past"][i].tolist()] if i < T else ["", "", ""]
        lines.append(",".join(map(str, [time, *own, float(sample["future"][i, 0])])))
    (tmp_path / "train.csv").write_text("\n".join(lines[: T + 1]))
    (tmp_path / "next.csv").write_text("\n".join(lines))
    data = Series(str(tmp_path / "train.csv"), "month", ["sales"], past=["rain", "wind"], future=["price"])
    task = Forecasting(12, 6, calendar=True)
    train = cut([], 0, CUT)
    train.samples, train.dataset, train.spans = [data[0]], data, [(0, CUT)]
    task.fit(train)
    (found,) = task.read(tmp_path / "next.csv")
    answer = task.answer(network(task), task.collate(columns([task.encode(found)])))[0]
    assert answer["times"] == MONTHS[T : T + 6]
    whole = torch.cat([sample["future"]])
    expected = task.encode({**sample, "name": "sales", "future": whole})
    torch.testing.assert_close(task.encode(found)["future"], expected["future"])
    (short,) = task.read(tmp_path / "train.csv")
    with pytest.raises(DataError, match="known for 0 steps ahead, and the horizon is 6"):
        task.encode(short)


def test_bad_series_are_refused():
    gap = made()
    gap["series"][40] = torch.nan
    with pytest.raises(DataError, match="memory:0: step 41: the value is missing"):
        learned([gap])
    task = learned([made()])
    with pytest.raises(DataError, match="step 41"):
        task.pieces(cut([gap], 60, T), "test")
    with pytest.raises(DataError, match="5 values are fewer than the context of 12"):
        task.encode(made(length=5))
    with pytest.raises(DataError, match="no window fits into the test split.*data.test"):
        task.pieces(cut([made()], T - 4, T), "test")
    with pytest.raises(DataError, match="log needs positive"):
        learned([{**made(), "series": made()["series"] - 200}], transform="log")
    with pytest.raises(DataError, match="calendar"):
        learned([{**made(), "times": [str(i) for i in range(T)]}], calendar=True)
    with pytest.raises(DataError, match="past covariates"):
        learned([made(past=torch.randn(T, 2))]).encode(made())
    with pytest.raises(DataError, match="not a JSON object"):
        list(task.read("not a series"))


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ({"series": 5}, "`series` must be a list of numbers"),
        ({"series": [[1]] * 12}, "`series` must be a list of numbers"),
        ({"series": [1] * 12, "past": [1] * 12}, "`past` must be a list of steps"),
        ({"series": [1] * 12, "past": [[1, 2]] * 11}, "11 steps of past covariates are here, and 12 are needed"),
        ({"series": [1] * 12, "past": [[1, 2]] * 12, "times": ["2020"]}, "1 times are fewer than the 12 values"),
        ({"series": [1] * 12, "past": [[1, 2]] * 12, "times": list(range(12))}, "times are not all dates"),
        ({"series": [1] * 12, "past": [[1, 2]] * 12, "times": 5}, "not a JSON object"),
    ],
)
def test_a_bad_object_is_refused(row, says):
    task = learned([made(past=torch.randn(T, 2))])
    with pytest.raises(DataError, match=says):
        [task.encode(sample) for sample in task.read(json.dumps(row))]


@pytest.mark.parametrize(
    "wrong",
    [{"delta": 2.0}, {"quantiles": [0.5]}, {"loss": "pinball", "quantiles": [0.9, 0.1]}, {"horizon": 0}, {"stride": 0}],
)
def test_settings_without_sense_are_refused(wrong):
    with pytest.raises(ConfigError, match="task"):
        Forecasting(**wrong)


CLOCKS = {
    "hours": (["2016-07-01 00:00:00", "2016-07-01 01:00:00", "2016-07-01 02:00:00"], ["2016-07-01 03:00:00"], 24),
    "quarter hours": (["2016-07-01T00:00", "2016-07-01T00:15"], ["2016-07-01 00:30"], 96),
    "days": (["2020-02-27", "2020-02-28"], ["2020-02-29", "2020-03-01"], 7),
    "weeks": (["2020-02-03", "2020-02-10"], ["2020-02-17"], 52),
    "months": (["1949-11-01", "1949-12-01"], ["1950-01-01", "1950-02-01"], 12),
    "short months": (["1949-11", "1949-12"], ["1950-01"], 12),
    "month ends": (["2020-01-31", "2020-02-29", "2020-03-31"], ["2020-04-30", "2020-05-31"], 12),
    "quarters": (["2019-10-01", "2020-01-01"], ["2020-04-01"], 4),
    "years": (["1700", "1701"], ["1702", "1703"], 1),
    "dated years": (["1700-01-01", "1701-01-01"], ["1702-01-01"], 1),
    "numbers": (["0.5", "1", "1.5"], ["2", "2.5"], 1),
}


@pytest.mark.parametrize("kind", CLOCKS)
def test_time_goes_on_as_it_went(kind):
    times, ahead, season = CLOCKS[kind]
    clock = Clock.learn(times)
    values = clock.parse(times)
    assert clock.format(clock.ahead(values[-1], len(ahead))) == ahead
    assert clock.season() == season
    assert Clock(**json.loads(json.dumps(clock.state_dict()))) == clock
    np.testing.assert_allclose(clock.parse(ahead), clock.ahead(values[-1], len(ahead)))


def test_the_calendar_turns_with_the_day_the_week_and_the_year():
    hours = Clock.learn(["2016-07-01 00:00:00", "2016-07-01 01:00:00"])
    assert hours.cycles() == ["hour", "weekday", "year"]
    assert Clock.learn(["2020-01-01", "2020-01-02"]).cycles() == ["weekday", "year"]
    assert Clock.learn(["2020-01", "2020-02"]).cycles() == ["year"]
    waves = hours.calendar(hours.parse(["2016-07-04 06:00:00", "2016-07-05 06:00:00", "2016-07-11 06:00:00"]))
    assert waves.shape == (3, 6)
    np.testing.assert_allclose(waves[:, :2], [[1, 0]] * 3, atol=1e-5)  # six o'clock, a quarter of the day
    np.testing.assert_allclose(waves[0, 2:4], waves[2, 2:4], atol=1e-5)  # a Monday and the next
    assert abs(waves[0, 2:4] - waves[1, 2:4]).max() > 0.1


@pytest.mark.parametrize("kind", ["sequence", "vector"])
def test_the_head_sees_its_own_step_of_the_future(kind):
    torch.manual_seed(0)
    features = torch.randn(2, 5, 4) if kind == "sequence" else torch.randn(2, 4)
    x, future = torch.randn(2, 8, 3), torch.randn(2, 6, 2)
    head = Horizon(Features(kind, 4), 6, quantiles=3, future=2, context=8)
    before = head(features, x=x, future=future)
    assert before.shape == (2, 6, 3)
    future[:, 4] += 1
    changed = (head(features, x=x, future=future) != before).any(-1).any(0)
    assert changed.tolist() == [False] * 4 + [True, False]
    assert Horizon(Features(kind, 4), 6)(features).shape == (2, 6)


def test_a_linear_map_of_the_context_is_added():
    head = Horizon(Features("vector", 4), 6, context=8)
    x, features = torch.randn(2, 8, 3), torch.randn(2, 4)
    plain = head(features, x=x)
    torch.nn.init.normal_(head.linear.weight)
    torch.testing.assert_close(head(features, x=x) - plain, x[..., 0] @ head.linear.weight.T)


def test_several_series_are_told_apart():
    task = fitted("forecasting", [made(0), made(1)], context=12, horizon=6)
    pieces = task.pieces(Memory([made(0), made(1)]), "test")
    batch = task.collate(pieces.gather([0, len(pieces) - 1]))
    assert [answer["series"] for answer in task.truth(batch)] == ["s0", "s1"]
    assert [round(t["std"], 3) for t in task.truth(batch)] == [
        round(float(made(i)["series"].double().std(correction=0)), 3) for i in (0, 1)
    ]
