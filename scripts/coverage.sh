#!/usr/bin/env bash
# Runs the program over every model of ONNX's own backend test suite (about 1,000 of all operators and opsets, with inputs and expected outputs),
# the published models of the zoo where it is there, and a small model of every way to apply a weight; scripts/coverage says what is checked.
# Writes benchmarks/coverage.txt, every case, and docs/coverage.md, what they come to. Exit 1 if a case is not as it should be.
#
#   scripts/coverage.sh [REGEX]
#
# With a REGEX only cases GROUP/NAME that match are run, and the two files are left alone: their text is printed. The suite is Debian's package
# libonnx-testdata, which is fetched as an ordinary user and unpacked into artifacts/; SUITE names another folder (share/libonnx-testdata/data).
# Settings: SUITE, ZOO, LIMIT (seconds per case, 600), GROUPS_TO_RUN (regex; all, which are variants, node, simple, pytorch-*, wild, zoo).
set -euo pipefail
repository=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
export ORT_DISABLE_TELEMETRY=1
unpacked=$repository/artifacts/libonnx-testdata
package=libonnx-testdata

fetch_suite() {
  if [ -d "$unpacked/usr/share/libonnx-testdata/data" ]; then
    return
  fi
  mkdir -p "$unpacked"
  if ! command -v apt-get >/dev/null || ! (cd "$unpacked" && apt-get download -qq "$package" 2>apt.log); then
    echo "$package cannot be had here$([ -f "$unpacked/apt.log" ] && echo ": $(head -1 "$unpacked/apt.log")"); unpack Debian's package and set SUITE to its usr/share/libonnx-testdata/data" >&2
    exit 1
  fi
  dpkg-deb -x "$unpacked"/"$package"_*.deb "$unpacked"
}

find_zoo() {
  local folder=$repository
  while [ -z "${ZOO:-}" ] && [ "$folder" != / ]; do
    folder=$(dirname "$folder")
    if [ -d "$folder/shared/zoo/wild" ]; then
      ZOO=$folder/shared/zoo
    fi
  done
}

if [ -z "${SUITE:-}" ]; then
  fetch_suite
  SUITE=$unpacked/usr/share/libonnx-testdata/data
fi
find_zoo
version=$(basename "$unpacked"/*.deb .deb)
dotnet build -c Release "$repository/scripts/coverage" -v quiet --nologo >&2

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
results=$repository/benchmarks/coverage.txt page=$repository/docs/coverage.md
if [ $# -gt 0 ]; then
  results=$work/results.txt page=$work/page.md
fi
code=0
"$repository/artifacts/bin/coverage/release/coverage" "$SUITE" "$work" "$results" "$page" --version "$version" \
  --only "${1:-^(${GROUPS_TO_RUN:-.*})/}" --limit "${LIMIT:-600}" ${ZOO:+--zoo "$ZOO"} || code=$?
if [ $# -gt 0 ]; then
  cat "$results"
fi
exit $code
