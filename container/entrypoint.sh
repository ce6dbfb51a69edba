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
# Durations: 90s, 10m, 2h, 1d, 0.  More, seldom needed: README.md beside this file.

here=${0%/*}
[ "$here" != "$0" ] || here=.
said=    # what to tell in the marker's problems
stopped= # 128+n of the signal that asked us to end
child=   # the running program, where we do not become it

# Print a duration as seconds, or fail.
seconds() {
    number=${1%[smhd]}
    case $number in '' | *[!0-9]* | ????????*) return 1 ;; esac
    while [ "$number" != "${number#0}" ] && [ "$number" != 0 ]; do number=${number#0}; done
    case $1 in
        *m) echo $((number * 60)) ;;
        *h) echo $((number * 3600)) ;;
        *d) echo $((number * 86400)) ;;
        *) echo "$number" ;;
    esac
}

# Print the duration in the variable called $1, whose value is $2; 0 where it makes no sense.
window() {
    [ -n "$2" ] || { echo 0 && return; }
    seconds "$2" || echo bad
}

# Make the private folder that both halves of sm-proxy share; print its path.
make_run_dir() {
    umask 077
    if [ -n "${SM_PROXY_RUN_DIR-}" ]; then
        mkdir -p -- "$SM_PROXY_RUN_DIR" && echo "$SM_PROXY_RUN_DIR"
    elif [ "$(id -u)" = 0 ] && { [ -d /run/sm-proxy ] || mkdir /run/sm-proxy; }; then
        echo /run/sm-proxy
    else
        mktemp -d "${TMPDIR:-/tmp}/sm-proxy.XXXXXX"
    fi 2>/dev/null
}

# Start the ssh half beside the job, as nobody's child and in a session of its own.
start_ssh() {
    if [ -n "$run" ] && [ -s "$run/sshd.pid" ] && kill -0 "$(cat "$run/sshd.pid")" 2>/dev/null; then
        return # started before, by the image's entrypoint for instance
    fi
    [ -z "$run" ] || rm -f "$run/ready" "$run/failed" "$run/connected" "$run/go" "$run/done"
    if command -v setsid >/dev/null 2>&1; then
        (setsid /bin/sh "$here/serve.sh" "$run" "$1" "$said" </dev/null &)
    else
        (/bin/sh "$here/serve.sh" "$run" "$1" "$said" </dev/null &)
    fi
    # Let the marker come before the program's own output, if that takes no time to speak of.
    for _ in 1 2 3 4 5 6; do
        if [ -z "$run" ] || [ -e "$run/ready" ] || [ -e "$run/failed" ]; then break; fi
        sleep 0.02 2>/dev/null || break
    done
}

say() {
    echo "sm-proxy: $*" >&2
}

# Sleep for a second, or less if a signal arrives.
nap() {
    sleep 1 &
    wait $!
}

# A signal for us: note it, and hand it on once there is a program. Called by traps.
# shellcheck disable=SC2317
arrived() {
    signalled=yes
    left=0
    case $1 in TERM) stopped=143 ;; INT) stopped=130 ;; QUIT) stopped=131 ;; HUP) stopped=129 ;; esac
    [ -z "$child" ] || hand_on "$1"
}

hand_on() {
    kill -s "$1" -- "-$child" 2>/dev/null || kill -s "$1" "$child" 2>/dev/null
}

# Wait until somebody has connected, `go` was said, ssh turned out impossible, or time is up.
wait_for_somebody() {
    until=$(($(date +%s) + wait_for))
    say "waiting up to $SM_PROXY_WAIT for somebody to connect before the program starts"
    while [ -z "$stopped" ] && [ "$(date +%s)" -lt "$until" ]; do
        if [ -e "$run/connected" ] || [ -e "$run/go" ] || [ -e "$run/failed" ]; then break; fi
        nap
    done
}

# Run the program in a process group of its own and leave its exit code in $code.
run_program() {
    command -v setsid >/dev/null 2>&1 && set -- setsid "$@"
    # A shell starts background commands with these two ignored: undo that where env can.
    if env --default-signal=INT,QUIT true 2>/dev/null; then
        set -- env --default-signal=INT,QUIT "$@"
    fi
    exec 3<&0
    "$@" <&3 3<&- &
    child=$!
    exec 3<&-
    [ -z "$stopped" ] || hand_on TERM # it came while the program was being started
    code=127
    while :; do
        signalled=
        wait "$child"
        result=$?
        [ "$result" = 127 ] || code=$result
        # A wait cut short by a signal of ours says nothing about the program: wait again.
        if [ -z "$signalled" ] || [ "$result" = 127 ]; then break; fi
    done
    child=
}

# Keep the container for a while, unless it was asked to stop.
keep() {
    if [ "$code" = 0 ]; then left=$keep_success; else left=$keep_failure; fi
    if [ -n "$stopped" ] || [ "$left" = 0 ]; then return; fi
    say "the program ended with exit code $code; the container stays for $left s"
    until=$(($(date +%s) + left))
    while [ "$left" != 0 ] && [ "$(date +%s)" -lt "$until" ] && [ ! -e "$run/done" ]; do
        nap
    done
}

wait_for=$(window SM_PROXY_WAIT "${SM_PROXY_WAIT-}")
keep_success=$(window SM_PROXY_KEEP_SUCCESS "${SM_PROXY_KEEP_SUCCESS-}")
keep_failure=$(window SM_PROXY_KEEP_FAILURE "${SM_PROXY_KEEP_FAILURE-}")
for name in wait_for keep_success keep_failure; do
    eval "[ \"\$$name\" = bad ]" || continue
    eval "$name=0"
    said="${said}a window of SM_PROXY_WAIT or SM_PROXY_KEEP_* is not a duration such as 10m; "
done
run=$(make_run_dir)

if [ $# = 0 ]; then
    start_ssh "$PPID"
    exit 0
fi
if [ "$wait_for$keep_success$keep_failure" != 000 ]; then
    for name in TERM INT HUP QUIT USR1 USR2; do
        # shellcheck disable=SC2064 # the name is meant now
        trap "arrived $name" "$name"
    done
fi
start_ssh "$$"
if [ -n "$run" ]; then
    [ "$wait_for" = 0 ] || wait_for_somebody
    [ -z "$stopped" ] || exit "$stopped"
    if [ "$keep_success$keep_failure" != 00 ]; then
        run_program "$@"
        keep
        exit "$code"
    fi
fi
# No window, or no place where the ssh half could tell us who has connected.
exec "$@"
