"""The table of networks: name, builder, input, paper and published figures of each."""

import difflib

from tortie.errors import UsageError
from tortie.images.preprocess import Preprocessing
from tortie.networks.entry import Entry, Published
from tortie.networks.from_timm import PREFIX, find_timm
from tortie.networks.own import PREFIX as OWN
from tortie.networks.own import find_own
from tortie.networks.rows import (
    ALEXNET,
    AS_WEIGHTS,
    CIFAR,
    CIFAR_TEST,
    DENSE,
    DENSENET,
    EFFICIENTNET,
    GOOGLENET,
    GREY_LEVELS,
    IMAGENET,
    LENET,
    MEAN,
    MOBILENET,
    MOBILENET_V2,
    NIN,
    ONE_CROP,
    ONE_TOWER,
    RESNET_V2,
    RESNEXT,
    SENET,
    SQUEEZENET,
    TEN_CROPS,
    as_paper,
    efficientnet_lite_row,
    errors,
    plain_cifar_row,
    resnet_cifar_row,
    resnet_row,
    timm_weights,
    to_one,
    torchvision_weights,
    vgg_row,
)

__all__ = ["TABLE", "Entry", "Published", "find"]

TABLE = (
    Entry(
        name="lenet5",
        builder="tortie.networks.lenet:lenet5",
        paper=f"{LENET}; as it is built today",
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
        paper=LENET,
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
        paper=ALEXNET,
        year=2012,
        preprocessing=Preprocessing(
            resize=256, height=227, width=227, mean=MEAN, std=(1.0, 1.0, 1.0)
        ),
        preprocessing_source=as_paper("section 2"),
        published=(Published(40.7, 18.2, TEN_CROPS, "table 2"),),
        sibling="alexnet-one-tower",
    ),
    Entry(
        name="alexnet-one-tower",
        builder="tortie.networks.alexnet:alexnet_one_tower",
        paper=ONE_TOWER,
        year=2014,
        preprocessing=IMAGENET,
        preprocessing_source=AS_WEIGHTS,
        published=(errors(43.478, 20.934),),
        weights=torchvision_weights("alexnet-owt-7be5be79"),
    ),
    vgg_row(
        "vgg11",
        "A",
        Published(29.6, 10.4, DENSE, "table 3"),
        errors(30.98, 11.372),
        file="vgg11-8a719046",
    ),
    vgg_row("vgg11-lrn", "A-LRN", Published(29.7, 10.5, DENSE, "table 3"), sibling="vgg11"),
    vgg_row("vgg11-bn", "A", errors(29.63, 10.19), file="vgg11_bn-6002323d", batch_norm=True),
    vgg_row(
        "vgg13",
        "B",
        Published(28.7, 9.9, DENSE, "table 3"),
        errors(30.072, 10.754),
        file="vgg13-19584684",
    ),
    vgg_row("vgg13-bn", "B", errors(28.414, 9.626), file="vgg13_bn-abd245e5", batch_norm=True),
    vgg_row("vgg16-c", "C", Published(28.1, 9.4, DENSE, "table 3"), sibling="vgg16"),
    vgg_row(
        "vgg16",
        "D",
        Published(27.0, 8.8, DENSE, "table 3"),
        errors(28.408, 9.618),
        file="vgg16-397923af",
    ),
    vgg_row("vgg16-bn", "D", errors(26.64, 8.484), file="vgg16_bn-6c64b313", batch_norm=True),
    vgg_row(
        "vgg19",
        "E",
        Published(27.3, 9.0, DENSE, "table 3"),
        errors(27.624, 9.124),
        file="vgg19-dcbb9e9d",
    ),
    vgg_row("vgg19-bn", "E", errors(25.782, 8.158), file="vgg19_bn-c79401a0", batch_norm=True),
    Entry(
        name="nin",
        builder="tortie.networks.nin:nin",
        paper=NIN,
        year=2013,
        preprocessing=CIFAR,
        preprocessing_source="ImageNet's mean and deviation, in place of the paper's contrast "
        "normalisation and whitening (section 4.2), which are not offered; no published weights",
        published=(
            Published(10.41, None, "CIFAR-10 test", "table 1"),
            Published(8.81, None, CIFAR_TEST, "table 1"),
        ),
    ),
    Entry(
        name="nin-imagenet",
        builder="tortie.networks.nin:nin_imagenet",
        paper=f"{NIN}; the authors' network of Caffe's zoo",
        year=2013,
        preprocessing=GREY_LEVELS,
        preprocessing_source="the authors' configuration of Caffe's zoo: grey levels, the mean "
        "subtracted; it has no published weights",
        published=(Published(40.64, None, ONE_CROP, "Caffe's zoo"),),
    ),
    Entry(
        name="googlenet",
        builder="tortie.networks.inception:googlenet",
        paper=GOOGLENET,
        year=2014,
        preprocessing=GREY_LEVELS,
        preprocessing_source=as_paper("section 5"),
        published=(
            Published(None, 10.07, ONE_CROP, "table 3"),
            Published(None, 9.15, TEN_CROPS, "table 3"),
        ),
        sibling="googlenet-bn",
    ),
    Entry(
        name="googlenet-bn",
        builder="tortie.networks.inception:googlenet_bn",
        paper=f"{GOOGLENET}; with batch normalisation",
        year=2014,
        preprocessing=Preprocessing(
            resize=256,
            height=224,
            width=224,
            interpolation="bilinear",
            mean=(127.5,) * 3,
            std=(127.5,) * 3,
        ),
        preprocessing_source=AS_WEIGHTS,
        published=(errors(30.222, 10.47),),
        weights=torchvision_weights("googlenet-1378be20"),
    ),
    resnet_row("resnet18", {"depth": 18}, errors(30.242, 10.922), file="resnet18-f37072fd"),
    resnet_row(
        "resnet18-a",
        {"depth": 18, "shortcut": "A"},
        Published(27.88, None, TEN_CROPS, "table 2"),
        sibling="resnet18",
    ),
    resnet_row(
        "plain18",
        {"depth": 18, "residual": False},
        Published(27.94, None, TEN_CROPS, "table 2"),
        sibling="resnet18",
    ),
    resnet_row(
        "resnet34",
        {"depth": 34},
        Published(24.52, 7.46, TEN_CROPS, "table 3"),
        errors(26.686, 8.58),
        file="resnet34-b627a593",
    ),
    resnet_row(
        "resnet34-a",
        {"depth": 34, "shortcut": "A"},
        Published(25.03, 7.76, TEN_CROPS, "table 3"),
        sibling="resnet34",
    ),
    resnet_row(
        "resnet34-c",
        {"depth": 34, "shortcut": "C"},
        Published(24.19, 7.4, TEN_CROPS, "table 3"),
        sibling="resnet34",
    ),
    resnet_row(
        "plain34",
        {"depth": 34, "residual": False},
        Published(28.54, 10.02, TEN_CROPS, "table 3"),
        sibling="resnet34",
    ),
    resnet_row("resnet50", {"depth": 50}, errors(23.87, 7.138), file="resnet50-0676ba61"),
    resnet_row(
        "resnet50-v1",
        {"depth": 50, "stride_in": "1x1"},
        Published(22.85, 6.71, TEN_CROPS, "table 3"),
        sibling="resnet50",
    ),
    resnet_row("resnet101", {"depth": 101}, errors(22.626, 6.454), file="resnet101-63fe2227"),
    resnet_row(
        "resnet101-v1",
        {"depth": 101, "stride_in": "1x1"},
        Published(21.75, 6.05, TEN_CROPS, "table 3"),
        sibling="resnet101",
    ),
    resnet_row("resnet152", {"depth": 152}, errors(21.688, 5.954), file="resnet152-394f9c45"),
    resnet_row(
        "resnet152-v1",
        {"depth": 152, "stride_in": "1x1"},
        Published(21.43, 5.71, TEN_CROPS, "table 3"),
        sibling="resnet152",
    ),
    resnet_cifar_row(20, 8.75, "resnet20-12fca82f"),
    resnet_cifar_row(32, 7.51, "resnet32-d509ac18"),
    resnet_cifar_row(44, 7.17, "resnet44-014dd654"),
    resnet_cifar_row(56, 6.97, "resnet56-4bfd9763"),
    resnet_cifar_row(110, 6.43, "resnet110-1d1ed7c2"),
    resnet_cifar_row(1202, 7.93, "resnet1202-f3b1deed"),
    plain_cifar_row(20),
    plain_cifar_row(32),
    plain_cifar_row(44),
    plain_cifar_row(56),
    plain_cifar_row(110),
    Entry(
        name="squeezenet",
        builder="tortie.networks.squeezenet:squeezenet",
        paper=SQUEEZENET,
        year=2016,
        preprocessing=IMAGENET,
        preprocessing_source=AS_WEIGHTS,
        published=(
            Published(42.5, 19.7, ONE_CROP, "table 2"),
            errors(41.908, 19.58),
        ),
        weights=torchvision_weights("squeezenet1_0-b66bff10"),
    ),
    Entry(
        name="resnet50-v2",
        builder="tortie.networks.resnet_v2:resnet_v2",
        paper=RESNET_V2,
        year=2016,
        preprocessing=to_one(resize=235),
        preprocessing_source=AS_WEIGHTS,
        timm="resnetv2_50",
        weights=timm_weights("resnetv2_50.a1h_in1k"),
    ),
    Entry(
        name="densenet121",
        builder="tortie.networks.densenet:densenet121",
        paper=DENSENET,
        year=2016,
        preprocessing=IMAGENET,
        preprocessing_source=AS_WEIGHTS,
        published=(
            Published(25.02, 7.71, ONE_CROP, "table 3"),
            errors(25.566, 8.028),
        ),
        weights=torchvision_weights("densenet121-a639ec97"),
    ),
    Entry(
        name="resnext50",
        builder="tortie.networks.resnext:resnext50",
        paper=RESNEXT,
        year=2016,
        preprocessing=IMAGENET,
        preprocessing_source=AS_WEIGHTS,
        published=(
            Published(22.2, None, ONE_CROP, "table 3"),
            errors(22.382, 6.302),
        ),
        timm="resnext50_32x4d",
        weights=torchvision_weights("resnext50_32x4d-7cdf4587"),
    ),
    Entry(
        name="mobilenet-v1",
        builder="tortie.networks.mobilenet_v1:mobilenet_v1",
        paper=MOBILENET,
        year=2017,
        preprocessing=to_one(resize=256),
        preprocessing_source=AS_WEIGHTS,
        published=(Published(29.4, None, ONE_CROP, "table 4"),),
        timm="mobilenetv1_100",
        weights=timm_weights("mobilenetv1_100.ra4_e3600_r224_in1k"),
    ),
    Entry(
        name="se-resnet50",
        builder="tortie.networks.senet:se_resnet50",
        paper=SENET,
        year=2017,
        preprocessing=IMAGENET.model_copy(update={"interpolation": "bicubic"}),
        preprocessing_source=AS_WEIGHTS,
        published=(Published(23.29, 6.62, ONE_CROP, "table 2"),),
        timm="seresnet50",
        weights=timm_weights("seresnet50.ra2_in1k"),
    ),
    Entry(
        name="mobilenet-v2",
        builder="tortie.networks.mobilenet_v2:mobilenet_v2",
        paper=MOBILENET_V2,
        year=2018,
        preprocessing=IMAGENET,
        preprocessing_source=AS_WEIGHTS,
        published=(
            Published(28.0, None, ONE_CROP, "table 4"),
            errors(28.122, 9.714),
        ),
        timm="mobilenetv2_100",
        weights=torchvision_weights("mobilenet_v2-b0353104"),
    ),
    Entry(
        name="efficientnet-b0",
        builder="tortie.networks.efficientnet:efficientnet",
        paper=EFFICIENTNET,
        year=2019,
        preprocessing=IMAGENET.model_copy(update={"interpolation": "bicubic"}),
        preprocessing_source=AS_WEIGHTS,
        arguments={"form": "torchvision"},
        published=(
            Published(22.9, 6.7, ONE_CROP, "table 2"),
            errors(22.308, 6.468),
        ),
        weights=torchvision_weights("efficientnet_b0_rwightman-7f5810bc"),
    ),
    efficientnet_lite_row(0, 1.0, 1.0, 224, 24.9),
    efficientnet_lite_row(1, 1.0, 1.1, 240, 23.3),
    efficientnet_lite_row(2, 1.1, 1.2, 260, 22.4),
    efficientnet_lite_row(3, 1.2, 1.4, 280, 20.2),
    efficientnet_lite_row(4, 1.4, 1.8, 300, 18.5),
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
