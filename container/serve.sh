#!/bin/sh
# sm-proxy, the ssh half: host keys, authorised keys, sshd, and the one line in the job's log (the
# marker) by which a laptop finds this container and knows it. Started by entrypoint.sh.
#
#     serve.sh RUN_DIR PID PROBLEM     RUN_DIR may be empty; ssh ends when the process PID does
#
# Never reads the job's input, never prints the job's environment.

run=$1
watched=$2
problems=$3
here=${0%/*}
ml=${SM_PROXY_ML_DIR:-/opt/ml}
uid=$(id -u)
user=$(id -un 2>/dev/null)
features=
host_keys=
newline='
'
umask 077

problem() {
    problems="$problems$1; "
}

for part in marker keys environment sshd; do
    # shellcheck source=/dev/null
    . "$here/$part.sh"
done

# Programs of the system must not load the job's libraries (conda's libcrypto, for one).
plain() {
    env -i PATH=/usr/local/sbin:/usr/sbin:/sbin:/usr/local/bin:/usr/bin:/bin LC_ALL=C "$@"
}

ports() {
    case ${SM_PROXY_PORT-} in
        '') ;;
        *[!0-9]* | ??????*) problem 'SM_PROXY_PORT is not a port number' ;;
        *) [ "$SM_PROXY_PORT" -gt 0 ] && [ "$SM_PROXY_PORT" -lt 65536 ] && {
            candidates=$SM_PROXY_PORT
            return
        } ;;
    esac
    candidates='22 2222 22022'
    read -r lowest </proc/sys/net/ipv4/ip_unprivileged_port_start || lowest=1024
    [ "$uid" = 0 ] || [ "$lowest" -le 22 ] || candidates='2222 22022'
} 2>/dev/null

# Pass sshd's messages on to the job's log, and act on those that tell us something.
follow() {
    return_key=$(printf '\r')
    while IFS= read -r line; do
        line=${line%"$return_key"}
        case $line in
            *sm_proxy_marker*) continue ;;          # a stranger's "user name": we print the only one
            *syslogin_perform_logout*) continue ;; # images have no utmp, and need none
            'Server listening on '*)
                if [ ! -e "$run/ready" ]; then
                    (print_marker "$1") # in a subshell: it shares our variable names
                    : >"$run/ready"
                fi
                ;;
            'Accepted '*) : >"$run/connected" ;;
        esac
        printf '%s\n' "$line" >"$run/last-message"
        printf 'sm-proxy: sshd: %s\n' "$line" >&2
    done
}

# End with the process we serve. Only needed where its end is not the container's end.
watch() {
    while read -r status 2>/dev/null <"/proc/$watched/stat"; do
        case ${status##*) } in Z* | X*) break ;; esac
        sleep 1
    done
    kill "$(cat "$run/sshd.pid" 2>/dev/null)" 2>/dev/null
    kill -s KILL -- "-$$" 2>/dev/null || kill -s KILL $$
}

serve() {
    [ -n "$run" ] || { problem 'no writable place for run-time files' && return 1; }
    [ -n "$user" ] || { problem "user id $uid has no entry in /etc/passwd" && return 1; }
    find_sshd || return
    [ "$uid" != 0 ] || make_room_for_root
    configure || return
    features="sshd; sftp; scp$features"
    ! command -v rsync >/dev/null 2>&1 || features="$features; rsync"
    [ "$watched" = 1 ] || watch &
    for port in $candidates; do
        run_sshd "$port" || continue
        # It listened and ended, which it never does by itself: same port, same keys, once more.
        for _ in 1 2 3 4 5; do
            sleep 1
            run_sshd "$port"
        done
        return
    done
    problem "sshd: $(cat "$run/last-message" 2>/dev/null)"
    return 1
}

ports
if ! serve; then
    host_keys=
    features=
    print_marker "${candidates%% *}"
    [ -z "$run" ] || : >"$run/failed"
fi
