"""How many bytes of activations are alive at the worst moment, from shapes alone.

Nothing is allocated: tensors are on torch's meta device, and the bytes that eager PyTorch would
hold are followed as it creates and drops them, the indices of maximum pooling too.
"""

import weakref
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode


class ResidentPeak:
    """While entered, follows the most memory that the operating system gave this process.

    Attributes:
        added: bytes at the peak over those at the start, after the block; 0 where the system does
            not tell (only Linux does).
    """

    added: int = 0

    def __enter__(self) -> "ResidentPeak":
        """Forget the peak so far."""
        try:
            Path("/proc/self/clear_refs").write_text("5")
        except OSError:
            self._before = None
        else:
            self._before = _resident("VmRSS")
        return self

    def __exit__(self, *_: object) -> None:
        """Look at the peak since."""
        if self._before is not None:
            self.added = max(0, _resident("VmHWM") - self._before)


def _resident(name: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:")) * 1024


class LiveBytes(TorchDispatchMode):
    """While entered, follows the bytes of all tensors but those that are set aside.

    Attributes:
        now: bytes alive.
        peak: the most that were alive at once.
    """

    def __init__(self, aside: Iterable[Tensor], alive: Iterable[Tensor] = ()) -> None:
        """Set ``aside`` parameters and buffers; start with the inputs ``alive``."""
        super().__init__()
        self.now = self.peak = 0
        self._known: dict[int, weakref.ref[torch.UntypedStorage]] = {}
        for tensor in aside:
            self._follow(tensor, counted=False)
        for tensor in alive:
            self._follow(tensor)

    def __torch_dispatch__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Run the operation; its results are alive from now on, until they are dropped."""
        out = func(*args, **(kwargs or {}))
        for tensor in out if isinstance(out, tuple | list) else (out,):
            if isinstance(tensor, Tensor):
                self._follow(tensor)
        return out

    def _follow(self, tensor: Tensor, counted: bool = True) -> None:
        storage = tensor.untyped_storage()
        key = id(storage)  # one object as long as the storage lives
        if key in self._known:
            return
        size = storage.nbytes() if counted else 0

        def dropped(_: Any) -> None:
            self._known.pop(key, None)
            self.now -= size

        self._known[key] = weakref.ref(storage, dropped)
        self.now += size
        self.peak = max(self.peak, self.now)
