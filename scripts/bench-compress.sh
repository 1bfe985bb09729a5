#!/usr/bin/env bash
# Time, passes, memory and result of compressing the models of the zoo, one row per model and format. The column moments is what
# collecting moments costs: that calibration pass in units of a plain forward pass over the same samples (scripts/moments-cost).
#
#   scripts/bench-compress.sh [MODEL...]
#
# FORMATS (fp32 auto), OPTIONS (more options for onnx-lowrank), and the settings of zoo.sh. Test loss is measured by scripts/evaluate on
# the zoo's test samples, in fractions: of accuracy lost, or by which perplexity grew.
set -uo pipefail
source "$(dirname "$0")/zoo.sh"
find_zoo
find_python numpy
build_programs scripts/moments-cost

# model, samples, metric and tolerance
cases="lenet5_mnist 2000 accuracy 0.005
mnist_mlp_model0 2000 accuracy 0.005
resnet20_cifar10 1000 accuracy 0.005
vgg11_cifar10 1000 accuracy 0.005
vit_cifar10 2000 accuracy 0.005
gpt_small 256 perplexity 0.01"

row='%-18s %-6s %4s %7s %7s %9s %9s %7s %7s %6s %7s %7s %7s %9s %19s %8s\n'
printf "$row" model format exit moments total calibrate decompose search verify passes 'peak MB' params bytes verified '[low, high]' test
while read -r model count metric tolerance; do
  if [ $# -gt 0 ] && [[ " $* " != *" $model "* ]]; then
    continue
  fi
  if [ ! -f "$ZOO/$model.onnx" ]; then
    echo "$model: skipped, $ZOO/$model.onnx is absent"
    continue
  fi
  if ! make_data "$model" "$count"; then
    echo "$model: skipped, no calibration data"
    continue
  fi
  labels=()
  if [ "$metric" = accuracy ]; then
    labels=(--labels "$data/labels.npy")
  fi
  moments=$("$repository/artifacts/bin/moments-cost/release/moments-cost" "$ZOO/$model.onnx" "$data/calib" --threads "$threads" | cut -d' ' -f1)
  for format in ${FORMATS:-fp32 auto}; do
    output=$WORK/$model-$format.onnx report=$WORK/$model-$format.json
    rm -f "$output" "$report"
    # shellcheck disable=SC2086
    compress "$ZOO/$model.onnx" "$output" --calib "$data/calib" "${labels[@]}" --metric "$metric" --tolerance "$tolerance" \
      --format "$format" --threads "$threads" --report "$report" -q ${OPTIONS:-} </dev/null
    code=$?
    if [ ! -f "$report" ]; then
      echo "$model $format: exit $code, no report"
      continue
    fi
    get() { field "$report" "$1"; }
    short() { get "$1" | awk '{ if ($1 == "-") print "-"; else printf "%.2f\n", $1 }'; }
    exact() { get "$1" | awk '{ if ($1 == "-") print "-"; else printf "%.4f\n", $1 }'; }
    loss=-
    if [ -f "$output" ]; then
      loss=$(test_loss "$ZOO/$model.onnx" "$output" "$data/test" "$([ "$metric" = perplexity ] && echo 1)")
    fi
    printf "$row" "$model" "$format" "$code" "$moments" "$(short seconds.total)" "$(short seconds.calibrate)" "$(short seconds.decompose)" \
      "$(short seconds.search)" "$(short seconds.verify)" "$(short passes)" "$(get peakMemoryBytes | awk '{ printf "%.0f", $1 / 1e6 }')" \
      "$(ratio "$(get after.parameters)" "$(get before.parameters)")" "$(ratio "$(get after.bytes)" "$(get before.bytes)")" \
      "$(exact verified.loss)" "[$(exact verified.low), $(exact verified.high)]" "$loss"
  done
done <<<"$cases"
