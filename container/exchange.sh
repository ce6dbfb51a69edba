# shellcheck shell=sh
# sm-proxy: what needs S3 (s3.sh): keys from there and the nodes' exchange. Sourced by serve.sh.

for part in s3 keys_s3 nodes nodes_ssh; do
    # shellcheck source=/dev/null
    . "$here/$part.sh"
done

# See before the marker whether it can be done.
check_exchange() {
    case ${SM_PROXY_REFRESH-} in *[!0-9]* | 0* | ??????*)
        # Nor 0: a look must not follow on the other without a pause.
        unset SM_PROXY_REFRESH
        add_problem 'SM_PROXY_REFRESH is not a number of seconds'
        ;;
    esac
    s3_found=
    [ -z "${SM_PROXY_KEYS_S3-}${SM_PROXY_NODES_S3-}" ] || s3_found=$(s3_tools | tr '\n' ' ')
    check_keys_s3
    check_nodes
}

# start_exchange PORT: do it behind the marker, once the server listens.
start_exchange() {
    cp "$run/authorized_keys" "$run/keys.environment"
    start_keys_s3
    start_nodes "$1"
}
