"""The text of our own ssh file, for several test modules."""

from __future__ import annotations

from pathlib import Path

from sm_proxy import config_writer
from sm_proxy.settings import Settings

PROGRAM = ["/opt/sm-proxy/bin/sm-proxy"]


def own_text(settings: Settings) -> str:
    """Our own file with one context, that of these settings."""
    after = config_writer.plan(Path("/no/config"), settings, PROGRAM)[0].after
    assert after is not None
    return after.decode()
