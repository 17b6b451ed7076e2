"""Tables that ship with dlzoo or with scikit-learn."""

import hashlib
from typing import Any

import numpy as np

from dlzoo.data.frame import Columns, Frame
from dlzoo.data.location import BUNDLED
from dlzoo.data.table import Table
from dlzoo.registry import DATASETS


@DATASETS.register("credit")
class Credit(Table):
    """4,454 loans, 13 columns of numbers and categories with missing values (R's modeldata); `label` is good or bad."""

    gives = ("row", "label")  # type: ignore[assignment]

    def __init__(self) -> None:
        super().__init__(str(BUNDLED / "credit_data.csv"), target="Status")

    def arguments(self) -> dict[str, Any]:
        return {}


class _Sklearn(Frame):
    """A table of numbers inside scikit-learn."""

    def _table(self) -> Any:
        """What scikit-learn's loader returns."""
        raise NotImplementedError

    def _load(self) -> Columns:
        table = self._table()
        features = {
            str(name): column
            for name, column in zip(table.feature_names, np.asarray(table.data, np.float64).T, strict=True)
        }
        features = {name: np.ascontiguousarray(column) for name, column in features.items()}
        if "target_names" in table:
            return Columns(features, [str(table.target_names[k]) for k in table.target.tolist()])
        return Columns(
            features, [f"{value:g}" for value in table.target.tolist()], np.asarray(table.target, np.float64)
        )

    def source(self, index: int) -> str:
        """The place in scikit-learn's arrays, from 0."""
        return f"{type(self).__name__.lower()}:{index}"

    def fingerprint(self) -> str:
        return hashlib.sha256(self.columns.hashes().tobytes()).hexdigest()


@DATASETS.register("breast_cancer")
class BreastCancer(_Sklearn):
    """569 tumours, 30 numbers each (Wolberg, Street and Mangasarian, 1995); `label` is malignant or benign."""

    gives = ("row", "label")
    target = "diagnosis"

    def _table(self) -> Any:
        from sklearn.datasets import load_breast_cancer

        return load_breast_cancer()

    def source(self, index: int) -> str:
        return f"breast_cancer:{index}"


@DATASETS.register("wine")
class Wine(_Sklearn):
    """178 wines of 3 growers, 13 numbers each (Aeberhard, Coomans and de Vel, 1992); `label` is the grower."""

    gives = ("row", "label")
    target = "grower"

    def _table(self) -> Any:
        from sklearn.datasets import load_wine

        return load_wine()


@DATASETS.register("diabetes")
class Diabetes(_Sklearn):
    """442 patients, 10 numbers each, unscaled (Efron et al., 2004); `value` is the disease's progress after a year."""

    gives = ("row", "label", "value")
    target = "progression"

    def _table(self) -> Any:
        from sklearn.datasets import load_diabetes

        return load_diabetes(scaled=False)
