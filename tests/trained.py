"""Small runs on bundled data, trained in a second or two, for the tests of evaluate and predict."""

import json
from pathlib import Path

import torch
import yaml

from dlzoo.engine.loader import Loader
from dlzoo.engine.runtime import Runtime
from dlzoo.run import build, portable
from dlzoo.schema import reader as configs

RECIPES = {
    "digits": "{task: image_classification, data: digits, model: {name: lenet}}",
    "breast_cancer": "{task: tabular_classification, data: breast_cancer, model: {name: mlp, dim: 16}}",
    "credit": "{task: tabular_classification, data: credit, model: {name: mlp, dim: 16}}",
    "diabetes": "{task: tabular_regression, data: diabetes, model: {name: mlp, dim: 16}}",
    "spam": "{task: {name: text_classification, context: 64, vocab: 500}, data: spam, model: {name: gru, dim: 16}}",
    "austen": "{task: {name: language_modeling, context: 32}, data: austen, model: {name: lstm, dim: 16}}",
    "airline": "{task: {name: forecasting, context: 24, horizon: 12}, data: airline, model: {name: gru, dim: 8}}",
}


def train(folder: Path, recipe: str, steps: int = 20) -> Path:
    """A run folder with what predict and evaluate read: run.json and model/."""
    text = RECIPES.get(recipe, recipe)
    config = configs.from_dict(yaml.safe_load(text), "test")
    torch.manual_seed(0)
    dataset, task = build.build_dataset(config), build.build_task(config)
    split = build.build_splits(dataset, task, config.split)
    task.fit(split["train"])
    network = build.build_network(config, task)
    optimizer = torch.optim.Adam(network.parameters(), 1e-2)
    loader = Loader(task, task.pieces(split["train"], "train"), batch_size=32)
    network.train()
    for (batch,) in loader.windows(0, steps):
        (task.loss(network(**batch.inputs), batch) / batch.count).backward()
        optimizer.step()
        optimizer.zero_grad()
    folder.mkdir(parents=True)
    (folder / "run.json").write_text(json.dumps({"created": 0, "status": "finished"}))
    portable.save(folder / "model", network, task, config)
    assert Runtime().device
    return folder
