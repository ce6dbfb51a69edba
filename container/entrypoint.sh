#!/bin/sh
# sm-proxy: make a training container reachable by ssh, then run the job's own program.
#
#     ENTRYPOINT ["/opt/sm-proxy/entrypoint.sh", "python", "/opt/program/train.py"]
#
# The job comes first: whatever goes wrong with ssh, the program runs, and it starts within 200 ms.
# Without a window it is exec'ed and is the very process it would have been without this script.
# With no program at all the script starts ssh for the process that called it and returns.
#
# SM_PROXY_AUTHORIZED_KEY, _2, ...  public keys that may log in
# SM_PROXY_PORT                     sshd's port (22; 2222 where 22 cannot be had)
# SM_PROXY_WAIT                     wait so long for somebody to connect before the program starts
# SM_PROXY_KEEP_SUCCESS, SM_PROXY_KEEP_FAILURE
#                                   keep the container so long after the program has ended
# SM_PROXY_KEEP_CONNECTED           and while somebody is connected, so long at most
# Durations: 90s, 10m, 2h, 1d, 0.  More, seldom needed: README.md beside this file.
#
# A variable of the job's environment is exported, whoever sets it: what the shell that becomes the
# program sets is called smp_*, so that none of the job's changes. The `|| :` are for a job whose
# environment makes a shell end at the first error (SHELLOPTS).

smp_said= # what to tell in the marker's problems

say() {
    echo "sm-proxy: $*" >&2
}

