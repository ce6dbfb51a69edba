"""Do the work of s3.sh with boto3: `s3.py pull BUCKET KEY FOLDER` or `s3.py put BUCKET KEY FILE`.

Runs in the image's own Python, 3.6 or newer.
"""

import os
import re
import sys

MAX_BYTES = 65536
PLAIN_KEY = re.compile(r"[A-Za-z0-9._/-]+")


def client():
    """Make a client of S3 that gives up soon: the next refresh tries again."""
    import boto3
    from botocore.config import Config

    region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    config = Config(connect_timeout=5, read_timeout=20, retries={"max_attempts": 2})
    return boto3.client("s3", region_name=region, config=config)


def get_object(s3, bucket, key, etag=None):
    """Fetch an object's (content, ETag): (None, etag) if unchanged, None if it does not exist."""
    from botocore.exceptions import ClientError

    condition = {"IfNoneMatch": '"%s"' % etag} if etag else {}
    try:
        answer = s3.get_object(Bucket=bucket, Key=key, **condition)
    except ClientError as error:
        code = error.response.get("Error", {}).get("Code", "")
        if code in ("304", "NotModified"):
            return None, etag
        if code == "NoSuchKey":
            return None
        raise
    content = answer["Body"].read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        raise ValueError("the object is too large")
    return content, answer["ETag"].strip('"')


def write_atomically(folder, name, content):
    """Write a file completely or not at all."""
    part = os.path.join(folder, "part")
    with open(part, "wb") as file:
        file.write(content)
    os.replace(part, os.path.join(folder, name))


def pull_prefix(s3, bucket, prefix, folder):
    """Download the objects below a prefix; return their (ETag, key) for the list."""
    found = s3.list_objects_v2(Bucket=bucket, Prefix=prefix, MaxKeys=1000).get("Contents", [])
    lines = []
    for entry in found:
        key, etag = entry["Key"], entry["ETag"].strip('"')
        if not PLAIN_KEY.fullmatch(key) or key.endswith("/") or entry["Size"] > MAX_BYTES:
            continue
        if not os.path.exists(os.path.join(folder, "obj." + etag)):
            answer = get_object(s3, bucket, key)
            if answer is None:
                continue
            write_atomically(folder, "obj." + etag, answer[0])
        lines.append((etag, key))
    return lines


def pull_object(s3, bucket, key, folder):
    """Download one object; return its (ETag, key) for the list."""
    with open(os.path.join(folder, "list")) as file:
        words = file.readline().split()
    answer = get_object(s3, bucket, key, words[0] if words else None)
    if answer is None:
        return []
    content, etag = answer
    if content is not None:
        write_atomically(folder, "obj." + etag, content)
    return [(etag, key)]


def pull(s3, bucket, key, folder):
    """Mirror an object or a prefix into a folder."""
    bring = pull_prefix if not key or key.endswith("/") else pull_object
    lines = bring(s3, bucket, key, folder)
    write_atomically(folder, "list", "".join("%s %s\n" % line for line in lines).encode())
    wanted = {"obj." + etag for etag, _ in lines}
    for name in os.listdir(folder):
        if name.startswith("obj.") and name not in wanted:
            os.remove(os.path.join(folder, name))


def put(s3, bucket, key, path):
    """Store a file."""
    with open(path, "rb") as file:
        s3.put_object(Bucket=bucket, Key=key, Body=file.read(), ContentType="text/plain")


if __name__ == "__main__":
    try:
        {"pull": pull, "put": put}[sys.argv[1]](client(), *sys.argv[2:])
    except Exception as error:  # one line for the job's log
        sys.exit("%s: %s" % (type(error).__name__, str(error).replace("\n", " ")[:300]))
