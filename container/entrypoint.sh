#!/bin/sh
# sm-proxy: make a training container reachable by ssh, then run the job's own program.
#
#     ENTRYPOINT ["/opt/sm-proxy/entrypoint.sh", "python", "/opt/program/train.py"]
#
# The job comes first: whatever goes wrong with ssh, the program runs, and it starts within 200 ms.
# Without a time window the script execs the program, which is then the same process as without us.
# Without a program the script starts ssh for its caller and returns.
#
# SM_PROXY_AUTHORIZED_KEY, _2, ...  public keys that may log in
# SM_PROXY_PORT                     sshd's port (22, or 2222 where 22 is not available)
# SM_PROXY_WAIT                     how long the program's start waits for a user to connect
# SM_PROXY_KEEP_SUCCESS, SM_PROXY_KEEP_FAILURE
#                                   how long the container stays after the program has ended
# SM_PROXY_KEEP_CONNECTED           how long it stays at most while a user is connected
# SM_PROXY_SHELL=yes                print the program's command and start it at `sm-proxy go`
# Durations: 90s, 10m, 2h, 1d, 0.  README.md beside this file has the rarer settings.
#
# This shell becomes the program, and a variable from its environment stays exported when we set it.
# So the names of our variables begin with smp_, and none of the job's variables changes. The `|| :`
# are for a job whose environment (SHELLOPTS) makes a shell exit at the first error.

smp_problems= # for the marker's problems

say() {
    echo "sm-proxy: $*" >&2
}

# Print the folder of this script, even if it was called through a symbolic link.
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

# Print the length of the window $1 in seconds: 0 if it is not set, "bad" if it is not a duration.
parse_window() {
    [ -n "$1" ] || { echo 0 && return; }
    parse_duration "$1" 2>/dev/null || echo bad
}

# Succeed if 64 KiB fit into the folder $1: on a full disk, mkdir may still succeed.
has_free_space() {
    printf '%065536d' 0 >"$1/room.$$"
    room=$?
    rm -f "$1/room.$$"
    return $room
}

# Make the private folder $1. An existing one must belong to user id $2: others may have made it.
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

