"""What `broker simulate` predicts of a storm, against the storm itself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from statistics import mean, median, quantiles

from benchmarks.figures import Figure, Section, ratio
from benchmarks.stack import POOL, TIMEOUT_S
from benchmarks.storm import HOLDS_A_SESSION, SERVICE_S, Crowd
from broker.plan.deployment import Application, Database, Deployment, Engine, Kind, Middle
from broker.simulate import Traffic, simulate

LEAST, MOST = 0.8, 1.2  # of what was measured
FEW = 100  # clients of the smaller storm
UTILISATION = 0.7  # of the pool, where requests come at random
STEADY_S = 60.0  # of a simulation of requests at random, whose end is as its beginning
ALONE = 2  # clients that have the idle stack for themselves
WORDS = {"rate": "throughput", "p50_ms": "p50", "p99_ms": "p99"}


@dataclass(frozen=True)
class Facts:
    """Of one storm, measured or predicted."""

    rate: float
    p50_ms: float
    p99_ms: float

    @classmethod
    def of(cls, latencies_ms: list[float], seconds: float) -> Facts:
        """Return those of these answers, which were given in so many seconds."""
        percentiles = quantiles(latencies_ms, n=100)
        return cls(len(latencies_ms) / seconds, percentiles[49], percentiles[98])


@dataclass(frozen=True)
class Shape:
    """A storm: so many clients that ask again at once, or requests at random, `rate` a second."""

    name: str
    clients: int
    rate: float | None = None

    def measure(self, crowd: Crowd, seconds: float) -> Facts:
        """Let the crowd do it."""
        if self.rate is None:
            latencies, _ = crowd.run(self.clients, seconds, HOLDS_A_SESSION)
        else:
            latencies, _ = crowd.receive(self.rate, seconds, HOLDS_A_SESSION)
        return Facts.of(latencies, seconds)

    def predict(self, service_ms: list[float], seconds: float) -> Facts:
        """Simulate it; `service_ms` are times of the same statement on the idle stack."""
        mean_s = mean(service_ms) / 1000
        asked = Application(
            "storm",
            Kind.FUNCTION,
            environments=self.clients,
            rate_per_s=self.rate or POOL / mean_s,
            mean_s=mean_s,
            p99_s=quantiles(service_ms, n=100)[98] / 1000,
            timeout_s=TIMEOUT_S,
        )
        deployment = Deployment(
            Database(Engine.POSTGRESQL, 100, "as the stack has it"),
            Middle(tasks=1, overlap=1, pool_size=POOL, reserve_pool_size=0),
            (asked,),
            account_concurrency=self.clients + 100,
        )
        if self.rate is not None:
            seconds = STEADY_S
        traffic = Traffic(duration_s=seconds, storm=self.rate is None, cold_start_s=0.0)
        total = simulate(deployment, traffic).total
        return Facts(
            total.answered / seconds, total.quantile_ms(0.5) or 0.0, total.quantile_ms(0.99) or 0.0
        )


@dataclass(frozen=True)
class Round:
    """One round of a storm, and what was predicted of it from the times just before."""

    measured: Facts
    predicted: Facts


def measure(
    port: int, clients: int, rounds: int, seconds: float, advance: Callable[[], object]
) -> Section:
    """Compare each round of each storm with its prediction."""
    section = Section(
        "simulation",
        f"Storms of 20 ms statements on a pool of {POOL}, and what the simulation says of them",
        ("storm", "measured", "predicted", "predicted ÷ measured"),
    )
    taken: dict[str, list[Round]] = {}
    alone_ms: list[float] = []
    with Crowd(port, clients) as crowd:
        crowd.log_in()
        advance()
        for _ in range(rounds):
            service_ms, _ = crowd.run(ALONE, seconds, HOLDS_A_SESSION)
            alone_ms += service_ms
            advance()
            for shape in _shapes(clients):
                predicted = shape.predict(service_ms, seconds)
                measured = shape.measure(crowd, seconds)
                taken.setdefault(shape.name, []).append(Round(measured, predicted))
                advance()
        for failure, count in crowd.failures.most_common(5):
            section.notes.append(f"{count} × {failure}")
    for name, found in taken.items():
        _compare(section, name, found)
    section.notes.append(
        "The simulation is given the pool, the clients, and the mean and p99 of the same statement "
        f"from {ALONE} clients that had the stack for themselves just before each round: over all "
        f"{mean(alone_ms):.1f} ms and {quantiles(alone_ms, n=100)[98]:.1f} ms. Medians of {rounds} "
        f"rounds of {seconds:g} s."
    )
    return section


def _shapes(clients: int) -> list[Shape]:
    rate = UTILISATION * POOL / SERVICE_S
    return [
        Shape(f"{FEW} clients", FEW),
        Shape(f"{clients:,} clients", clients),
        Shape(f"{rate:,.0f}/s at random", clients, rate),
    ]


def _compare(section: Section, name: str, rounds: list[Round]) -> None:
    for what, unit, digits in (("rate", "/s", 0), ("p50_ms", "ms", 1), ("p99_ms", "ms", 1)):
        measured = [getattr(each.measured, what) for each in rounds]
        predicted = [getattr(each.predicted, what) for each in rounds]
        section.add(
            f"{name}: {WORDS[what]}",
            Figure(median(measured), unit, digits),
            Figure(median(predicted), unit, digits),
            ratio(predicted, measured, MOST, LEAST),
        )
