#!/bin/sh
# shellcheck disable=SC2154,SC2034 # variables of serve.sh
# Sourced by serve.sh: server.py, for images without sshd and dropbear, but with a Python that has asyncssh.

find_python() {
    # The job's own environment, not `clean_env`: a conda Python may need its LD_LIBRARY_PATH.
    for name in python3 python; do
        python=$(find_server_program "$name") || continue
        with_timeout "$python" -c 'import asyncssh' </dev/null >/dev/null 2>&1 && return
    done
    return 1
}

prepare_python() {
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
    [ -z "${image_keys_doubtful-}" ] || theirs=
    (umask 022 && print_environment | "$python" -W ignore "$here/server.py" --run "$run" --user "$user" --image-keys "$theirs" \
        --address "${SM_PROXY_LISTEN:-0.0.0.0}" --port "$1" 2>&1) | follow_server_log "$1"
    [ -e "$run/ready" ]
}
