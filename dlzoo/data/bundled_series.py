"""Series that ship with dlzoo."""

from dlzoo.data.location import BUNDLED
from dlzoo.data.series import Series
from dlzoo.registry import DATASETS


@DATASETS.register("airline")
class Airline(Series):
    """Passengers of airlines, in thousands, 144 months from 1949 (Box and Jenkins): `series`, `times`, `name`."""

    gives = ("series", "times", "name")  # type: ignore[assignment]

    def __init__(self) -> None:
        super().__init__(str(BUNDLED / "airline.csv"), time="month", targets=["passengers"])


@DATASETS.register("sunspots")
class Sunspots(Series):
    """The yearly mean number of sunspots, 1700 to 2008, 309 years: `series`, `times`, `name`."""

    gives = ("series", "times", "name")  # type: ignore[assignment]

    def __init__(self) -> None:
        super().__init__(str(BUNDLED / "sunspots.csv"), time="year", targets=["sunspots"])
