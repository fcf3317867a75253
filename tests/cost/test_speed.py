"""A network's speed: its parts against its whole, its work against the count."""

import pytest
import torch

from tortie.cost.machine import Machine
from tortie.cost.speed import measure_speed
from tortie.networks import find

CPU = torch.device("cpu")
# A made-up machine: a share of the peak is then the rate itself.
UNIT = Machine("cpu", 1, {"float32": 1.0, "bfloat16": 1.0}, 1.0)


def test_stages_do_the_counted_work():
    speed = measure_speed(find("resnet20-cifar"), UNIT, CPU, "float32", 8, "onednn", 0.5)
    assert speed.engine == "onednn" and speed.precision == "float32"
    assert [stage.name for stage in speed.stages] == [
        "conv1", "conv2_x", "conv3_x", "conv4_x", "avgpool",
    ]  # fmt: skip
    work = {stage.name: stage.multiplications for stage in speed.stages}
    # 16 filters of 3×3×3 on 32×32, then six convolutions of 16 filters of 3×3×16
    assert work["conv1"] == 8 * 32 * 32 * 16 * 27
    assert work["conv2_x"] == 8 * 6 * 32 * 32 * 16 * 144
    assert sum(work.values()) == 8 * (40_551_040 - 640)  # all but the head
    assert speed.share_of_peak == pytest.approx(
        speed.images_per_second / 8 * sum(work.values()), rel=1e-9
    )
    for stage in speed.stages:
        assert stage.share_of_peak == pytest.approx(stage.multiplications / stage.seconds)


def test_a_stage_loses_what_it_takes_beyond_its_work_at_the_peak():
    fast = Machine("cpu", 1, {"float32": 1e30, "bfloat16": 1e30}, 1.0)
    speed = measure_speed(find("lenet5"), fast, CPU, "float32", 2, "onednn", 0.05)
    for stage in speed.stages:
        assert stage.lost_seconds == pytest.approx(stage.seconds)
    slow = Machine("cpu", 1, {"float32": 1e-9, "bfloat16": 1e-9}, 1.0)
    speed = measure_speed(find("lenet5"), slow, CPU, "float32", 2, "onednn", 0.05)
    assert all(stage.lost_seconds == 0 for stage in speed.stages if stage.multiplications)


@pytest.mark.slow
def test_stages_with_numbers_alike_are_told_apart():
    speed = measure_speed(find("vgg11"), UNIT, CPU, "float32", 1, "onednn", 0.01)
    assert [stage.name for stage in speed.stages][:3] == ["conv1_1", "maxpool1", "conv2_1"]
    assert all(stage.seconds > 0 for stage in speed.stages)


def test_onnx_runtime_is_timed_as_a_whole():
    """Oracle: the count of all stages, over the rate that the speed implies."""
    speed = measure_speed(find("resnet20-cifar"), UNIT, CPU, "float32", 4, "onnxruntime", 0.05)
    assert speed.engine == "onnxruntime" and not speed.stages
    assert speed.share_of_peak == pytest.approx(speed.images_per_second * (40_551_040 - 640))
