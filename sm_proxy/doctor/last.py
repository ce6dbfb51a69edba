"""The last failure on record: editors and ControlPersist hide what ssh printed."""

from __future__ import annotations

import calendar
import json
import time

from sm_proxy import paths
from sm_proxy.doctor.findings import Patient, SkipCheck


def failure(_: Patient) -> str:
    """What the last failed run said, and when."""
    try:
        record = json.loads((paths.state_dir() / "last-error.json").read_text(encoding="utf-8"))
        at = calendar.timegm(time.strptime(record["time"], "%Y-%m-%dT%H:%M:%SZ"))
        line = str(record["line"]).removeprefix("sm-proxy: ")
    except FileNotFoundError:
        raise SkipCheck("no failure is on record") from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise SkipCheck("the record of the last failure cannot be read") from None
    return f"{_age(time.time() - at)} ago: {line}"


def _age(seconds: float) -> str:
    for size, unit in ((86400, "days"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.0f} {unit}"
    return f"{max(0, seconds):.0f} s"
