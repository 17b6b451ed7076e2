"""The tables of what dlzoo promises to survive, report, refuse and detect; docs/reliability.md explains them."""

from reliability.ablation import ABLATION
from reliability.damage import DAMAGE
from reliability.faults import FAULTS
from reliability.resume import RESUME

TABLES = [FAULTS, RESUME, ABLATION, DAMAGE]
