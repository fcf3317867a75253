"""Claim: workers extract at over 95% of their speed, if each gets a hundred shards one by one.

A simulation, not a measurement: workers of unequal speed (lognormal, 0.2), one in a hundred at a
third of it, one failure an hour among all. A failed worker loses the shard it was at and comes back
after five minutes. Shards are handed out as workers become free, or dealt beforehand, as under
``torchrun``, where a failed worker begins its shard anew.

    python benchmarks/simulate_extraction.py [--workers 1000] [--rate 174]
"""

import argparse
import heapq

import numpy as np

AWAY = 300.0  # seconds until a worker that failed is back


def speeds(workers: int, rate: float, rng: np.random.Generator) -> np.ndarray:
    """Photographs a second of each worker, of mean ``rate`` but for the stragglers."""
    found = rate * rng.lognormal(-0.02, 0.2, workers)
    found[rng.random(workers) < 0.01] /= 3
    return found


def failures(seconds: float, workers: int, rng: np.random.Generator) -> list[tuple[float, int]]:
    """When which worker fails, one an hour."""
    count = rng.poisson(seconds / 3600)
    times = np.sort(rng.uniform(0, seconds, count))
    return list(zip(times.tolist(), rng.integers(workers, size=count).tolist(), strict=True))


def simulate(
    shards: int, size: int, speed: np.ndarray, dealt: bool, seed: int
) -> tuple[float, int]:
    """Seconds until the last shard is there, and shards that were computed in vain."""
    rng = np.random.default_rng(seed)
    workers = len(speed)
    ideal = shards * size / speed.sum()
    due = failures(20 * ideal, workers, rng)
    of: dict[int, list[float]] = {}
    for time, worker in due:
        of.setdefault(worker, []).append(time)
    left = [len(range(worker, shards, workers)) for worker in range(workers)]
    waiting, lost, end = shards, 0, 0.0
    free = [(0.0, worker) for worker in range(workers)]
    while free:
        now, worker = heapq.heappop(free)
        if (left[worker] if dealt else waiting) == 0:
            continue
        done = now + size / speed[worker]
        fails = next((time for time in of.get(worker, ()) if now < time <= done), None)
        if fails is not None:
            lost += 1
            heapq.heappush(free, (fails + AWAY, worker))
            continue
        waiting, end = waiting - 1, max(end, done)
        left[worker] -= 1
        heapq.heappush(free, (done, worker))
    return end, lost


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--workers", type=int, default=1000)
    parser.add_argument("--rate", type=float, default=174)
    arguments = parser.parse_args()
    print(f"{arguments.workers:,} workers of {arguments.rate:g} photographs a second")
    for photographs in (10**7, 10**8, 10**9):
        for size in (1_000, 10_000):
            speed = speeds(arguments.workers, arguments.rate, np.random.default_rng(0))
            ideal = photographs / speed.sum()
            for dealt in (False, True):
                runs = [
                    simulate(photographs // size, size, speed, dealt, seed) for seed in range(3)
                ]
                seconds = float(np.median([one for one, _ in runs]))
                lost = float(np.mean([one for _, one in runs]))
                print(
                    f"{photographs:.0e} in shards of {size:,}, {'dealt' if dealt else 'queue'}: "
                    f"{seconds / 60:.1f} min, {ideal / seconds:.0%} of the workers' speed, "
                    f"{lost:.1f} shards lost"
                )


if __name__ == "__main__":
    main()
