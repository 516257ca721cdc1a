#!/bin/bash
# To begin with: brings an application to rest that has a command for it.
#
# Called as root, with nothing but these, and a plain PATH:
#   QUIESCE_RUN_ID           the run, for your log
#   QUIESCE_STAGE            pre or post
#   QUIESCE_TIMEOUT_SECONDS  after these all its processes are killed
# Exit 0 says: no write of the application will begin until the post-script.
# Anything else says that it is not at rest; the post-script runs all the same.
set -euo pipefail

PAUSE=(/usr/local/sbin/app-ctl pause)   # yours
RESUME=(/usr/local/sbin/app-ctl resume) # yours
STATE=/run/quiesce-example              # under /run: disks will be frozen
HOLD=300

umask 077
mkdir -p "$STATE"

# A net under the post-script: the application resumes by itself, whatever dies.
# setsid and the three redirections let it outlive this script.
if [ ! -e "$STATE/net" ]; then
  setsid bash -c 'sleep "$0"; touch "$1"; shift; exec "$@"' "$HOLD" "$STATE/resumed" "${RESUME[@]}" </dev/null >/dev/null 2>&1 &
  echo $! >"$STATE/net"
fi

"${PAUSE[@]}"
