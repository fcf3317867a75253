"""``tortie networks``, ``cost`` and ``bench`` as a user meets them."""

import json
import subprocess
import sys

import pytest

from tortie import networks
from tortie.cli import show
from tortie.cli.columns import columns, parse_shape
from tortie.cli.main import main
from tortie.cost import machine, speed
from tortie.errors import UsageError
from tortie.networks.table import TABLE


@pytest.fixture
def run(capfdbinary):
    """Runs a command in this process; returns exit code, stdout and stderr."""

    def run(*words):
        with pytest.raises(SystemExit) as stopped:
            main([str(word) for word in words])
        out, err = capfdbinary.readouterr()
        return stopped.value.code, out.decode(), err.decode()

    return run


@pytest.mark.parametrize("verb", ["networks", "cost", "bench"])
def test_every_verb_shows_an_example(run, verb):
    code, out, _ = run(verb, "--help")
    assert code == 0
    assert "Example: tortie " + verb in " ".join(out.split())


def test_the_table_has_every_network_and_its_figures(run):
    code, out, _ = run("networks")
    assert code == 0
    lines = {line.split()[0]: line for line in out.splitlines() if line}
    default = {"efficientnet-lite0*"}
    assert set(networks.names()) - {"efficientnet-lite0"} <= set(lines) - default
    order = [line.split()[0] for line in out.splitlines() if line]
    trained = [entry.name for entry in TABLE if entry.weights]
    bare = [entry.name for entry in TABLE if not entry.weights]
    first_bare = min(order.index(name) for name in bare)
    assert all(order.index(name) < first_bare for name in trained if name != "efficientnet-lite0")
    assert "efficientnet-lite0*" in order
    assert max(map(len, out.splitlines())) <= 80
    for figure in ("2014", "224×224×3", "138.4 M", "15.47 G", "27.0", "8.8"):
        assert figure in lines["vgg16"]
    letter = lines["vgg16"].split()[-1]
    assert lines[letter] == f"{letter}  ImageNet validation, dense, mirrored, one scale of 256"


def test_a_network_as_json(run):
    code, out, _ = run("networks", "lenet5", "--json")
    assert code == 0
    (document,) = json.loads(out)
    assert document["stages"] == ["c1", "s2", "c3", "s4", "c5", "f6"]
    assert document["shapes"] == {
        "c1": [28, 28, 6], "s2": [14, 14, 6], "c3": [10, 10, 16], "s4": [5, 5, 16], "c5": [120],
        "f6": [84], "head": [10],
    }  # fmt: skip
    assert document["multiplications_by_stage"]["c3"] == 240_000
    assert document["input"] == [28, 28, 1]


def test_a_network_stage_by_stage_and_drawn(run, tmp_path):
    code, out, _ = run("networks", "alexnet", "--plot", tmp_path / "a.svg")
    assert code == 0
    assert "error 40.7% top-1, 18.2% top-5: ImageNet validation, ten crops (table 2)" in out
    assert "no published weights: alexnet-one-tower has them" in out
    rows = [line.split() for line in out.splitlines()]
    assert ["fc6", "ReLU", "4096", "all", "37,752,832", "37,748,736"] in rows
    assert ["conv", "11", "4", "0", "ReLU", "55×55×96", "11", "34,944", "105,415,200"] in rows
    assert ["pool", "3", "2", "0", "27×27×96", "19", "0", "0"] in rows
    assert (tmp_path / "a.svg").stat().st_size > 1000


def test_cost_as_json(run):
    code, out, _ = run("cost", "lenet5", "--batch", "4", "--json")
    assert code == 0
    document = json.loads(out)
    assert document["network"] == "lenet5"
    assert document["input"] == [28, 28, 1]
    assert document["parameters"] == 61_706
    assert document["multiplications"] == 4 * 416_520
    # as many additions in the layers (the bias makes up for the first product), and the pooling's
    assert document["additions"] == 4 * 416_520
    assert document["peak_activation_bytes"] > 4 * 4 * 28 * 28 * 6
    stage = document["stages"][2]
    assert stage["name"] == "c3" and stage["output"] == [10, 10, 16]
    assert (stage["parameters"], stage["multiplications"]) == (2416, 4 * 240_000)
    assert stage["additions"] == 4 * 240_000


