#!/bin/bash
# The shape of the published documents for DLM: pre-script quiesces and
# freezes, post-script thaws and releases. The mount check is ours; so are the
# given mounts, where the originals take all but / and /boot.
set -eu
mark() { echo "$1 $EPOCHREALTIME" >>"$BENCH_MARKS"; }

case $1 in
pre-script)
  for m in $BENCH_MOUNTS; do mountpoint -q "$m"; done
  "$BENCH_PRE"
  for m in $BENCH_MOUNTS; do
    fsfreeze -f "$m" || exit 201
    mark frozen
  done
  ;;
post-script)
  for m in $BENCH_MOUNTS; do
    fsfreeze -u "$m" || exit 202
  done
  mark thawed
  "$BENCH_POST"
  ;;
esac
