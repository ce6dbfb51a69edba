# shellcheck shell=sh
# sm-proxy: public keys from S3, refreshed while the job runs. Sourced by serve.sh.
#
# $run/authorized_keys joins the keys of the environment, of S3 and of the job's nodes. A rename
# replaces it, and each login reads it again. When S3 could not be read for an hour, its keys are
# dropped: an outage must not keep a revoked key valid for long, and a short one must lock nobody out.

keys_good_for=3600 # seconds

exchange_say() {
    echo "sm-proxy: $*" >&2
}

# Sleep for SM_PROXY_REFRESH. Its default is 30 to 60 s, so that not all containers ask at once.
sleep_until_refresh() {
    read_clock
    sleep "${refresh:-$((30 + (smp_clock + $$) % 31))}"
}

# Succeed if two small text files are equal; not every image has `cmp`.
files_equal() {
    [ -r "$1" ] && [ -r "$2" ] && [ "$(cat "$1" && echo .)" = "$(cat "$2" && echo .)" ]
}

# Join the authorised keys. Two loops call this: if one overwrites what the other wrote, the next round
# of either corrects it.
merge_authorized_keys() {
    for part in environment s3 nodes; do
        [ ! -e "$run/keys.$part" ] || cat "$run/keys.$part"
    done >"$run/authorized_keys.$1"
    files_equal "$run/authorized_keys.$1" "$run/authorized_keys" && return
    mv "$run/authorized_keys.$1" "$run/authorized_keys"
    [ "${server-}" != dropbear ] || place_keys # dropbear reads a file of its own
}

# Write the keys of the mirrored objects to $run/keys.s3.new; fail if no object has changed. Each object
# is parsed once: parsing 1,000 of them in every round would keep a core busy.
collect_mirrored_keys() (
    cd "$run/s3-keys" || exit
    # shellcheck disable=SC2046 # names without characters that a shell expands
    {
        cat list && cksum /dev/null $(sed 's/ .*//; s/^/obj./' list)
    } >looked_at 2>/dev/null
    ! files_equal looked_at looked_at.before || exit 1
    sed -n 's/^\([0-9]*\) \([0-9]*\) obj\.\(.*\)/\3 keys.\3.\1.\2/p' looked_at >wanted
    while read -r etag file; do
        [ -e "$file" ] || { bare_keys "$(cat "obj.$etag")" >part && mv part "$file"; }
    done <wanted
    # shellcheck disable=SC2046
    cat /dev/null $(sed 's/.* //' wanted) | without_exposed_keys | head -n 500 >"$run/keys.s3.new"
    names=$(sed 's/.* //; s/^/ /; s/$/ /' wanted)
    for file in keys.*; do
        case $names in *" $file "*) ;; *) rm -f "$file" ;; esac
    done
    mv looked_at looked_at.before
)

apply_s3_keys() {
    if files_equal "$run/keys.s3.new" "$run/keys.s3"; then
        merge_authorized_keys s3
        return
    fi
    mv "$run/keys.s3.new" "$run/keys.s3"
    merge_authorized_keys s3
    exchange_say "keys: $(wc -l <"$run/keys.s3" | tr -d ' ') from S3 may log in"
}

refresh_keys() {
    mkdir -p "$run/s3-keys"
    read_clock
    good=$smp_clock
    logged=
    : >>"$run/keys.s3"
    while :; do
        if s3_with_any_tool pull "$SM_PROXY_KEYS_S3" "$run/s3-keys" 2>"$run/keys.why"; then
            read_clock
            good=$smp_clock
            logged=
            if collect_mirrored_keys; then apply_s3_keys; else merge_authorized_keys s3; fi
        else
            why=$(cat "$run/keys.why")
            [ "$why" = "$logged" ] || exchange_say "keys: S3 could not be read: $why"
            logged=$why
            read_clock
            if [ -s "$run/keys.s3" ] && [ $((smp_clock - good)) -ge "$keys_good_for" ]; then
                exchange_say "keys: S3 could not be read for an hour: its keys may no longer log in"
                : >"$run/keys.s3.new"
                rm -f "$run/s3-keys/looked_at.before"
                apply_s3_keys
            fi
        fi
        sleep_until_refresh
    done
}

# Check, before the marker is printed, whether keys can come from S3.
check_keys_s3() {
    [ -n "${SM_PROXY_KEYS_S3-}" ] || return 0
    if ! s3_parse_url "$SM_PROXY_KEYS_S3"; then
        add_problem 'SM_PROXY_KEYS_S3 is not of the form s3://bucket/name or s3://bucket/folder/'
    elif [ -z "$s3_found" ]; then
        add_problem 'SM_PROXY_KEYS_S3 needs Python with boto3, the AWS CLI or curl 7.88 in the image'
    else
        features="$features; keys-s3"
        keys_s3=yes
    fi
}

start_keys_s3() {
    [ -z "${keys_s3-}" ] || { refresh_keys & }
}
