"""Recording in one thread leaves the others alone; the oracle is what each does by itself."""

import threading

import pytest
import torch
from torch import fx, nn

from tortie.networks.recording import Recorder


class Waiting(nn.Module):
    """While it is recorded, it calls a function; a flag of Python's is no part of the graph."""

    def __init__(self, meanwhile):
        super().__init__()
        self.linear = nn.Linear(3, 2)
        self.meanwhile = meanwhile

    def forward(self, x):
        if isinstance(x, fx.Proxy):
            self.meanwhile()
        return self.linear(x).relu()


def same(module, graph):
    x = torch.randn(4, 3)
    module.meanwhile = lambda: None
    torch.testing.assert_close(fx.GraphModule(module, graph)(x), module(x), rtol=0, atol=0)


def test_a_module_that_another_thread_runs_meanwhile_is_left_alone():
    other, x, found = nn.Sequential(nn.Linear(3, 5), nn.ReLU()), torch.randn(2, 3), []
    wanted = other(x)

    def meanwhile():
        thread = threading.Thread(target=lambda: found.append(other(x)))
        thread.start()
        thread.join()

    module = Waiting(meanwhile)
    graph = Recorder().trace(module)
    assert torch.equal(found[0], wanted)
    assert [node.op for node in graph.nodes] == [
        "placeholder", "call_module", "call_method", "output",
    ]  # fmt: skip
    same(module, graph)


def test_recordings_take_turns():
    graphs, modules, order = {}, {}, []

    def record(name, meanwhile):
        modules[name] = Waiting(meanwhile)
        graphs[name] = Recorder().trace(modules[name])
        order.append(name)

    second = threading.Thread(target=record, args=("second", lambda: order.append("begun")))

    def first_is_inside():
        second.start()
        second.join(0.2)  # time to do harm, were there no turns
        order.append("inside")

    record("first", first_is_inside)
    second.join()
    assert order.index("inside") < order.index("begun")
    for name in ("first", "second"):
        assert len(graphs[name].nodes) == 4
        same(modules[name], graphs[name])


def test_one_recording_may_need_another():
    inner = Waiting(lambda: None)
    module = Waiting(lambda: Recorder().trace(inner))
    same(module, Recorder().trace(module))


def test_what_cannot_be_recorded_gives_the_turn_back():
    def fail():
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        Recorder().trace(Waiting(fail))
    thread = threading.Thread(target=lambda: Recorder().trace(Waiting(lambda: None)))
    thread.start()
    thread.join()
    module = nn.Linear(3, 2)  # nothing of torch stays patched
    assert module(torch.ones(1, 3)).shape == (1, 2)
