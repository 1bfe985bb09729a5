#!/usr/bin/env bash
# What the bytes of the output depend on: the same job under other thread counts, algebra, locales, time zones, folders, variables and users' masks; with
# plans by shapes (--no-timing, one format, as between formats a clock decides), with --deterministic, and with measured times twice. A table: one row per change, one column per model, = or the
# number of bytes that differ. Exits 1 if a row that is promised to be equal is not.
#
# Settings by environment: PROGRAM (built otherwise), MODELS (digits-cnn, and lenet5_mnist and resnet20_cifar10 of the folder of trained models where it
# is), COUNT (256) samples of those, ZOO and PYTHON as for the other scripts.
set -uo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/zoo.sh"
cd "$WORK"
program=${PROGRAM:-}
if [ -z "$program" ]; then
  dotnet build -c Release "$repository/OnnxLowRank.Cli" -v quiet --nologo >build.log 2>&1 || { cat build.log >&2; exit 1; }
  program=$repository/artifacts/bin/OnnxLowRank.Cli/release/onnx-lowrank
fi
export XDG_CACHE_HOME=$WORK/cache
unset OPENBLAS_CORETYPE OPENBLAS_NUM_THREADS OMP_NUM_THREADS

names=() models=() samples=()
add() { names+=("$1") models+=("$2") samples+=("$3"); }
for name in ${MODELS:-digits-cnn lenet5_mnist resnet20_cifar10}; do
  if [ "$name" = digits-cnn ]; then
    add "$name" "$repository/models/digits-cnn.onnx" "$repository/models/digits-calib"
  elif find_zoo 2>/dev/null && find_python numpy && make_data "$name" "${COUNT:-256}"; then
    add "$name" "$ZOO/$name.onnx" "$data/calib"
  else
    echo "$name: skipped, no folder of trained models" >&2
  fi
done 2>skipped
cat skipped >&2

# made OUT MODEL-NUMBER VARIABLES -- OPTIONS: runs with the variables set
made() {
  local out=$1 i=$2 variables=()
  shift 2
  while [ "$1" != -- ]; do variables+=("$1"); shift; done
  shift
  env "${variables[@]}" "$program" "${models[$i]}" "$out" --calib "${samples[$i]}" -q "$@"
}

broken=0
# row PROMISED LABEL REFERENCE VARIABLES -- OPTIONS: compares with the folder REFERENCE
row() {
  local promised=$1 label=$2 reference=$3 i cells=""
  shift 3
  for i in "${!models[@]}"; do
    rm -f out.onnx
    if ! made "$WORK/out.onnx" "$i" "$@" 2>errors; then
      cells+=$'\t'"$(tail -1 errors | cut -c 1-60)" broken=$((broken + 1))
    elif cmp -s out.onnx "$reference/${names[$i]}.onnx"; then
      cells+=$'\t='
    else
      cells+=$'\t'"$(cmp -l out.onnx "$reference/${names[$i]}.onnx" 2>/dev/null | wc -l) differ"
      [ "$promised" = no ] || broken=$((broken + 1))
    fi
  done
  echo "$label$cells" | tee -a table
}

# reference FOLDER OPTIONS
reference() {
  local folder=$1 i
  shift
  mkdir -p "$folder"
  for i in "${!models[@]}"; do made "$WORK/$folder/${names[$i]}.onnx" "$i" -- "$@" || exit 1; done
}

printf 'changed'
printf '\t%s' "${names[@]}"
echo
reference shapes --no-timing --format int8 --threads 2
row yes "nothing" shapes -- --no-timing --format int8 --threads 2
row no "--threads 1" shapes -- --no-timing --format int8 --threads 1
row no "--threads 4" shapes -- --no-timing --format int8 --threads 4
mkdir -p none
for name in libopenblas.so.0 libopenblas.so; do echo none >"none/$name"; done # found first, and no libraries
row no "OpenBLAS not found (managed algebra)" shapes LD_LIBRARY_PATH="$WORK/none" -- --no-timing --format int8 --threads 2
row no "other OpenBLAS kernels" shapes OPENBLAS_CORETYPE=Nehalem -- --no-timing --format int8 --threads 2
for locale in de_DE.UTF-8 tr_TR.UTF-8; do
  row yes "LANG=$locale" shapes LANG=$locale LC_ALL=$locale -- --no-timing --format int8 --threads 2
  row yes "LANG=$locale with cultures" shapes LANG=$locale LC_ALL=$locale DOTNET_SYSTEM_GLOBALIZATION_INVARIANT=0 -- --no-timing --format int8 --threads 2
done
row yes "TZ" shapes TZ=Pacific/Chatham -- --no-timing --format int8 --threads 2
mkdir -p home temporary
row yes "HOME, TMPDIR, USER" shapes HOME="$WORK/home" TMPDIR="$WORK/temporary" USER=nobody -- --no-timing --format int8 --threads 2
row yes "OMP, MKL, OPENBLAS threads" shapes OMP_NUM_THREADS=1 MKL_NUM_THREADS=3 OPENBLAS_NUM_THREADS=1 -- --no-timing --format int8 --threads 2
row yes ".NET's collector and compiler" shapes DOTNET_gcServer=1 DOTNET_TieredPGO=0 DOTNET_TieredCompilation=0 -- --no-timing --format int8 --threads 2
umask 077
row yes "umask 077" shapes -- --no-timing --format int8 --threads 2
umask 022
absolute=("${models[@]}") data=("${samples[@]}")
for i in "${!models[@]}"; do models[i]=$(realpath --relative-to=. "${models[$i]}") samples[i]=$(realpath --relative-to=. "${samples[$i]}"); done
row yes "relative paths" shapes -- --no-timing --format int8 --threads 2
models=("${absolute[@]}") samples=("${data[@]}")

reference deterministic --deterministic
for threads in 1 2 4; do row yes "--deterministic --threads $threads" deterministic -- --deterministic --threads "$threads"; done
row yes "--deterministic, OMP, OPENBLAS threads" deterministic OMP_NUM_THREADS=3 OPENBLAS_NUM_THREADS=4 -- --deterministic

reference timed
row yes "measured times, again" timed --
rm -rf cache
row no "measured times, cache gone" timed --

echo "== $broken broken promises, $SECONDS s"
[ "$broken" = 0 ]
