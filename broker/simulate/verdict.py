"""The verdict on a simulation, in words."""

from __future__ import annotations

from broker.plan.deployment import Flavour
from broker.simulate.failure import Failure
from broker.simulate.timeline import Outcome, Span

WORDS = {
    Failure.THROTTLED: "throttled by Lambda",
    Failure.REFUSED: "refused with 53300 until their deadline",
    Failure.CAPPED: "without a session under the cap until their deadline",
    Failure.NO_CLIENT_SLOT: "without a client's slot at PgBouncer until their deadline",
    Failure.TIMED_OUT: "in a queue for too long",
}


def verdict(outcome: Outcome) -> list[str]:
    """Return it: whether anything failed, what the plan says, and the largest numbers."""
    total = outcome.total
    lines = [_failures(outcome, total)]
    if outcome.shape.refusals:
        lines.append(
            f"The plan refuses this deployment (`broker plan {outcome.shape.deployment.file}` has "
            "what would make it fit):"
        )
        lines += [f"  - {refusal}" for refusal in outcome.shape.refusals]
    lines.append(_largest(outcome, total))
    return lines


def _failures(outcome: Outcome, total: Span) -> str:
    file = outcome.shape.deployment.file
    if not outcome.failed:
        return f"{file}: no request failed, of {total.asked:,}."
    parts = [f"{total.failed[each]:,} {WORDS[each]}" for each in Failure if total.failed[each]]
    share = total.failures / total.asked if total.asked else 0.0
    failures = f"{total.failures:,} of {total.asked:,} requests failed ({share:.2%})"
    if parts:
        failures += f": {', '.join(parts)}"
    if total.refusals and not total.failed[Failure.REFUSED]:
        failures += f". The server refused the pooler a session {total.refusals:,} times (53300)"
    return f"{file}: {failures}."


def _largest(outcome: Outcome, total: Span) -> str:
    form, peak = outcome.shape, total.peak
    middle, last = total.quantile_ms(0.5), total.quantile_ms(0.99)
    latency = f"p50 {middle:,.1f} ms, p99 {last:,.1f} ms; " if middle and last else ""
    kept = f"{form.reserved} kept for others among them"
    held = ""
    if form.flavour is not Flavour.DIRECT:
        middle_s = "RDS Proxy" if form.flavour is Flavour.RDS_PROXY else "the pooler"
        held = f" with {peak.connections:,} connections to {middle_s}"
    return (
        f"{latency}at most {peak.environments:,} environments{held}, and {peak.sessions:,} "
        f"sessions of {form.max_connections:,} ({kept}; the plan's worst moment is "
        f"{form.sessions_at_worst:,})."
    )
