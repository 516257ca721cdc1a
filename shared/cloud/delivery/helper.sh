#!/bin/sh
# Exit codes are the helper's own, and 210 where it could not be put
# in its place. Standard output is the helper's answer alone.
set -eu
umask 077
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
export PATH
verb='{{ Verb }}'
request='{{ Request }}'
sha256='{{ Sha256 }}'
url='{{ Url }}'
home=${QUIESCE_HOME:-/var/lib/quiesce}
dir=$home/$sha256
helper=$dir/quiesce-guest

fail() {
  echo "quiesce: $*" >&2
  exit 210
}

right() {
  [ "$(sha256sum <"$1")" = "$sha256  -" ]
}

# Where another user may write, root must not run anything.
own() {
  path=$1
  set -- $(ls -ldn "$path")
  case $1 in
    d????-??-*) ;;
    *) fail "$path is no directory, or others may write to it ($1)" ;;
  esac
  [ "$3" = "$(id -u)" ] || fail "$path belongs to user $3"
}

fetch() {
  [ -n "$url" ] || fail "the helper is not at $helper and no address was given"
  command -v sha256sum >/dev/null || fail "sha256sum is missing"
  mkdir -p "$dir" || fail "cannot make $dir"
  own "$home"
  own "$dir"
  address=$(printf %s "$url" | base64 -d) || fail "the address is not base64"
  case $address in
    http://* | https://*) ;;
    *) fail "the address is not of http" ;;
  esac
  part=$dir/.part.$$
  trap 'rm -f "$part"' EXIT
  trap 'exit 210' HUP INT TERM
  if command -v curl >/dev/null; then
    curl -fsS --connect-timeout 5 --max-time 60 --retry 2 -o "$part" -- "$address" >&2 || fail "curl could not fetch the helper ($?)"
  elif command -v wget >/dev/null; then
    wget -q -t 3 -T 20 -O "$part" -- "$address" >&2 || fail "wget could not fetch the helper ($?)"
  else
    fail "neither curl nor wget is there to fetch the helper"
  fi
  right "$part" || fail "what was fetched is not the helper: its checksum differs"
  { chmod 0700 "$part" && mv -f "$part" "$helper"; } || fail "cannot put the helper at $helper"
  trap - EXIT HUP INT TERM
}

# The checksum is read before the window; within it the name is
# trusted, and nothing is written: this disk may be frozen.
case $verb in
  dry-run | begin | recover)
    if [ -e "$helper" ]; then
      own "$home"
      own "$dir"
      right "$helper" || rm -f "$helper"
    fi
    ;;
esac
[ -x "$helper" ] || fetch
exec "$helper" "$verb" "$request"
