"""Variables that are meant for another Python and would mislead ours.

This module is imported first, so it may import built-in modules only.
"""

import os

MISLEADING = (
    *("PYTHONPATH", "PYTHONHOME", "PYTHONPLATLIBDIR", "PYTHONUSERBASE"),
    *("PYTHONWARNINGS", "PYTHONDEVMODE", "PYTHONOPTIMIZE", "PYTHONINSPECT", "PYTHONCASEOK"),
)
"""They change where Python finds modules, or how it runs ours; `python -I` ignores them.

PYTHONEXECUTABLE is not listed: `-I` does not ignore it, and a venv needs it to find its packages.
"""


def misleading() -> list[str]:
    """The names of those that are set."""
    return [name for name in MISLEADING if os.environ.get(name)]
