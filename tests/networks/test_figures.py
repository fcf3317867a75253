"""The figures that the table prints, each counted again on the network itself."""

import subprocess
import sys

import pytest

from tortie import networks
from tortie.cost.count import count
from tortie.cost.meta_network import meta_network
from tortie.networks.figures import FIGURES


@pytest.mark.parametrize("name", [name for name in networks.names() if "1202" not in name])
def test_figures_are_what_is_counted(name):
    cost = count(meta_network(name))
    assert FIGURES[name].parameters == cost.parameters
    assert FIGURES[name].multiplications == cost.multiplications
    assert (*FIGURES[name].stages, "head") == tuple(stage.name for stage in cost.stages)


@pytest.mark.slow
def test_figures_of_the_deepest_are_what_is_counted():
    test_figures_are_what_is_counted("resnet1202-cifar")


def test_every_network_has_figures_and_nothing_else_has():
    assert tuple(FIGURES) == networks.names()


def test_the_table_needs_no_torch():
    code = (
        "import sys\nfrom tortie.networks.table import TABLE\n"
        "assert all(entry.document()['parameters'] for entry in TABLE)\n"
        "assert not {'torch', 'matplotlib'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
