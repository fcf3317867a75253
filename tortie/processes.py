"""Many processes that fit as one: torchrun begins them, on one machine or on several.

Each takes its share of every step and of what is to be computed. All of them hold the same weights
and come to the same decisions; the first alone speaks and writes. Gradients are added up in one
buffer of one fixed layout, so that a run that goes on adds in the same order as one that was never
stopped, whatever the order in which gradients become ready.
"""

import atexit
import contextlib
import ctypes
import hashlib
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from tortie import __version__
from tortie.errors import TortieError, UsageError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor, nn

    from tortie.images import Collection

_MEETING = timedelta(minutes=10)  # for all to begin: torch is imported from a slow disk, perhaps
_STEP = timedelta(seconds=60)  # a machine that falls silent ends the others after so long
_PHASE = timedelta(days=1)  # for what machines may do at very different speeds, as reading


@dataclass(frozen=True)
class Share:
    """One process's part of some rows.

    Attributes:
        rows: its own; where there are fewer rows than processes, one of another, without weight.
        weight: share of all rows that are its own, 0 to 1; the weights of all processes add to 1.
        sizes: rows of each process.
        rank: which of them this is.
    """

    rows: "NDArray[np.int64]"
    weight: float
    sizes: tuple[int, ...]
    rank: int

    @property
    def place(self) -> slice:
        """Where its rows are among all rows."""
        begin = sum(self.sizes[: self.rank])
        return slice(begin, begin + self.sizes[self.rank]) if self.weight else slice(0, 1)

    def parts(self, wanted: int) -> int:
        """Into how many parts every process can split its rows: ``wanted`` at the most."""
        return max(1, min(wanted, *self.sizes))


@dataclass(frozen=True)
class Processes:
    """The processes of a fit, as one of them sees them.

    Attributes:
        count: of all.
        rank: of this one, from 0; the first speaks and writes.
        device: where tensors are added up, ``cpu`` or ``cuda``.
    """

    count: int = 1
    rank: int = 0
    device: str = "cpu"

    @property
    def first(self) -> bool:
        """Whether this one speaks and writes."""
        return self.rank == 0

    def share(self, rows: "NDArray[np.int64]") -> Share:
        """This process's part of some rows: sizes within one of each other."""
        import numpy as np

        parts = np.array_split(rows, self.count)
        sizes = tuple(len(part) for part in parts)
        own = parts[self.rank]
        weight = len(own) / len(rows) if len(rows) else 0.0
        return Share(own if len(own) else rows[:1], weight, sizes, self.rank)

    def all_reduce(self, tensors: Sequence["Tensor"]) -> None:
        """Replace each tensor by its sum over all processes, which is the same in all of them."""
        if self.count == 1 or not tensors:
            return
        import torch
        from torch import distributed

        flat = torch.cat([tensor.reshape(-1) for tensor in tensors])
        with _reached():
            distributed.all_reduce(flat, group=_groups.step)
        sizes = [tensor.numel() for tensor in tensors]
        for tensor, total in zip(tensors, flat.split(sizes), strict=True):
            tensor.copy_(total.view(tensor.shape))

    def all_reduce_scalars(self, *values: float) -> tuple[float, ...]:
        """The sum of each value over all processes."""
        if self.count == 1:
            return values
        import torch
        from torch import distributed

        own = torch.tensor(values, dtype=torch.float64, device=self.device)
        with _reached():
            distributed.all_reduce(own, group=_groups.step)
        return tuple(own.tolist())

    def gather_rows(self, own: "Tensor", share: Share, phase: bool = False) -> "Tensor":
        """The rows of all processes, each once, from this one's ``(len(share.rows), ...)``.

        Args:
            own: of this process.
            share: which they are.
            phase: whether others may be much later; ``own`` is then on the processor.
        """
        if self.count == 1:
            return own
        import torch

        last = own.dim() == 4 and own.is_contiguous(memory_format=torch.channels_last)
        padded = own.new_zeros(max(1, *share.sizes), *own.shape[1:])
        padded[: len(own)] = own
        found = self.all_gather(padded, phase)
        rows = torch.cat([part[:size] for part, size in zip(found, share.sizes, strict=True)])
        return rows.contiguous(memory_format=torch.channels_last) if last else rows

    def all_gather(self, own: "Tensor", phase: bool = False) -> "Tensor":
        """The tensors of all processes, of one shape: ``(count, ...)``."""
        import torch
        from torch import distributed

        found = [torch.empty_like(own) for _ in range(self.count)]
        with _reached():
            distributed.all_gather(found, own, group=_groups.phase if phase else _groups.step)
        return torch.stack(found)

    def broadcast_model(self, model: "nn.Module") -> None:
        """Give every process the first one's tensors."""
        if self.count == 1:
            return
        from torch import distributed

        with _reached():
            for tensor in model.state_dict().values():
                given = tensor.contiguous()
                distributed.broadcast(given, 0, group=_groups.step)
                tensor.copy_(given)

    def broadcast_bytes(self, work: Callable[[], bytes]) -> bytes:
        """What the first process finds, given to all; the others wait for it.

        Where it fails there, all end, and the first alone says why.
        """
        if self.count == 1:
            return work()
        import torch

        if not self.first:
            (size,) = self._broadcast(torch.zeros(1, dtype=torch.int64)).tolist()
            if size < 0:
                raise SystemExit(-size)
            return self._broadcast(torch.zeros(size, dtype=torch.uint8)).numpy().tobytes()
        try:
            content = work()
        except BaseException as error:
            with contextlib.suppress(TortieError):
                self._broadcast(torch.tensor([-getattr(error, "exit_code", 1)]))
            raise
        self._broadcast(torch.tensor([len(content)]))
        if content:
            self._broadcast(torch.frombuffer(bytearray(content), dtype=torch.uint8))
        return content

    def _broadcast(self, tensor: "Tensor") -> "Tensor":
        from torch import distributed

        if tensor.numel():
            with _reached():
                distributed.broadcast(tensor, 0, group=_groups.phase)
        return tensor

    def barrier(self) -> None:
        """Wait until every process is here."""
        if self.count > 1:
            from torch import distributed

            with _reached():
                distributed.barrier(group=_groups.phase)

    def check_equal(self, what: str, text: str) -> None:
        """Make sure that every process was given the same.

        Raises:
            TortieError: one was not; it is named.
        """
        if self.count == 1:
            return
        import torch

        digest = bytearray(hashlib.sha256(text.encode("utf-8", "surrogateescape")).digest())
        found = self.all_gather(torch.frombuffer(digest, dtype=torch.uint8), phase=True)
        odd = [rank for rank in range(self.count) if not found[rank].equal(found[0])]
        if odd:
            raise self.fatal(
                f"process {odd[0]} of {self.count} has other {what} than the first: every machine "
                "needs the same command, the same photographs and the same packages"
            )

    def fatal(self, message: str) -> BaseException:
        """What to raise where all processes end together: the first alone says why."""
        return TortieError(message) if self.first else SystemExit(TortieError.exit_code)


