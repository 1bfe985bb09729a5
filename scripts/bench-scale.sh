#!/usr/bin/env bash
# How time and memory of a compression grow with the number of layers, their width and the number of samples (scripts/make-shaped mlp: chains of
# square layers with random weights), one row each, and under each series the exponent b of a·x^b fitted to its last three
# points, where what does not grow counts least: 1 is linear. Decompositions of a layer grow with the cube of its width, its weights with the square.
#
#   scripts/bench-scale.sh [layers] [width] [samples]
#
# LAYERS, WIDTHS, SAMPLES: the points; OPTIONS (more options for onnx-lowrank), THREADS, WORK as in zoo.sh.
set -uo pipefail
source "$(dirname "$0")/zoo.sh"
find_python
build_programs scripts/make-shaped

row='%-8s %7s %5s %7s %8s %10s %10s %8s %8s %7s %9s\n'
columns='total calibrate decompose search verify'

# exponents SERIES: over the last three points of columns 2 (x) and 5..10 of the rows so far.
exponents() {
  tail -n 3 "$WORK/$1.rows" | awk -v series="$1" '
    { n++; for (c = 1; c <= 6; c++) { x = log($1); y = log($(c + 1) > 0.01 ? $(c + 1) : 0.01); sx[c] += x; sy[c] += y; sxx[c] += x * x; sxy[c] += x * y } }
    END {
      printf "%-8s %7s %5s %7s", series, "", "", "a·x^b"
      for (c = 1; c <= 6; c++) { b = (n * sxy[c] - sx[c] * sy[c]) / (n * sxx[c] - sx[c] * sx[c]); printf c == 2 || c == 3 ? " %10.2f" : " %8.2f", b }
      printf "\n"
    }'
}

# point SERIES X LAYERS WIDTH SAMPLES
point() {
  local report=$WORK/scale.json code
  rm -rf "$WORK/mlp-calib" "$WORK"/mlp.onnx* "$WORK"/scale-out.onnx* "$report"
  "$repository/artifacts/bin/make-shaped/release/make-shaped" mlp "$WORK" --layers "$3" --width "$4" --samples "$5" --external >/dev/null || exit 1
  # shellcheck disable=SC2086
  compress "$WORK/mlp.onnx" "$WORK/scale-out.onnx" --calib "$WORK/mlp-calib" --metric relative --tolerance 0.2 --threads "$threads" --no-timing \
    --report "$report" -q ${OPTIONS:-}
  code=$?
  [ -f "$report" ] || { echo "$1 $2: exit $code, no report"; return; }
  local seconds=() column
  for column in $columns; do
    seconds+=("$(field "$report" "seconds.$column" | awk '{ printf "%.2f", $1 }')")
  done
  local peak
  peak=$(awk "BEGIN { printf \"%.0f\", $(field "$report" peakMemoryBytes) / 1e6 }")
  printf "$row" "$1" "$3" "$4" "$5" "${seconds[0]}" "${seconds[1]}" "${seconds[2]}" "${seconds[3]}" "${seconds[4]}" "$peak" "exit $code"
  echo "$2 ${seconds[*]} $peak" >>"$WORK/$1.rows"
}

printf "$row" series layers width samples total calibrate decompose search verify 'peak MB' ''
for series in ${*:-layers width samples}; do
  rm -f "$WORK/$series.rows"
  case $series in
    layers) for n in ${LAYERS:-2 4 8 16 32 64}; do point layers "$n" "$n" 256 512; done ;;
    width) for n in ${WIDTHS:-128 256 512 1024 2048 4096 8192}; do point width "$n" 4 "$n" 512; done ;;
    samples) for n in ${SAMPLES:-100 1000 10000 100000}; do point samples "$n" 8 256 "$n"; done ;;
  esac
  exponents "$series"
done
