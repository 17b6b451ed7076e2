"""The adapter of torchvision's detectors: their answers, their losses, their weights, in the loops of all others."""

import json

import pytest
import torch
import yaml
from made import boxed, scenes
from safetensors.torch import save_file
from torchvision import models

from dlzoo.errors import ConfigError
from dlzoo.features import Features
from dlzoo.registry import MODELS
from dlzoo.run.beginning import published as begin
from dlzoo.transforms.pictures import COLOURS

torch.set_num_threads(1)
SMALL = "ssdlite320_mobilenet_v3_large"
BOXES = torch.tensor([[[8.0, 8, 60, 40], [20, 30, 50, 90]], [[0, 0, 0, 0], [0, 0, 0, 0]]])
LABELS = torch.tensor([[0, 1], [-1, -1]])


def build(arch=SMALL, channels=3, classes=2, **more):
    torch.manual_seed(0)
    return MODELS["torchvision_detector"](in_channels=channels, num_classes=classes, arch=arch, **more)


@pytest.mark.parametrize("arch", [SMALL, "fcos_resnet50_fpn", "retinanet_resnet50_fpn"])
def test_true_boxes_give_losses_in_training_and_answers_else(arch):
    model, x = build(arch, channels=1), torch.randn(2, 1, 96, 96)
    assert model.features == Features("complete", 2)
    losses = model.train()(x, BOXES, LABELS)
    torch.stack(list(losses.values())).sum().backward()
    assert all(parameter.grad is not None for parameter in model.parameters())
    with torch.inference_mode():
        found = model.eval()(x, BOXES, LABELS)
    assert len(found) == 2
    for answer in found:
        assert len(answer["boxes"]) == len(answer["labels"]) == len(answer["scores"]) <= 100
        assert set(answer["labels"].tolist()) <= {0, 1}


@pytest.mark.parametrize("published", [False, True])
def test_with_the_same_weights_the_boxes_are_torchvisions(published, tmp_path):
    torch.manual_seed(1)
    theirs = models.get_model(SMALL, weights=None, weights_backbone=None, num_classes=3, score_thresh=0.01).eval()
    save_file(theirs.state_dict(), tmp_path / "w.safetensors")
    ours = build(pretrained=str(tmp_path / "w.safetensors") if published else False).eval()
    begin(ours, str(tmp_path / "w.safetensors"))
    picture = torch.rand(3, 320, 320)
    mean, std = (
        torch.tensor(colours)[:, None, None]
        for colours in (COLOURS["imagenet"] if published else ([0.5] * 3, [0.5] * 3))
    )
    with torch.inference_mode():
        (right,), (found,) = theirs([picture]), ours(((picture - mean) / std)[None])
    torch.testing.assert_close(found["boxes"], right["boxes"][:100], atol=1e-2, rtol=1e-4)
    torch.testing.assert_close(found["scores"], right["scores"][:100], atol=1e-5, rtol=1e-4)
    assert torch.equal(found["labels"] + 1, right["labels"][:100])


def test_weights_that_know_other_classes_begin_with_all_but_the_names(tmp_path):
    torch.manual_seed(1)
    theirs = models.get_model(SMALL, weights=None, weights_backbone=None, num_classes=91)
    save_file(theirs.state_dict(), tmp_path / "w.safetensors")
    grey = build(channels=1)
    before = {name: tensor.clone() for name, tensor in grey.state_dict().items()}
    begin(grey, str(tmp_path / "w.safetensors"))
    for name, tensor in grey.state_dict().items():
        old = theirs.state_dict()[name.removeprefix("network.")]
        if tensor.shape == old.shape:
            assert torch.equal(tensor, old), name
        elif name.startswith("network.head.classification_head"):
            assert torch.equal(tensor, before[name])
        else:
            torch.testing.assert_close(tensor.sum(1), old.sum(1))


@torch.inference_mode()
def test_batch_mates_change_nothing():
    model, x = build().eval(), torch.randn(3, 3, 96, 128)
    together = model(x)
    for i in range(3):
        (alone,) = model(x[i : i + 1])
        torch.testing.assert_close(alone["scores"], together[i]["scores"], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(
    ("arch", "says"),
    [
        ("fcos_resnet50", "no detector 'fcos_resnet50'. Did you mean 'fcos_resnet50_fpn'"),
        ("maskrcnn_resnet50_fpn", "no detector 'maskrcnn_resnet50_fpn'"),
        ("resnet18", "no detector 'resnet18'.*It has fasterrcnn"),
    ],
)
def test_a_detector_that_is_not_there_is_named_with_those_that_are(arch, says):
    with pytest.raises(ConfigError, match=says):
        build(arch)


def test_pictures_that_are_too_small_are_refused():
    model = build("ssd300_vgg16").eval()
    with pytest.raises(ConfigError, match="pictures of 256x256 are smaller than the 257x257"):
        model(torch.zeros(1, 3, 288, 256))


def test_a_detector_trains_is_scored_and_answers_like_others(tmp_path, dlzoo, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = {
        "task": {"name": "detection", "size": 96},
        "data": {"name": "coco", "path": boxed(tmp_path / "data", "coco", {"train": scenes(24)}), "mode": "grey"},
        "model": {"name": "torchvision_detector"},
        "train": {"steps": 4, "batch_size": 8, "threads": 1, "workers": 0},
    }
    (tmp_path / "c.yaml").write_text(yaml.safe_dump(config))
    code, _, err = dlzoo("train", "--config", "c.yaml")
    assert code == 0, err
    rows = [json.loads(line) for line in (tmp_path / "runs" / "c-001" / "metrics.jsonl").read_text().splitlines()]
    held = [row for row in rows if row.get("split") == "validation"]
    assert held and "loss" not in held[-1] and 0 <= held[-1]["map"] <= 1
    code, out, err = dlzoo(
        "predict", "last", tmp_path / "data" / "train" / "train000.png", "--threshold", "0", "--json"
    )
    assert code == 0, err
    assert {box["label"] for box in json.loads(out)["boxes"]} <= {"disc", "square"}