# Print the folder that the rest of sm-proxy lies in, wherever links to us lie.
find_script_dir() {
    file=$0
    case $file in */*) ;; *) [ -e "$file" ] || file=$(command -v "$file") ;; esac
    for _ in 1 2 3 4 5 6 7 8; do
        case $file in */*) ;; *) file=./$file ;; esac
        [ -L "$file" ] || break
        target=$(readlink "$file") || break
        case $target in /*) file=$target ;; *) file=${file%/*}/$target ;; esac
    done
    echo "${file%/*}"
}

# Print the seconds of a window; 0 where it is not set, "bad" where it makes no sense.
parse_window() {
    [ -n "$1" ] || { echo 0 && return; }
    parse_duration "$1" 2>/dev/null || echo bad
}

# Succeed if we can put some 64 KiB into the folder $1: on a full disk, mkdir may still succeed.
has_free_space() {
    printf '%065536d' 0 >"$1/room.$$"
    room=$?
    rm -f "$1/room.$$"
    return $room
}

# Make the folder $1, private; one that is there must be ours, for others may write beside it.
make_private_dir() {
    mkdir "$1" || {
        # shellcheck disable=SC2012 # mode and owner are all we want
        case "$(ls -ldn "$1" | tr -s ' ' | cut -d ' ' -f 1-3) " in
            drwx------*\ "$2"\ ) ;;
            *) return 1 ;;
        esac
    }
    has_free_space "$1"
}

# Succeed if $1 may stand in the settings of a server, of a client and of a shell, quoted or not.
is_plain_path() {
    case $1 in /*) ;; *) return 1 ;; esac
    case $1 in *[!A-Za-z0-9._/@+=:,-]*) return 1 ;; esac
}

# Make the private folder that both halves of sm-proxy share; print its path. Its name is the same
# when we are called once more, by a script in the image for instance.
make_run_dir() {
    umask 077
    if is_plain_path "${SM_PROXY_RUN_DIR-}" && mkdir -p -- "$SM_PROXY_RUN_DIR" && has_free_space "$SM_PROXY_RUN_DIR"; then
        echo "$SM_PROXY_RUN_DIR"
        return
    fi
    uid=$(id -u) || uid=0
    if [ "$uid" = 0 ] && make_private_dir /run/sm-proxy 0; then
        echo /run/sm-proxy
        return
    fi
    for place in "${TMPDIR:-/tmp}" /tmp /dev/shm /var/tmp "${HOME:-/}" "${SM_PROXY_ML_DIR:-/opt/ml}/output"; do
        is_plain_path "$place" || continue
        for name in "sm-proxy.$uid" "sm-proxy.$uid.$$"; do
            make_private_dir "$place/$name" "$uid" || continue
            echo "$place/$name"
            return
        done
    done
} 2>/dev/null

# Succeed if the process $1 is not us and has $2 in its command line: a folder that outlived a
# container may name one that is another today.
is_running_with() {
    [ "$1" != "$$" ] && kill -0 "$1" 2>/dev/null || return 1
    [ -r "/proc/$1/cmdline" ] || return 0
    case $(tr '\000' ' ' <"/proc/$1/cmdline") in *"$2"*) ;; *) return 1 ;; esac
}

# Succeed if our ssh half or its server runs already, started by the image's entrypoint for instance.
is_ssh_running() {
    for smp_file in serve sshd; do
        smp_pid=none
        read -r smp_pid 2>/dev/null <"$smp_run/$smp_file.pid"
        if is_running_with "$smp_pid" "$smp_run"; then return 0; fi
    done
    return 1
}

# Claim the start of it. Succeed if somebody else has: the processes of a distributed job call us at
# once.
failed_to_claim() {
    if (set -C && echo "$$ $0" >"$smp_run/claim") 2>/dev/null; then return 1; fi
    smp_pid=none smp_by=
    for smp_look in 1 2; do # it may be there and not be written yet
        if read -r smp_pid smp_by 2>/dev/null <"$smp_run/claim"; then break; fi
        sleep 0.02 2>/dev/null
    done
    if is_running_with "$smp_pid" "$smp_by"; then return 0; fi
    echo "$$ $0" >"$smp_run/claim"
    return 1
}

# Start the ssh half beside the job, as nobody's child and in a session of its own.
start_ssh() {
    if [ -n "$smp_run" ]; then
        echo "$1" 2>/dev/null >>"$smp_run/watched"
        if is_ssh_running || failed_to_claim; then return; fi
        rm -f "$smp_run/ready" "$smp_run/failed" "$smp_run/connected" "$smp_run/peers" "$smp_run/go" "$smp_run/done"
        echo none 2>/dev/null >"$smp_run/window" # until there is one
    fi
    if [ ! -r "$smp_here/serve.sh" ]; then
        say "no ssh: $smp_here/serve.sh is missing"
        smp_run=
        return
    fi
    if command -v setsid >/dev/null 2>&1; then
        (setsid /bin/sh "$smp_here/serve.sh" "$smp_run" "$1" "$smp_said" </dev/null &)
    else
        (/bin/sh "$smp_here/serve.sh" "$smp_run" "$1" "$smp_said" </dev/null &)
    fi
    # Let the marker come before the program's own output, if that takes no time to speak of.
    for smp_look in 1 2 3 4 5 6; do
        if [ -z "$smp_run" ] || [ -e "$smp_run/ready" ] || [ -e "$smp_run/failed" ]; then break; fi
        sleep 0.02 2>/dev/null || break
    done
}

smp_here=$(find_script_dir) || :
# shellcheck source=container/duration.sh
[ ! -r "$smp_here/duration.sh" ] || . "$smp_here/duration.sh"
smp_wait_for=$(parse_window "${SM_PROXY_WAIT-}")
smp_keep_success=$(parse_window "${SM_PROXY_KEEP_SUCCESS-}")
smp_keep_failure=$(parse_window "${SM_PROXY_KEEP_FAILURE-}")
smp_keep_connected=$(parse_window "${SM_PROXY_KEEP_CONNECTED-}")
for smp_window in wait_for keep_success keep_failure keep_connected; do
    eval "[ \"\$smp_$smp_window\" = bad ]" || continue
    eval "smp_$smp_window=0"
    smp_said="${smp_said}SM_PROXY_WAIT or SM_PROXY_KEEP_* is not a duration such as 10m; "
done
smp_run=$(make_run_dir) || :
if [ -n "$smp_run" ] && [ "$smp_run" != "${SM_PROXY_RUN_DIR:-$smp_run}" ]; then
    if is_plain_path "$SM_PROXY_RUN_DIR"; then
        smp_said="${smp_said}SM_PROXY_RUN_DIR cannot be written to; "
    else
        smp_said="${smp_said}SM_PROXY_RUN_DIR is not an absolute path of letters, digits and ._/@+=:,-; "
    fi
fi

if [ $# = 0 ]; then
    start_ssh "$PPID" || :
    exit 0
fi
if [ "$smp_wait_for$smp_keep_success$smp_keep_failure$smp_keep_connected" = 0000 ] || [ ! -r "$smp_here/hold.sh" ] || [ ! -r "$smp_here/clock.sh" ]; then
    start_ssh "$$" || :
    exec "$@"
fi
# shellcheck source=container/clock.sh
. "$smp_here/clock.sh"
# shellcheck source=container/hold.sh
. "$smp_here/hold.sh"
for smp_signal in TERM INT HUP QUIT USR1 USR2; do
    # shellcheck disable=SC2064 # the name is meant now
    trap "on_signal $smp_signal" "$smp_signal"
done
start_ssh "$$" || :
if [ -n "$smp_run" ]; then
    write_window none || :
    [ "$smp_wait_for" = 0 ] || wait_for_connection || :
    [ -z "$smp_stopped" ] || exit "$smp_stopped"
    if [ "$smp_keep_success$smp_keep_failure$smp_keep_connected" != 000 ]; then
        run_program "$@" || :
        keep_container || :
        exit "$smp_code"
    fi
fi
# No window behind it, or no place where the ssh half could tell us who has connected.
exec "$@"
