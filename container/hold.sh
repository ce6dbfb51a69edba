# shellcheck shell=sh disable=SC2154,SC2034 # variables of entrypoint.sh
# Sourced by entrypoint.sh, only if a time window is set: waits before the program, runs the program as
# our child, keeps the container after it. `$smp_run/window` says which window is open.

smp_pause=1     # seconds between two looks at who is connected
smp_grace=30    # seconds that a user whose connection broke has to come back
smp_farewell=2  # seconds that the ssh session of `sm-proxy done` has to end by itself
smp_stopped=    # 128+n of the signal that asked us to end
smp_child=      # the running program
smp_grouped=    # not empty: the program gets a process group of its own
smp_early=      # signals that came while the program was being started

# Set $smp_parent, and $smp_process to the process $1: its id and its start, because ids are used again.
read_process() {
    smp_stat=
    read -r smp_stat 2>/dev/null <"/proc/$1/stat"
    smp_process=$1
    # shellcheck disable=SC2086 # the numbers behind the program's name
    set -- ${smp_stat##*) }
    smp_parent=${2-} smp_process=$smp_process.${20-}
    [ -n "${20-}" ]
}

# Succeed if a process above us, or this one before it became us, has the time windows: our script in a
# job's channel has started an image's own. Nobody wants to wait and pay twice. Else note that we have them.
has_outer_windows() {
    smp_holders=
    while read -r smp_process; do smp_holders="$smp_holders $smp_process "; done 2>/dev/null <"$smp_run/holders"
    smp_parent=$$
    while [ "$smp_parent" != 0 ] && read_process "$smp_parent"; do
        case $smp_holders in *" $smp_process "*) return 0 ;; esac
    done
    ! read_process "$$" || echo "$smp_process" 2>/dev/null >>"$smp_run/holders"
    return 1
}

# Sleep for $1 seconds, or less if a signal arrives.
sleep_interruptibly() {
    sleep "$1" &
    wait $!
}

# Tell `sm-proxy go` and `done` which window is open: wait, keep or none.
write_window() {
    echo "$1" 2>/dev/null >"$smp_run/window"
}

# Note a signal, and forward it once the program runs. Called by traps.
# shellcheck disable=SC2317
on_signal() {
    smp_signalled=yes
    case $1 in TERM) smp_stopped=143 ;; INT) smp_stopped=130 ;; QUIT) smp_stopped=131 ;; HUP) smp_stopped=129 ;; esac
    if [ -n "$smp_child" ]; then forward_signal "$1"; else smp_early="$smp_early $1"; fi
}

# Forward a signal to the program. Until the child has a process group of its own it is still a copy of
# this shell, which would drop the signal: so try until the group exists.
forward_signal() {
    smp_tries=0
    until kill -s "$1" -- "-$smp_child" 2>/dev/null; do
        if [ -z "$smp_grouped" ] || [ "$smp_tries" = 500 ] || ! kill -0 "$smp_child" 2>/dev/null; then
            kill -s "$1" "$smp_child" 2>/dev/null
            return
        fi
        smp_tries=$((smp_tries + 1))
        sleep 0.02 2>/dev/null || sleep 1
    done
}

# Print the addresses of the job's own nodes, one per line, as /proc/net/tcp writes them.
nodes_addresses() {
    sed -n 's/^Host [^ ]*//p' "$smp_run/nodes/ssh_config" 2>/dev/null | tr ' .' '\n ' |
        while read -r a b c d _; do
            case $a$b$c$d in '' | *[!0-9]*) ;; *) printf '%02X%02X%02X%02X\n' "$d" "$c" "$b" "$a" ;; esac
        done
}

# Print the clients that have logged in, one "address:port" per line, without the job's other nodes.
list_user_peers() {
    theirs=" $(nodes_addresses | tr '\n' ' ')"
    while read -r peer; do
        case $theirs in *" ${peer%:*} "*) ;; *) echo "$peer" ;; esac
    done 2>/dev/null <"$smp_run/peers"
}

# Succeed if a user has logged in since ssh started.
user_has_connected() {
    [ -e "$smp_run/connected" ] || return
    [ -s "$smp_run/nodes/ssh_config" ] || return 0
    [ ! -s "$smp_run/peers" ] || [ -n "$(list_user_peers)" ]
}

# Succeed if the connection of a user who has logged in still exists.
user_is_connected() {
    [ -s "$smp_run/peers" ] || return
    smp_here_now=" $(sed -n 's/^ *[0-9]*: [0-9A-F]*:[0-9A-F]* \(0000000000000000FFFF0000\)\{0,1\}\([0-9A-F]\{8\}:[0-9A-F]\{4\}\) 01 .*/\2/p' \
        /proc/net/tcp /proc/net/tcp6 2>/dev/null | tr '\n' ' ')"
    for smp_peer in $(list_user_peers); do
        case $smp_here_now in *" $smp_peer "*) return 0 ;; esac
    done
    return 1
}

