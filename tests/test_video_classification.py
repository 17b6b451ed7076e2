"""Videos by windows: where they are, what the model sees of them, and when in a video its label shows."""

import csv
import json
from pathlib import Path
from random import Random

import numpy as np
import pytest
import torch
from made import square, video, videos
from memory import fitted
from PIL import Image
from torch import nn
from trained import train

from dlzoo.errors import ConfigError, DataError, UserError
from dlzoo.features import Features
from dlzoo.registry import MODELS, TASKS
from dlzoo.registry.compatible import models_for
from dlzoo.registry.entry import PACKAGE
from dlzoo.run.beginning import published as begin
from dlzoo.run.evaluate import evaluate
from dlzoo.run.portable import load
from dlzoo.tasks import video_classification
from dlzoo.tasks.video_classification import VideoClassification
from dlzoo.transforms.video import Video

CLIPS = Path(__file__).parents[1] / "data" / "fight_clips"


def sample(path, direction=1, length=20, label="a", seed=0):
    return {"video": Video.open(video(path, square(direction, seed, length))), "label": label, "source": str(path)}


@pytest.fixture
def pair(tmp_path):
    """Two videos of 2 s at 10 frames a second."""
    return [sample(tmp_path / "a.mp4"), sample(tmp_path / "b.mp4", -1, label="b", seed=1)]


def encoded(task, *samples, rng=None):
    examples = [task.encode(one, rng) for one in samples]
    columns = {
        key: [e[key] for e in examples] if key in task.ragged else torch.stack([e[key] for e in examples])
        for key in examples[0]
    }
    return task.collate(columns)


def test_frames_are_spread_over_the_whole_video_and_shifted_a_little_in_training():
    task = VideoClassification(frames=4)
    assert task.times(2.0) == [0.25, 0.75, 1.25, 1.75]
    times = task.times(2.0, Random(1))
    assert np.allclose(np.diff(times), 0.5) and 0 <= times[0] < 0.5 and times != task.times(2.0)
    assert times == task.times(2.0, Random(1)) != task.times(2.0, Random(2))


def test_a_training_window_lies_anywhere_in_the_video_and_nowhere_else():
    task = VideoClassification(frames=8, fps=4.0)
    starts = [task.times(10.0, Random(seed))[0] for seed in range(300)]
    assert 0.125 <= min(starts) < 0.4 and 7.8 < max(starts) <= 8.125
    times = task.times(10.0, Random(0))
    assert len(times) == 8 and np.allclose(np.diff(times), 0.25)


@pytest.mark.parametrize(
    ("seconds", "starts"), [(1.0, [0]), (2.0, [0]), (3.0, [0, 4]), (4.1, [0, 4, 8]), (60.0, [0, 58, 116, 174, 232])]
)
def test_scored_windows_go_from_the_beginning_to_the_end_and_are_five_at_most(seconds, starts):
    task = VideoClassification(frames=8, fps=4.0)
    count = len(task.times(seconds))
    assert task._starts(count) == starts
    assert starts[-1] + 8 == count and (count - 8) / 4 <= max(0, seconds - 2) < (count - 7) / 4


def test_a_stride_is_no_less_fine_than_was_asked_for():
    task = VideoClassification(frames=8, fps=4.0)
    for hop in (1, 3, 8, 20):
        found = task._starts(101, hop)
        assert found[0] == 0 and found[-1] == 93 and max(np.diff(found)) <= hop


def test_a_video_shorter_than_a_window_stands_still_at_its_end(tmp_path, pair):
    task = fitted("video_classification", pair, frames=12, fps=10.0)
    x = encoded(task, sample(tmp_path / "short.mp4", length=5)).inputs["x"]
    assert x.shape == (1, 3, 12, 32, 32) and not torch.equal(x[:, :, 3], x[:, :, 4])
    assert all(torch.equal(x[:, :, t], x[:, :, 4]) for t in range(5, 12))


def test_differences_are_between_frames_that_follow_each_other(pair):
    plain = fitted("video_classification", pair, frames=9)
    changes = fitted("video_classification", pair, frames=8, difference=True)
    x, d = (encoded(task, *pair).inputs["x"] for task in (plain, changes))
    assert d.shape == (2, 3, 8, 32, 32)
    torch.testing.assert_close(d, x[:, :, 1:] - x[:, :, :-1])


@pytest.mark.parametrize("kind", ["shift_flip", "zoom_flip"])
def test_all_frames_of_a_video_are_changed_alike(kind, pair):
    task = fitted("video_classification", pair, frames=2, augment=kind, erase=1.0)
    batch = encoded(task, pair[0])
    batch.inputs["x"] = batch.inputs["x"][:, :, :1].expand(-1, -1, 2, -1, -1).clone()
    x = task.augment(batch, torch.Generator().manual_seed(3)).inputs["x"]
    assert torch.equal(x[:, :, 0], x[:, :, 1]) and not torch.equal(x, batch.inputs["x"])


