#!/bin/sh
# shellcheck disable=SC2154,SC2034 # variables of serve.sh
# Sourced by serve.sh: dropbear, for images without sshd. 2017.75 (which brought `-c`) or newer.

find_dropbear() {
    dropbear=$(find_server_program dropbear) || return
    dropbearkey=${dropbear%/*}/dropbearkey
    [ -x "$dropbearkey" ] ||
        dropbearkey=$(PATH="$PATH:/usr/sbin:/usr/local/sbin:/sbin" command -v dropbearkey) ||
        { add_problem 'dropbear needs dropbearkey, which is missing' && return 1; }
}

prepare_dropbear() {
    options=$(clean_env_with_timeout "$dropbear" -h 2>&1 </dev/null)
    hosts=
    for kind in ed25519 ecdsa; do
        file=$run/dropbear_${kind}_key
        [ -s "$file" ] || clean_env_with_timeout "$dropbearkey" -t "$kind" -f "$file" </dev/null >/dev/null 2>&1
        public=$(clean_env_with_timeout "$dropbearkey" -y -f "$file" 2>/dev/null </dev/null |
            sed -n 's/^\(ssh-ed25519\|ecdsa-sha2-nistp256\) \([A-Za-z0-9+/=]*\).*/\1 \2/p')
        [ -n "$public" ] || { add_problem "dropbearkey could not make a key of type $kind" && continue; }
        host_keys="$host_keys$public; "
        hosts="$hosts $kind"
    done
    [ -n "$host_keys" ] || return
    cannot_bind=dropbear
    write_authorized_keys
    listed_shell || return
    find_keys_folder || return
    if ! place_keys; then
        add_problem "dropbear reads only $keys_folder/authorized_keys, which cannot be written"
        return 1
    fi
    warn_if_no_keys
    write_environment_file
    features="dropbear; pty; forwarding$features"
    case $options in
        *-c\ *) features="$features; environment" ;;
        *) add_problem "this dropbear is too old to give sessions the job's environment" ;;
    esac
    for program in /usr/lib/openssh /usr/lib /usr/libexec/openssh /usr/libexec /usr/lib/ssh; do
        [ ! -x "$program/sftp-server" ] || { features="$features; sftp; scp" && return; }
    done
    if PATH="$PATH:/usr/bin:/bin" command -v scp >/dev/null 2>&1; then
        add_problem 'no sftp-server in this image: only scp -O works (install openssh-sftp-server)'
    else
        add_problem 'no sftp-server in this image: sftp and scp do not work (install openssh-sftp-server)'
    fi
}

# Fail, and add a problem, if dropbear would refuse our user, whose login shell must be in /etc/shells.
listed_shell() {
    shell=$(find_login_shell)
    if [ -e /etc/shells ]; then
        ! grep -qxF -- "$shell" /etc/shells || return 0
    else
        case $shell in /bin/sh | /bin/csh) return 0 ;; esac
    fi
    add_problem "dropbear would refuse $user: the login shell $shell is not in /etc/shells"
    return 1
}

# Set $keys_folder to the folder from which dropbear reads keys: newer versions have an option for it,
# older ones read only ~/.ssh. Both ignore a folder below one that others may write to, such as /tmp.
find_keys_folder() {
    keys_folder=
    case $options in *authorized_keys*)
        mkdir -p "$run/dropbear" && passes_strict_modes "$run/dropbear" && keys_folder=$run/dropbear && return
        ;;
    esac
    (umask 077 && mkdir -p "$home/.ssh") 2>/dev/null
    if passes_strict_modes "$home/.ssh"; then
        keys_folder=$home/.ssh
        claim_home_keys
        return
    fi
    if [ -e "$path" ]; then
        reason="$writers may write to $path"
    else
        reason="$path does not exist"
    fi
    add_problem "dropbear would ignore keys in $home/.ssh and $run: $reason. Set SM_PROXY_RUN_DIR"
    return 1
}

# Fail, and add a problem, if the image's own keys must not log in and are in the file that we would write.
# We do not remove them: the job's own sshd may need them.
claim_home_keys() {
    if [ "${SM_PROXY_IMAGE_KEYS:-yes}" = yes ] || [ -e "$run/home_keys_are_ours" ]; then return; fi
    if [ -s "$home/.ssh/authorized_keys" ]; then
        add_problem "dropbear would let the keys in $home/.ssh/authorized_keys log in, but SM_PROXY_IMAGE_KEYS is no"
        return 1
    fi
    : >"$run/home_keys_are_ours"
}

# Write the keys to dropbear's file. Called again after each change.
place_keys() {
    # The image's own keys stay, even if one of ours is removed.
    { cat "$run/image_keys" "$run/authorized_keys" | without_exposed_keys >"$keys_folder/authorized_keys.new" &&
        mv -f "$keys_folder/authorized_keys.new" "$keys_folder/authorized_keys"; } 2>/dev/null
}

run_dropbear() {
    set -- "${SM_PROXY_LISTEN:-0.0.0.0}:$1" "$1"
    for kind in $hosts; do set -- "$@" -r "$run/dropbear_${kind}_key"; done
    address=$1
    number=$2
    shift 2
    # -s: no passwords. -K: notice dead clients. -W: a window that does not slow copies down.
    set -- "$@" -F -E -s -m -K 30 -W 1048576 -P "$run/sshd.pid" -p "$address"
    # As MaxAuthTries in sshd_config.
    case $options in *'authentication tries'*) set -- "$@" -T 50 ;; esac
    [ "$keys_folder" != "$run/dropbear" ] || set -- "$@" -D "$keys_folder"
    # A copy: the program may remove the folder of a job's channel.
    cp "$here/session.sh" "$run/session.sh" 2>/dev/null
    case $options in *-c\ *) set -- "$@" -c "exec /bin/sh $run/session.sh $run" ;; esac
    (umask 022 && exec env -i PATH=/usr/local/sbin:/usr/sbin:/sbin:/usr/local/bin:/usr/bin:/bin LC_ALL=C "$dropbear" "$@" 2>&1 </dev/null) | follow_server_log "$number"
    [ -e "$run/ready" ]
}
