"""The variables SM_PROXY_* that are not settings.

The variable of a setting is `schema.variable(name)`. docs/settings.md has them all, but for those
of jobs, which container/README.md explains, and of the lab.
"""

from __future__ import annotations

import os
import re
from dataclasses import fields
from typing import Final

from sm_proxy.settings.schema import FILE_ONLY, Settings, variable

OTHERS: Final[dict[str, str]] = {
    "SM_PROXY_CONFIG_DIR": "folder of config.toml (default: the platform's; on Linux "
    "~/.config/sm-proxy)",
    "SM_PROXY_CACHE_DIR": "folder of files that may be deleted at any time (on Linux "
    "~/.cache/sm-proxy)",
    "SM_PROXY_STATE_DIR": "folder of logs, last errors and open sessions (on Linux "
    "~/.local/state/sm-proxy)",
    "SM_PROXY_SSH_CONFIG": "your ssh config, if ssh reads another than ~/.ssh/config; our ssh "
    "files are then in the folder sm-proxy beside it",
    "SM_PROXY_LOG": "debug: show each step with its time on stderr, and write it to debug.log",
    "SM_PROXY_COLOR": "auto, always or never: when output has colours, as --color",
}
"""What a user may set, and what it does."""
OWN: Final[dict[str, str]] = {
    "SM_PROXY_ERROR_FILE": "where connect leaves its error for the command that started ssh",
    "SM_PROXY_DAEMON_CLAIM": "the descriptor of the lock with which a daemon starts",
    "SM_PROXY_LAUNCH_KEYS_URL": "where a program below launch asks for fresh credentials",
    "SM_PROXY_BUCKET": "for a CodeBuild project of your own: the bucket of build contexts",
    "SM_PROXY_REPOSITORY": "in a build: the ECR repository",
    "SM_PROXY_IMAGE": "in a build: the image's name",
    "SM_PROXY_TARGET": "in a build: docker's --target",
    "SM_PROXY_DIGEST": "in a build: the digest of the image, for the log",
    "SM_PROXY_BUILD_ARG_": "in a build: docker's --build-arg, one variable for each",
}
"""What our own programs set for each other."""
OF_JOBS: Final = frozenset(
    f"SM_PROXY_{name}"
    for name in (
        *("AUTHORIZED_KEY", "HOME", "IMAGE_KEYS", "KEEP_CONNECTED", "KEEP_FAILURE"),
        *("KEEP_SUCCESS", "KEYS_S3", "LISTEN", "ML_DIR", "NODES_S3", "PORT", "REFRESH"),
        *("RUN_DIR", "SHELL", "SSHD", "WAIT"),
    )
)
"""What our entry point reads in a container."""
OF_SETTINGS: Final = {
    variable(item.name): item.name for item in fields(Settings) if item.name not in FILE_ONLY
}
"""The variable of each setting."""
_FAMILIES: Final = re.compile(
    r"SM_PROXY_(LAB_\w+|BUILD_ARG_\w+|AUTHORIZED_KEY_\d+|SDK\d|SOAK|PYTHONS)"
)


def unknown() -> list[str]:
    """The variables SM_PROXY_* of this process that mean nothing: a typing error, probably."""
    known = {*OTHERS, *OWN, *OF_JOBS, *OF_SETTINGS}
    ours = sorted(name for name in os.environ if name.startswith("SM_PROXY_"))
    return [name for name in ours if name not in known and not _FAMILIES.fullmatch(name)]
