"""The settings: values from four places in one frozen record, one record per context.

The ssh path loads no contexts: the ProxyCommand line carries their options.
"""

from sm_proxy.settings.schema import Settings
from sm_proxy.settings.sources import flags_of, load, load_for, load_for_command, load_given

__all__ = ["Settings", "flags_of", "load", "load_for", "load_for_command", "load_given"]
