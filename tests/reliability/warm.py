"""What a forked command finds imported: torch, the loops, all tasks, models and datasets, an optimizer made once."""

import sklearn.datasets
import torch

from dlzoo import cli
from dlzoo.registry import DATASETS, MODELS, TASKS
from dlzoo.run import check, evaluate, folds, predict, reproduce, selftest, train, verify

torch.set_num_threads(1)
for registry in (TASKS, MODELS, DATASETS):
    for name in registry.names():
        registry[name]
weight = torch.nn.Parameter(torch.ones(()))
torch.optim.AdamW([weight]).zero_grad()  # imports most of torch that is left
__all__ = ["check", "cli", "evaluate", "folds", "predict", "reproduce", "selftest", "sklearn", "train", "verify"]
