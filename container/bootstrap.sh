#!/bin/sh
# sm-proxy: start ssh in a container that runs already, beside its program. `sm-proxy bootstrap` sends this
# folder through a shell session and runs this; no image and no job does.
#
#     bootstrap.sh PORT KEY       KEY is "type base64", the one public key that may log in
#
# Prints the marker. The server listens on the container's loopback address only, and outlives the
# session. If our server runs already, KEY may log in there as well.

set +efu
umask 077
here=${0%/*}
port=$1
key=$2

# Print commands that set the variables of the job's program, if we may read them: ssh sessions get them.
# Left out are variables that a shell keeps for itself.
print_job_variables() {
    own='\(BASHOPTS\|BASH_VERSINFO\|EUID\|IFS\|LINENO\|OPTIND\|PPID\|PS4\|SHELLOPTS\|UID\)'
    tr '\000\n' '\n\001' </proc/1/environ | LC_ALL=C sed -n \
        "/^$own=/d; s/'/'\\\\''/g; s/^\([A-Za-z_][A-Za-z0-9_]*\)=\(.*\)$/export \1='\2'/p" | tr '\001' '\n'
} 2>/dev/null

# Drop the job's own settings of ours: only KEY may log in, and no time window opens.
drop_settings() {
    for name in $(env | sed -n 's/^\(SM_PROXY_[A-Z0-9_]*\)=.*/\1/p'); do
        case $name in
            SM_PROXY_ML_DIR | SM_PROXY_RUN_DIR | SM_PROXY_SSHD) ;;
            *) unset "$name" ;;
        esac
    done
}

# Wait until the server listens, or has failed and ended. serve.sh gives up after 30 s.
await_server() {
    looks=0
    until [ -e "$run/ready" ] || { [ -e "$run/failed" ] && [ ! -e "$run/serve.pid" ]; }; do
        looks=$((looks + 1))
        [ "$looks" -le 200 ] || return
        sleep 0.2 2>/dev/null || { sleep 1 && looks=$((looks + 4)); }
    done
}

# Let KEY log in to a server that was started for others. sshd and server.py read the file at each login,
# dropbear reads a copy of its own.
add_key() {
    ! grep -qF -- "$key" "$run/authorized_keys" || return 0
    ! grep -qF -- "${key#* }" "$run/exposed_keys" || return 0
    echo "$key" >>"$run/authorized_keys"
    [ -e "$run/dropbear_ed25519_key" ] || return 0
    copy=$run/dropbear/authorized_keys
    [ -e "$copy" ] || copy=$HOME/.ssh/authorized_keys
    echo "$key" >>"$copy"
} 2>/dev/null

eval "$(print_job_variables)"
drop_settings
export SM_PROXY_LISTEN=127.0.0.1 SM_PROXY_PORT="$port" SM_PROXY_AUTHORIZED_KEY="$key" SM_PROXY_IMAGE_KEYS=no
# The job's log shows who has logged in. A file of our own, if we may not write there.
log=/proc/1/fd/2
(: >>"$log") 2>/dev/null || log=$here/log
trap '' HUP # the end of the session; without setsid it would reach the server
run=$(cd / && sh "$here/entrypoint.sh" --beside 1 2>>"$log")
if [ -z "$run" ]; then
    echo 'this container has no folder that we may write to'
    exit 1
fi
await_server
[ ! -e "$run/ready" ] || add_key
cat "$run/marker"
