#!/bin/bash
# Brings MySQL or MariaDB to rest, and holds it there after this script's end.
#
# A global read lock lives as long as the connection that took it. So a client
# stays behind, whose input is a pipe: mysql-post.sh speaks to the same client,
# and the lock ends with the pipe's last writer, at the latest after HOLD
# seconds. Nothing is written outside /run, because disks will be frozen.
#
# It connects as root over the local socket. If yours needs a password, put it
# into /root/.my.cnf with mode 600: it never passes through a policy.
set -euo pipefail
umask 077

STATE=/run/quiesce-mysql
HOLD=300                                   # longer than any freeze's deadline
WAIT=$((${QUIESCE_TIMEOUT_SECONDS:-10} - 2)) # for running statements to end
MYSQL=(mysql --batch --skip-column-names --unbuffered --connect-timeout=5)

give_up() { echo "mysql-pre: $*" >&2; "${BASH_SOURCE[0]%/*}/mysql-post.sh" >/dev/null 2>&1 || true; exit 1; }

# An earlier attempt of this run may have left its client.
[ ! -d "$STATE" ] || "${BASH_SOURCE[0]%/*}/mysql-post.sh" >/dev/null 2>&1 || true
rm -rf "$STATE"
mkdir "$STATE"
mkfifo "$STATE/in"
exec 3<>"$STATE/in" # for reading too, so that it never blocks for want of a reader

# All descriptors go elsewhere: whoever holds ours would keep us waiting.
setsid "${MYSQL[@]}" <"$STATE/in" 3>&- >"$STATE/out" 2>"$STATE/err" &
echo $! >"$STATE/client"
setsid sleep "$HOLD" </dev/null >/dev/null 2>&1 & # holds the pipe open by its descriptor 3
echo $! >"$STATE/writer"

# One long transaction would make everybody else wait behind our request.
cat >&3 <<SQL
SET SESSION lock_wait_timeout = $WAIT;
FLUSH TABLES WITH READ LOCK;
SELECT CONCAT('held ', CONNECTION_ID());
SQL

for _ in $(seq $((WAIT * 10))); do
  if grep -q '^held [0-9]' "$STATE/out"; then
    exit 0
  fi
  kill -0 "$(cat "$STATE/client")" 2>/dev/null || give_up "the client ended: $(head -c 500 "$STATE/err")"
  sleep 0.1
done
give_up "no lock within $WAIT seconds: see SHOW PROCESSLIST for what runs so long"
