"""Videos: the frames that are shown at a time, whatever the file; and what is no whole video."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from made import square, video, write

from dlzoo.data.skipped import Skipped
from dlzoo.data.video_folder import VideoFolder
from dlzoo.errors import DataError
from dlzoo.run.inputs import SUFFIXES
from dlzoo.transforms import video as module
from dlzoo.transforms.video import Video

CLIPS = Path(__file__).parents[1] / "data" / "fight_clips"
LEVELS = np.arange(40) * 6
"""Grey levels of frames that tell which one they are."""


def levels(count=40):
    return [np.full((32, 48, 3), level, np.uint8) for level in LEVELS[:count]]


def seen(frames):
    """Which of `levels` frames are."""
    return (frames.float().mean((1, 2, 3)) / 6).round().int().tolist()


@pytest.mark.parametrize(
    ("name", "codec"),
    [
        ("a.mp4", "libx264"),
        ("a.mov", "mpeg4"),
        ("a.mkv", "libx264"),
        ("a.webm", "libvpx"),
        ("a.avi", "mpeg4"),
        ("a.mpg", "mpeg2video"),
        ("a.ts", "libx264"),
        ("a.flv", "libx264"),
        ("a.wmv", "wmv2"),
    ],
)
def test_a_frame_is_the_one_that_is_shown_at_its_time_in_every_kind_of_file(name, codec, tmp_path):
    path = video(tmp_path / name, levels(), fps=25, codec=codec)
    found = Video.open(path)
    assert len(found.times) == 40 and found.duration == pytest.approx(1.6, abs=0.05)
    wanted = [1.0, 0.021, 0.0, -1.0, 0.5, 0.51, 0.5, 99.0]
    assert seen(found.frames(wanted)) == [25, 0, 0, 0, 12, 12, 12, 39]


def test_frames_of_a_variable_rate_are_shown_until_the_next(tmp_path):
    times = [0.0, 0.1, 0.2, 1.0, 1.05, 3.0]
    found = Video.open(video(tmp_path / "a.mp4", levels(6), codec="libx264", times=times))
    assert found.times == pytest.approx(times)
    assert seen(found.frames([0.15, 0.9, 1.02, 2.9, 3.0])) == [1, 2, 3, 4, 5]


def test_only_what_is_wanted_is_decoded(tmp_path, monkeypatch):
    found, decoded = Video.open(video(tmp_path / "a.mp4", levels(), codec="libx264", gop=8)), []
    opened = module._opened

    class Counting:
        """A container that counts the frames that it gives."""

        def __init__(self, path):
            self.container = opened(path)

        def __enter__(self):
            return self

        def __exit__(self, *_):
            self.container.close()

        def __getattr__(self, name):
            return getattr(self.container, name)

        def decode(self, stream):
            for frame in self.container.decode(stream):
                decoded.append(frame.pts)
                yield frame

    monkeypatch.setattr(module, "_opened", Counting)
    found.frames([3.3])
    assert len(decoded) <= 8  # of its own group of pictures, not the 33 before it
    decoded.clear()
    found.frames([0.0, 0.1])
    assert len(decoded) == 2


def test_every_frame_of_a_clip_is_that_of_decoding_all_of_it():
    if not CLIPS.exists():
        pytest.skip("the fight clips are not here: data that may not be shipped")
    import av

    for path in sorted(CLIPS.glob("*/*/*.mp4"))[::40]:  # the time stamps of these are all 0
        found = Video.open(path)
        with av.open(str(path)) as container:
            whole = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
        assert len(found.times) == len(whole) and 1 < found.duration < 6
        assert torch.equal(found.frames(found.times), torch.from_numpy(np.stack(whole)).permute(0, 3, 1, 2))


def test_one_frame_is_a_video_and_odd_sides_are_kept(tmp_path):
    found = Video.open(video(tmp_path / "a.avi", [np.full((31, 45, 3), 90, np.uint8)], codec="ffv1"))
    assert found.times == [0.0] and found.duration > 0
    assert found.frames([0.0, 0.0, 5.0]).shape == (3, 3, 31, 45)
    assert found.frames([0.0], 16, 16).shape == (1, 3, 16, 16)


def test_grey_is_pillows_grey(tmp_path):
    from PIL import Image

    path = video(tmp_path / "a.mp4", square(1, 0), codec="libx264")
    colour, grey = Video.open(path).frames([0.5]), Video.open(path, "grey").frames([0.5])
    theirs = np.array(Image.fromarray(colour[0].permute(1, 2, 0).numpy()).convert("L"))
    assert grey.shape == (1, 1, 32, 32) and (grey[0, 0].int() - torch.from_numpy(theirs).int()).abs().max() <= 1


def test_a_video_is_turned_as_it_says(tmp_path):
    path = video(tmp_path / "a.mp4", [np.concatenate([np.full((32, 16, 3), v, np.uint8) for v in (0, 240)], 1)])
    raw = bytearray(path.read_bytes())
    matrix = raw.index(b"tkhd") + 44  # ISO/IEC 14496-12, 8.3.2: a b u c d v x y w, here a quarter turn clockwise
    one = (65536).to_bytes(4, "big")
    raw[matrix : matrix + 20] = bytes(4) + one + bytes(4) + (2**32 - 65536).to_bytes(4, "big") + bytes(4)
    (tmp_path / "b.mp4").write_bytes(raw)
    frame = Video.open(tmp_path / "b.mp4").frames([0.0])[0].float().mean(0)
    assert frame.shape == (32, 32) and frame[:14].mean() < 20 and frame[18:].mean() > 220


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "the file is empty"),
        (b"I am no video", "not a video that can be read"),
        (b"#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\nother.mp4\n#EXT-X-ENDLIST\n", "not a video"),
        (b"ffconcat version 1.0\nfile other.mp4\n", "not a video"),
    ],
)
def test_what_is_no_video_is_named_and_other_files_stay_closed(content, says, tmp_path):
    video(tmp_path / "other.mp4", levels(5))
    with pytest.raises(DataError, match=rf"a\.mp4.*{says}"):
        Video.open(write(tmp_path / "a.mp4", content))


@pytest.mark.parametrize("name", ["a.mp4", "a.mov", "a.mkv", "a.webm", "a.avi", "a.flv"])
@pytest.mark.parametrize("share", [0.05, 0.3, 0.6])
def test_a_video_that_is_cut_short_is_named(name, share, tmp_path):
    frames = np.random.default_rng(0).integers(0, 256, (20, 32, 32, 3), np.uint8)
    codec = {"a.webm": "libvpx", "a.flv": "libx264"}.get(name, "mpeg4")
    path = video(tmp_path / name, frames, codec=codec)
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    with pytest.raises(DataError, match=rf"{name}: "):
        Video.open(path)


def test_damage_inside_is_named_with_its_time(tmp_path):
    path = video(tmp_path / "a.mp4", square(1, 0, length=40), codec="libx264")
    raw = bytearray(path.read_bytes())
    middle = raw.index(b"mdat") + (len(raw) - raw.index(b"mdat")) // 3
    raw[middle : middle + 1500] = bytes(1500)
    path.write_bytes(raw)
    with pytest.raises(DataError, match=r"a\.mp4: the video is damaged: frame \d+ of 40, at \d\.\d\d s"):
        Video.open(path).check()


def test_sound_alone_is_no_video(tmp_path):
    import av

    with av.open(str(tmp_path / "a.mp4"), "w") as container:
        stream = container.add_stream("aac", rate=8000, layout="mono")
        sound = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
        sound.sample_rate, sound.pts = 8000, 0
        container.mux([*stream.encode(sound), *stream.encode(None)])
    with pytest.raises(DataError, match=r"a\.mp4: there is no video in it, only audio"):
        Video.open(tmp_path / "a.mp4")


def test_pipes_and_folders_are_no_videos(tmp_path):
    os.mkfifo(tmp_path / "a.mp4")
    for path in (tmp_path / "a.mp4", tmp_path, tmp_path / "none.mp4"):
        with pytest.raises(DataError):
            Video.open(path)


def test_without_pyav_the_extra_is_named():
    code = "import sys; sys.modules['av'] = None; from dlzoo.transforms.video import Video; Video.open('a.mp4')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "ConfigError" in done.stderr and "pip install 'dlzoo[video]'" in done.stderr


def test_a_folder_is_searched_for_what_can_be_read():
    assert SUFFIXES["video"] == module.SUFFIXES


def test_a_csv_may_list_videos_and_their_sums(tmp_path):
    for i in range(3):
        video(tmp_path / "v" / f"{i}.mp4", levels(5))
    sums = [hashlib.sha256((tmp_path / "v" / f"{i}.mp4").read_bytes()).hexdigest() for i in range(3)]
    rows = "".join(f"{i}.mp4,{'ab'[i % 2]},{split},{sums[i]}\n" for i, split in enumerate(("train", "train", "test")))
    data = VideoFolder(str(tmp_path / "v"), csv=write(tmp_path / "list.csv", f"path,label,split,sha256\n{rows}"))
    assert data.splits() == {"train": [0, 1], "test": [2]} and data[1]["label"] == "b"
    with (tmp_path / "v" / "1.mp4").open("ab") as file:
        file.write(b" ")
    with pytest.raises(DataError, match=r"1\.mp4: the file has changed"):
        data[1]


def test_where_bad_videos_are_skipped_damage_inside_is_found_before_training(tmp_path):
    for i in range(10):
        video(tmp_path / "ab"[i % 2] / f"{i}.mp4", square(1, i, length=30), codec="libx264")
    raw = bytearray((tmp_path / "a" / "4.mp4").read_bytes())
    middle = raw.index(b"mdat") + (len(raw) - raw.index(b"mdat")) // 3
    raw[middle : middle + 800] = bytes(800)
    (tmp_path / "a" / "4.mp4").write_bytes(raw)
    data = VideoFolder(str(tmp_path))
    assert len(data[2]["video"].times) == 30
    data.skipped = Skipped(0.2)
    data.skipped.find(data)
    assert data.skipped.indices == {2} and "4.mp4: the video is damaged" in data.skipped.first[0]


def test_check_names_bad_videos_and_those_in_two_splits(tmp_path, dlzoo):
    for i in range(12):
        video(tmp_path / "v" / "train" / "ab"[i % 2] / f"{i}.mp4", square(1, i, length=8 + i))
    for i in (0, 1):
        video(tmp_path / "v" / "test" / "ab"[i] / f"{i}.mp4", square(1, i, length=8 + i))
    whole = (tmp_path / "v" / "train" / "a" / "0.mp4").read_bytes()
    for name, content in (("empty", b""), ("text", b"hello"), ("cut", whole[: len(whole) // 2])):
        write(tmp_path / "v" / "train" / "a" / f"{name}.mp4", content)
    task, model = "{name: video_classification, frames: 4}", "{name: c3d, channels: [4]}"
    config = f"task: {task}\ndata: {{name: video_folder, path: {tmp_path}/v, hold_out: 2}}\nmodel: {model}\n"
    code, out, _ = dlzoo("check", "--data", "--config", write(tmp_path / "c.yaml", config))
    assert code == 3 and "3 bad" in out
    assert all(f"{name}.mp4: " in out for name in ("empty", "text", "cut"))
    assert "8 to 19, median" in out and "frames" in out
    assert "duplicates: 2 of 2 samples of test are also in train" in out or "are also in validation" in out
