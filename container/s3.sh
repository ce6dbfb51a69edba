# shellcheck shell=sh
# sm-proxy: read and write small objects in S3 with a tool that the image has. Sourced.
#
# A folder in S3 is mirrored into a local one: `list` has a line "ETAG KEY" for each object, `obj.ETAG`
# its content. An unchanged object is not fetched again. The credentials are those of the job's role;
# they are never in a command line, an environment or a file.
#
# Sourced with $here set.

s3_most=65536 # bytes of one object; a list has at most 1,000 objects

# Set $s3_bucket and $s3_key from s3://bucket/key. Keys of letters, digits and ._-/ need no quoting.
s3_parse_url() {
    s3_bucket=${1#s3://}
    s3_key=${s3_bucket#*/}
    s3_bucket=${s3_bucket%%/*}
    case $1 in s3://*/*) ;; *) return 1 ;; esac
    case $s3_bucket in '' | *[!A-Za-z0-9.-]*) return 1 ;; esac
    case $s3_key in *[!A-Za-z0-9._/-]*) return 1 ;; esac
}

# Print the tools that this image has, the cheapest first.
s3_tools() {
    if command -v curl >/dev/null 2>&1; then
        # Versions before 7.88 do not sign the x-amz headers, and S3 refuses that.
        curl --version 2>/dev/null | {
            read -r _ version _
            minor=${version#*.}
            version=$((${version%%.*} * 1000 + ${minor%%.*}))
            [ "$version" -lt 7088 ] || echo curl
        } 2>/dev/null
    fi
    for program in python3 python; do
        "$program" -c 'import importlib.util as u, sys; sys.exit(sys.version_info < (3, 6) or not u.find_spec("boto3"))' \
            </dev/null >/dev/null 2>&1 || continue
        echo "$program"
        break
    done
    ! command -v aws >/dev/null 2>&1 || echo aws
}

# ---- curl ------------------------------------------------------------------------------------

s3_json_field() {
    printf '%s' "$s3_answer" | tr -d '\r\n' | sed -n 's/.*"'"$1"'" *: *"\([^"]*\)".*/\1/p'
}

# Set $s3_id, $s3_secret and $s3_token from where the SDKs find them. printf is built into the shell, so
# its arguments do not show in the list of processes.
s3_credentials() {
    s3_id=${AWS_ACCESS_KEY_ID-} s3_secret=${AWS_SECRET_ACCESS_KEY-} s3_token=${AWS_SESSION_TOKEN-}
    [ -z "$s3_id" ] || return 0
    s3_from=${AWS_CONTAINER_CREDENTIALS_FULL_URI-}
    s3_proof=${AWS_CONTAINER_AUTHORIZATION_TOKEN-}
    if [ -n "${AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE-}" ]; then
        s3_proof=$(cat "$AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE")
    fi
    [ -z "${AWS_CONTAINER_CREDENTIALS_RELATIVE_URI-}" ] ||
        s3_from=http://169.254.170.2$AWS_CONTAINER_CREDENTIALS_RELATIVE_URI
    [ -n "$s3_from" ] || { echo 'found no credentials of a role' >&2 && return 1; }
    s3_answer=$({
        printf 'url = "%s"\n' "$s3_from"
        [ -z "$s3_proof" ] || printf 'header = "Authorization: %s"\n' "$s3_proof"
    } | curl -q -sS -f --noproxy '*' --max-time 5 -K - 2>&1) ||
        { echo "the role's credentials: ${s3_answer#*) }" | sed "s|$s3_from|...|g" >&2 && return 1; }
    s3_id=$(s3_json_field AccessKeyId) s3_secret=$(s3_json_field SecretAccessKey) s3_token=$(s3_json_field Token)
    s3_answer=
    [ -n "$s3_id" ] || { echo "the role's credentials have an unknown form" >&2 && return 1; }
}

# Print the URL of a key, at the endpoint that the SDKs would use.
s3_address() {
    s3_at=${AWS_ENDPOINT_URL_S3:-${AWS_ENDPOINT_URL-}}
    case $s3_region in
        us-iso* | eu-iso*) [ -n "$s3_at" ] || return 1 ;;
        cn-*) s3_domain=amazonaws.com.cn ;;
        eusc-*) s3_domain=amazonaws.eu ;;
        *) s3_domain=amazonaws.com ;;
    esac
    if [ -n "$s3_at" ]; then
        echo "${s3_at%/}/$s3_bucket/$1"
    else
        case $s3_bucket in
            *.*) echo "https://s3.$s3_region.$s3_domain/$s3_bucket/$1" ;; # S3's certificate does not cover such a host
            *) echo "https://$s3_bucket.s3.$s3_region.$s3_domain/$1" ;;
        esac
    fi
}

