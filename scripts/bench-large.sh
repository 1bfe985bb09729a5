#!/usr/bin/env bash
# Time and memory of compressing models of BERT-base's and ViT-B/16's shape (scripts/make-shaped: random weights), one row each: seconds per
# stage, peak memory and what it is in units of the model's bytes: ratio with, net without what the same program needs for the demo model of
# a megabyte.
#
#   scripts/bench-large.sh [bert] [vit]
#
# SAMPLES (64), OPTIONS (more options for onnx-lowrank; defaults are a relative error of 0.02), THREADS, WORK as in zoo.sh.
set -uo pipefail
source "$(dirname "$0")/zoo.sh"
find_python
build_programs scripts/make-shaped

peak() { field "$1" peakMemoryBytes; }
seconds() { field "$report" "seconds.$1" | awk '{ if ($1 == "-") print "-"; else printf "%.0f\n", $1 }'; }

small=$WORK/small.json
compress "$repository/models/digits-cnn.onnx" "$WORK/small.onnx" --calib "$repository/models/digits-calib" --threads "$threads" --no-timing --report "$small" -q >/dev/null
base=$(peak "$small")

row='%-6s %5s %8s %7s %10s %10s %6s %7s %7s %7s %9s %7s %7s %7s\n'
printf "$row" model exit 'MB' total calibrate decompose time search verify passes 'peak MB' ratio net bytes
for model in ${*:-bert vit}; do
  "$repository/artifacts/bin/make-shaped/release/make-shaped" "$model" "$WORK" --samples "${SAMPLES:-64}" >/dev/null || exit 1
  report=$WORK/$model.json
  rm -f "$report" "$WORK/$model-out.onnx"
  # shellcheck disable=SC2086
  compress "$WORK/$model.onnx" "$WORK/$model-out.onnx" --calib "$WORK/$model-calib" --metric relative --tolerance 0.02 --threads "$threads" \
    --report "$report" -q ${OPTIONS:-}
  code=$?
  if [ ! -f "$report" ]; then
    echo "$model: exit $code, no report"
    continue
  fi
  bytes=$(field "$report" source.bytes)
  printf "$row" "$model" "$code" "$(awk "BEGIN { printf \"%.0f\", $bytes / 1e6 }")" "$(seconds total)" "$(seconds calibrate)" "$(seconds decompose)" \
    "$(seconds time)" "$(seconds search)" "$(seconds verify)" "$(field "$report" passes | awk '{ printf "%.1f", $1 }')" \
    "$(awk "BEGIN { printf \"%.0f\", $(peak "$report") / 1e6 }")" "$(ratio "$(peak "$report")" "$bytes")" \
    "$(awk "BEGIN { printf \"%.3f\", ($(peak "$report") - $base) / $bytes }")" "$(ratio "$(field "$report" after.bytes)" "$bytes")"
done
