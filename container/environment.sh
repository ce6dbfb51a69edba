#!/bin/sh
# shellcheck disable=SC2154,SC2034 # variables of serve.sh
# Sourced by serve.sh before anything else: the job's environment, for us and for ssh sessions.

# The environment that we were started with: one variable per line, newlines inside values as \001.
# /proc shows it, even if this shell has set variables since. Without /proc, a program prints what this
# shell exports: the same, because we have not set a variable yet.
smp_environment=$(tr '\000\n' '\n\001' 2>/dev/null </proc/$$/environ)
[ -n "$smp_environment" ] || smp_environment=$(env -0 2>/dev/null | tr '\000\n' '\n\001')
# shellcheck disable=SC2016 # that is awk
[ -n "$smp_environment" ] || smp_environment=$(awk 'BEGIN {
    for (name in ENVIRON) { value = ENVIRON[name]; gsub("\n", "\001", value); print name "=" value }
}' 2>/dev/null)
[ -n "$smp_environment" ] || smp_environment=$(env)

bash_own='\(BASHOPTS\|BASH_VERSINFO\|EUID\|PPID\|SHELLOPTS\|UID\)'

print_environment() {
    printf '%s\n' "$smp_environment"
}

# Print the variables for ssh sessions. LC_ALL=C, here and below: in a UTF-8 locale, sed's patterns
# stop at a byte that is not UTF-8, and the rest of that value would stay unquoted.
print_session_environment() {
    # First, so that no size limit cuts it off: `sm-proxy go` and `done` need it.
    echo "SM_PROXY_RUN_DIR=$run"
    print_environment | LC_ALL=C sed -n '/^[A-Za-z_][A-Za-z0-9_]*=/p' | while IFS= read -r entry; do
        case $entry in
            HOME=* | USER=* | LOGNAME=* | SHELL=* | PWD=* | OLDPWD=* | SHLVL=* | _=* | TERM=*) ;;
            MAIL=* | SSH_*=* | HOSTNAME=* | SM_PROXY_AUTHORIZED_KEY*=* | SM_PROXY_SSHD=* | SM_PROXY_RUN_DIR=*) ;;
            *) printf '%s\n' "$entry" ;;
        esac
    done
}

# Write the variables for ssh sessions to a file that a shell can source: for login shells, where
# /etc/profile would replace the job's PATH, and for servers that cannot set a session's environment.
write_environment_file() {
    # Leave out bash's read-only variables: a bash that runs as `sh` exits when it sets one.
    print_session_environment | LC_ALL=C sed "/^$bash_own=/d; s/'/'\\\\''/g; s/^\\([^=]*\\)=\\(.*\\)\$/export \\1='\\2'/" |
        tr '\001' '\n' >"$run/environment.sh"
    # With SM_PROXY_RUN_DIR others may use this machine: then write nothing outside that folder.
    if [ "$uid" = 0 ] && [ -z "${SM_PROXY_RUN_DIR-}" ] && [ -d /etc/profile.d ]; then
        echo "[ -z \"\${SSH_CONNECTION-}\" ] || [ ! -r $run/environment.sh ] || . $run/environment.sh" \
            2>/dev/null >/etc/profile.d/sm-proxy.sh && chmod 644 /etc/profile.d/sm-proxy.sh
    fi
}