def test_cost_by_stage_and_by_layer(run, tmp_path):
    _, out, _ = run("cost", "resnet20-cifar", "--plot", tmp_path / "a.png")
    assert "conv2_x" in out and "block1" not in out
    assert "multiplications: of convolutions and linear layers, padding counted" in out
    assert (tmp_path / "a.png").exists()
    _, out, _ = run("cost", "resnet20-cifar", "--by", "layer")
    assert "conv2_x.block1.conv1" in out
    row = next(line.split() for line in out.splitlines() if "conv2_x.block1.conv1" in line)
    assert row[1:7] == ["3", "1", "1", "ReLU", "5", "32×32×16"]


def test_arguments_of_a_network_on_the_command_line(run):
    words = ("lenet5(pooling=average, activation=tanh)", "--json")
    (document,) = json.loads(run("networks", *words)[1])
    assert document["given"] == {"pooling": "average", "activation": "tanh"}
    assert document["layers_by_stage"][0]["activation"] == "tanh"
    assert document["layers_by_stage"][0]["kernel"] == [5, 5]
    assert "pooling" in [argument["name"] for argument in document["arguments"]]
    document = json.loads(run("cost", *words)[1])
    assert document["network"] == "lenet5(pooling=average, activation=tanh)"
    assert document["comparisons"] == 0
    _, out, _ = run("cost", "--compare", "resnet18", "resnet18(residual=false)")
    assert "resnet18(residual=False)" in out
    code, _, err = run("cost", "lenet5(pooling=sum)")
    assert (code, "must be one of max, average" in err) == (2, True)


