"""Samples in memory, as the training split of a task in a test."""

from dlzoo.data.dataset import Subset
from dlzoo.registry import TASKS


class Memory(Subset):
    """Samples that a test made up."""

    def __init__(self, samples):
        self.samples, self.dataset, self.spans = samples, None, None

    def __len__(self):
        return len(self.samples)

    def __getitem__(self, index):
        return self.samples[index]

    def column(self, key):
        return [sample[key] for sample in self.samples]

    def source(self, index):
        return f"memory:{index}"


def fitted(name, samples, **arguments):
    """The task of that name, once it has learned from the samples."""
    task = TASKS[name](**arguments)
    task.fit(Memory(samples))
    return task
