"""Texts that ship with dlzoo."""

from dlzoo.data.location import BUNDLED
from dlzoo.data.texts import Texts
from dlzoo.registry import DATASETS


@DATASETS.register("spam")
class Spam(Texts):
    """2,500 mails, subject and first 400 characters (SpamAssassin's corpus): `text`; `label` is ham or spam."""

    gives = ("text", "label")  # type: ignore[assignment]

    def __init__(self) -> None:
        super().__init__(str(BUNDLED / "spam.csv"))


@DATASETS.register("austen")
class Austen(Texts):
    """Pride and Prejudice (Jane Austen, 1813) in one piece of 684,768 characters: `text`."""

    gives = ("text",)  # type: ignore[assignment]

    def __init__(self) -> None:
        super().__init__(str(BUNDLED / "pride_and_prejudice.txt"), unit="document")
