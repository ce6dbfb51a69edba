"""The programs that a container runs to upload and download: in Python 3.5 or newer, and in sh.

For each work they print `sm-proxy-copy NUMBER KIND WORDS`. KIND is `done` (WORDS: the ETag),
`refused` (by S3), `unreachable`, `changed` (the content is not what was expected) or `failed`.
"""

from __future__ import annotations

from typing import Final

FIND: Final = """\
umask 077
python=
for name in python3 python /opt/conda/bin/python; do
  command -v "$name" >/dev/null 2>&1 || continue
  "$name" -c 'import ssl, sys, urllib.request; sys.exit(sys.version_info < (3, 5))' \\
    </dev/null >/dev/null 2>&1 && python=$name && break
done
"""
"""Sets $python, empty without a usable one."""

PYTHON: Final = r'''
import concurrent.futures, hashlib, json, os, re, socket, time, urllib.error, urllib.request

AT_ONCE, TRIES, TIMEOUT = 4, 3, 30

class Changed(Exception):
    pass

class Part:
    """A range of a file, as urllib reads it."""

    def __init__(self, file, start, size):
        file.seek(start)
        self.file, self.left = file, size

    def read(self, size=-1):
        data = self.file.read(min(self.left, size if size > 0 else self.left))
        if self.left and not data:
            raise Changed("it became shorter")
        self.left -= len(data)
        return data

def put(work):
    with open(bytes.fromhex(work["path"]), "rb") as file:
        # A gateway of a proxy may want a length; urllib sends a body of unknown length in chunks.
        headers = {"Content-Length": str(work["size"]), "Content-Type": "application/octet-stream"}
        body = Part(file, work["start"], work["size"]) if work["size"] else b""
        request = urllib.request.Request(work["url"], body, headers, method="PUT")
        with urllib.request.urlopen(request, timeout=TIMEOUT) as answer:
            return answer.headers.get("ETag", "")

def get(work):
    path = bytes.fromhex(work["path"])
    folder = os.path.dirname(path) or b"."
    part = os.path.join(folder, b".sm-proxy-" + os.urandom(8).hex().encode())
    try:
        digest = hashlib.sha256()
        with open(part, "xb") as file:
            with urllib.request.urlopen(work["url"], timeout=TIMEOUT) as answer:
                for data in iter(lambda: answer.read(1 << 20), b""):
                    digest.update(data)
                    file.write(data)
        if digest.hexdigest() != work["sha256"]:
            raise Changed("what came has another SHA-256")
        os.chmod(part, work["mode"] & 0o777)
        os.utime(part, (work["accessed"], work["modified"]))
        os.replace(part, path)
    finally:
        if os.path.exists(part):
            os.remove(part)
    return ""

def said(body):
    text = body.read(4000).decode("utf-8", "replace")
    found = [re.search("<%s>([^<]*)" % name, text) for name in ("Code", "Message")]
    return ": ".join(item.group(1) for item in found if item)

def attempt(work):
    try:
        return "done", (put if "start" in work else get)(work), False
    except Changed as error:
        return "changed", str(error), False
    except urllib.error.HTTPError as error:
        words = said(error) or "HTTP status %d" % error.code
        return ("refused" if error.code in (401, 403) else "failed"), words, error.code >= 500
    except urllib.error.URLError as error:
        if isinstance(error.reason, Changed):
            return "changed", str(error.reason), False
        late = isinstance(error.reason, socket.timeout)
        hopeless = late or isinstance(error.reason, ConnectionRefusedError)
        return "unreachable", "no answer" if late else str(error.reason), not hopeless
    except OSError as error:
        return "failed", error.strerror or str(error) or type(error).__name__, error.errno is None
    except Exception as error:
        return "failed", type(error).__name__, True

def one(item):
    number, work = item
    for left in reversed(range(TRIES)):
        kind, words, again = attempt(work)
        if not again or not left:
            break
        time.sleep(TRIES - left)
    words = " ".join(words.encode("ascii", "backslashreplace").decode().split())
    return "sm-proxy-copy %d %s %s" % (number, kind, words)

with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
    for line in pool.map(one, enumerate(json.loads(works))):
        print(line, flush=True)
'''
"""Expects `works`, a JSON list, in a line before it."""

