"""Figures of every network of the table, so that listing them need not import torch.

They are what :mod:`tortie.cost.count` counts; a test counts each again.
"""

from typing import NamedTuple


class Figures(NamedTuple):
    """What a network of the table has, for images of its paper's size and the paper's classes.

    Attributes:
        parameters: trained values that inference uses; those of side heads are not among them.
        multiplications: of convolutions and linear layers for one image, padding counted.
        stages: their names, from the input; the head follows.
    """

    parameters: int
    multiplications: int
    stages: tuple[str, ...]


_LENET = ("c1", "s2", "c3", "s4", "c5", "f6")
_ALEXNET = ("conv1", "conv2", "conv3", "conv4", "conv5", "fc6", "fc7")
_NIN = ("mlpconv1", "mlpconv2", "mlpconv3")
_NIN_IMAGENET = ("mlpconv1", "mlpconv2", "mlpconv3", "mlpconv4")
_GOOGLENET = (
    "conv1",
    "maxpool1",
    "conv2",
    "maxpool2",
    "inception_3a",
    "inception_3b",
    "maxpool3",
    "inception_4a",
    "inception_4b",
    "inception_4c",
    "inception_4d",
    "inception_4e",
    "maxpool4",
    "inception_5a",
    "inception_5b",
    "avgpool",
)
_RESNET = ("conv1", "conv2_x", "conv3_x", "conv4_x", "conv5_x", "avgpool")
_RESNET_CIFAR = ("conv1", "conv2_x", "conv3_x", "conv4_x", "avgpool")
_EFFICIENTNET = (
    "stem",
    "mbconv1",
    "mbconv2",
    "mbconv3",
    "mbconv4",
    "mbconv5",
    "mbconv6",
    "mbconv7",
    "conv_head",
    "avgpool",
)


_SQUEEZENET = (
    "conv1",
    "maxpool1",
    "fire2",
    "fire3",
    "fire4",
    "maxpool4",
    "fire5",
    "fire6",
    "fire7",
    "fire8",
    "maxpool8",
    "fire9",
)
_DENSENET = (
    "conv1",
    "maxpool1",
    "dense1",
    "transition1",
    "dense2",
    "transition2",
    "dense3",
    "transition3",
    "dense4",
    "avgpool",
)
_MOBILENET_V1 = ("conv1", *(f"separable{number}" for number in range(1, 14)), "avgpool")
_MOBILENET_V2 = (
    "conv1",
    *(f"bottleneck{number}" for number in range(1, 8)),
    "conv_last",
    "avgpool",
)


def _vgg(*convolutions: int) -> tuple[str, ...]:
    """Stages of a VGG network with so many convolutions in each block."""
    names = []
    for block, count in enumerate(convolutions, 1):
        names += [f"conv{block}_{number}" for number in range(1, count + 1)]
        names.append(f"maxpool{block}")
    return (*names, "fc6", "fc7")


