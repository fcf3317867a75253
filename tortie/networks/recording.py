"""Recording a module's forward pass with ``torch.fx``, without disturbing other threads.

While it traces, ``torch.fx`` patches ``nn.Module`` for the whole process: of two tracings at once
one records the calls of the other, and a module that another thread runs meanwhile is taken for a
part of what is traced.
"""

import threading
from collections.abc import Callable
from typing import Any

from torch import fx, nn

from tortie.forks import ForkSafeLock

_lock = ForkSafeLock()  # a module may be traced in the course of tracing another


class Recorder(fx.Tracer):
    """A tracer that waits for its turn, and lets the modules of other threads run as they are."""

    _thread: int | None = None

    def trace(
        self, root: nn.Module | Callable[..., Any], concrete_args: dict[str, Any] | None = None
    ) -> fx.Graph:
        """The graph of what ``root`` does, recorded by one thread at a time."""
        with _lock:
            self._thread = threading.get_ident()
            return super().trace(root, concrete_args)

    def call_module(
        self,
        m: nn.Module,
        forward: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> Any:
        """A node for a module of the traced one; another thread's module simply runs."""
        if threading.get_ident() != self._thread:
            return forward(*args, **kwargs)
        return super().call_module(m, forward, args, kwargs)
