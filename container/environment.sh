#!/bin/sh
# shellcheck disable=SC2154,SC2034 # variables of serve.sh
# Sourced by serve.sh, before anything else: the job's environment, also inside ssh sessions.

# The environment that we were started with, one variable on a line, newlines inside values as \001.
# /proc tells it whatever this shell has set since. Where it does not, programs tell what the shell
# hands to them: the same, as long as no variable of ours has taken the place of one of the job's.
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

# Of those, the ones a session should have. With LC_ALL=C, here and below: else a byte that is no
# UTF-8 ends what sed takes for a character, and the rest of a value would stand there unquoted.
print_session_environment() {
    # First, so that no bound on the whole cuts it off: `sm-proxy go` and `done` rely on it.
    echo "SM_PROXY_RUN_DIR=$run"
    print_environment | LC_ALL=C sed -n '/^[A-Za-z_][A-Za-z0-9_]*=/p' | while IFS= read -r entry; do
        case $entry in
            HOME=* | USER=* | LOGNAME=* | SHELL=* | PWD=* | OLDPWD=* | SHLVL=* | _=* | TERM=*) ;;
            MAIL=* | SSH_*=* | HOSTNAME=* | SM_PROXY_AUTHORIZED_KEY*=* | SM_PROXY_SSHD=* | SM_PROXY_RUN_DIR=*) ;;
            *) printf '%s\n' "$entry" ;;
        esac
    done
}

# Write it as a file that a shell can read: for login shells, whose /etc/profile would otherwise put
# another PATH over the job's, and for servers that cannot hand an environment over.
write_environment_file() {
    # Not what bash lets nobody set: as `sh` it would end there, and so would every session.
    print_session_environment | LC_ALL=C sed "/^$bash_own=/d; s/'/'\\\\''/g; s/^\\([^=]*\\)=\\(.*\\)\$/export \\1='\\2'/" |
        tr '\001' '\n' >"$run/environment.sh"
    # Where the folder was chosen for us we are not alone on this machine: touch nothing else.
    if [ "$uid" = 0 ] && [ -z "${SM_PROXY_RUN_DIR-}" ] && [ -d /etc/profile.d ]; then
        echo "[ -z \"\${SSH_CONNECTION-}\" ] || [ ! -r $run/environment.sh ] || . $run/environment.sh" \
            2>/dev/null >/etc/profile.d/sm-proxy.sh && chmod 644 /etc/profile.d/sm-proxy.sh
    fi
}
