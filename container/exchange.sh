# shellcheck shell=sh
# sm-proxy: the two parts that need S3: keys that users put there (keys_s3.sh), and the exchange of keys
# between the nodes of a job (nodes.sh). Sourced by serve.sh.

for part in duration s3 keys_s3 nodes nodes_ssh; do
    # shellcheck source=/dev/null
    . "$here/$part.sh"
done

# Check the settings before the marker is printed.
check_exchange() {
    refresh=
    if [ -n "${SM_PROXY_REFRESH-}" ]; then
        refresh=$(parse_duration "$SM_PROXY_REFRESH") || refresh=0
        # 0 would look again without a pause.
        if [ "$refresh" -lt 1 ] || [ "$refresh" -gt 99999 ]; then
            refresh=
            add_problem 'SM_PROXY_REFRESH is not a duration such as 90s or 5m, from 1s to 99999s'
        fi
    fi
    s3_found=
    [ -z "${SM_PROXY_KEYS_S3-}${SM_PROXY_NODES_S3-}" ] || s3_found=$(s3_tools | tr '\n' ' ')
    check_keys_s3
    check_nodes
}

# start_exchange PORT: start both after the marker, when the server listens.
start_exchange() {
    cp "$run/authorized_keys" "$run/keys.environment"
    start_keys_s3
    start_nodes "$1"
}