FIGURES = {
    "lenet5": Figures(61_706, 416_520, _LENET),
    "lenet5-1998": Figures(60_000, 325_680, _LENET),
    "alexnet": Figures(60_965_224, 724_406_816, _ALEXNET),
    "alexnet-one-tower": Figures(61_100_840, 714_188_480, _ALEXNET),
    "vgg11": Figures(132_863_336, 7_609_090_048, _vgg(1, 1, 2, 2, 2)),
    "vgg11-lrn": Figures(132_863_336, 7_609_090_048, _vgg(1, 1, 2, 2, 2)),
    "vgg11-bn": Figures(132_868_840, 7_609_090_048, _vgg(1, 1, 2, 2, 2)),
    "vgg13": Figures(133_047_848, 11_308_466_176, _vgg(2, 2, 2, 2, 2)),
    "vgg13-bn": Figures(133_053_736, 11_308_466_176, _vgg(2, 2, 2, 2, 2)),
    "vgg16-c": Figures(133_638_952, 11_770_888_192, _vgg(2, 2, 3, 3, 3)),
    "vgg16": Figures(138_357_544, 15_470_264_320, _vgg(2, 2, 3, 3, 3)),
    "vgg16-bn": Figures(138_365_992, 15_470_264_320, _vgg(2, 2, 3, 3, 3)),
    "vgg19": Figures(143_667_240, 19_632_062_464, _vgg(2, 2, 4, 4, 4)),
    "vgg19-bn": Figures(143_678_248, 19_632_062_464, _vgg(2, 2, 4, 4, 4)),
    "nin": Figures(966_986, 222_486_528, _NIN),
    "nin-imagenet": Figures(7_595_176, 1_100_188_800, _NIN_IMAGENET),
    "googlenet": Figures(6_998_552, 1_582_671_872, _GOOGLENET),
    "googlenet-bn": Figures(6_624_904, 1_498_376_192, _GOOGLENET),
    "resnet18": Figures(11_689_512, 1_814_073_344, _RESNET),
    "resnet18-a": Figures(11_515_688, 1_794_805_760, _RESNET),
    "plain18": Figures(11_515_688, 1_794_805_760, _RESNET),
    "resnet34": Figures(21_797_672, 3_663_761_408, _RESNET),
    "resnet34-a": Figures(21_623_848, 3_644_493_824, _RESNET),
    "resnet34-c": Figures(22_716_840, 3_830_747_136, _RESNET),
    "plain34": Figures(21_623_848, 3_644_493_824, _RESNET),
    "resnet50": Figures(25_557_032, 4_089_184_256, _RESNET),
    "resnet50-v1": Figures(25_557_032, 3_857_973_248, _RESNET),
    "resnet101": Figures(44_549_160, 7_801_405_440, _RESNET),
    "resnet101-v1": Figures(44_549_160, 7_570_194_432, _RESNET),
    "resnet152": Figures(60_192_808, 11_513_626_624, _RESNET),
    "resnet152-v1": Figures(60_192_808, 11_282_415_616, _RESNET),
    "resnet20-cifar": Figures(269_722, 40_551_040, _RESNET_CIFAR),
    "resnet32-cifar": Figures(464_154, 68_862_592, _RESNET_CIFAR),
    "resnet44-cifar": Figures(658_586, 97_174_144, _RESNET_CIFAR),
    "resnet56-cifar": Figures(853_018, 125_485_696, _RESNET_CIFAR),
    "resnet110-cifar": Figures(1_727_962, 252_887_680, _RESNET_CIFAR),
    "resnet1202-cifar": Figures(19_421_274, 2_829_238_912, _RESNET_CIFAR),
    "plain20-cifar": Figures(269_722, 40_551_040, _RESNET_CIFAR),
    "plain32-cifar": Figures(464_154, 68_862_592, _RESNET_CIFAR),
    "plain44-cifar": Figures(658_586, 97_174_144, _RESNET_CIFAR),
    "plain56-cifar": Figures(853_018, 125_485_696, _RESNET_CIFAR),
    "plain110-cifar": Figures(1_727_962, 252_887_680, _RESNET_CIFAR),
    "squeezenet": Figures(1_248_424, 818_924_576, _SQUEEZENET),
    "resnet50-v2": Figures(25_549_352, 4_089_184_256, _RESNET),
    "densenet121": Figures(7_978_856, 2_834_161_664, _DENSENET),
    "resnext50": Figures(25_028_904, 4_230_479_872, _RESNET),
    "mobilenet-v1": Figures(4_231_976, 568_740_352, _MOBILENET_V1),
    "se-resnet50": Figures(28_088_024, 4_091_699_200, _RESNET),
    "mobilenet-v2": Figures(3_504_872, 300_774_272, _MOBILENET_V2),
    "efficientnet-b0": Figures(5_288_548, 385_814_752, _EFFICIENTNET),
    "efficientnet-lite0": Figures(4_652_008, 385_187_552, _EFFICIENTNET),
    "efficientnet-lite1": Figures(5_416_680, 600_185_232, _EFFICIENTNET),
    "efficientnet-lite2": Figures(6_092_072, 859_736_272, _EFFICIENTNET),
    "efficientnet-lite3": Figures(8_197_096, 1_383_321_872, _EFFICIENTNET),
    "efficientnet-lite4": Figures(13_006_568, 2_553_034_336, _EFFICIENTNET),
}
