"""Stand-ins for package managers in an image that is built: there is no network.

What the lab's root file system has counts as installed. Anything else is unknown, as a package that
no repository has.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from sm_proxy_lab.machines import rootfs

_APT: Final = """#!/bin/sh
# The lab's stand-in for apt-get and apt.
KNOWN=' @KNOWN@ '
echo "lab: stand-in for ${0##*/}: no downloads; what this image has counts as installed" >&2
command='' skip=''
has() {
    case $KNOWN in *" $1 "*) return 0 ;; esac
    for place in "/usr/bin/$1" "/usr/sbin/$1" /usr/lib/*/"$1".so* \\
        "/usr/lib/python3/dist-packages/${1#python3-}"; do
        [ -e "$place" ] && return 0
    done
    return 1
}
for word do
    if [ -n "$skip" ]; then skip=''; continue; fi
    case $word in
        -o|-t|-c|--option|--target-release|--config-file) skip=yes; continue ;;
        -*) continue ;;
    esac
    if [ -z "$command" ]; then
        command=$word
        case $command in
            update|upgrade|dist-upgrade|full-upgrade|install|remove|purge|autoremove) ;;
            clean|autoclean|autopurge|build-dep|check) ;;
            *) echo "E: Invalid operation $command" >&2; exit 100 ;;
        esac
        [ "$command" = clean ] || echo 'Reading package lists...'
        continue
    fi
    [ "$command" = install ] || continue
    name=${word%%[=/:]*}
    if has "$name"; then
        echo "$name is already the newest version."
    else
        echo "E: Unable to locate package $name" >&2
        exit 100
    fi
done
case $command in
    install|*upgrade|remove|purge|autoremove)
        echo '0 upgraded, 0 newly installed, 0 to remove and 0 not upgraded.' ;;
esac
"""
_PIP: Final = """#!/bin/sh
# The lab's stand-in for pip.
echo "lab: stand-in for ${0##*/}: no downloads; what this image has counts as installed" >&2
command='' skip=''
want() {
    name=$(printf '%s' "$1" | sed 's/[][<>=!~;@ ].*//' | tr 'A-Z-' 'a-z_')
    case $name in ''|'#'*) return ;; pip|setuptools|wheel) found=/usr/bin/pip ;; *)
        found=''
        for place in /usr/lib/python3/dist-packages/"$name" /usr/lib/python3*/"$name" \\
            /usr/lib/python3/dist-packages/"$name".py; do
            [ -e "$place" ] && found=$place
        done ;;
    esac
    if [ -z "$found" ]; then
        echo "ERROR: Could not find a version that satisfies the requirement $1" \\
            "(from versions: none)" >&2
        echo "ERROR: No matching distribution found for $1" >&2
        exit 1
    fi
    echo "Requirement already satisfied: $1 in $found"
}
for word do
    case $skip in
        '') ;;
        requirements)
            skip=''
            while IFS= read -r line || [ -n "$line" ]; do want "$line"; done < "$word" || exit 1
            continue ;;
        *) skip=''; continue ;;
    esac
    case $word in
        --version) echo 'pip 24.0 (stand-in)'; exit 0 ;;
        -r|--requirement) skip=requirements; continue ;;
        -i|-c|-t|-f|--index-url|--extra-index-url|--target|--constraint|--find-links) skip=yes
            continue ;;
        -*) continue ;;
    esac
    if [ -z "$command" ]; then command=$word; continue; fi
    [ "$command" = install ] && want "$word"
done
exit 0
"""
_EXTRA: Final = ("apt-utils", "openssh-server", "openssh-client", "python3", "python3-pip", "ssh")


def write(folder: Path) -> list[Path]:
    """Write the stand-ins into a folder, once; return their paths."""
    known = " ".join(sorted({*rootfs.IMAGES["debian"], *_EXTRA}))
    texts = dict.fromkeys(("apt-get", "apt"), _APT.replace("@KNOWN@", known))
    texts |= dict.fromkeys(("pip", "pip3"), _PIP)
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        if not (folder / name).exists():
            (folder / name).write_text(text, encoding="utf-8")
            (folder / name).chmod(0o755)
    return [folder / name for name in texts]