# s3_curl METHOD KEY?QUERY BODY_FILE OUTPUT [HEADER]: set $s3_status to the HTTP status.
s3_curl() {
    s3_region=${s3_elsewhere:-${AWS_REGION:-${AWS_DEFAULT_REGION:-us-east-1}}}
    s3_url=$(s3_address "$2") ||
        { echo "curl does not know S3's address in $s3_region: put boto3 or the AWS CLI into the image" >&2 && return 1; }
    s3_hash=e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855 # SHA-256 of an empty body
    [ "$1" = GET ] || s3_hash=UNSIGNED-PAYLOAD
    s3_status=$({
        printf 'url = "%s"\nuser = "%s:%s"\n' "$s3_url" "$s3_id" "$s3_secret"
        printf 'aws-sigv4 = "aws:amz:%s:s3"\nrequest = "%s"\n' "$s3_region" "$1"
        printf 'header = "x-amz-content-sha256: %s"\n' "$s3_hash"
        [ -z "$s3_token" ] || printf 'header = "x-amz-security-token: %s"\n' "$s3_token"
        [ -z "$5" ] || printf 'header = "%s"\n' "$5"
        [ "$1" = GET ] || printf 'header = "content-type: text/plain"\ndata-binary = "@%s"\n' "$3"
        [ "${6-}" = list ] || [ "$1" != GET ] || printf 'max-filesize = %s\n' "$s3_most"
    } | curl -q -sS --connect-timeout 5 --max-time 20 -D "$4.head" -o "$4" -w '%{http_code}' -K -) || return 1
}

# Make a request; if the bucket is in another region, make it there. Returns 3 for no object, 4 for unchanged.
s3_request() {
    s3_elsewhere=
    : >"$4"
    s3_curl "$@" || return 1
    case $s3_status in 301 | 307 | 400)
        s3_elsewhere=$(tr -d '\r' <"$4.head" | sed -n 's/^[Xx]-[Aa]mz-[Bb]ucket-[Rr]egion: *\([a-z0-9-]*\)$/\1/p' | tail -n 1)
        [ -z "$s3_elsewhere" ] || [ "$s3_elsewhere" = "$s3_region" ] || s3_curl "$@" || return 1
        ;;
    esac
    case $s3_status in
        200) ;;
        304) return 4 ;;
        404)
            # A missing bucket is a mistake in the settings, not a deleted object.
            ! grep -q NoSuchBucket "$4" 2>/dev/null || { echo "S3: the bucket $s3_bucket does not exist" >&2 && return 1; }
            return 3
            ;;
        *)
            echo "S3 answered $s3_status $(tr -d '\r\n' <"$4" | sed -n 's/.*<Code>\([A-Za-z]*\)<.*/\1/p')" >&2
            return 1
            ;;
    esac
}

# Print "ETAG SIZE KEY" for each object below $s3_key.
s3_list_curl() {
    s3_request GET "?list-type=2&max-keys=1000&prefix=$(printf '%s' "$s3_key" | sed 's|/|%2F|g')" '' "$1" '' list || return 1
    tr '<' '\n' <"$1" | sed '/^ETag>/s/&[#a-z0-9]*;//g; /^ETag>/s/"//g' | while IFS= read -r line; do
        case $line in
            Contents\>*) name='' etag='' size='' ;;
            Key\>*) name=${line#Key>} ;;
            ETag\>*) etag=${line#ETag>} ;;
            Size\>*) size=${line#Size>} ;;
            /Contents\>*) echo "$etag $size $name" ;;
        esac
    done
}

# s3_get_curl KEY ETAG FILE: fetch an object unless it has that ETag; set $s3_etag. Returns 3 for no
# object, 4 for unchanged.
s3_get_curl() {
    s3_request GET "$1" '' "$3" "${2:+if-none-match: \"$2\"}" || return
    s3_etag=$(tr -d '\r"' <"$3.head" | sed -n 's/^[Ee][Tt]ag: *\([A-Za-z0-9-]*\)$/\1/p' | tail -n 1)
}

s3_put_curl() {
    s3_request PUT "$s3_key" "$1" "$1.answer" ''
}

# ---- the AWS CLI -----------------------------------------------------------------------------

s3_aws() {
    AWS_PAGER='' aws s3api "$@" --cli-connect-timeout 5 --cli-read-timeout 20 --output text </dev/null
}

