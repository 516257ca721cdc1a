#!/bin/bash
# To begin with: lets the application go again. It may be called after a
# pre-script that failed or never ran, and twice, so it must mind neither.
set -euo pipefail

RESUME=(/usr/local/sbin/app-ctl resume) # yours
STATE=/run/quiesce-example

"${RESUME[@]}"

# The net comes away last. If it was needed, the application was resumed before
# its time, and the set does not hold what the pre-script promised.
lost=0
if [ -e "$STATE/net" ]; then
  kill -- "-$(cat "$STATE/net")" 2>/dev/null || true
  [ ! -e "$STATE/resumed" ] || lost=1
  rm -rf "$STATE"
fi
[ "$lost" = 0 ] || echo "example-post: it had resumed by itself" >&2
exit "$lost"
