#!/usr/bin/env bash
# What the method reaches: parameters, bytes, verified and test loss, and latency against the original and against dense int8.
# fp32-size is fp32 with --objective size, which counts parameters alone; the others weigh time, too.
#
#   scripts/show.sh [MODEL...]
#
# Settings: SAMPLES (2000), SECONDS_PER_MODEL of latency measurement (2), OPTIONS, and those of zoo.sh. Losses are fractions: of accuracy
# lost, or by which perplexity grew. Latency: minima of models run in turns in one process, in units of the original's and of dense int8's.
set -uo pipefail
source "$(dirname "$0")/zoo.sh"
find_zoo
find_python numpy
build_programs

samples=${SAMPLES:-2000}
kinds=(fp32 fp32-size auto dense8)
cases="lenet5_mnist accuracy 0.005
mnist_mlp_model0 accuracy 0.005
resnet20_cifar10 accuracy 0.005
vgg11_cifar10 accuracy 0.005
vit_cifar10 accuracy 0.005
gpt_small perplexity 0.01"
row='%-18s %-9s %4s %8s %8s %9s %19s %8s %9s %9s %10s %10s\n'
printf "$row" model format exit params bytes verified '[low, high]' test 'b1/orig' 'b32/orig' 'b1/dense8' 'b32/dense8'

while read -r model metric tolerance; do
  if [ $# -gt 0 ] && [[ " $* " != *" $model "* ]]; then
    continue
  fi
  original=$ZOO/$model.onnx
  if [ ! -f "$original" ]; then
    echo "$model: skipped, $original is absent"
    continue
  fi
  count=$samples
  if [ "$metric" = perplexity ]; then
    count=256
  fi
  if ! make_data "$model" "$count"; then
    echo "$model: skipped, no calibration data"
    continue
  fi
  labels=()
  if [ "$metric" = accuracy ]; then
    labels=(--labels "$data/labels.npy")
  fi
  files=("$original")
  for kind in "${kinds[@]}"; do
    output=$WORK/$model-$kind.onnx
    rm -f "$output" "$WORK/$model-$kind.json"
    how=(--format "${kind%-size}")
    if [ "$kind" = fp32-size ]; then
      how+=(--objective size)
    fi
    if [ "$kind" = dense8 ]; then
      how=(--method none --format int8 --best-effort)
    fi
    # shellcheck disable=SC2086
    compress "$original" "$output" --calib "$data/calib" "${labels[@]}" --metric "$metric" --tolerance "$tolerance" \
      --threads "$threads" --report "$WORK/$model-$kind.json" -q "${how[@]}" ${OPTIONS:-} </dev/null
    echo $? >"$WORK/$model-$kind.exit"
    if [ -f "$output" ]; then
      files+=("$output")
    fi
  done
  evaluate "$data/test" "${files[@]}" --latency --seconds "${SECONDS_PER_MODEL:-2}" --threads "$threads" --tsv >"$WORK/$model.tsv"
  for kind in "${kinds[@]}"; do
    report=$WORK/$model-$kind.json
    code=$(cat "$WORK/$model-$kind.exit")
    if [ ! -f "$report" ]; then
      echo "$model $kind: exit $code, no report"
      continue
    fi
    exact() { field "$report" "$1" | awk '{ if ($1 == "-") print "-"; else printf "%.4f\n", $1 }'; }
    measured=$(awk -F'\t' -v name="$model-$kind.onnx" -v dense="$model-dense8.onnx" -v tokens="$([ "$metric" = perplexity ] && echo 1)" '
      NR == 2 { accuracy = $4; perplexity = $6 }
      $1 == name { found = 1; loss = tokens ? $6 / perplexity - 1 : accuracy - $4; a = $8; ra = $9; b = $10; rb = $11 }
      $1 == dense { da = $8; db = $10 }
      END { if (!found) print "- - - - -"; else printf "%.4f %s %s %s %s\n", loss, ra, rb, da ? sprintf("%.3f", a / da) : "-", db ? sprintf("%.3f", b / db) : "-" }' "$WORK/$model.tsv")
    # shellcheck disable=SC2086
    printf "$row" "$model" "$kind" "$code" "$(ratio "$(field "$report" after.parameters)" "$(field "$report" before.parameters)")" \
      "$(ratio "$(field "$report" after.bytes)" "$(field "$report" before.bytes)")" \
      "$(exact verified.loss)" "[$(exact verified.low), $(exact verified.high)]" $measured
  done
done <<<"$cases"
