#!/bin/sh
# shellcheck disable=SC2154,SC2034 # variables of serve.sh
# Sourced by serve.sh: the job's environment inside ssh sessions.

# Print our own environment, one variable on a line, newlines inside values as \001.
environment() {
    tr '\000\n' '\n\001' </proc/$$/environ
}

# Of those, the ones a session should have.
wanted_environment() {
    environment | sed -n '/^[A-Za-z_][A-Za-z0-9_]*=/p' | while IFS= read -r entry; do
        case $entry in
            HOME=* | USER=* | LOGNAME=* | SHELL=* | PWD=* | OLDPWD=* | SHLVL=* | _=* | TERM=*) ;;
            MAIL=* | SSH_*=* | HOSTNAME=* | SM_PROXY_AUTHORIZED_KEY*=* | SM_PROXY_SSHD=*) ;;
            *) printf '%s\n' "$entry" ;;
        esac
    done
    echo "SM_PROXY_RUN_DIR=$run"
}

# Hand it over through sshd's private configuration, and as a file for login shells, whose
# /etc/profile would otherwise put another PATH over the job's.
share_environment() {
    wanted_environment | sed "s/'/'\\\\''/g; s/^\\([^=]*\\)=\\(.*\\)\$/export \\1='\\2'/" |
        tr '\001' '\n' >"$run/environment.sh"
    version=$("$sshd" -V 2>&1 </dev/null | sed -n 's/.*OpenSSH_\([0-9]*\)\.\([0-9]*\).*/\1 \2/p' | head -n 1)
    # shellcheck disable=SC2086 # two numbers
    set -- ${version:-0 0}
    version=$(($1 * 100 + $2))
    if [ "$version" -ge 708 ]; then
        total=0
        wanted_environment | sed 's/[\\"]/\\&/g' | while IFS= read -r entry; do
            case $entry in
                *"$(printf '\001')"*) continue ;;
                *\\*) [ "$version" -ge 807 ] || continue ;; # no way to write it before
            esac
            total=$((total + ${#entry}))
            if [ "${#entry}" -ge 16384 ] || [ "$total" -ge 131072 ]; then continue; fi
            printf ' "%s"' "$entry"
        done >"$run/setenv"
        { printf 'SetEnv' && cat "$run/setenv" && echo; } >>"$run/sshd_config"
        rm -f "$run/setenv"
        features="$features; environment"
    else
        problem 'this sshd is too old to give sessions the environment of the job'
    fi
    # Where the folder was chosen for us we are not alone on this machine: touch nothing else.
    if [ "$uid" = 0 ] && [ -z "${SM_PROXY_RUN_DIR-}" ] && [ -d /etc/profile.d ]; then
        echo "[ -z \"\${SSH_CONNECTION-}\" ] || [ ! -r $run/environment.sh ] || . $run/environment.sh" \
            2>/dev/null >/etc/profile.d/sm-proxy.sh && chmod 644 /etc/profile.d/sm-proxy.sh
    fi
}
