"""What we have put into the keyring, editors' settings and shells."""

from __future__ import annotations

import functools
from pathlib import Path

from sm_proxy.completion import install
from sm_proxy.completion.scripts import SHELLS
from sm_proxy.editors import settings_file
from sm_proxy.editors.jsonc import JsoncError
from sm_proxy.editors.settings_file import Changed
from sm_proxy.errors import SmProxyError
from sm_proxy.identity import passphrases
from sm_proxy.local import atomic_write, footprint, secret_store
from sm_proxy.uninstall import folders
from sm_proxy.uninstall.part import Part


def keyring(*, with_passphrases: bool) -> list[Part]:
    """Our items in the keyring.

    Args:
        with_passphrases: whether those of our keys go, too.
    """
    names = [note["name"] for note in footprint.noted("keyring")]
    if not with_passphrases:
        names = [name for name in names if not name.startswith(passphrases.ITEM_START)]
    if not names:
        return []
    what = f"our entries in this system's keyring ({len(names)} at most)"
    return [Part(what, None, lambda: _forget(names))]


def _forget(names: list[str]) -> None:
    """Forget all that can be forgotten; a user who has refused to unlock it is not asked again.

    Raises:
        SmProxyError: `no-keyring`, something may still be there.
    """
    store = secret_store.find()
    if store is None:
        raise _stay()
    first = None
    for name in names:
        store.forget(name)
        if secret_store.trouble():
            first = first or _stay()
        if secret_store.is_locked():
            break
    if first is not None:
        raise first


def _stay() -> SmProxyError:
    return SmProxyError(
        "no-keyring",
        f"our entries stay in the keyring: {secret_store.trouble() or 'there is none'}",
        f"{secret_store.remedy()}, then run `sm-proxy uninstall` again.",
    )


def completion() -> list[Part]:
    """What `completion install` has written for the shells."""
    found = []
    for shell in SHELLS:
        remove = functools.partial(install.uninstall, shell)
        try:
            if files := install.installed(shell):
                where = " and ".join(map(str, files))
                found.append(Part(f"completion for {shell} in {where}", files[-1], remove))
        except SmProxyError:  # `remove` says what is wrong, and the other parts go
            found.append(Part(f"completion for {shell}", None, remove))
    return found


def editors() -> list[Part]:
    """What `vscode` has set in the editors' settings."""
    return [
        Part(
            f"what `vscode` has set in {file.path}",
            file.path,
            functools.partial(_restore, file),
        )
        for file in settings_file.noted()
        if _is_changed(file)
    ]


def _is_changed(file: Changed) -> bool:
    try:
        now = atomic_write.read(file.path)
        return now is not None and settings_file.restored(file, now) != now
    except (SmProxyError, JsoncError, UnicodeDecodeError):
        return True  # `_restore` says what is wrong


def _restore(file: Changed) -> None:
    try:
        settings_file.restore(file)
    except JsoncError as error:
        raise _by_hand(file.path, str(error)) from None
    except UnicodeDecodeError:
        raise _by_hand(file.path, "it is not UTF-8") from None
    except OSError as error:
        raise folders.unremovable(file.path, error) from None


def _by_hand(path: Path, why: str) -> SmProxyError:
    return SmProxyError(
        "file-edited",
        f"{path} cannot be changed: {why}",
        "Repair it, or take `remote.SSH.remotePlatform` of our hosts out by hand.",
    )