# Succeed if $1 is an absolute path that needs no quotes in a shell and in the settings of sshd and ssh.
is_plain_path() {
    case $1 in /*) ;; *) return 1 ;; esac
    case $1 in *[!A-Za-z0-9._/@+=:,-]*) return 1 ;; esac
}

# Make the private folder that the entrypoint and the ssh half share; print its path. A second call,
# by a script in the image for example, finds the same folder.
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

# Succeed if the process $1 is not this one and has $2 in its command line. The run folder may be older
# than this container: then other processes have the ids in its files.
is_running_with() {
    [ "$1" != "$$" ] && kill -0 "$1" 2>/dev/null || return 1
    [ -r "/proc/$1/cmdline" ] || return 0
    case $(tr '\000' ' ' <"/proc/$1/cmdline") in *"$2"*) ;; *) return 1 ;; esac
}

# Succeed if our ssh half or its server already runs: an earlier call may have started it.
is_ssh_running() {
    for smp_file in serve sshd; do
        smp_pid=none
        read -r smp_pid 2>/dev/null <"$smp_run/$smp_file.pid"
        if is_running_with "$smp_pid" "$smp_run"; then return 0; fi
    done
    return 1
}

# Claim the start of the ssh half. Succeed if another process has claimed it: all processes of a
# distributed job may call us at the same time.
failed_to_claim() {
    if (set -C && echo "$$ $0" >"$smp_run/claim") 2>/dev/null; then return 1; fi
    smp_pid=none smp_by=
    for smp_look in 1 2; do # the file may exist and still be empty
        if read -r smp_pid smp_by 2>/dev/null <"$smp_run/claim"; then break; fi
        sleep 0.02 2>/dev/null
    done
    if is_running_with "$smp_pid" "$smp_by"; then return 0; fi
    echo "$$ $0" >"$smp_run/claim"
    return 1
}

# Start the ssh half beside the job: not as the program's child, and in its own session.
start_ssh() {
    if [ -n "$smp_run" ]; then
        echo "$1" 2>/dev/null >>"$smp_run/watched"
        if is_ssh_running || failed_to_claim; then return; fi
        rm -f "$smp_run/ready" "$smp_run/failed" "$smp_run/no_keys" "$smp_run/connected" "$smp_run/peers" "$smp_run/go" "$smp_run/done"
        echo none 2>/dev/null >"$smp_run/window" # no window is open yet
    fi
    if [ ! -r "$smp_here/serve.sh" ]; then
        say "no ssh: $smp_here/serve.sh is missing"
        smp_run=
        return
    fi
    if command -v setsid >/dev/null 2>&1; then
        (setsid /bin/sh "$smp_here/serve.sh" "$smp_run" "$1" "$smp_problems" </dev/null &)
    else
        (/bin/sh "$smp_here/serve.sh" "$smp_run" "$1" "$smp_problems" </dev/null &)
    fi
    # Wait up to 0.12 s, so that the marker comes before the program's own output if possible.
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
    smp_problems="${smp_problems}SM_PROXY_WAIT or SM_PROXY_KEEP_* is not a duration such as 10m; "
done
smp_run=$(make_run_dir) || :
if [ -n "$smp_run" ] && [ "$smp_run" != "${SM_PROXY_RUN_DIR:-$smp_run}" ]; then
    if is_plain_path "$SM_PROXY_RUN_DIR"; then
        smp_problems="${smp_problems}SM_PROXY_RUN_DIR cannot be written to; "
    else
        smp_problems="${smp_problems}SM_PROXY_RUN_DIR is not an absolute path of letters, digits and ._/@+=:,-; "
    fi
fi

# A job's request cannot hold every command. Then our channel has a file that sets our arguments.
if [ "${1-}" = --argv-file ]; then
    if [ ! -r "${2-}" ]; then
        say "the program's command cannot be read from ${2-a file without a name}"
        exit 127
    fi
    # shellcheck source=/dev/null
    . "$2"
fi
if [ $# = 0 ]; then
    start_ssh "$PPID" || :
    exit 0
fi
# bootstrap.sh starts ssh for the process $2, which runs already, and reads the marker in our folder.
if [ "$1" = --beside ]; then
    start_ssh "$2" >/dev/null || :
    echo "$smp_run"
    exit 0
fi
smp_shell=
case ${SM_PROXY_SHELL-} in
    '' | no) ;;
    yes)
        # Without shell.sh this shell would end when it sources the file.
        if [ -r "$smp_here/shell.sh" ]; then
            smp_shell=yes
        else
            smp_problems="${smp_problems}SM_PROXY_SHELL has no effect: $smp_here/shell.sh is missing; "
        fi
        ;;
    *) smp_problems="${smp_problems}SM_PROXY_SHELL is neither yes nor no; " ;;
esac
if [ "$smp_shell$smp_wait_for$smp_keep_success$smp_keep_failure$smp_keep_connected" = 0000 ] || [ ! -r "$smp_here/hold.sh" ] || [ ! -r "$smp_here/clock.sh" ]; then
    start_ssh "$$" || :
    exec "$@"
fi
# shellcheck source=container/clock.sh
. "$smp_here/clock.sh"
# shellcheck source=container/hold.sh
. "$smp_here/hold.sh"
if has_outer_windows; then
    start_ssh "$$" || :
    exec "$@"
fi
for smp_signal in TERM INT HUP QUIT USR1 USR2; do
    # shellcheck disable=SC2064 # expand the name now
    trap "on_signal $smp_signal" "$smp_signal"
done
start_ssh "$$" || :
if [ -n "$smp_shell" ]; then
    # shellcheck source=container/shell.sh
    . "$smp_here/shell.sh"
    wait_for_go "$@" || :
elif [ -n "$smp_run" ]; then
    write_window none || :
    [ "$smp_wait_for" = 0 ] || wait_for_connection || :
fi
if [ -n "$smp_run" ]; then
    [ -z "$smp_stopped" ] || exit "$smp_stopped"
    if [ "$smp_keep_success$smp_keep_failure$smp_keep_connected" != 000 ]; then
        run_program "$@" || :
        keep_container || :
        exit "$smp_code"
    fi
fi
# No keep window, or no folder in which the ssh half could note who has connected.
exec "$@"
