"""What rows of the table of networks are made of: papers, preprocessing, weights, and families."""

from collections.abc import Mapping
from typing import Any

from tortie.images.preprocess import Preprocessing
from tortie.networks.entry import Entry, Published

LENET = (
    "LeCun, Bottou, Bengio, Haffner: Gradient-based learning applied to document recognition, "
    "Proc. IEEE 86(11)"
)
ALEXNET = (
    "Krizhevsky, Sutskever, Hinton: ImageNet classification with deep convolutional neural "
    "networks, NIPS"
)
ONE_TOWER = (
    "Krizhevsky: One weird trick for parallelizing convolutional neural networks, arXiv:1404.5997"
)
VGG = (
    "Simonyan, Zisserman: Very deep convolutional networks for large-scale image recognition, "
    "arXiv:1409.1556"
)
NIN = "Lin, Chen, Yan: Network in network, arXiv:1312.4400"
GOOGLENET = "Szegedy et al.: Going deeper with convolutions, arXiv:1409.4842"
RESNET = "He, Zhang, Ren, Sun: Deep residual learning for image recognition, arXiv:1512.03385"
EFFICIENTNET = (
    "Tan, Le: EfficientNet: rethinking model scaling for convolutional neural networks, "
    "arXiv:1905.11946"
)
SQUEEZENET = (
    "Iandola et al.: SqueezeNet: AlexNet-level accuracy with 50x fewer parameters and <0.5MB model "
    "size, arXiv:1602.07360"
)
RESNET_V2 = "He, Zhang, Ren, Sun: Identity mappings in deep residual networks, arXiv:1603.05027"
DENSENET = (
    "Huang, Liu, van der Maaten, Weinberger: Densely connected convolutional networks, "
    "arXiv:1608.06993"
)
RESNEXT = (
    "Xie, Girshick, Dollár, Tu, He: Aggregated residual transformations for deep neural networks, "
    "arXiv:1611.05431"
)
MOBILENET = (
    "Howard et al.: MobileNets: efficient convolutional neural networks for mobile vision "
    "applications, arXiv:1704.04861"
)
SENET = "Hu, Shen, Albanie, Sun, Wu: Squeeze-and-excitation networks, arXiv:1709.01507"
MOBILENET_V2 = (
    "Sandler, Howard, Zhu, Zhmoginov, Chen: MobileNetV2: inverted residuals and linear "
    "bottlenecks, arXiv:1801.04381"
)

# Mean and standard deviation of ImageNet's training images, in grey levels.
MEAN, STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)
IMAGENET = Preprocessing(
    resize=256, height=224, width=224, interpolation="bilinear", mean=MEAN, std=STD
)
# Grey levels with the mean subtracted, as papers before batch normalisation have them: constants
# such as those of local response normalisation suppose values of that size.
GREY_LEVELS = Preprocessing(
    resize=256, height=224, width=224, interpolation="bilinear", mean=MEAN, std=(1.0,) * 3
)
CIFAR = Preprocessing(resize=32, height=32, width=32, mean=MEAN, std=STD)

AS_WEIGHTS = "that of its published weights"


def as_paper(section: str) -> str:
    """The source of a preprocessing that is the paper's own."""
    return f"the paper's ({section}): grey levels, the mean subtracted; it has no published weights"


TEN_CROPS = "ImageNet validation, ten crops"
ONE_CROP = "ImageNet validation, one crop"
DENSE = "ImageNet validation, dense, mirrored, one scale of 256"
CIFAR_TEST = "CIFAR-10 test, shifted and mirrored in training"
TORCHVISION = "torchvision, its published weights"


def errors(top1: float, top5: float) -> Published:
    """The errors in percent of torchvision's published weights, one crop."""
    return Published(top1, top5, ONE_CROP, TORCHVISION)


def torchvision_weights(file: str) -> Mapping[str, str]:
    """The address of published weights; their SHA-256 starts with the file name's last part."""
    return {"imagenet": f"https://download.pytorch.org/models/{file}.pth"} if file else {}