@dataclass
class _Groups:
    """Torch's process groups, held here alone: they end, with their threads, as they are let go.

    Attributes:
        step: for what all do at once.
        phase: for what one may do much later than another; on processors.
    """

    step: Any = None
    phase: Any = None


ALONE = Processes()
_joined = ALONE
_groups = _Groups()


def contents(collection: "Collection", sha256: Sequence[str | None]) -> str:
    """What the photographs of every process must have in common: all but their paths."""
    of = zip(collection.photographs, sha256, strict=True)
    return "\n".join(f"{digest} {one.label} {one.split} {one.group}" for one, digest in of)


def world_size() -> int:
    """How many processes torchrun began, this one among them; 1 where it was not torchrun."""
    names = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
    return int(os.environ["WORLD_SIZE"]) if all(name in os.environ for name in names) else 1


def rank() -> int:
    """Which of them this is; 0 where it is alone."""
    return int(os.environ["RANK"]) if world_size() > 1 else 0


def local_rank() -> int:
    """Which of those on this machine this is; 0 where it is alone."""
    return int(os.environ["LOCAL_RANK"]) if world_size() > 1 else 0


def local_count() -> int:
    """How many of them share this machine's cores and memory, this one among them."""
    return int(os.environ["LOCAL_WORLD_SIZE"]) if world_size() > 1 else 1


def core_count() -> int:
    """Processor cores that this process may use: its share, where torchrun began several."""
    if hasattr(os, "sched_getaffinity"):
        cores = len(os.sched_getaffinity(0))
    else:
        cores = os.cpu_count() or 1
    return max(1, cores // local_count())


def give_back_memory() -> None:
    """Return to the system what was freed; glibc keeps it for the next allocations."""
    with contextlib.suppress(OSError, AttributeError, TypeError):  # another library than glibc
        ctypes.CDLL(None).malloc_trim(0)


def join(device: str) -> Processes:
    """Meet the other processes that torchrun began; without torchrun, this one is alone.

    Args:
        device: ``auto``, ``cpu``, ``cuda``.

    Raises:
        UsageError: accelerate is not installed.
        TortieError: the others cannot be reached.
    """
    global _joined
    if world_size() == 1 or _joined.count > 1:
        return _joined
    try:
        from accelerate import PartialState
    except ImportError:
        raise UsageError(
            "several processes need accelerate: pip install 'tortie[distributed]'"
        ) from None
    import torch
    from torch import distributed

    cuda = torch.cuda.is_available() if device == "auto" else device.startswith("cuda")
    # accelerate warns of threads that nobody chose; tortie chooses them.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    with _reached():
        state = PartialState(cpu=not cuda, timeout=_MEETING)
        _groups.step = distributed.new_group(timeout=_STEP)
        _groups.phase = distributed.new_group(timeout=_PHASE, backend="gloo")
    atexit.register(_leave)
    if threading.current_thread() is threading.main_thread():
        # What torchrun sends where another has ended: what was computed is kept, as at Ctrl-C.
        signal.signal(signal.SIGTERM, signal.default_int_handler)
    _joined = Processes(state.num_processes, state.process_index, "cuda" if cuda else "cpu")
    _joined.check_equal(
        "versions of tortie or torch", f"{__version__} {torch.__version__.partition('+')[0]}"
    )
    return _joined


def _leave() -> None:
    """End the groups and their threads: one that wants Python as it shuts down ends in an abort."""
    from torch import distributed

    _groups.step = _groups.phase = None
    with contextlib.suppress(RuntimeError, ValueError):
        distributed.destroy_process_group()


@contextmanager
def _reached() -> Iterator[None]:
    """What torch raises where another process has ended becomes one line."""
    try:
        yield
    except RuntimeError as error:
        reason = str(error).splitlines()[0].split("] ", 1)[-1].split(". ")[0]
        raise TortieError(
            f"another process of this fit has ended or cannot be reached ({reason}); start all of "
            "them again: what is stored is kept, and --resume goes on with a training by steps"
        ) from error
