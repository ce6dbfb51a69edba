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
run=${SM_PROXY_RUN_DIR:-/run/sm-proxy}
read_clock
until=$((smp_clock + limit))
left=$(cut -d ' ' -f 1 "$run/hostfile") || exit 1
while :; do
    still=
    for host in $left; do
        # No try before its keys are known: an ssh of its own accord would ask another host.
        if ! grep -q "^$host " "$run/nodes/known_hosts" 2>/dev/null ||
            ! ssh -n -o BatchMode=yes -o ConnectTimeout=5 "$host" true 2>/dev/null; then
            still="$still $host"
        fi
    done
    left=$still
    [ -n "$left" ] || { echo "$run/hostfile" && exit; }
    read_clock
    if [ "$smp_clock" -ge "$until" ]; then break; fi
    sleep 1
done
echo "sm-proxy: ssh does not reach$left" >&2
exit 1