def vgg_row(
    name: str,
    configuration: str,
    *published: Published,
    file: str = "",
    batch_norm: bool = False,
    sibling: str | None = None,
) -> Entry:
    """A VGG network, by its column of the paper's table 1."""
    return Entry(
        name=name,
        builder="tortie.networks.vgg:vgg",
        paper=f"{VGG}; with batch normalisation" if batch_norm else VGG,
        year=2014,
        preprocessing=IMAGENET if file else GREY_LEVELS,
        preprocessing_source=AS_WEIGHTS if file else as_paper("section 2.1"),
        arguments={"configuration": configuration, "batch_norm": batch_norm},
        published=published,
        weights=torchvision_weights(file),
        sibling=sibling,
    )


def resnet_row(
    name: str,
    arguments: Mapping[str, Any],
    *published: Published,
    file: str = "",
    sibling: str | None = None,
) -> Entry:
    """A ResNet or a plain network for ImageNet."""
    return Entry(
        name=name,
        builder="tortie.networks.resnet:resnet",
        paper=RESNET,
        year=2015,
        preprocessing=IMAGENET if file else GREY_LEVELS,
        preprocessing_source=AS_WEIGHTS if file else as_paper("section 3.4"),
        arguments=arguments,
        published=published,
        weights=torchvision_weights(file),
        sibling=sibling,
    )


def resnet_cifar_row(depth: int, top1: float, file: str) -> Entry:
    """A ResNet for CIFAR-10, with the weights of a port of the paper's."""
    # Option A pads both sides here, as the published weights need; the paper leaves it open.
    folder = "https://github.com/akamaster/pytorch_resnet_cifar10/raw/master/pretrained_models"
    return Entry(
        name=f"resnet{depth}-cifar",
        builder="tortie.networks.resnet:resnet_cifar",
        paper=RESNET,
        year=2015,
        preprocessing=CIFAR,
        preprocessing_source=AS_WEIGHTS,
        arguments={"depth": depth, "side": "both"},
        published=(Published(top1, None, CIFAR_TEST, "table 6"),),
        weights={"cifar10": f"{folder}/{file}.th"},
    )


def plain_cifar_row(depth: int) -> Entry:
    """A plain network for CIFAR-10, which nobody published weights of."""
    return Entry(
        name=f"plain{depth}-cifar",
        builder="tortie.networks.resnet:resnet_cifar",
        paper=RESNET,
        year=2015,
        preprocessing=CIFAR,
        preprocessing_source="that of the residual network beside it, so that they differ in the "
        "shortcuts alone",
        arguments={"depth": depth, "residual": False},
        sibling=f"resnet{depth}-cifar",
    )


def timm_weights(model: str) -> Mapping[str, str]:
    """Weights of timm's repository on the hub."""
    return {"imagenet": f"hf://timm/{model}"}


def to_one(resize: int) -> Preprocessing:
    """Grey levels to -1 to 1."""
    return Preprocessing(resize=resize, height=224, width=224, mean=(127.5,) * 3, std=(127.5,) * 3)


def efficientnet_lite_row(number: int, width: float, depth: float, side: int, top1: float) -> Entry:
    """An EfficientNet-Lite; the three smallest have packages of weights."""
    name = f"efficientnet-lite{number}"
    packaged = {"imagenet": f"packaged:{name}"}
    return Entry(
        name=name,
        builder="tortie.networks.efficientnet:efficientnet",
        paper=f"{EFFICIENTNET}; the Lite variants of TensorFlow, 2020",
        year=2019,
        # TensorFlow's evaluation leaves 16 pixels around the crop.
        preprocessing=Preprocessing(
            resize=side + 32, height=side, width=side, mean=(127.0,) * 3, std=(128.0,) * 3
        ),
        preprocessing_source=AS_WEIGHTS,
        arguments={
            "form": "lite",
            "width": width,
            "depth": depth,
            "resolution": side,
            "dropout": 0.2 if number < 2 else 0.3,
        },
        published=(Published(top1, None, ONE_CROP, "EfficientNet-Lite README"),),
        weights=packaged if number < 3 else timm_weights(f"tf_efficientnet_lite{number}.in1k"),
    )
