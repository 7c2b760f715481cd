"""What `broker simulate` predicts of a storm, against the storm itself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from statistics import mean, median, quantiles

from benchmarks.figures import Figure, Ratio, Section
from benchmarks.stack import CLIENTS, POOL, TIMEOUT_S
from benchmarks.storm import HOLDS_A_SESSION, Crowd
from broker.plan.deployment import Application, Database, Deployment, Engine, Kind, Middle
from broker.simulate import Traffic, simulate

LEAST, MOST = 0.8, 1.2  # of what was measured
FEW = 100  # clients of the smaller storm
UTILISATION = 0.7  # of the pool, where requests come at random
ALONE = 2  # clients that have the idle stack for themselves


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
        traffic = Traffic(duration_s=seconds, storm=self.rate is None, cold_start_s=0.0)
        total = simulate(deployment, traffic).total
        return Facts(
            total.answered / seconds, total.quantile_ms(0.5) or 0.0, total.quantile_ms(0.99) or 0.0
        )


def measure(
    port: int, clients: int, rounds: int, seconds: float, advance: Callable[[], object]
) -> Section:
    """Compare each storm's median round with its prediction."""
    section = Section(
        "simulation",
        f"Predicted ÷ measured: statements of 20 ms on a pool of {POOL}, through PgBouncer",
        ("storm", "measured", "p50", "p99", "throughput ÷", "p50 ÷", "p99 ÷"),
    )
    with Crowd(port, clients) as crowd:
        crowd.log_in()
        advance()
        service_ms, _ = crowd.run(ALONE, seconds, HOLDS_A_SESSION)
        advance()
        rate = UTILISATION * POOL / (mean(service_ms) / 1000)
        shapes = [
            Shape(f"{FEW} clients", FEW),
            Shape(f"{clients:,} clients", clients),
            Shape(f"{rate:,.0f}/s at random", min(clients, CLIENTS), rate),
        ]
        for shape in shapes:
            taken = []
            for _ in range(rounds):
                taken.append(shape.measure(crowd, seconds))
                advance()
            _compare(section, shape, taken, shape.predict(service_ms, seconds))
        for failure, count in crowd.failures.most_common(5):
            section.notes.append(f"{count} × {failure}")
    section.notes.append(
        f"The simulation is given the pool, the clients and the statement's mean of "
        f"{mean(service_ms):.1f} ms and p99 of {quantiles(service_ms, n=100)[98]:.1f} ms, "
        f"measured with {ALONE} clients. Medians of {rounds} rounds of {seconds:g} s."
    )
    return section


def _compare(section: Section, shape: Shape, taken: list[Facts], predicted: Facts) -> None:
    rate, p50_ms, p99_ms = (
        median(values)
        for values in zip(*((each.rate, each.p50_ms, each.p99_ms) for each in taken), strict=True)
    )
    section.add(
        shape.name,
        Figure(rate, "/s", 0),
        Figure(p50_ms, "ms"),
        Figure(p99_ms, "ms"),
        Ratio(predicted.rate / rate, MOST, LEAST),
        Ratio(predicted.p50_ms / p50_ms, MOST, LEAST),
        Ratio(predicted.p99_ms / p99_ms, MOST, LEAST),
    )
