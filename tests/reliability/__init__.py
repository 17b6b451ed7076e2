"""The tables of what dlzoo promises to survive, report, refuse and detect; docs/reliability.md explains them."""

from reliability import attacks_code, attacks_data, attacks_names, attacks_runs
from reliability.attack import ATTACKS
from reliability.config import CONFIG
from reliability.faults import FAULTS

TABLES = [FAULTS, CONFIG, ATTACKS]
__all__ = ["TABLES", "attacks_code", "attacks_data", "attacks_names", "attacks_runs"]
