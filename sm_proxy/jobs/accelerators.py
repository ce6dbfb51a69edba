"""How many processes a node is for: one for each GPU, or one on a machine without.

The numbers are those of the guide "Amazon EC2 instance types", "Accelerated computing". SageMaker's
types have the same names behind `ml.`. Types that are not here, such as those with Trainium, are
unknown.
"""

from __future__ import annotations

import re
from typing import Final

_ONE_GPU: Final = ("xlarge", "2xlarge", "4xlarge", "8xlarge", "16xlarge")
_SEVENTH: Final = {
    **dict.fromkeys(("2xlarge", "4xlarge", "8xlarge"), 1),
    "12xlarge": 2,
    "24xlarge": 4,
    "48xlarge": 8,
}
_GPUS: Final[dict[str, dict[str, int]]] = {
    "p2": {"xlarge": 1, "8xlarge": 8, "16xlarge": 16},
    "p3": {"2xlarge": 1, "8xlarge": 4, "16xlarge": 8},
    "p3dn": {"24xlarge": 8},
    "p4d": {"24xlarge": 8},
    "p4de": {"24xlarge": 8},
    "p5": {"4xlarge": 1, "48xlarge": 8},
    "p5e": {"48xlarge": 8},
    "p5en": {"48xlarge": 8},
    "p6-b200": {"48xlarge": 8},
    "p6-b300": {"48xlarge": 8},
    "p6e-gb200": {"36xlarge": 4},
    "g4dn": {**dict.fromkeys(_ONE_GPU, 1), "12xlarge": 4},
    "g5": {**dict.fromkeys(_ONE_GPU, 1), "12xlarge": 4, "24xlarge": 4, "48xlarge": 8},
    "g6": {**dict.fromkeys(_ONE_GPU, 1), "12xlarge": 4, "24xlarge": 4, "48xlarge": 8},
    "g6e": {**dict.fromkeys(_ONE_GPU, 1), "12xlarge": 4, "24xlarge": 4, "48xlarge": 8},
    "g7": _SEVENTH,
    "g7e": _SEVENTH,
}
_WITHOUT: Final = re.compile(r"ml\.[cmrt][0-9][a-z]*(?:-flex)?\.[a-z0-9]+")


def slots(instance_type: str) -> int | None:
    """The processes for a node of that type, such as 8 for `ml.p4d.24xlarge`; None if unknown."""
    family, _, size = instance_type.removeprefix("ml.").partition(".")
    if family in _GPUS:
        return _GPUS[family].get(size)
    return 1 if _WITHOUT.fullmatch(instance_type) else None
