#!/bin/sh
# sm-proxy, the ssh half: host keys, authorised keys, a server, and the one line in the job's log (the
# marker) by which a laptop finds and verifies this container. Started by entrypoint.sh.
#
#     serve.sh RUN_DIR PID PROBLEM     RUN_DIR may be empty; ssh ends when the process PID and all
#                                      processes listed in RUN_DIR/watched have ended
#
# Never reads the job's input, never prints the job's environment. A server is three functions in a
# file of its own: find_NAME, prepare_NAME (keys, settings, $host_keys, $features), run_NAME PORT.
# shellcheck disable=SC2034 # the parts use our variables

set +aefu # SHELLOPTS in the job's environment may have set these
# shellcheck source=container/environment.sh
[ ! -r "${0%/*}/environment.sh" ] || . "${0%/*}/environment.sh" # before we set a variable

run=$1
watched=$2
problems=$3
here=${0%/*}
ml=${SM_PROXY_ML_DIR:-/opt/ml}
uid=$(id -u 2>/dev/null || sed -n 's/^Uid:[^0-9]*\([0-9]*\).*/\1/p' /proc/$$/status)
user=$(id -un 2>/dev/null) || user=$(sed -n "s/^\([^:]*\):[^:]*:$uid:.*/\1/p" /etc/passwd | head -n 1)
home=${HOME:-/}
[ -z "$user" ] || eval "home=~$user" # a name from id(1) or /etc/passwd
newline='
'
patience=10     # seconds that a program of the image gets
ready_within=30 # seconds for the whole start; after that the log says that there is no ssh
watch_pause=1   # seconds between two looks at the processes that we serve
umask 077
# Re-register the caller: an earlier ssh half that is just ending may have deleted the list.
[ -z "$run" ] || { echo $$ >"$run/serve.pid" && echo "$watched" >>"$run/watched"; }

# Add a problem to the marker, but only once: several servers may report the same one.
add_problem() {
    case "; $problems" in *"; $1; "*) ;; *) problems="$problems$1; " ;; esac
}

# exchange.sh, where it is installed, replaces these two: the first runs before the marker, the second
# after it.
check_exchange() { :; }
start_exchange() { :; }

for part in clock marker keys exposed_keys sshd dropbear python exchange; do
    # shellcheck source=/dev/null
    [ ! -r "$here/$part.sh" ] || . "$here/$part.sh"
done

# Run a program of the system so that it does not load the job's libraries, such as conda's libcrypto.
clean_env() {
    env -i PATH=/usr/local/sbin:/usr/sbin:/sbin:/usr/local/bin:/usr/bin:/bin LC_ALL=C "$@"
}

# Run a program for at most $patience seconds. Without a limit if this image has no `timeout`, or an old
# one that does not take the seconds as its first argument.
with_timeout() {
    if timeout 1 true 2>/dev/null; then timeout "$patience" "$@"; else "$@"; fi
}

clean_env_with_timeout() {
    with_timeout env -i PATH=/usr/local/sbin:/usr/sbin:/sbin:/usr/local/bin:/usr/bin:/bin LC_ALL=C "$@"
}

