#!/bin/bash
# Lets MySQL or MariaDB go, and fails unless the lock was held until now: the
# connection that answers must be the one that took it. It is also called after
# a pre-script that failed, and twice: then there is nothing to do.
set -euo pipefail

STATE=/run/quiesce-mysql
[ -d "$STATE" ] || { echo "mysql-post: nothing is held" >&2; exit 0; }

end() {
  for process in writer client; do
    kill "$(cat "$STATE/$process" 2>/dev/null)" 2>/dev/null || true
  done
  rm -rf "$STATE"
}
trap end EXIT

held=$(sed -n 's/^held //p' "$STATE/out" 2>/dev/null || true)
[ -n "$held" ] || { echo "mysql-post: the lock was never taken" >&2; exit 0; }

exec 3<>"$STATE/in" # for reading too, so that it never blocks for want of a reader
echo "SELECT CONCAT('still ', CONNECTION_ID()); UNLOCK TABLES; SELECT 'released';" >&3
for _ in $(seq 50); do
  if grep -q '^released' "$STATE/out"; then
    still=$(sed -n 's/^still //p' "$STATE/out")
    [ "$still" = "$held" ] || { echo "mysql-post: connection $held took the lock, $still answers" >&2; exit 1; }
    exit 0
  fi
  kill -0 "$(cat "$STATE/client")" 2>/dev/null || { echo "mysql-post: the client is gone, the lock was lost" >&2; exit 1; }
  sleep 0.1
done
echo "mysql-post: no answer within 5 seconds; the client was ended, which releases the lock" >&2
exit 1