def test_describing_a_network_imports_no_torch():
    code = (
        "import sys\nfrom tortie.cli.main import main\n"
        "try: main(['networks', 'resnet50'])\nexcept SystemExit: pass\n"
        "assert not {'torch', 'matplotlib'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_other_sizes_and_channels(run):
    _, out, _ = run("cost", "resnet20-cifar", "--input", "64X64×1", "--json")
    document = json.loads(out)
    assert document["input"] == [64, 64, 1]
    assert document["stages"][0]["multiplications"] == 64 * 64 * 16 * 9


def test_the_lectures_convolution(run):
    words = ("cost", "conv", "--input", "28x28x192", "--kernel", "5", "--filters", "32")
    _, out, _ = run(*words, "--json")
    assert json.loads(out)["multiplications"] == 120_422_400
    _, out, _ = run(*words, "--bottleneck", "16", "--json")
    document = json.loads(out)
    assert [part["multiplications"] for part in document["bottleneck"]] == [2_408_448, 10_035_200]
    assert document["multiplications"] == 12_443_648
    assert document["convolution"]["multiplications"] == 120_422_400
    assert document["saving"] == pytest.approx(120_422_400 / 12_443_648)
    _, out, _ = run(*words, "--bottleneck", "16")
    assert "2,408,448 + 10,035,200 = 12,443,648 multiplications, 9.7 times fewer" in out
    _, out, _ = run(*words, "--separable")
    # 28·28·192·25 + 28·28·192·32
    assert "3,763,200 + 4,816,896 = 8,580,096 multiplications, 14.0 times fewer" in out
    # valid: 24×24 outputs; stride 2 of padding 1: floor(25 / 2) + 1 = 13
    _, out, _ = run(*words, "--padding", "valid", "--groups", "2", "--json")
    assert json.loads(out)["multiplications"] == 24 * 24 * 32 * 25 * 96
    _, out, _ = run(*words, "--padding", "1", "--stride", "2", "--json")
    assert json.loads(out)["convolution"]["output"] == [13, 13, 32]


def test_tables_fit_a_terminal_of_80_columns(run):
    every = [entry.name for entry in TABLE if entry.weights][:19]
    for words in (["networks"], ["cost", "--compare", *every]):
        _, out, _ = run(*words)
        assert max(map(len, out.splitlines())) <= 80
        assert not any("none published" in line for line in out.splitlines())


def test_compare(run, tmp_path):
    words = ("cost", "--compare", "alexnet", "vgg16", "--plot", tmp_path / "a.png")
    code, out, _ = run(*words)
    assert code == 0
    rows = {line.split()[0]: line.split() for line in out.splitlines() if line}
    assert rows["alexnet"][2:4] == ["60,965,224", "724,406,816"]
    assert (tmp_path / "a.png").stat().st_size < 200_000
    assert rows["alexnet"][4:] == ["726.8", "M", "18.20", "a"]
    assert "a  ImageNet validation, ten crops" in out
    _, out, _ = run("cost", "--compare", "alexnet", "lenet5", "--plot", tmp_path / "b.svg")
    assert "not drawn, as no error of theirs is published: lenet5" in out
    _, out, _ = run("cost", "--compare", "lenet5", "resnet20-cifar", "--json")
    assert [one["network"] for one in json.loads(out)] == ["lenet5", "resnet20-cifar"]


@pytest.mark.parametrize(
    "words, message",
    [
        ("networks lenet6", "no network 'lenet6': did you mean lenet5"),
        ("networks --plot a.png", "--plot draws one network"),
        ("networks lenet5 --plot a.gif", "cannot draw a.gif: expected a name that ends in .png"),
        ("cost lenet5 --input 28x28", "'28x28': expected HEIGHTxWIDTHxCHANNELS, such as"),
        ("cost lenet5 --input 28x28x-1", "expected HEIGHTxWIDTHxCHANNELS"),
        ("cost lenet5 --input 0x28x1", "expected sides and channels from 1 to 1,000,000"),
        ("cost lenet5 --input 32x32x1", "the network takes (images, 1, 28, 28)"),
        ("cost lenet5-1998 --input 32x32x3", "sees images of channels 1, as printed, not 3"),
        ("cost resnet50 --batch 0", "a batch has at least one image, not 0"),
        ("cost lenet5 vgg16", "2 networks: --compare sets them side by side"),
        (
            "cost lenet5 --by part",
            "Invalid value for '--by': 'part' is not one of 'layer', 'stage'",
        ),
        ("cost lenet5 --kernel 3", "--kernel says nothing here"),
        ("cost lenet5 --plot no/a.png", "no folder no to write a.png into"),
        ("cost conv", "conv needs --input, --kernel and --filters"),
        ("cost conv --input 4x4x3 --kernel 5 --filters 2 --padding valid", "does not fit into"),
        ("cost conv --input 4x4x3 --kernel 0 --filters 2", "kernel must be at least 1, not 0"),
        ("cost conv --input 4x4x3 --kernel 3 --filters 2 --groups 2", "groups must divide"),
        ("cost conv --input 4x4x3 --kernel 3 --filters 2 --padding some", "same, valid or a"),
        ("cost conv --input 4x4x3 --kernel 3 --filters 2 --compare", "--compare says nothing"),
        ("cost lenet5 --separable", "--separable says nothing here"),
        (
            "cost conv --input 4x4x4 --kernel 3 --filters 4 --separable --bottleneck 2",
            "--bottleneck says nothing here",
        ),
        ("cost lenet5 --stride 2", "--stride says nothing here"),
        ("cost lenet5 --padding valid", "--padding says nothing here"),
        ("cost lenet5 --groups 2", "--groups says nothing here"),
        ("cost --compare lenet5 vgg16 --batch 4", "--batch says nothing here"),
        ("cost --compare lenet5 vgg16 --input 9x9x3", "--input says nothing here"),
        ("cost --compare lenet5 vgg16 --by layer", "--by says nothing here"),
        ("cost conv --input 4x4x3 --kernel 3 --filters 2 --by layer", "--by says nothing here"),
        ("cost resnet50 --input 2x2x3", "the network cannot take images of 2×2"),
        ("bench resnet51", "no network 'resnet51': did you mean"),
        ("bench --device tpu9", "no device 'tpu9'"),
    ],
)
def test_wrong_use_is_one_line_and_exit_code_2(run, tmp_path, monkeypatch, words, message):
    monkeypatch.chdir(tmp_path)
    code, out, err = run(*words.split())
    assert code == 2
    assert message in " ".join(err.split())
    assert len(err.splitlines()) == 1 and not out
    assert not list(tmp_path.iterdir())


@pytest.fixture
def short(monkeypatch):
    """Measurements of small matrices and arrays, in no time."""
    monkeypatch.setattr(machine, "_SIDE", 64)
    monkeypatch.setattr(machine, "_VALUES", 1000)
    monkeypatch.setattr(machine.measure, "__defaults__", (0.0, None))
    monkeypatch.setattr(speed.measure_speed, "__defaults__", (0.0,))


def native(monkeypatch, precision):
    monkeypatch.setattr(machine, "native_precision", lambda device: precision)


def test_bench_as_json(run, short, monkeypatch):
    native(monkeypatch, "bfloat16")
    code, out, err = run(
        "bench", "lenet5", "--batch", "4", "--precision", "float32", "--engine", "onednn", "--json"
    )
    assert code == 0
    document = json.loads(out)
    assert set(document["machine"]["matrix_rates"]) == {"float32", "bfloat16"}
    assert [line.split()[0] for line in err.splitlines()[:3]] == ["float32", "bfloat16", "memory"]
    assert document["network"]["network"] == "lenet5"
    assert document["network"]["images_per_second"] > 0
    assert [stage["name"] for stage in document["network"]["stages"]][:2] == ["c1", "s2"]
    native(monkeypatch, "float32")
    code, out, _ = run("bench", "--json")
    document = json.loads(out)
    assert document["network"] is None
    assert set(document["machine"]["matrix_rates"]) == {"float32"}


def test_bench_says_each_limit_as_it_is_measured(run, short, monkeypatch):
    native(monkeypatch, "float32")
    rate = machine.memory_bandwidth

    def bandwidth(device, seconds, values):  # two lines are out before the last measurement begins
        said.append(len(printed))
        return rate(device, seconds, values)

    printed, said = [], []
    own = show.part
    monkeypatch.setattr(show, "part", lambda line: (printed.append(line), own(line)))
    monkeypatch.setattr(machine, "memory_bandwidth", bandwidth)
    code, out, err = run("bench")
    assert code == 0 and said == [2]
    lines = out.splitlines()
    assert "G multiplications/s" in lines[0] and lines[0].startswith("float32")
    assert lines[1] == "bfloat16  not native to this device, which would emulate it: not measured"
    assert lines[2].startswith("memory") and lines[2].endswith("GB/s")
    assert lines[3].startswith("measured on cpu") and not err


@pytest.mark.parametrize(
    ("text", "sides"), [("28x28x192", (28, 28, 192)), (" 224×112X3 ", (224, 112, 3))]
)
def test_shapes(text, sides):
    assert parse_shape(text) == sides


@pytest.mark.parametrize("text", ["", "x", "1x2x3x4", "1.5x2x3", "x2x3", "9999999x1x1", "²x1x1"])
def test_what_is_no_shape_is_refused(text):
    with pytest.raises(UsageError, match="--input"):
        parse_shape(text)


def test_numbers_hang_to_the_right_and_words_to_the_left():
    assert columns(("name", "n"), [("a", 1234), ("bcdef", "")]) == [
        "name       n",
        "a      1,234",
        "bcdef",
    ]
