#!/bin/sh
# shellcheck disable=SC2154,SC2034 # variables of serve.sh
# Sourced by serve.sh: server.py, for images without sshd and dropbear, but with a Python. It needs
# asyncssh: the image's own, or that of the folder `wheels`, which a job's channel may bring.

find_python() {
    python_path=
    # The job's own environment, not `clean_env`: a conda Python may need its LD_LIBRARY_PATH.
    pythons=
    for name in python3 python; do
        python=$(find_server_program "$name") || continue
        ! import_asyncssh >/dev/null 2>&1 || return 0
        pythons=yes
    done
    [ -r "$here/wheels/wheels.json" ] || return
    case $pythons:${SM_PROXY_SSHD-} in
        : | :*python*) add_problem 'no Python in this image to run the SSH server of the job'\''s channel' ;;
    esac
    for name in python3 python; do
        python=$(find_server_program "$name") || continue
        ! unpack_wheels || return 0
    done
    return 1
}

import_asyncssh() {
    (use_python_path && with_timeout "$python" -c 'import asyncssh' </dev/null)
}

# Let Python find modules in $python_path first. In a subshell: sessions must not get this variable.
use_python_path() {
    [ -n "$python_path" ] || return 0
    PYTHONPATH=$python_path${PYTHONPATH:+:$PYTHONPATH}
    export PYTHONPATH
}

# Unpack the wheels that fit $python. Fail, and add a problem, if there are none or they do not work.
unpack_wheels() {
    patience=20 # a busy machine needs seconds to compile the modules
    if problem=$(with_timeout "$python" "$here/unpack_wheels.py" "$here/wheels" "$run/wheels" 2>&1 </dev/null); then
        python_path=$run/wheels
        if problem=$(import_asyncssh 2>&1); then return; fi
        python_path=
        rm -rf "$run/wheels" # another Python needs others
    fi
    problem=$(printf '%s\n' "$problem" | tail -n 1 | tr ';' ',')
    case $problem in
        *'failed to map segment'*) problem="$problem (set SM_PROXY_RUN_DIR to a folder that is not mounted noexec)" ;;
    esac
    add_problem "$python: ${problem:-no SSH server within $patience s}"
    return 1
}

prepare_python() {
    patience=10
    cannot_bind=
    write_authorized_keys
    warn_if_no_keys
    # This server needs no entry in /etc/passwd.
    [ -n "$user" ] || user=user
    features="python; sftp; scp; pty; forwarding; environment$features"
    write_environment_file
}

run_python() {
    theirs=$home/.ssh/authorized_keys
    ! ignores_image_keys || theirs=
    (umask 022 && use_python_path && print_environment | "$python" -W ignore "$here/server.py" --run "$run" --user "$user" --image-keys "$theirs" \
        --address "${SM_PROXY_LISTEN:-0.0.0.0}" --port "$1" 2>&1) | follow_server_log "$1"
    [ -e "$run/ready" ]
}
