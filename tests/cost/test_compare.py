"""Which errors are set side by side: the figures that papers and torchvision print."""

import pytest

from tortie.cost.compare import compare
from tortie.errors import UsageError


def test_errors_are_of_one_protocol_where_they_can_be():
    comparison = compare(["alexnet", "vgg16", "googlenet", "resnet50"])
    assert (comparison.measure, comparison.protocol) == ("top-5", "ImageNet validation, one crop")
    found = {one.name: (one.error, one.same_protocol) for one in comparison.networks}
    assert found == {
        "alexnet": (18.2, False),  # its paper has ten crops alone
        "vgg16": (9.618, True),  # not the paper's 8.8, which is dense
        "googlenet": (10.07, True),
        "resnet50": (7.138, True),
    }
    assert comparison.networks[0].published.protocol == "ImageNet validation, ten crops"


def test_ten_crops_are_compared_with_ten_crops():
    comparison = compare(["plain34", "resnet34", "resnet34-a"])
    assert comparison.protocol == "ImageNet validation, ten crops"
    assert [one.error for one in comparison.networks] == [10.02, 7.46, 7.76]


def test_top1_where_top5_is_not_printed_and_no_error_of_other_images():
    comparison = compare(["resnet20-cifar", "resnet56-cifar", "resnet18", "plain20-cifar"])
    assert comparison.measure == "top-1"
    assert [one.error for one in comparison.networks] == [8.75, 6.97, None, None]


def test_documents_have_figures_and_no_parts():
    (row,) = compare(["lenet5"]).document()
    assert row["network"] == "lenet5"
    assert (row["parameters"], row["multiplications"]) == (61_706, 416_520)
    assert row["error"] is None and row["published"] is None
    assert "layers" not in row and "stages" not in row


def test_an_unknown_network_is_named():
    with pytest.raises(UsageError, match="no network 'vgg17': did you mean"):
        compare(["resnet20-cifar", "vgg17"])
