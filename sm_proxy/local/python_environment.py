"""The variables by which an environment that is another Python's would mislead ours.

Imported before anything else: nothing but what is built in may be imported here.
"""

import os

MISLEADING = (
    *("PYTHONPATH", "PYTHONHOME", "PYTHONPLATLIBDIR", "PYTHONUSERBASE"),
    *("PYTHONWARNINGS", "PYTHONDEVMODE", "PYTHONOPTIMIZE", "PYTHONINSPECT", "PYTHONCASEOK"),
)
"""What changes where a Python looks for modules, or what it does with ours; `-I` ignores them.

PYTHONEXECUTABLE is not here: it counts even then, and without it no venv finds its packages.
"""


def misleading() -> list[str]:
    """Those that are set."""
    return [name for name in MISLEADING if os.environ.get(name)]
