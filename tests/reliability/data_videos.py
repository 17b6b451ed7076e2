"""Bad videos."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from made import square, video, write

from dlzoo.transforms.video import Video
from reliability.data import DATA, accepted, refused, train

VIDEOS = (
    "task: {name: video_classification, frames: 4, size: 16}\n"
    "data: {name: video_folder, path: data}\nmodel: {name: c3d, channels: [4]}\n"
)
SKIP = VIDEOS.replace("path: data", "path: data, on_error: skip, max_skipped: 3")


def videos(place: Path) -> Path:
    """data/CLASS/I.mp4, 24 of them."""
    for i in range(24):
        video(place / "data" / "ab"[i % 2] / f"{i}.mp4", square(1, i, length=12), codec="libx264")
    return place / "data"


def sound() -> bytes:
    """An MP4 without pictures."""
    import av

    file = io.BytesIO()
    with av.open(file, "w", "mp4") as container:
        stream = container.add_stream("aac", rate=8000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
        frame.sample_rate, frame.pts = 8000, 0
        container.mux([*stream.encode(frame), *stream.encode(None)])
    return file.getvalue()


def damaged(path: Path) -> bytes:
    """The bytes of a video, some of whose middle are 0."""
    raw = bytearray(path.read_bytes())
    middle = raw.index(b"mdat") + (len(raw) - raw.index(b"mdat")) // 3
    raw[middle : middle + 600] = bytes(600)
    return bytes(raw)


@DATA.row("V01", "a video that is empty, a text, a playlist of others, sound alone, or cut short is named")
def _(place: Path) -> None:
    path = videos(place) / "a" / "x.mp4"
    whole = (place / "data" / "a" / "0.mp4").read_bytes()
    for content, word in (
        (b"", "empty"),
        (b"hello", "not a video"),
        (b"#EXTM3U\n#EXTINF:1,\n0.mp4\n#EXT-X-ENDLIST\n", "not a video"),
        (sound(), "only audio"),
        (whole[: len(whole) // 2], "its end is missing"),
    ):
        path.write_bytes(content)
        refused(train(place, VIDEOS), "data/a/x.mp4", word)


@DATA.row("V02", "damage inside a video is named with its frame; where bad files are skipped it is found beforehand")
def _(place: Path) -> None:
    write(videos(place) / "a" / "x.mp4", damaged(place / "data" / "a" / "2.mp4"))
    found = train(place, VIDEOS)
    assert found.code == 3 and "data/a/x.mp4: the video is damaged: frame" in found.error, found.error
    accepted(train(place, SKIP), "1 sample is skipped", "data/a/x.mp4")


@DATA.row("V03", "one frame, odd sides, another size, a variable rate and time stamps that stand still are no faults")
def _(place: Path) -> None:
    folder = videos(place) / "a"
    video(folder / "one.avi", square(1, 0, length=1), codec="ffv1")
    video(folder / "odd.avi", [frame[:31, :27] for frame in square(1, 0)], codec="ffv1")
    video(folder / "large.mkv", square(1, 0, side=96), codec="libx264")
    video(folder / "slow.mp4", square(1, 0, length=5), times=[0.0, 0.1, 1.0, 1.5, 4.0], codec="libx264")
    raw = bytearray(video(folder / "still.mp4", square(1, 0, length=12)).read_bytes())
    table = raw.index(b"stts")  # ISO/IEC 14496-12, 8.6.1.2: every frame is shown for no time at all
    raw[table + 16 : table + 20] = bytes(4)
    write(folder / "still.mp4", bytes(raw))
    accepted(train(place, VIDEOS))
    assert Video.open(folder / "still.mp4").times == [i / 10 for i in range(12)]
