"""Every option, from four places into one frozen record; contexts are several such records.

The ssh path loads no contexts: its ProxyCommand names their options.
"""

from sm_proxy.settings.schema import Settings
from sm_proxy.settings.sources import flags_of, load, load_for, load_for_command

__all__ = ["Settings", "flags_of", "load", "load_for", "load_for_command"]