CURL: Final = """\
ask() { # the config file comes on fd 3
  curl -q -sS -g --connect-timeout 30 --speed-limit 1 --speed-time 60 -K /dev/fd/3 "$@"
}
tell() { # NUMBER STATUS_OF_CURL HTTP_STATUS WORDS
  kind=failed
  case $2:$3 in
    0:20?) kind=done ;;
    0:401 | 0:403) kind=refused ;;
    5:* | 6:* | 7:* | 28:000) kind=unreachable ;;
  esac
  printf 'sm-proxy-copy %s %s %s\\n' "$1" "$kind" "$4"
}
field() { # TAG: its text in an answer of S3
  printf '%s' "$answer" | tr -d '\\r\\n' | sed -n "s/.*<$1>\\\\([^<]*\\\\)<.*/\\\\1/p"
}
put() { # NUMBER START SIZE FILE, the config file on stdin
  exec 3<&0
  if ! [ -f "$4" ] || ! [ -r "$4" ]; then
    echo "sm-proxy-copy $1 failed it is not a file that can be read"
    return
  fi
  if [ "$(wc -c <"$4")" -lt $(($2 + $3)) ]; then # curl would wait for the rest
    echo "sm-proxy-copy $1 changed"
    return
  fi
  # Without a length curl sends chunks, which S3 does not take.
  answer=$(tail -c "+$(($2 + 1))" "$4" | head -c "$3" | ask -i -T - -H 'Transfer-Encoding:' \\
    -H 'Expect:' -H "Content-Length: $3" -w '\\nstatus=%{http_code}\\n' 2>&1)
  code=$?
  status=$(printf '%s\\n' "$answer" | sed -n 's/^status=\\([0-9]*\\).*/\\1/p')
  tag=$(printf '%s\\n' "$answer" | tr -d '\\r' | sed -n 's/^[Ee][Tt][Aa][Gg]: *//p')
  words=$tag
  [ -n "$words" ] || words="$(field Code): $(field Message)"
  [ "$words" != ': ' ] || words=$(printf '%s\\n' "$answer" | sed -n 's/^curl: //p')
  tell "$1" "$code" "${status:-000}" "$words"
}
get() { # NUMBER SHA256 MODE MODIFIED ACCESSED FILE, the config file on stdin
  exec 3<&0
  part=${6%/*}/.sm-proxy-$$-$1
  answer=$(ask --retry 2 -o "$part" -w 'status=%{http_code}\\n' 2>&1)
  code=$?
  status=$(printf '%s\\n' "$answer" | sed -n 's/^status=\\([0-9]*\\).*/\\1/p')
  case $code:$status in
    0:200) ;;
    *)
      [ "$code" != 0 ] || answer=$(head -c 4000 "$part")
      words="$(field Code): $(field Message)"
      [ "$words" != ': ' ] || words=$(printf '%s\\n' "$answer" | sed -n 's/^curl: //p')
      rm -f "$part"
      tell "$1" "$code" "${status:-000}" "$words"
      return
      ;;
  esac
  digest=$(sha256sum <"$part")
  if [ "${digest%% *}" != "$2" ]; then
    rm -f "$part"
    echo "sm-proxy-copy $1 changed"
  elif chmod "$3" "$part" && touch -m -d "@$4" "$part" && touch -a -d "@$5" "$part" &&
    mv -f "$part" "$6"; then
    echo "sm-proxy-copy $1 done"
  else
    rm -f "$part"
    echo "sm-proxy-copy $1 failed"
  fi
}
with_curl() {
"""
"""Functions for curl; the last one is open: its lines follow."""