# Wait until a user has connected, `sm-proxy go` was run, ssh has failed, or the time is up.
wait_for_connection() {
    read_clock
    smp_until=$((smp_clock + smp_wait_for))
    write_window wait
    say "waiting up to $SM_PROXY_WAIT for a user to connect before the program starts"
    while [ -z "$smp_stopped" ] && [ "$smp_clock" -lt "$smp_until" ]; do
        if [ -e "$smp_run/go" ] || [ -e "$smp_run/failed" ] || user_has_connected; then break; fi
        sleep_interruptibly "$smp_pause"
        read_clock
    done
    write_window none
    smp_early= # the caller exits after a signal that stops us
}

# shellcheck disable=SC2016 # that is Perl
# Run the program in a process group of its own, and set $smp_code to its exit code.
run_program() {
    # A shell exits with 127 for "not found" and 126 for "not executable"; not every setsid and env does.
    set -- /bin/sh -c 'exec "$@"' "${0##*/}" "$@"
    if command -v setsid >/dev/null 2>&1; then
        smp_grouped=yes
        set -- setsid "$@"
    fi
    # A shell makes background commands ignore SIGINT and SIGQUIT: undo that with what the image has.
    if env --default-signal=INT,QUIT true 2>/dev/null; then
        set -- env --default-signal=INT,QUIT "$@"
    elif perl -e 1 2>/dev/null; then
        set -- perl -e '@SIG{"INT", "QUIT"} = ("DEFAULT") x 2; exec { $ARGV[0] } @ARGV' "$@"
    elif python3 -c 0 2>/dev/null; then
        set -- python3 -c 'import os, signal, sys
for number in (signal.SIGINT, signal.SIGQUIT): signal.signal(number, signal.SIG_DFL)
signal.signal(signal.SIGPIPE, signal.SIG_DFL)
os.execvp(sys.argv[1], sys.argv[1:])' "$@"
    fi
    # Hand our stdin on: a background command would read /dev/null. Try first: a failed `exec` ends a shell.
    if (exec 3<&0) 2>/dev/null; then
        exec 3<&0
        "$@" <&3 3<&- &
        smp_child=$!
        exec 3<&-
    else
        "$@" <&- &
        smp_child=$!
    fi
    for smp_signal in $smp_early; do forward_signal "$smp_signal"; done
    smp_code=127
    while :; do
        smp_signalled=
        wait "$smp_child"
        smp_result=$?
        [ "$smp_result" = 127 ] || smp_code=$smp_result
        # If a signal to us ended the wait, the program may still run: wait again.
        if [ -z "$smp_signalled" ] || [ "$smp_result" = 127 ]; then break; fi
    done
    smp_child=
}

# Keep the container for its window and while a user is connected, unless a signal asked it to stop.
keep_container() {
    if [ "$smp_code" = 0 ]; then smp_left=$smp_keep_success; else smp_left=$smp_keep_failure; fi
    if [ -n "$smp_stopped" ] || [ "$smp_left$smp_keep_connected" = 00 ] || [ -e "$smp_run/done" ]; then return; fi
    smp_signalled=
    smp_seen=
    smp_stays=
    read_clock
    smp_until=$((smp_clock + smp_left))
    smp_latest=$((smp_clock + smp_keep_connected))
    [ "$smp_left" = 0 ] || say "the program ended with exit code $smp_code; the container stays for $smp_left s"
    write_window keep
    while [ -z "$smp_signalled" ] && [ ! -e "$smp_run/done" ]; do
        if [ -e "$smp_run/failed" ]; then
            say 'the container does not stay: without ssh nobody can look at it'
            break
        fi
        if [ "$smp_clock" -ge "$smp_until" ] && ! kept_by_connection; then break; fi
        sleep_interruptibly "$smp_pause"
        read_clock
        [ "$smp_clock" -lt $((smp_until - smp_grace)) ] || ! user_is_connected || smp_seen=$smp_clock
    done
    write_window none
    # Let the ssh session of `sm-proxy done` end first: else the command would seem to fail.
    [ ! -e "$smp_run/done" ] || sleep_interruptibly "$smp_farewell"
}

# Called when the window is over: succeed if the container stays because a user is connected.
kept_by_connection() {
    [ "$smp_keep_connected" != 0 ] || return
    if [ "$smp_clock" -ge "$smp_latest" ]; then
        [ -z "$smp_stays" ] || say "SM_PROXY_KEEP_CONNECTED=$SM_PROXY_KEEP_CONNECTED is over: the container ends"
        return 1
    fi
    [ -n "$smp_seen" ] || ! user_is_connected || smp_seen=$smp_clock
    if [ -z "$smp_seen" ] || [ $((smp_clock - smp_seen)) -ge "$smp_grace" ]; then return 1; fi
    [ -n "$smp_stays" ] || say "a user is connected: the container stays, for at most $((smp_latest - smp_clock)) s (sm-proxy done ends it)"
    smp_stays=yes
}
