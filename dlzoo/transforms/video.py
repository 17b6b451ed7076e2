"""Video files as tensors: the frames that are asked for, upright, 8 bits a channel, grey or colour. Extra: video."""

from __future__ import annotations

import os
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from dlzoo.errors import ConfigError, DataError, printable
from dlzoo.transforms.decode import MAX_PIXELS, Mode
from dlzoo.transforms.pictures import resize

SUFFIXES = (".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".ts", ".ogv", ".flv", ".wmv")
OPTIONS = {
    "format_whitelist": "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpeg,mpegts,ogg,flv,asf",
    "protocol_whitelist": "file",
}
"""Of FFmpeg, which would else follow a playlist to other files and addresses, whatever the file is called."""
SEEKS = ("mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm", "avi")
"""Kinds of files that say where their key frames are; in others a jump may land behind the one that is wanted."""
RATE = 25.0
"""Frames a second of a file that says neither when its frames are nor how many a second has."""
LUMA = (0.299, 0.587, 0.114)
"""Of red, green and blue in grey (ITU-R BT.601, as Pillow has it)."""


@dataclass(frozen=True)
class Video:
    """A video file of which no frame is decoded yet: `frames` gives those that are shown at given times."""

    path: Path
    mode: Mode
    times: list[float] = field(repr=False)
    """When each frame begins to be shown, in seconds after the first, rising."""
    duration: float
    """Seconds from the first frame's beginning to the last one's end."""
    stamps: list[int] = field(repr=False)
    """The time stamps of the frames in the file's own units; empty where the file's are of no use."""
    keys: list[int] = field(repr=False)
    """Frames, by number, from which on the file can be decoded."""

    @classmethod
    def open(cls, path: Path | str, mode: Mode = "rgb") -> Video:
        """Read where the frames of a file are; its packets are passed over, nothing is decoded.

        Frames whose time stamps are missing or do not rise are shown at the file's frame rate. Raises DataError for
        whatever is no video, has no frames, or is cut short.
        """
        path = Path(path)
        with _opened(path) as container:
            stream = _stream(path, container)
            packets, end = _packets(path, container, stream)
            rate = float(stream.codec_context.framerate or stream.guessed_rate or stream.average_rate or RATE)
            unit, seeks = float(stream.time_base or 0), container.format.name in SEEKS
        if not packets:
            raise DataError(f"{printable(str(path))}: the video has no frames.")
        stamps = sorted(stamp for stamp, _ in packets if stamp is not None)
        if len(set(stamps)) < len(packets):
            return cls(path, mode, [i / rate for i in range(len(packets))], len(packets) / rate, [], [0])
        keys = sorted(bisect_right(stamps, stamp) - 1 for stamp, key in packets if key) if seeks else [0]
        times = [(stamp - stamps[0]) * unit for stamp in stamps]
        return cls(path, mode, times, max(end - stamps[0] * unit, times[-1] + 1e-3), stamps, keys)

    def frames(self, times: Sequence[float], height: int | None = None, width: int | None = None) -> Tensor:
        """The frames that are shown at `times`, in seconds after the first, as uint8 (len(times), C, H, W).

        With `height` and `width`, each is scaled to cover them, and cut, as soon as it is decoded. Before the first
        frame and after the last one these are shown. What lies between the wanted frames is jumped over where it can
        be. Raises DataError for a frame that is damaged or not there.
        """
        places = [max(0, bisect_right(self.times, time) - 1) for time in times]
        found: dict[int, Tensor] = {}
        for place, frame in self._decoded(sorted(set(places))):
            picture = self._picture(frame)
            found[place] = picture if height is None or width is None else resize(picture, height, width)
        return torch.stack([found[place] for place in places])

    def check(self) -> None:
        """Decode all frames, one by one. Raises DataError for one that is damaged or not there."""
        for _ in self._decoded(range(len(self.times))):
            pass

    def _decoded(self, wanted: Sequence[int]) -> Iterator[tuple[int, Any]]:
        """Each wanted frame with its number, which rises."""
        import av

        with _opened(self.path) as container:
            stream = _stream(self.path, container)
            stream.thread_type = "NONE"  # a thread decodes ahead of what is wanted
            ahead, place = enumerate(container.decode(stream)), -1
            for number in wanted:
                key = self.keys[max(0, bisect_right(self.keys, number) - 1)]
                if key > place + 1 and self.stamps:
                    container.seek(self.stamps[key], stream=stream)
                    ahead = enumerate(container.decode(stream))
                try:
                    for count, frame in ahead:
                        place = bisect_right(self.stamps, frame.pts) - 1 if self.stamps else count
                        if place >= number:
                            break
                except av.FFmpegError as error:
                    raise self._damaged(number, printable(str(error.strerror))) from None
                if place != number or frame.is_corrupt:
                    raise self._damaged(number, "it is not there" if place != number else "parts of it are not there")
                yield number, frame

    def _damaged(self, number: int, why: str) -> DataError:
        at = f"frame {number + 1:,} of {len(self.times):,}, at {self.times[number]:.2f} s"
        return DataError(f"{printable(str(self.path))}: the video is damaged: {at}: {why}.")

    def _picture(self, frame: Any) -> Tensor:
        """A decoded frame as uint8 (C, H, W), turned as the file says."""
        picture = torch.from_numpy(frame.to_ndarray(format="rgb24")).movedim(2, 0)
        if self.mode == "grey":
            luma = torch.tensor(LUMA).view(3, 1, 1)
            picture = (picture * luma).sum(0, keepdim=True).add_(0.5).to(torch.uint8)
        return torch.rot90(picture, round(frame.rotation / 90), (1, 2)).contiguous()


def _opened(path: Path) -> Any:
    """FFmpeg's view of a file. Raises DataError for one that is no video, ConfigError where PyAV is not installed."""
    try:
        import av
    except ImportError as error:
        hint = "pip install 'dlzoo[video]'"
        raise ConfigError([f"data: videos need a package that is not here ({error}): {hint}"]) from error
    if not os.path.isfile(path):
        wrong = "not a regular file" if os.path.exists(path) else "there is no such file"
        raise DataError(f"{printable(str(path))}: {wrong}.")
    if not os.path.getsize(path):
        raise DataError(f"{printable(str(path))}: the file is empty.")
    try:
        return av.open(f"file:{path}", options=OPTIONS, metadata_errors="replace")
    except (av.FFmpegError, UnicodeError) as error:
        why = printable(str(getattr(error, "strerror", error)))
        raise DataError(
            f"{printable(str(path))}: not a video that can be read, or its beginning or its end is missing ({why})."
        ) from None


def _stream(path: Path, container: Any) -> Any:
    """The first video stream, but for covers. Raises DataError where there is none, or for far too large pictures."""
    from av.stream import Disposition

    streams = [stream for stream in container.streams.video if not stream.disposition & Disposition.attached_pic]
    if not streams:
        kinds = ", ".join(sorted({stream.type for stream in container.streams})) or "nothing"
        raise DataError(f"{printable(str(path))}: there is no video in it, only {kinds}.")
    width, height = streams[0].codec_context.width, streams[0].codec_context.height
    if not 0 < width * height <= MAX_PIXELS:
        raise DataError(f"{printable(str(path))}: frames of {width} x {height} pixels cannot be read.")
    return streams[0]


def _packets(path: Path, container: Any, stream: Any) -> tuple[list[tuple[int, bool]], float]:
    """Time stamp of each frame that is shown, and whether it is a key frame; and when the last one ends, in seconds.

    Raises DataError where there are fewer than the file says; or, if it does not, where it ends long before it says.
    """
    import av

    found: list[tuple[int, bool]] = []
    ends: dict[int, float] = {}
    count, whole = 0, True
    try:
        for packet in container.demux():
            if packet.size and packet.pts is not None:
                end = float((packet.pts + (packet.duration or 0)) * packet.time_base)
                ends[packet.stream_index] = max(end, ends.get(packet.stream_index, end))
            if packet.size and packet.stream_index == stream.index:
                count += 1
                whole = whole and not packet.is_corrupt
                found += [] if packet.is_discard else [(packet.pts, packet.is_keyframe)]
    except av.FFmpegError:
        whole = False
    said = (container.duration or 0) / av.time_base
    short = count < stream.frames if stream.frames else max(ends.values(), default=0.0) < 0.9 * said
    if short or not whole:
        of = f"{stream.frames:,} frames" if stream.frames else f"{said:.1f} s"
        raise DataError(f"{printable(str(path))}: the video is cut short: of {of} {count:,} frames are there.")
    return found, ends.get(stream.index, 0.0)
