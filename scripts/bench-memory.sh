#!/usr/bin/env bash
# Memory of compressing a large model (scripts/make-shaped: random weights, external data), most of it at once in every stage: the
# process's own (RssAnon), what of its files is in memory beside it (RssFile: mapped, the system takes it back when it needs to), and the bound for its
# own: 1 GiB for activations and remembered outputs, three times the largest layer, and --memory for moments.
#
#   scripts/bench-memory.sh [phi BLOCKS | mlp WIDTH | bert]
#
# phi: Phi-2's shape with so many of its 32 blocks (1). mlp: two square layers of this width (10240). bert: BERT-base's shape, in one file.
# SAMPLES (8 for phi, 256 for mlp, 64 for bert), MEMORY (200, in MB; auto for what the program chooses, at most 1 GiB), TOLERANCE (0.05), OPTIONS,
# THREADS, WORK as in zoo.sh. Linux only.
set -uo pipefail
source "$(dirname "$0")/zoo.sh"
build_programs scripts/make-shaped

shape=${1:-phi}
memory=${MEMORY:-200}
limit=()
if [ "$memory" = auto ]; then
  memory=1074
else
  limit=(--memory "${memory}MB")
fi
case $shape in
  phi)
    options=(--layers "${2:-1}" --samples "${SAMPLES:-8}")
    largest_layer=$((51200 * 2560 * 4))
    ;;
  mlp)
    width=${2:-10240}
    options=(--layers 3 --width "$width" --samples "${SAMPLES:-256}" --external)
    largest_layer=$((width * width * 4))
    ;;
  bert)
    options=(--samples "${SAMPLES:-64}")
    largest_layer=$((30522 * 768 * 4))
    ;;
  *) echo "no shape $shape: phi, mlp or bert" >&2; exit 2 ;;
esac
"$repository/artifacts/bin/make-shaped/release/make-shaped" "$shape" "$WORK" "${options[@]}" || exit 1
report=$WORK/$shape.json
rm -f "$report"
log=$WORK/$shape.log
# shellcheck disable=SC2086
"$repository/artifacts/bin/OnnxLowRank.Cli/release/onnx-lowrank" "$WORK/$shape.onnx" "$WORK/$shape-out.onnx" --calib "$WORK/$shape-calib" \
  --metric relative --tolerance "${TOLERANCE:-0.05}" "${limit[@]}" \
  --threads "$threads" --report "$report" ${OPTIONS:-} 2>"$log" >"$WORK/$shape.txt" &
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
cat "$WORK/$shape.txt"
printf '%-10s %12s %14s\n' stage 'own MB' 'of files MB'
largest=0
for stage in "${stages[@]}"; do
  printf '%-10s %12d %14d\n' "$stage" "$((own[$stage] * 1024 / 1000000))" "$((files[$stage] * 1024 / 1000000))"
  [ "${own[$stage]}" -gt "$largest" ] && largest=${own[$stage]}
done
bound=$(((1 << 30) + 3 * largest_layer + memory * 1000000))
model=$(stat -c %s "$WORK/$shape".onnx "$WORK/$shape".onnx*.data 2>/dev/null | awk '{ sum += $1 } END { printf "%d", sum / 1000000 }')
echo "exit $code; most of its own $((largest * 1024 / 1000000)) MB, bound $((bound / 1000000)) MB," \
  "largest layer $((largest_layer / 1000000)) MB, model $model MB"
