"""The contexts that a command line asks for, and the keys and folders that they need."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from sm_proxy.identity import identities
from sm_proxy.local import permissions, private_files
from sm_proxy.settings import Settings, contexts
from sm_proxy.settings.schema import RECORDED
from sm_proxy.settings.sources import from_file, from_flags
from sm_proxy.ssh_config import blocks, our_file


def contexts_of(
    settings: Settings, flags: Mapping[str, Any]
) -> tuple[Settings, dict[str, dict[str, Any]]]:
    """The settings for what no context sets, and every context after this command.

    An option that is given now changes its context. AWS variables apply to a new context only, so
    that running the command again from another shell changes nothing.
    """
    base = replace(from_file(), ssh_dir=settings.ssh_dir)
    known = contexts.read(settings.ssh_config_file)
    given = from_flags(flags, own_variables=True)
    changed = contexts.with_absolute_paths(
        {name: given[name] for name in RECORDED if name in given}
    )
    prefix = settings.prefix
    if prefix in known:
        known[prefix] |= changed
    elif not known or changed or "prefix" in given:
        new = our_file.recorded_options(settings)
        filed = {name: getattr(base, name) for name in RECORDED}
        kept = {name: value for name, value in new.items() if value != filed[name]}
        known[prefix] = {**kept, **changed}
    return base, known


def prepare(settings: Settings, flags: Mapping[str, Any]) -> None:
    """Create the keys and folders that the blocks name."""
    base, known = contexts_of(settings, flags)
    for prefix, options in known.items():
        context = replace(base, **{**options, "prefix": prefix})
        identities.ensure(context)
        if context.control_master:
            permissions.check_folder(
                private_files.ensure_private_dir(blocks.control_folder(context))
            )
