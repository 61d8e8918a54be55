"""The plan's values have bounds, also those inside a dict."""

import pytest

from workbench.errors import ConfigError
from workbench.methods import checked
from workbench.plan import Plan


@pytest.mark.parametrize("rate", [0.0, -1e-3, 101.0, float("inf"), float("nan"), "fast"])
def test_a_parts_rate_has_the_bounds_of_every_rate(rate):
    what = rf"plan: rates\.encoders\.audio={rate!r} will not do[\s\S]*expected  rates \(rates of single parts"
    with pytest.raises(ConfigError, match=what):
        checked(Plan, {"rates": {"encoders.audio": rate}}, owner="plan")


def test_a_parts_rate_at_its_bounds():
    assert checked(Plan, {"rates": {"head": 100, "encoders": 1e-9}}, owner="plan").rates == {"head": 100.0, "encoders": 1e-9}
