#!/usr/bin/env bash
# Memory of compressing a model of Phi-2's shape (scripts/make-shaped: random weights, external data), most of it at once in every stage: the
# process's own (RssAnon), what of its files is in memory beside it (RssFile: mapped, the system takes it back when it needs to), and the bound for its
# own: 1 GiB for activations and remembered outputs, three times the largest layer, and --memory for moments.
#
#   scripts/bench-memory.sh [BLOCKS]
#
# BLOCKS (1; Phi-2 has 32), SAMPLES (8), MEMORY (200, in MB), OPTIONS, THREADS, WORK as in zoo.sh. Linux only.
set -uo pipefail
source "$(dirname "$0")/zoo.sh"
build_programs scripts/make-shaped

blocks=${1:-${BLOCKS:-1}}
memory=${MEMORY:-200}
"$repository/artifacts/bin/make-shaped/release/make-shaped" phi "$WORK" --layers "$blocks" --samples "${SAMPLES:-8}" || exit 1
report=$WORK/phi.json
rm -f "$report"
log=$WORK/phi.log
# shellcheck disable=SC2086
"$repository/artifacts/bin/OnnxLowRank.Cli/release/onnx-lowrank" "$WORK/phi.onnx" "$WORK/phi-out.onnx" --calib "$WORK/phi-calib" --metric relative --tolerance 0.05 --memory "${memory}MB" \
  --threads "$threads" --report "$report" ${OPTIONS:-} 2>"$log" >"$WORK/phi.txt" &
process=$!
declare -A own files
stages=()
while kill -0 "$process" 2>/dev/null; do
  stage=$(tail -n 1 "$log" 2>/dev/null | awk '{ print $2 }')
  stage=${stage:-start}
  read -r anonymous mapped < <(awk '/^RssAnon/ { a = $2 } /^RssFile/ { f = $2 } END { print a + 0, f + 0 }' "/proc/$process/status" 2>/dev/null)
  [ -z "${own[$stage]:-}" ] && stages+=("$stage") && own[$stage]=0 && files[$stage]=0
  [ "${anonymous:-0}" -gt "${own[$stage]}" ] && own[$stage]=$anonymous
  [ "${mapped:-0}" -gt "${files[$stage]}" ] && files[$stage]=$mapped
  sleep 0.03
done
wait "$process"
code=$?
grep -v '^\[' "$log"
cat "$WORK/phi.txt"
printf '%-10s %12s %14s\n' stage 'own MB' 'of files MB'
largest=0
for stage in "${stages[@]}"; do
  printf '%-10s %12d %14d\n' "$stage" "$((own[$stage] * 1024 / 1000000))" "$((files[$stage] * 1024 / 1000000))"
  [ "${own[$stage]}" -gt "$largest" ] && largest=${own[$stage]}
done
layer=$((51200 * 2560 * 4))
bound=$(((1 << 30) + 3 * layer + memory * 1000000))
echo "exit $code; most of its own $((largest * 1024 / 1000000)) MB, bound $((bound / 1000000)) MB, largest layer $((layer / 1000000)) MB, model $(($(stat -c %s "$WORK"/phi.onnx*.data | awk '{ sum += $1 } END { print sum }') / 1000000)) MB"
