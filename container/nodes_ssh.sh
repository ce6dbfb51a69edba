# shellcheck shell=sh disable=SC2154,SC2034 # variables of serve.sh
# sm-proxy: settings for this container's ssh client, for the job's nodes. Sourced by serve.sh.
#
# The first line of ~/.ssh/config includes them: ssh takes the first value of an option, and the image's
# own `Host *` may switch host-key checking off or lead to another host. For the same reason we set each
# option that could prevent a connection to a node, or let another machine answer in its place.

# Write the options for all nodes. Try them with node $1, and drop those that this image's ssh does not know.
write_ssh_options() {
    cat >"$run/nodes/ssh_options" <<END
  StrictHostKeyChecking yes
  UserKnownHostsFile $run/nodes/known_hosts
  GlobalKnownHostsFile /dev/null
  IdentityFile $run/nodes/id_ed25519
  IdentitiesOnly yes
  HostName %h
  ProxyCommand none
  PubkeyAuthentication yes
  PreferredAuthentications publickey
  CheckHostIP no
  NoHostAuthenticationForLocalhost no
  VerifyHostKeyDNS no
  ControlMaster no
  ControlPath none
  AddressFamily inet
  PermitLocalCommand no
  Tunnel no
  UpdateHostKeys no
  CanonicalizeHostname no
  AddKeysToAgent no
  RemoteCommand none
  KnownHostsCommand none
  RevokedHostKeys none
  PKCS11Provider none
  ExitOnForwardFailure no
  SessionType default
  StdinNull no
  ForkAfterAuthentication no
  HostKeyAlgorithms +ssh-ed25519,ecdsa-sha2-nistp256
  PubkeyAcceptedKeyTypes +ssh-ed25519
END
    [ -z "${SM_PROXY_LISTEN-}" ] || echo "  BindAddress $SM_PROXY_LISTEN" >>"$run/nodes/ssh_options"
    for _ in 1 2 3 4 5 6 7 8 9; do
        with_timeout ssh -G -F "$run/nodes/ssh_options" "$1" </dev/null >/dev/null 2>"$run/nodes/why" && return
        unknown=$(sed -n 's/.*line \([0-9][0-9]*\)[^0-9].*/\1d/p' "$run/nodes/why")
        [ -n "$unknown" ] || return
        sed "$unknown" "$run/nodes/ssh_options" >"$run/nodes/ssh_options.new"
        mv "$run/nodes/ssh_options.new" "$run/nodes/ssh_options"
    done
}

# Print settings for a node whose host key is not known yet: ssh must not connect to it.
add_missing_node() {
    printf 'Host %s\n  ProxyCommand sh -c "echo %s >&2; exit 1"\n' "$1" \
        "'sm-proxy: the host key of $1 is not known yet. $here/wait-nodes.sh waits for all nodes'"
}

# Make ssh use our settings before the first card comes, and check with node $1 that it does. If not,
# fail with the reason in $run/nodes/problem.
tell_ssh_of_nodes() {
    for host in $nodes_all; do add_missing_node "$host"; done >"$run/nodes/ssh_config"
    # shellcheck disable=SC2086 # a list of names
    { echo Host $nodes_all && cat "$run/nodes/ssh_options"; } >>"$run/nodes/ssh_config"
    : >"$run/nodes/problem"
    include_ssh_config || echo "$include_problem" >"$run/nodes/problem"
    taken=$(with_timeout ssh -G "$1" 2>"$run/nodes/why" </dev/null)
    for wanted in 'stricthostkeychecking \(true\|yes\)' "userknownhostsfile $run/nodes/known_hosts"; do
        [ ! -s "$run/nodes/problem" ] || break
        echo "$taken" | grep -qi "^$wanted\$" ||
            echo "ssh -G $1 shows other values $(tail -n 1 "$run/nodes/why")" >"$run/nodes/problem"
    done
    [ ! -s "$run/nodes/problem" ]
}

# Make our settings the first that ssh reads. ssh takes the home folder from /etc/passwd, as we do. An
# ssh that does not know Include would refuse to connect at all: then leave the file as it is.
include_ssh_config() {
    config=$home/.ssh/config
    if [ -z "${include_known-}" ]; then
        echo "Include $run/nodes/ssh_options" >"$run/nodes/include"
        include_problem='this ssh does not know Include (new in OpenSSH 7.3)'
        with_timeout ssh -G -F "$run/nodes/include" localhost >/dev/null </dev/null || return
        include_known=yes
    fi
    include_problem="$config cannot be written"
    ours="Include $run/nodes/ssh_config # by sm-proxy: the nodes of this job"
    mkdir -p "$home/.ssh" && : >>"$config" || return
    first=
    IFS= read -r first <"$config" || :
    [ "$first" != "$ours" ] || return 0
    {
        echo "$ours"
        sed '/ # by sm-proxy: the nodes of this job$/d' "$config"
    } >"$config.sm-proxy" || return
    # Write into the file itself, so that its mode and owner stay.
    cat "$config.sm-proxy" >"$config" && rm -f "$config.sm-proxy"
} 2>/dev/null
