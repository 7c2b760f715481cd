"""Both tasks of a service are replaced under load: no failed invocation, no write lost or doubled.

The order is ECS': new tasks up and healthy, old ones deregistered, a delay, SIGINT, at most 120 s.
The one thing that is not AWS' is the deregistration delay, 2 s in place of 30.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest

from broker.local.gauge import Gauge
from tests.infra.image.balancer import Balancer
from tests.infra.image.conftest import Site
from tests.infra.image.container import Container, client_settings
from tests.infra.image.service import Service
from tests.infra.image.writers import Writers

CLIENTS = 500
DEREGISTRATION_DELAY_S = 2.0
ROLLOUTS = 2


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_a_rolling_replacement_under_load_fails_nothing_and_keeps_to_the_plan(
    site: Callable[..., Site], tmp_path: Path
) -> None:
    where = site(tasks=2, clients=CLIENTS)
    plan = where.plan
    most = plan.whole(f"connection_limit.{where.role}")
    with ExitStack() as running:
        balancer = running.enter_context(Balancer())

        def start() -> Container:
            return running.enter_context(Container(plan, where.server, where.secrets))

        service = Service(balancer, start, plan.deployment.middle.tasks, DEREGISTRATION_DELAY_S)
        service.scale_up()
        ca_file = tmp_path / "ca.pem"
        ca_file.write_text(where.secrets.certificate.ca)
        settings = client_settings(balancer.port, plan, where.secrets, ca_file)
        gauge = running.enter_context(Gauge(where.postgres))
        writers = running.enter_context(Writers(settings, CLIENTS))
        for _ in range(ROLLOUTS):
            service.replace()
            writers.wait_for(CLIENTS)
        result = writers.stop()

    assert result.failures == {}
    assert result.foreign == 0
    assert Counter(result.tokens) == Counter(where.tokens())
    assert len(result.tokens) > CLIENTS * (ROLLOUTS + 1)
    assert gauge.peak <= most == 4 * plan.whole("sessions_per_pool")
    assert [task.code for task in service.retired] == [0] * 2 * ROLLOUTS
    assert all(task.flows > CLIENTS // 10 for task in service.retired), "they had clients to lose"