def test_a_video_scores_the_mean_of_its_windows_and_the_best_one_says_when(tmp_path, pair):
    task = fitted("video_classification", pair, frames=8, fps=8.0)
    batch = encoded(task, sample(tmp_path / "c.mp4", length=30), pair[1])
    assert [len(starts) for starts in batch.inputs["starts"]] == [5, 3] and batch.count == 2
    outputs = torch.tensor([[0.0, 0], [1, 0], [4, 0], [0, 2], [0, 0], [0, 1], [0, 3], [0, 2]])
    first, second = task.decode(outputs, batch)
    assert first["label"] == "a" and second["label"] == "b"
    torch.testing.assert_close(
        torch.tensor(list(first["scores"].values())), torch.tensor([5 / 5, 2 / 5]).softmax(0), atol=1e-6, rtol=0
    )
    assert (first["start"], first["end"]) == (1.0, 2.0) and (second["start"], second["end"]) == (0.5, 1.5)
    assert first["windows"]["start"] == [0.0, 0.5, 1.0, 1.5, 2.0] and first["windows"]["end"][-1] == 3.0
    assert first["windows"]["scores"]["a"][2] == pytest.approx(torch.tensor([4.0, 0]).softmax(0)[0].item())
    loss = nn.functional.cross_entropy(torch.tensor([[1.0, 0.4], [0, 2]]), batch.targets["label"], reduction="sum")
    torch.testing.assert_close(task.loss(outputs, batch), loss)


def test_a_video_that_is_too_long_is_refused_with_what_to_do(pair, monkeypatch):
    task = fitted("video_classification", pair, frames=4, fps=8.0)
    monkeypatch.setattr(video_classification, "MOST", 3 * 32 * 32 * 8)
    with pytest.raises(
        DataError, match=r"a\.mp4: 2 s are more than can be looked at at once: cut it into parts of 1 s"
    ):
        task.encode(pair[0])
    assert len(task.encode(pair[0], Random(0))["video"]) == 4  # one window always fits


def test_models_for_pictures_are_refused_and_those_for_videos_are_for_nothing_else():
    tasks = [entry.name for entry in TASKS.entries() if entry.file.is_relative_to(PACKAGE)]
    fits = {task: {name for name, why in models_for(TASKS.entry(task)).items() if not why} for task in tasks}
    ours = {"c3d", "cnn_rnn", "torchvision_video"}
    assert fits.pop("video_classification") == ours
    assert not any(ours & names for names in fits.values())


def test_a_video_of_another_mode_is_refused(pair):
    task = fitted("video_classification", pair, frames=4)
    grey = pair[0] | {"video": Video.open(pair[0]["video"].path, "grey")}
    with pytest.raises(DataError, match=r"a\.mp4: the picture has 1 channels"):
        task.encode(grey)


# ---- a network that has learned


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    recipe = f"""{{task: {{name: video_classification, frames: 6, fps: 8, difference: true}},
        data: {{name: video_folder, path: {videos()}}}, model: {{name: c3d, channels: [8, 16]}}}}"""
    return train(tmp_path_factory.mktemp("runs") / "run", recipe, steps=40)


@pytest.fixture(scope="module")
def turning(tmp_path_factory):
    """A square that moves to the left for 4 s, and then to the right for 3."""
    frames = [*square(-1, 0, 40), *square(1, 0, 30)]
    return video(tmp_path_factory.mktemp("long") / "turning.mp4", frames)


def test_what_moves_where_is_learned(run):
    assert evaluate(run, split="train")["metrics"]["accuracy"] >= 0.95


