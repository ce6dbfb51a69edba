from __future__ import annotations

import pytest

from sm_proxy.jobs import accelerators


@pytest.mark.parametrize(
    ("instance_type", "expected"),
    [
        ("ml.p4d.24xlarge", 8),
        ("ml.p5.4xlarge", 1),
        ("ml.g5.12xlarge", 4),
        ("ml.g5.16xlarge", 1),
        ("ml.g4dn.12xlarge", 4),
        ("ml.p2.16xlarge", 16),
        ("ml.g7e.12xlarge", 2),
        ("ml.p6-b300.48xlarge", 8),
        ("ml.p6e-gb200.36xlarge", 4),
        ("ml.c5.18xlarge", 1),
        ("ml.m7i-flex.large", 1),
        ("ml.m6gd.large", 1),
        ("ml.t3.medium", 1),
        ("ml.trn1.32xlarge", None),
        ("ml.g5.metal", None),
        ("", None),
    ],
)
def test_a_node_has_a_slot_for_each_gpu(instance_type: str, expected: int | None) -> None:
    assert accelerators.slots(instance_type) == expected
