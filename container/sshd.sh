#!/bin/sh
# shellcheck disable=SC2154,SC2034 # variables of serve.sh
# Sourced by serve.sh: OpenSSH's sshd.

find_sshd() {
    sshd=$(find_server_program sshd)
}

make_host_keys() {
    for kind in ed25519 ecdsa; do
        file=$run/ssh_host_${kind}_key
        if [ ! -s "$file" ]; then
            clean_env_with_timeout ssh-keygen -q -t "$kind" -N '' -C '' -f "$file" </dev/null >/dev/null 2>&1 ||
                { add_problem "ssh-keygen could not make a key of type $kind" && continue; }
        fi
        read -r type base64 _ <"$file.pub"
        host_keys="$host_keys$type $base64; "
        echo "HostKey \"$file\"" >>"$run/sshd_config"
    done
    [ -n "$host_keys" ]
}

# Provide what sshd needs when it runs as root: some images lack it.
enable_root_login() {
    (umask 022 && mkdir -p /run/sshd) 2>/dev/null
    # Some images lock root, and then sshd refuses keys too. `*` allows keys, but no password.
    case $(sed -n 's/^root:\([^:]*\):.*/\1/p' /etc/shadow 2>/dev/null) in
        !*) { [ -z "${SM_PROXY_RUN_DIR-}" ] && usermod -p '*' root; } >/dev/null 2>&1 ||
            add_problem 'the account root is locked in /etc/shadow' ;;
    esac
}

# Fail, and add a problem, if sshd would refuse our user with any key.
lets_user_in() {
    shell=$(find_login_shell)
    if [ ! -x "$shell" ]; then
        add_problem "sshd would refuse $user: the login shell $shell does not exist"
        return 1
    fi
    if [ "$uid" != 0 ] && [ -e /etc/nologin ]; then
        add_problem 'sshd lets only root log in while the file /etc/nologin exists'
        return 1
    fi
    case $shell in
        */nologin | */false) add_problem "the login shell of $user is $shell: sessions cannot run commands" ;;
    esac
}

prepare_sshd() {
    [ "$uid" != 0 ] || enable_root_login
    if [ -z "$user" ]; then
        add_problem "user id $uid has no entry in /etc/passwd, which sshd needs"
        return 1
    fi
    lets_user_in || return
    printf 'PidFile "%s"\n' "$run/sshd.pid" >"$run/sshd_config"
    # Not `AddressFamily inet`: that would also keep `ssh -L` from servers that listen on ::1.
    echo "ListenAddress ${SM_PROXY_LISTEN:-0.0.0.0}" >>"$run/sshd_config"
    make_host_keys || return
    write_authorized_keys
    allow_keys
    cp "$run/sshd_config" "$run/without-environment"
    share_environment
    cat "$here/sshd_config" >>"$run/without-environment"
    cat "$here/sshd_config" >>"$run/sshd_config"
    features="sshd; sftp; scp; pty; forwarding$features"
    # If sshd refuses the environment, do without it: ssh matters more.
    if ! print_settings "$run/sshd_config" && print_settings "$run/without-environment"; then
        cp "$run/without-environment" "$run/sshd_config"
        add_problem "sessions do not get the job's environment"
    fi
    # Since 9.8, sshd blocks an address for minutes after failed logins. All users come from the
    # bastion's address: one user's wrong key would lock the whole team out.
    ! grep -qi '^persourcepenalties ' "$run/settings" || echo 'PerSourcePenalties no' >>"$run/sshd_config"
    rm -f "$run/settings"
}

# Write all settings of this sshd, with the values of the file $1. Fail if sshd refuses that file.
print_settings() {
    clean_env_with_timeout "$sshd" -T -f "$1" 2>/dev/null >"$run/settings"
}

# Set AuthorizedKeysFile. sshd's StrictModes ignores files below a folder that others may write to, such
# as /tmp. Our own folder is private: if it fails the check because of a folder above it, we turn
# StrictModes off, and then leave the image's file out unless it passes the check.
allow_keys() {
    theirs=" \"$home/.ssh/authorized_keys\""
    ! ignores_image_keys || theirs=
    strict=
    passes_strict_modes "$run" || strict=no
    if ! passes_strict_modes "$home/.ssh/authorized_keys"; then
        [ -z "$strict" ] || theirs=
        if [ ! -s "$run/image_keys" ]; then
            :
        elif [ "$writers$theirs" = 'its group' ] || [ "$writers" = others ]; then
            add_problem "keys in $home/.ssh/authorized_keys are ignored: $writers may write to $path"
            : >"$run/image_keys"
        else
            add_problem "keys in $home/.ssh/authorized_keys may be ignored: $writers may write to $path"
        fi
    fi
    [ -z "$strict" ] || echo 'StrictModes no' >>"$run/sshd_config"
    echo "AuthorizedKeysFile \"$run/authorized_keys\"$theirs" >>"$run/sshd_config"
    # Keys may come later, from S3 or into the image's file: so exposed keys are also revoked.
    if [ -s "$run/exposed_keys" ] && write_revoked_keys && [ -s "$run/revoked_keys" ]; then
        echo "RevokedKeys \"$run/revoked_keys\"" >>"$run/sshd_config"
    fi
    warn_if_no_keys
}

# Hand the job's environment to sessions through sshd's private configuration.
share_environment() {
    write_environment_file
    version=$(clean_env_with_timeout "$sshd" -V 2>&1 </dev/null | sed -n 's/.*OpenSSH_\([0-9]*\)\.\([0-9]*\).*/\1 \2/p' | head -n 1)
    # shellcheck disable=SC2086 # two numbers
    set -- ${version:-0 0}
    version=$(($1 * 100 + $2))
    if [ "$version" -ge 708 ]; then
        total=0
        print_session_environment | LC_ALL=C sed 's/[\\"]/\\&/g' | while IFS= read -r entry; do
            case $entry in
                *"$(printf '\001')"*) continue ;;
                *\\*) [ "$version" -ge 807 ] || continue ;; # older versions cannot quote it
            esac
            if [ "${#entry}" -ge 16384 ] || [ $((total + ${#entry})) -ge 131072 ]; then continue; fi
            total=$((total + ${#entry}))
            printf ' "%s"' "$entry"
        done >"$run/setenv"
        { printf 'SetEnv' && cat "$run/setenv" && echo; } >>"$run/sshd_config"
        rm -f "$run/setenv"
        echo "SetEnv \"SM_PROXY_RUN_DIR=$run\"" >>"$run/without-environment"
        features="$features; environment"
    else
        add_problem "this sshd is too old to give sessions the job's environment"
    fi
}

# Succeed if the message $1 names a key that may log in. A line of sshd's log may be forged: clients
# can put line ends into the user name or the disconnect message that they send.
names_authorized_key() {
    fingerprint=${1##* }
    case $fingerprint in *:?*) ;; *) return 1 ;; esac
    files=$home/.ssh/authorized_keys
    ! ignores_image_keys || files=
    for file in "$run/authorized_keys" "$files"; do
        [ ! -s "$file" ] || clean_env_with_timeout ssh-keygen -l -f "$file" 2>/dev/null </dev/null
    done | grep -qF -- " $fingerprint "
}

# Run sshd on the port $1 until it ends. Fail if it never listened.
run_sshd() {
    (umask 022 && clean_env "$sshd" -D -e -f "$run/sshd_config" -p "$1" 2>&1 </dev/null) | follow_server_log "$1"
    [ -e "$run/ready" ]
}