def test_predict_says_when(run, turning, dlzoo, tmp_path):
    code, _, _ = dlzoo("predict", run, turning, "-o", tmp_path / "answers.csv", "--stride", 0.25)
    assert code == 0
    with (tmp_path / "answers.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 26 and float(rows[-1]["windows.end"]) == pytest.approx(7.0, abs=0.13)
    left = {float(row["windows.start"]): float(row["windows.scores.left"]) for row in rows}
    assert all(score > 0.5 for start, score in left.items() if start <= 3.0)
    assert all(score < 0.5 for start, score in left.items() if start >= 4.25)
    best = max(left, key=left.__getitem__) if rows[0]["label"] == "left" else min(left, key=left.__getitem__)
    assert float(rows[0]["start"]) == best and rows[0]["end"] == rows[list(left).index(best)]["windows.end"]


def test_without_a_stride_predict_scores_what_evaluate_scores(run):
    model = load(run)
    (read,) = model.task.read(videos() / "left" / "0.mp4")
    batch = encoded(model.task, read)
    with torch.inference_mode():
        assert model.task.answer(model.network, batch) == model.task.decode(model.network(**batch.inputs), batch)


def test_a_drawing_shows_frames_and_marks_the_window(run, turning, dlzoo, tmp_path):
    assert dlzoo("predict", run, turning, "-o", tmp_path / "found", "--stride", 0.5)[0] == 0
    picture = np.array(Image.open(tmp_path / "found" / "turning.frames.png"))
    assert picture.shape == (96 + 48, 8 * 96, 3)
    marked = np.flatnonzero((picture[-1] == (220, 120, 40)).all(1)) / (8 * 96) * 7
    assert len(marked) and marked[-1] - marked[0] == pytest.approx(0.875, abs=0.05)


@pytest.mark.parametrize("stride", ["0", "-1"])
def test_a_stride_that_is_none_is_refused(stride, run, turning, dlzoo):
    code, _, err = dlzoo("predict", run, turning, "--stride", stride)
    assert code == 2 and "is no step" in err


def test_where_a_video_is_seen_whole_there_is_no_stride(pair):
    task = fitted("video_classification", pair, frames=4)
    with pytest.raises(UserError, match="looks at a video as a whole"):
        task.answer(nn.Identity(), encoded(task, pair[0]), stride=1.0)


# ---- models


def test_cnn_rnn_is_the_one_network_on_each_frame_and_the_other_on_what_it_gave():
    torch.manual_seed(0)
    cnn = MODELS["resnet"](in_channels=3, image_size=32, depth=10, width=4)
    model = MODELS["cnn_rnn"](frames=5, cnn=cnn, rnn="gru", dim=6).eval()
    x = torch.randn(2, 3, 5, 32, 32)
    frames = torch.stack([cnn(x[:, :, t]).mean((2, 3)) for t in range(5)], 1)
    torch.testing.assert_close(model(x), model.rnn.forwards[0](model.project(frames))[0])


def test_cnn_rnn_takes_no_pyramid():
    cnn = MODELS["resnet"](in_channels=3, image_size=32, depth=10, width=4, out="pyramid")
    with pytest.raises(ConfigError, match=r"model\.cnn: a map or a vector of each frame is wanted, not a pyramid"):
        MODELS["cnn_rnn"](frames=5, cnn=cnn)


def test_c3d_has_the_layers_of_the_paper():
    convs = [part for part in MODELS["c3d"](3, 16).modules() if isinstance(part, nn.Conv3d)]
    assert [conv.out_channels for conv in convs] == [64, 128, 256, 256, 512, 512, 512, 512]
    assert {conv.kernel_size for conv in convs} == {(3, 3, 3)}
    assert MODELS["c3d"](3, 16).features == Features("sequence", 512, 16)


@pytest.mark.parametrize(("arch", "head"), [("mc3_18", "fc"), ("s3d", "classifier")])
def test_features_are_what_torchvisions_own_classifier_gets(arch, head, tmp_path):
    from torchvision.models import get_model

    torch.manual_seed(0)
    whole = get_model(arch, weights=None, num_classes=5).eval()
    torch.save(whole.state_dict(), tmp_path / "weights.pth")
    model = MODELS["torchvision_video"](3, 16, 224 if arch == "s3d" else 32, arch).eval()
    begin(model, str(tmp_path / "weights.pth"))
    size = 224 if arch == "s3d" else 32
    x = torch.randn(1, 3, 16, size, size)
    with torch.inference_mode():
        features = model(x)
        if arch == "s3d":
            features = features[:, :, None, None, None]
        found = getattr(whole, head)(features).flatten(1)
        torch.testing.assert_close(found, whole(x), rtol=1e-4, atol=1e-5)


def test_grey_videos_give_what_their_three_equal_colours_gave(tmp_path):
    torch.manual_seed(0)
    colour = MODELS["torchvision_video"](3, 4, 32, "mc3_18").eval()
    state = {name.removeprefix("network."): tensor for name, tensor in colour.state_dict().items()}
    torch.save(state, tmp_path / "weights.pth")
    grey = MODELS["torchvision_video"](1, 4, 32, "mc3_18").eval()
    begin(grey, str(tmp_path / "weights.pth"))
    x = torch.randn(2, 1, 4, 32, 32)
    with torch.inference_mode():
        torch.testing.assert_close(grey(x), colour(x.expand(-1, 3, -1, -1, -1)), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("arch", "frames", "size", "says"),
    [
        ("r3d18", 16, 112, "no 'r3d18' for videos. Did you mean 'r3d_18'"),
        ("resnet18", 16, 112, "no 'resnet18' for videos"),
        ("mvit_v2_s", 8, 224, "takes 16 frames of 224 pixels; set task.frames and task.size"),
        ("s3d", 16, 8, "cannot be had for 16 frames of 8x8"),
    ],
)
def test_what_torchvision_cannot_do_is_said(arch, frames, size, says):
    with pytest.raises(ConfigError, match=says):
        MODELS["torchvision_video"](3, frames, size, arch)


def test_published_weights_are_torchvisions():
    assert MODELS["torchvision_video"](3, 4, 32, "mc3_18").published().startswith("https://download.pytorch.org/")


def test_real_clips_whose_time_stamps_are_all_zero_have_windows(dlzoo, run):
    if not CLIPS.exists():
        pytest.skip("the fight clips are not here: data that may not be shipped")
    clip = sorted(CLIPS.glob("test/fight/*.mp4"))[0]
    code, out, _ = dlzoo("predict", run, clip, "--json", "--stride", 0.5)
    answer = json.loads(out)
    assert code == 0 and answer["windows"]["start"][:2] == [0.0, 0.5] and 1 < answer["windows"]["end"][-1] < 6
