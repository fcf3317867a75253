"""Whether a network of torch's modules ends in global average pooling, and what comes before."""

from collections import OrderedDict
from collections.abc import Iterator

from torch import Tensor, nn

from tortie.activations.output_shape import output_shape
from tortie.activations.prefix import Prefix
from tortie.evaluation.activation_maps import Floats, LastMaps, cut_before_pooling
from tortie.images.preprocess import Preprocessing
from tortie.networks.network import Network

_SHAPED = (nn.Flatten, nn.Dropout, nn.Identity)  # may follow the pooling: they change no value


def last_maps(network: Network, preprocessing: Preprocessing) -> LastMaps | None:
    """The parts of the network; ``None`` where no linear map alone follows the pooling."""
    names = network.stage_names
    last = network.stages.get_submodule(names[-1])
    steps = [*_steps(last), *_steps(network.head)]
    places = [i for i, step in enumerate(steps) if _pools_globally(step)]
    if not places:
        return None
    after = steps[places[-1] + 1 :]
    linear = after[-1] if after and isinstance(after[-1], nn.Linear) else None
    if not all(isinstance(step, _SHAPED) for step in after if step is not linear):
        return None
    before = _before(network, places[-1])
    prefix = Prefix(
        tensors={name: one.detach().cpu().numpy() for name, one in before.state_dict().items()},
        cut=cut_before_pooling(names[-1]), output=output_shape(before, preprocessing),
        preprocessing=preprocessing, module=lambda: before,
    )  # fmt: skip
    if linear is None:
        return LastMaps(prefix)
    return LastMaps(prefix, _array(linear.weight), _array(linear.bias))


def _array(tensor: Tensor | None) -> Floats | None:
    return None if tensor is None else tensor.detach().float().cpu().numpy()


def _before(network: Network, count: int) -> nn.Sequential:
    """All stages but the last, and the first steps of what follows, by their names."""
    *stages, (name, last) = network.stages.named_children()
    kept = OrderedDict(stages)
    for own, module in ((name, last), ("head", network.head)):
        part, count = _first(module, count)
        if part is not None:
            kept[own] = part
    return nn.Sequential(kept)


def _first(module: nn.Module, count: int) -> tuple[nn.Module | None, int]:
    """As much of a module as so many steps are, and how many steps are still to come."""
    if type(module) is not nn.Sequential:
        return (module, count - 1) if count else (None, 0)
    kept: OrderedDict[str, nn.Module] = OrderedDict()
    for name, child in module.named_children():
        part, count = _first(child, count)
        if part is not None:
            kept[name] = part
    return (nn.Sequential(kept) if kept else None), count


def _steps(module: nn.Module) -> Iterator[nn.Module]:
    """The modules that a sequence calls one after the other."""
    if type(module) is nn.Sequential:
        for child in module:
            yield from _steps(child)
    else:
        yield module


def _pools_globally(module: nn.Module) -> bool:
    return isinstance(module, nn.AdaptiveAvgPool2d) and module.output_size in (1, (1, 1))
