"""What ssh passes to us for the hosts of a prefix: our block was written with it.

It wins over variables and config.toml, because the ProxyCommand has it as options.
"""

from __future__ import annotations

from itertools import pairwise

from sm_proxy.settings import contexts
from sm_proxy.settings.schema import Settings, option
from sm_proxy.ssh_config import quoting

_COMMAND = "    ProxyCommand "
_USER = "    User "


def options(content: str, prefix: str) -> dict[str, str]:
    """The settings that the block of a prefix has, as text, by name; empty if there is no block.

    Args:
        content: of our own ssh file.
        prefix: one of its contexts.
    """
    found: dict[str, str] = {}
    inside = False
    for line in content.split("\n"):
        if line.startswith("Host "):
            inside = line.split(" ")[1] == f"{prefix}*"
        elif line.startswith(contexts.MARK):
            inside = False
        elif inside and line.startswith(_USER):
            found["user"] = line.removeprefix(_USER)
        elif inside and line.startswith(_COMMAND):
            found |= _of_command(line.removeprefix(_COMMAND))
    return found


def _of_command(command: str) -> dict[str, str]:
    words = quoting.command_words(command)
    names = Settings.__dataclass_fields__.keys() - {"user"}
    named = {option(name): name for name in names}
    return {named[word]: value for word, value in pairwise(words) if word in named}
