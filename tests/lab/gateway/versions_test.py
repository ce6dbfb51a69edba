from __future__ import annotations

from sm_proxy_lab.gateway.versions import compare


def test_versions_are_compared_by_number() -> None:
    assert compare("1.2.677.0", "1.2.331.0") > 0
    assert compare("1.1.70", "1.1.70") == 0
    assert compare("0.0.1", "1.1.70") < 0
    assert compare("1.1.70.0", "1.1.70") > 0
    assert compare("1.x.1", "1.y.1") < 0
