"""Texts that ship with dlzoo."""

from dlzoo.data.location import BUNDLED
from dlzoo.data.texts import Texts
from dlzoo.registry import DATASETS


@DATASETS.register("spam")
class Spam(Texts):
    """2,500 mails, subject and first 400 characters (SpamAssassin's corpus): `text`; `label` is ham or spam."""

    def __init__(self) -> None:
        super().__init__(str(BUNDLED / "spam.csv"))

    def source(self, index: int) -> str:
        return super().source(index).removeprefix(f"{BUNDLED}/")


@DATASETS.register("austen")
class Austen(Texts):
    """Pride and Prejudice (Jane Austen, 1813) in one piece of 684,767 characters: `text`."""

    def __init__(self) -> None:
        super().__init__(str(BUNDLED / "pride_and_prejudice.txt"), unit="document")

    def source(self, index: int) -> str:
        return super().source(index).removeprefix(f"{BUNDLED}/")
