#!/bin/sh
# shellcheck disable=SC2154,SC2034 # variables of serve.sh
# Sourced by serve.sh: OpenSSH's sshd.

find_sshd() {
    if [ -n "${SM_PROXY_SSHD-}" ]; then
        sshd=$SM_PROXY_SSHD
    else
        sshd=$(PATH="$PATH:/usr/sbin:/usr/local/sbin:/sbin" command -v sshd)
    fi
    case $sshd in /*) [ -x "$sshd" ] && return ;; esac
    problem 'no sshd in this image: install openssh-server'
    return 1
}

make_host_keys() {
    for kind in ed25519 ecdsa; do
        file=$run/ssh_host_${kind}_key
        if [ ! -s "$file" ]; then
            plain ssh-keygen -q -t "$kind" -N '' -C '' -f "$file" </dev/null >/dev/null 2>&1 ||
                { problem "ssh-keygen could not make a key of type $kind" && continue; }
        fi
        read -r type base64 _ <"$file.pub"
        host_keys="$host_keys$type $base64; "
        echo "HostKey \"$file\"" >>"$run/sshd_config"
    done
    [ -n "$host_keys" ]
}

# What a root's sshd wants and images built in a hurry lack.
make_room_for_root() {
    (umask 022 && mkdir -p /run/sshd) 2>/dev/null
    # Some images lock root, and then not even a key helps. `*` lets no password in either.
    case $(sed -n 's/^root:\([^:]*\):.*/\1/p' /etc/shadow 2>/dev/null) in
        !*) { [ -z "${SM_PROXY_RUN_DIR-}" ] && usermod -p '*' root; } >/dev/null 2>&1 ||
            problem 'the account root is locked in /etc/shadow' ;;
    esac
}

configure() {
    printf 'PidFile "%s"\n' "$run/sshd.pid" >"$run/sshd_config"
    if [ -n "${SM_PROXY_LISTEN-}" ]; then
        echo "ListenAddress $SM_PROXY_LISTEN"
    else
        echo 'AddressFamily inet'
    fi >>"$run/sshd_config"
    make_host_keys || return
    write_authorized_keys
    allow_keys
    cp "$run/sshd_config" "$run/without-environment"
    share_environment
    cat "$here/sshd_config" >>"$run/without-environment"
    cat "$here/sshd_config" >>"$run/sshd_config"
    # An environment sshd cannot take must not cost us the whole of ssh.
    if ! plain "$sshd" -t -f "$run/sshd_config" 2>/dev/null &&
        plain "$sshd" -t -f "$run/without-environment" 2>/dev/null; then
        cp "$run/without-environment" "$run/sshd_config"
        problem 'sessions do not get the environment of the job'
    fi
}

# Run sshd on one port for as long as it lives. Fails if it never listened.
run_sshd() {
    rm -f "$run/last-message"
    plain "$sshd" -D -e -f "$run/sshd_config" -p "$1" 2>&1 </dev/null | follow "$1"
    [ -e "$run/ready" ]
}
