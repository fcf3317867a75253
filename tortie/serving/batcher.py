"""A bounded queue of photographs, and the threads that take them from it in batches.

Where no other thread works, a free one takes what waits at once. Where others do, it gives the next
few a moment to come, and takes no more than its share of them: of 16 clients whose answers come
together, the first to ask again went through the network alone otherwise, and the others after it.
"""

import asyncio
import contextlib
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from tortie.activations.engine import BATCH
from tortie.activations.extract import multiply_alone
from tortie.serving.limits import busy

Work = TypeVar("Work")
Answer = TypeVar("Answer")

_ENOUGH = BATCH // 2
"""Items that are worth a batch while other threads work."""

_MOMENT = 0.004  # seconds that a thread waits for them: less than a photograph takes
_WEIGHT = 0.2  # of the newest batch in the mean of seconds an item


class _Job(Generic[Work, Answer]):
    """An item that waits, and the future of its answer: cancelled where nobody wants it."""

    __slots__ = ("future", "work")

    def __init__(self, work: Work, future: "asyncio.Future[Answer]") -> None:
        self.work = work
        self.future = future


class Batcher(Generic[Work, Answer]):
    """Runs a function on batches of what is submitted, in threads of its own.

    Args:
        run: from a batch of items to their answers, in order; called by any of the threads.
        threads: that run batches.
        most: items that may wait.
        done: told the size of each batch, in its thread.
    """

    def __init__(
        self,
        run: Callable[[Sequence[Work]], Sequence[Answer]],
        threads: int,
        most: int,
        done: Callable[[int], None] = lambda size: None,
    ) -> None:
        self._run = run
        self._most = most
        self._done = done
        self._jobs: deque[_Job[Work, Answer]] = deque()
        self._changed = threading.Condition()
        self._working = 0  # threads that run a batch
        self._stopped = False
        self._seconds = 0.02  # an item, before any was timed
        self._threads = [
            threading.Thread(target=self._serve, name=f"tortie-serve-{number}", daemon=True)
            for number in range(threads)
        ]
        for thread in self._threads:
            thread.start()

    @property
    def waiting(self) -> int:
        """Items that no thread has taken yet; those whose client has gone among them."""
        return len(self._jobs)

    def check_room(self, count: int = 1) -> None:
        """Check that so many items may wait.

        Raises:
            Refusal: the queue is full.
        """
        if len(self._jobs) + count > self._most:
            with self._changed:  # those that nobody waits for any more take no room
                self._jobs = deque(job for job in self._jobs if not job.future.cancelled())
            if len(self._jobs) + count > self._most:
                raise busy("the queue is full", len(self._jobs) * self._seconds)

    def submit(self, items: Sequence[Work]) -> "list[asyncio.Future[Answer]]":
        """Put items into the queue; called in an event loop, whose futures are returned.

        Cancelling a future before its turn takes the item out.

        Raises:
            Refusal: the queue is full.
        """
        self.check_room(len(items))
        loop = asyncio.get_running_loop()
        jobs = [_Job[Work, Answer](item, loop.create_future()) for item in items]
        with self._changed:
            self._jobs.extend(jobs)
            self._changed.notify(len(jobs))
        return [job.future for job in jobs]

    def close(self) -> None:
        """Answer what waits, then end the threads."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()

    def _take(self) -> list[_Job[Work, Answer]]:
        """The next batch; empty at the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._jobs or self._stopped)
            self._changed.wait_for(self._are_enough, _MOMENT)
            share = -(-len(self._jobs) // len(self._threads))  # the other threads take theirs
            if self._working:
                share = max(share, _ENOUGH)
            batch: list[_Job[Work, Answer]] = []
            while self._jobs and len(batch) < min(share, BATCH):
                job = self._jobs.popleft()
                if not job.future.cancelled():
                    batch.append(job)
            self._working += bool(batch)
            return batch

    def _are_enough(self) -> bool:
        """Whether what waits is to be taken now."""
        return not self._working or len(self._jobs) >= _ENOUGH or self._stopped

    def _serve(self) -> None:
        alone = False
        while True:
            batch = self._take()
            if batch:
                alone = alone or multiply_alone()  # torch may be loaded after this thread began
                self._answer(batch)
                with self._changed:
                    self._working -= 1
                    self._changed.notify_all()
            elif self._stopped and not self._jobs:
                return

    def _answer(self, batch: list[_Job[Work, Answer]]) -> None:
        begin = time.perf_counter()
        failed: Exception | None = None
        answers: Sequence[Answer] = ()
        try:
            answers = self._run([job.work for job in batch])
        except Exception as error:  # of one batch, which must not end the thread
            failed = error
        taken = (time.perf_counter() - begin) / len(batch) / len(self._threads)
        self._seconds += _WEIGHT * (taken - self._seconds)
        self._done(len(batch))

        def tell() -> None:
            for number, job in enumerate(batch):
                if job.future.done():
                    continue
                if failed is None:
                    job.future.set_result(answers[number])
                else:
                    job.future.set_exception(failed)

        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            batch[0].future.get_loop().call_soon_threadsafe(tell)
