#!/bin/bash
# One script on the instance, as it is published many times over: quiesce,
# freeze, ask which volumes there are, one create-snapshot for each in turn,
# thaw, release. The trap and the mount check are ours.
set -eu
mark() { echo "$1 $EPOCHREALTIME" >>"$BENCH_MARKS"; }
for m in $BENCH_MOUNTS; do mountpoint -q "$m"; done

thaw() {
  for m in $BENCH_MOUNTS; do fsfreeze -u "$m" 2>/dev/null || true; done
}
trap 'thaw; "$BENCH_POST"' EXIT

"$BENCH_PRE"
for m in $BENCH_MOUNTS; do
  fsfreeze -f "$m"
  mark frozen
done
for volume in $("$BENCH_EXE" call describe-instances "$BENCH_INSTANCE"); do
  mark call
  "$BENCH_EXE" call create-snapshot "$volume" >/dev/null
  mark called
done
thaw
mark thawed