# Print the path of the server program $1, if it exists and SM_PROXY_SSHD does not name another one.
find_server_program() {
    program=${SM_PROXY_SSHD-}
    case ${program##*/} in
        '') program=$(PATH="$PATH:/usr/sbin:/usr/local/sbin:/sbin:/usr/bin" command -v "$1") ;;
        "$1"*) ;;
        *python* | dropbear*) return 1 ;;
        *) [ "$1" = sshd ] || return 1 ;;
    esac
    case $program in /*) [ -x "$program" ] && echo "$program" ;; *) return 1 ;; esac
}

# Succeed if the job's framework will start `sshd -D` on port 22, for mpirun: with our sshd on that
# port, the nodes could not reach each other. SageMaker's toolkit starts it if a hyperparameter asks for
# it (its mpi.py, smdataparallel.py); version 3 of the SDK starts it from a script of its own
# (mpi_driver.py, mpi_utils_remote.py).
starts_own_sshd() {
    for text in "$(cat "$ml/input/config/hyperparameters.json")" "${SM_FRAMEWORK_PARAMS-}" "${SM_TRAINING_ENV-}" "${SM_HPS-}"; do
        case $(printf '%s' "$text" | tr -d '\\" \t\r\n' | tr A-Z a-z) in
            *sagemaker_mpi_enabled:[t1]* | *sagemaker_distributed_dataparallel_enabled:[t1]*) return 0 ;;
        esac
    done
    grep -q -e '^[^#]*mpi_driver\.py' -e '^[^#]*mpi_utils_remote' "$ml/input/data/sm_drivers/sm_train.sh" \
        "$ml/input/data/sagemaker_remote_function_bootstrap/job_driver.sh"
} 2>/dev/null

choose_ports() {
    case ${SM_PROXY_PORT-} in
        '') ;;
        [!1-9]* | *[!0-9]* | ??????*) add_problem 'SM_PROXY_PORT is not a port number' ;;
        *) if [ "$SM_PROXY_PORT" -lt 65536 ]; then
            candidates=$SM_PROXY_PORT
            return
        else
            add_problem 'SM_PROXY_PORT is not a port number'
        fi ;;
    esac
    candidates='22 2222 22022'
    if starts_own_sshd; then
        candidates='2222 22022'
        add_problem 'this is an MPI job: its own sshd needs port 22, so ours listens on another port'
    fi
    read -r lowest </proc/sys/net/ipv4/ip_unprivileged_port_start || lowest=1024
    [ "$uid" = 0 ] || [ "$lowest" -le 22 ] || candidates='2222 22022'
} 2>/dev/null

# Fail if SM_PROXY_LISTEN is not an IPv4 address: do not listen on all addresses instead.
check_address() {
    case ${SM_PROXY_LISTEN-} in
        *[!0-9.]* | *.*.*.*.*) ;;
        '' | [0-9]*.[0-9]*.[0-9]*.[0-9]*) return ;;
    esac
    unset SM_PROXY_LISTEN
    add_problem 'SM_PROXY_LISTEN is not an IPv4 address'
    return 1
}

# Called when the server listens: print the marker, once.
on_listening() {
    [ ! -e "$run/ready" ] || return 0
    [ ! -s "$run/host_keys" ] || host_keys=$(cat "$run/host_keys")
    (print_marker "$1") # in a subshell: it shares our variable names
    : >"$run/ready"
    start_exchange "$1"
}

# Note the address of a client that has logged in, in the format of /proc/net/tcp: the keep window looks
# there whether the client is still connected. $1 is an address such as 10.0.1.2, $2 a port.
note_peer() {
    write_peer "$@"
    : >"$run/connected" # last: hold.sh reads the peers once this file exists
}

write_peer() {
    old_ifs=$IFS
    IFS=.
    # shellcheck disable=SC2086 # the four numbers of an address
    set -- $1 "$2"
    IFS=$old_ifs
    [ $# = 5 ] || return 0
    case $1$2$3$4$5 in *[!0-9]*) return 0 ;; esac
    printf '%02X%02X%02X%02X:%04X\n' "$4" "$3" "$2" "$1" "$5" >>"$run/peers"
}

# Copy the server's messages to the job's log, and act on some of them. A port scan must not fill the
# log: at most 500 messages an hour are copied. Logins do not count towards that number.
follow_server_log() {
    return_key=$(printf '\r')
    shown=0
    read_clock
    since=$smp_clock
    while IFS= read -r line; do
        line=${line%"$return_key"}
        case $line in
            *sm_proxy_marker*) continue ;;         # a client may send it as its user name: only we print markers
            *syslogin_perform_logout*) continue ;; # images have no utmp, and need none
            'Server listening on '* | '['*'] '*' Not backgrounding') on_listening "$1" ;;
            'Accepted '*)
                if [ "$server" = sshd ] && ! names_authorized_key "$line"; then
                    line="text from an unauthenticated client: $line"
                else
                    peer=${line##* from }
                    from=${peer#* port }
                    note_peer "${peer%% *}" "${from%% *}"
                    shown=$((shown - 1))
                fi
                ;;
            '['*'] '???\ ??\ ??:??:??\ 'Pubkey auth succeeded for '*)
                peer=${line##* from }
                note_peer "${peer%:*}" "${peer##*:}"
                shown=$((shown - 1))
                ;;
        esac
        printf '%.300s\n' "$line" >"$run/last-message"
        shown=$((shown + 1))
        read_clock
        if [ "$shown" -ge 500 ] && [ $((smp_clock - since)) -ge 3600 ]; then
            shown=0
            since=$smp_clock
        fi
        [ "$shown" -le 500 ] || continue
        printf 'sm-proxy: sshd: %.500s\n' "$line" >&2
        [ "$shown" != 500 ] || echo 'sm-proxy: sshd: 500 messages in an hour: the next ones are not logged' >&2
    done
}

# Succeed if the process $1 is alive. Without /proc a zombie counts as alive.
is_alive() {
    if [ ! -r "/proc/$$/stat" ]; then
        kill -0 "$1" 2>/dev/null
    elif read -r status 2>/dev/null <"/proc/$1/stat"; then
        case ${status##*) } in Z* | X*) return 1 ;; esac
    else
        return 1
    fi
}

# Succeed if one of the processes that we serve is alive.
any_watched_alive() {
    while read -r process; do
        if is_alive "${process:-none}"; then return; fi
    done 2>/dev/null <"$run/watched"
    return 1
}

# End ssh after the processes that we serve. Not needed for process 1: the container ends with it.
exit_with_watched() {
    # Look twice: there may be a gap between two scripts that run one after the other.
    while any_watched_alive || { sleep "$watch_pause" && any_watched_alive; }; do sleep "$watch_pause"; done
    server_pid=$(cat "$run/sshd.pid" 2>/dev/null)
    unregister_server
    kill "$server_pid" 2>/dev/null
    kill -s KILL -- "-$$" 2>/dev/null || kill -s KILL $$
}

# Let the next call of the entrypoint start ssh again.
unregister_server() {
    [ -z "$run" ] || rm -f "$run/sshd.pid" "$run/serve.pid" "$run/claim" "$run/watched"
}

# Give up, and report it, if ssh does not start in time: otherwise a wait window would wait for us.
startup_watchdog() {
    sleep "$ready_within"
    if [ -e "$run/ready" ] || [ -e "$run/failed" ]; then return; fi
    add_problem "ssh did not start within $ready_within s"
    announce_no_ssh
    unregister_server
    kill -s KILL -- "-$$" 2>/dev/null || kill -s KILL $$
}

# Print a marker that says that this container has no ssh.
announce_no_ssh() {
    host_keys=
    features=
    print_marker 0
    [ -z "$run" ] || : >"$run/failed"
}

# Run one kind of server until it ends. Fail if it never listened.
try_server() {
    features=
    host_keys=
    rm -f "$run/host_keys"
    "prepare_$1" || return
    ! command -v rsync >/dev/null 2>&1 || features="$features; rsync"
    for port in $candidates; do
        "run_$1" "$port" || continue
        # It listened, then it ended, which no server does by itself: start it again, with the same keys.
        for _ in 1 2 3 4 5; do
            sleep 1
            "run_$1" "$port"
        done
        return
    done
    message=$(cat "$run/last-message" 2>/dev/null)
    add_problem "$1: ${message:-ended without a message}"
    return 1
}

serve() {
    [ -n "$run" ] || { add_problem 'no writable folder for run-time files' && return 1; }
    check_address || return
    [ -z "${SM_PROXY_KEEP_CONNECTED-}" ] || [ -r /proc/net/tcp ] ||
        add_problem 'SM_PROXY_KEEP_CONNECTED has no effect: this container has no /proc/net/tcp'
    [ "$watched" = 1 ] || { exit_with_watched & }
    startup_watchdog &
    found=
    for server in sshd dropbear python; do
        "find_$server" || continue
        found=$server
        ! try_server "$server" || return 0
    done
    [ -n "$found" ] || add_problem 'no sshd in this image: install openssh-server'
    return 1
}

choose_ports
serve || announce_no_ssh
unregister_server
