#!/bin/sh
# sm-proxy: wait until `ssh` reaches every node of the job, then print the hostfile's path.
#
#     mpirun --hostfile "$(/opt/sm-proxy/wait-nodes.sh 300)" ...
#
# The argument is the time limit in seconds (300). Fails and names the nodes that are missing.

case $0 in */*) here=${0%/*} ;; *) here=. ;; esac
# shellcheck source=container/clock.sh
. "$here/clock.sh"
limit=${1:-300}
case $limit in *[!0-9]* | ????????*) echo "sm-proxy: not a number of seconds: $limit" >&2 && exit 2 ;; esac
uid=$(id -u)
# The places where the entrypoint may have put its folder: the job's program does not know which.
set --
for place in "${TMPDIR:-/tmp}" /tmp /dev/shm /var/tmp "${HOME:-/}" "${SM_PROXY_ML_DIR:-/opt/ml}/output"; do
    set -- "$@" "$place/sm-proxy.$uid"
done
for run in "${SM_PROXY_RUN_DIR:-/run/sm-proxy}" "$@"; do
    if [ -O "$run" ] && [ -r "$run/hostfile" ]; then break; fi
done
read_clock
until=$((smp_clock + limit))
left=$(cut -d ' ' -f 1 "$run/hostfile" 2>/dev/null) ||
    { echo 'sm-proxy: no hostfile: ssh has not started yet, this job has only one node, or SM_PROXY_RUN_DIR is not set here' >&2 && exit 1; }
if [ ! -d "$run/nodes" ]; then
    echo 'sm-proxy: the nodes do not exchange keys. Set SM_PROXY_NODES_S3. If it is set already, the marker in the log has the reason' >&2
    exit 1
fi
errors=$(mktemp 2>/dev/null) || errors=/dev/null
trap 'rm -f "$errors"' EXIT
while :; do
    missing=
    why=
    for host in $left; do
        # Do not connect before its host key is known: without our settings, ssh could reach another host.
        if ! grep -q "^$host " "$run/nodes/known_hosts" 2>/dev/null; then
            missing="$missing $host"
            why="$why; $host: its host key is not in S3 yet, or its name does not resolve"
        elif ! ssh -n -o BatchMode=yes -o ConnectTimeout=5 "$host" true 2>"$errors"; then
            missing="$missing $host"
            why="$why; $host: $(tail -n 1 "$errors")"
        fi
    done
    left=$missing
    [ -n "$left" ] || { echo "$run/hostfile" && exit; }
    read_clock
    if [ "$smp_clock" -ge "$until" ]; then break; fi
    sleep 1
done
if [ -s "$run/nodes/problem" ]; then
    why="; ssh does not use our settings: $(cat "$run/nodes/problem"). Use: ssh -F $run/nodes/ssh_config"
fi
echo "sm-proxy: ssh does not reach$left. ${why#; }" >&2
exit 1
