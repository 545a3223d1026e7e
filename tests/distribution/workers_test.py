"""Two workers train users' own models as one device does."""

from pathlib import Path

import pytest
import workers

pytestmark = [pytest.mark.tf_only, pytest.mark.slow]
SCRIPT = Path(__file__).parents[1] / "worker_cases.py"


def test_workers_train_users_models_and_agree():
    chief, other = workers.run(SCRIPT)
    for each in (chief, other):
        assert each.stdout == "held\n", each.stderr
        assert each.returncode == 1
    assert "Received: epochs=4 on worker 1 and 3 on worker 0" in other.stderr
    assert "WorkerLost: Worker 0 of 2 stopped" in chief.stderr
