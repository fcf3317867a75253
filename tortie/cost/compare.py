"""Networks side by side: what each costs, and an error that can be compared.

Errors measured by different protocols must not be mixed: ten crops, or dense evaluation, take off
a point or two. The protocol and the measure (top-5 or top-1) that most of the networks have are
chosen; a network without that keeps an error of its own, and says which.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from tortie.cost.count import Cost, count
from tortie.cost.meta_network import meta_network
from tortie.networks.arguments import parse_network, titled
from tortie.networks.entry import Entry, Published


@dataclass(frozen=True)
class Compared:
    """One of several networks.

    Attributes:
        name: in the table of networks.
        year: of its paper; ``None`` where it is not known.
        cost: of one image of the paper's size.
        published: the error it is compared by; ``None`` where none is published.
        error: of that, in percent.
        same_protocol: whether the error was measured by the protocol of most.
    """

    name: str
    year: int | None
    cost: Cost
    published: Published | None
    error: float | None
    same_protocol: bool


@dataclass(frozen=True)
class Comparison:
    """Several networks.

    Attributes:
        networks: in the order asked for.
        measure: ``top-5`` or ``top-1``.
        protocol: of most errors; ``None`` where no error is published.
    """

    networks: tuple[Compared, ...]
    measure: str
    protocol: str | None

    def document(self) -> list[dict[str, Any]]:
        """JSON's types only; a network each."""
        rows = []
        for one in self.networks:
            whole = one.cost.document(one.name)
            row = {key: whole[key] for key in whole if key not in ("stages", "layers")}
            row["measure"], row["error"] = self.measure, one.error
            row["published"] = asdict(one.published) if one.published else None
            rows.append(row)
        return rows


def compare(names: Sequence[str]) -> Comparison:
    """Count the networks of those names and choose an error to compare them by.

    Raises:
        UsageError: no such network.
    """
    parsed = [parse_network(name) for name in names]
    entries = [entry for entry, _ in parsed]
    measure, protocol = _most_common(entries)
    networks = []
    for entry, given in parsed:
        # what is published is of the table's arguments
        published = None if given else _chosen(entry, measure, protocol)
        networks.append(
            Compared(
                name=titled(entry.name, given),
                year=entry.year,
                cost=count(meta_network(entry.name, **given)),
                published=published,
                error=_value(published, measure) if published else None,
                same_protocol=published is not None and published.protocol == protocol,
            )
        )
    return Comparison(tuple(networks), measure, protocol)


def _value(published: Published, measure: str) -> float | None:
    return published.top5 if measure == "top-5" else published.top1


def _most_common(entries: Sequence[Entry]) -> tuple[str, str | None]:
    """Measure and protocol that most networks have; top-5 before top-1 where as many have both."""
    found: Counter[tuple[str, str]] = Counter()
    for measure in ("top-5", "top-1"):
        for entry in entries:
            protocols = dict.fromkeys(
                one.protocol for one in entry.published if _value(one, measure) is not None
            )
            found.update((measure, protocol) for protocol in protocols)
    if not found:
        return "top-5", None
    (measure, protocol), _ = found.most_common(1)[0]
    return measure, protocol


def _chosen(entry: Entry, measure: str, protocol: str | None) -> Published | None:
    """The error by that protocol, else another on the same images."""
    errors = [one for one in entry.published if _value(one, measure) is not None]
    for one in errors:
        if one.protocol == protocol:
            return one
    images = (protocol or "").split(",")[0]
    return next((one for one in errors if one.protocol.split(",")[0] == images), None)
