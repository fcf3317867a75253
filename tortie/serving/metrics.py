"""What a server counts, as Prometheus reads it."""

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from tortie.activations.engine import BATCH

_SECONDS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30)


class ServerMetrics:
    """Counters of one server; two servers in one process share none.

    Args:
        waiting: photographs in the queue.
        ready: whether the classifier is loaded.
    """

    def __init__(self, waiting: Callable[[], int], ready: Callable[[], bool]) -> None:
        self._registry = own = CollectorRegistry()
        self._requests = Counter(
            "tortie_requests", "Requests to /predict, by status.", ["status"], registry=own
        )
        self._seconds = Histogram(
            "tortie_request_seconds", "Seconds of requests to /predict that were answered.",
            buckets=_SECONDS, registry=own,
        )  # fmt: skip
        self._batches = Histogram(
            "tortie_batch_photographs",
            "Photographs in a batch.",
            buckets=range(1, BATCH + 1),
            registry=own,
        )
        self._gone = Counter(
            "tortie_clients_gone", "Requests whose client went before the answer.", registry=own
        )
        Gauge("tortie_queue_photographs", "Photographs that wait.", registry=own).set_function(
            waiting
        )
        Gauge("tortie_ready", "1 where the classifier is loaded.", registry=own).set_function(ready)

    def batch(self, size: int) -> None:
        """Count a batch."""
        self._batches.observe(size)

    def request(self, status: int, seconds: float) -> None:
        """Count a request to ``/predict``."""
        self._requests.labels(str(status)).inc()
        if status < 400:
            self._seconds.observe(seconds)

    def gone(self) -> None:
        """Count a client that went."""
        self._gone.inc()

    def text(self) -> bytes:
        """All of them, in Prometheus' text format 0.0.4."""
        return generate_latest(self._registry)
