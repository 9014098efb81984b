"""One small city for all tests of the simulation."""

import pytest

from udfs.simulation.city import City, plan_city


@pytest.fixture(scope="session")
def city() -> City:
    return plan_city(5, "default", 2560.0, 2017, 2022)
