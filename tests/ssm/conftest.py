"""How many schedules the property tests run: a few thousand, or a night full of them.

`SM_PROXY_SOAK=1` takes the profile `soak`; script/soak sets it.
"""

from __future__ import annotations

import os

from hypothesis import HealthCheck, Phase, settings

_PHASES = [Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink]
_QUIET = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]

settings.register_profile(
    "quick",
    deadline=None,
    derandomize=True,
    database=None,
    phases=_PHASES,
    suppress_health_check=_QUIET,
)
settings.register_profile(
    "soak", deadline=None, phases=_PHASES, suppress_health_check=_QUIET, print_blob=True
)

SOAK = os.environ.get("SM_PROXY_SOAK") == "1"
settings.load_profile("soak" if SOAK else "quick")
