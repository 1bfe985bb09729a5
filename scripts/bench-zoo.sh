#!/usr/bin/env bash
# Every model of the zoo, done in every way: size, work, speed, verified and test loss, and the time it took. This is the benchmark of the README.
#
#   scripts/bench-zoo.sh [MODEL...]
#
# Settings: KINDS (dense8 lowrank32 lowrank8 size time auto), SAMPLES (2000), SECONDS_PER_MODEL of latency measurement (2), OPTIONS, and those of
# zoo.sh. dense8 is what one gets without low rank: --method none --format int8. Milliseconds: minima of all of a model's files run in turns in one
# process. Losses are fractions: of accuracy lost, or by which perplexity grew; test is measured by scripts/evaluate on unseen samples.
set -uo pipefail
source "$(dirname "$0")/zoo.sh"
find_zoo
find_python numpy
build_programs

samples=${SAMPLES:-2000} kinds=${KINDS:-dense8 lowrank32 lowrank8 size time auto}
cases="lenet5_mnist accuracy 0.005
mnist_mlp_model0 accuracy 0.005
mnist_mlp_model6 accuracy 0.005
mnist_mlp_model10 accuracy 0.005
resnet20_cifar10 accuracy 0.005
resnet32_cifar10 accuracy 0.005
vgg11_cifar10 accuracy 0.005
vit_cifar10 accuracy 0.005
gpt_small perplexity 0.01"

# how KIND: its options.
how() {
  case $1 in
    dense8) echo --method none --format int8 --best-effort ;;
    lowrank32) echo --format fp32 ;;
    lowrank8) echo --format int8 ;;
    size | time) echo --objective "$1" ;;
    auto) ;;
    *) echo "unknown kind $1" >&2 && exit 2 ;;
  esac
}

row='%-18s %-10s %4s %10s %10s %12s %9s %9s %9s %19s %8s %8s\n'
printf "$row" model kind exit bytes parameters MACs 'ms, 1' 'ms, 32' verified '[low, high]' test seconds
while read -r model metric tolerance; do
  if [ $# -gt 0 ] && [[ " $* " != *" $model "* ]]; then
    continue
  fi
  original=$ZOO/$model.onnx
  if [ ! -f "$original" ]; then
    echo "$model: skipped, $original is absent"
    continue
  fi
  count=$samples labels=() tokens=
  if [ "$metric" = perplexity ]; then
    count=256 tokens=1
  fi
  if ! make_data "$model" "$count"; then
    echo "$model: skipped, no calibration data"
    continue
  fi
  if [ "$metric" = accuracy ]; then
    labels=(--labels "$data/labels.npy")
  fi
  files=("$original") known=
  # First what measures all the others' ways, too, as a first run does: times of layers are remembered.
  for kind in $(grep -ow auto <<<"$kinds") $(sed 's/\bauto\b//' <<<"$kinds"); do
    output=$WORK/$model-$kind.onnx report=$WORK/$model-$kind.json
    rm -f "$output" "$report"
    # shellcheck disable=SC2046,SC2086
    compress "$original" "$output" --calib "$data/calib" "${labels[@]}" --metric "$metric" --tolerance "$tolerance" \
      --threads "$threads" --report "$report" -q $(how "$kind") ${OPTIONS:-} </dev/null
    echo $? >"$WORK/$model-$kind.exit"
    if [ -f "$report" ]; then
      known=$report
    fi
  done
  for kind in $kinds; do
    if [ -f "$WORK/$model-$kind.onnx" ]; then
      files+=("$WORK/$model-$kind.onnx")
    fi
  done
  evaluate "$data/test" "${files[@]}" --latency --seconds "${SECONDS_PER_MODEL:-2}" --threads "$threads" --tsv >"$WORK/$model.tsv"
  # measured FILE: milliseconds at batch 1 and 32, and the test loss.
  measured() {
    awk -F'\t' -v name="$1" -v tokens="$tokens" '
      NR == 2 { accuracy = $4; perplexity = $6 }
      $1 == name { found = 1; printf "%s %s %.4f\n", $8, $10, tokens ? $6 / perplexity - 1 : accuracy - $4 }
      END { if (!found) print "- - -" }' "$WORK/$model.tsv"
  }
  if [ -n "$known" ]; then
    read -r one many _ <<<"$(measured "$model.onnx")"
    printf "$row" "$model" original - "$(field "$known" before.bytes)" "$(field "$known" before.parameters)" \
      "$(field "$known" before.macs | cut -d. -f1)" "$one" "$many" - - - -
  fi
  for kind in $kinds; do
    report=$WORK/$model-$kind.json code=$(cat "$WORK/$model-$kind.exit")
    if [ ! -f "$report" ]; then
      printf "$row" "$model" "$kind" "$code" - - - - - - - - -
      continue
    fi
    exact() { field "$report" "$1" | awk '{ if ($1 == "-") print "-"; else printf "%.4f\n", $1 }'; }
    read -r one many loss <<<"$(measured "$model-$kind.onnx")"
    printf "$row" "$model" "$kind" "$code" "$(field "$report" after.bytes)" "$(field "$report" after.parameters)" \
      "$(field "$report" after.macs | cut -d. -f1)" "$one" "$many" "$(exact verified.loss)" "[$(exact verified.low), $(exact verified.high)]" "$loss" \
      "$(field "$report" seconds.total | awk '{ printf "%.1f", $1 }')"
  done
done <<<"$cases"