s3_list_aws() {
    s3_aws list-objects-v2 --no-paginate --max-keys 1000 --bucket "$s3_bucket" --prefix "$s3_key" \
        --query 'Contents[].[ETag,Size,Key]' >"$1" || return 1
    tr -d '"' <"$1" | sed '/^None$/d'
}

s3_get_aws() {
    set -- "$1" "$2" "$3" "${2:+--if-none-match}"
    # shellcheck disable=SC2086 # an option or nothing
    s3_etag=$(s3_aws get-object --bucket "$s3_bucket" --key "$1" $4 ${2:+"\"$2\""} --query ETag "$3" 2>"$3.head") ||
        case $(cat "$3.head") in
            *'(304)'* | *NotModified*) return 4 ;;
            *NoSuchKey*) return 3 ;;
            *) tail -n 1 "$3.head" >&2 && return 1 ;;
        esac
    s3_etag=$(printf '%s' "$s3_etag" | tr -d '"')
}

s3_put_aws() {
    s3_aws put-object --bucket "$s3_bucket" --key "$s3_key" --body "$1" >/dev/null
}

# ---- the same for all tools ------------------------------------------------------------------

# s3_pull TOOL URL FOLDER: mirror an object, or all objects below a URL that ends with "/". If it fails,
# the reason is on stderr and the folder's list is unchanged.
s3_pull() (
    s3_parse_url "$2" || { echo 'not of the form s3://bucket/name' >&2 && exit 1; }
    cd "$3" || exit 1
    : >>list
    case $1 in
        python*) exec "$1" "$here/s3.py" pull "$s3_bucket" "$s3_key" "$3" </dev/null ;;
        curl) s3_credentials || exit 1 ;;
    esac
    : >new
    case $s3_key in
        '' | */)
            "s3_list_$1" answer >listing || exit 1
            while read -r etag size name; do
                case $etag$size in '' | *[!A-Za-z0-9-]*) continue ;; esac
                case $name in *[!A-Za-z0-9._/-]* | */ | '') continue ;; esac
                [ "$size" -le "$s3_most" ] || continue
                if [ ! -e "obj.$etag" ]; then
                    "s3_get_$1" "$name" '' part
                    case $? in 0) mv part "obj.$etag" ;; 3) continue ;; *) exit 1 ;; esac
                fi
                echo "$etag $name" >>new
            done <listing
            ;;
        *)
            read -r etag _ <list
            "s3_get_$1" "$s3_key" "${etag-}" part
            case $? in
                0)
                    [ "$(wc -c <part)" -le "$s3_most" ] || { echo 'the object is too large' >&2 && exit 1; }
                    case $s3_etag in '' | *[!A-Za-z0-9-]*) exit 1 ;; esac
                    mv part "obj.$s3_etag"
                    echo "$s3_etag $s3_key" >new
                    ;;
                3) ;;
                4) cp list new ;;
                *) exit 1 ;;
            esac
            ;;
    esac
    # Start no program per object: there may be 1,000, and this runs every minute.
    if [ "$(cat new && echo .)" = "$(cat list && echo .)" ]; then exit; fi
    mv new list
    listed=$(sed 's/ .*//; s/^/ /; s/$/ /' list)
    for file in obj.*; do
        case $listed in *" ${file#obj.} "*) ;; *) rm -f "$file" ;; esac
    done
)

# s3_put TOOL FILE URL
s3_put() (
    s3_parse_url "$3" || { echo 'not of the form s3://bucket/name' >&2 && exit 1; }
    case $1 in
        python*) exec "$1" "$here/s3.py" put "$s3_bucket" "$s3_key" "$2" </dev/null ;;
        curl) s3_credentials || exit 1 ;;
    esac
    "s3_put_$1" "$2"
)

# s3_with_any_tool COMMAND ARGUMENTS...: run s3_COMMAND with the tool that worked last, else with the
# first that works. If all fail, the reasons are on stderr.
s3_with_any_tool() {
    s3_reasons=
    s3_do=$1
    shift
    for tool in ${s3_works:-$s3_found}; do
        if s3_why=$("s3_$s3_do" "$tool" "$@" 2>&1 >/dev/null); then
            s3_works=$tool
            return 0
        fi
        s3_reasons="${s3_reasons}$tool: $(printf '%s' "$s3_why" | tail -n 1 | tr -cd '\040-\176' | cut -c 1-300); "
    done
    s3_works=
    printf '%s\n' "${s3_reasons%; }" >&2
    return 1
}
