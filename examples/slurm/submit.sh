#!/bin/bash
# Calibrates as an array of jobs and compresses when all of them have succeeded:
#
#   submit.sh in.onnx calib/ out.onnx [options of compress, such as --labels y.npy --tolerance 0.005]
#
# Paths are on a file system that all nodes share; onnx-lowrank is on the PATH of the nodes. Moments lie in OUT.stats.d until you remove them.
# SBATCH_… variables set what the site wants (SBATCH_PARTITION, SBATCH_ACCOUNT); see "man sbatch", Input Environment Variables.
set -euo pipefail

if [ $# -lt 3 ]; then
  echo "usage: $0 IN.onnx CALIB OUT.onnx [options of onnx-lowrank]" >&2
  exit 2
fi
here=$(dirname "$(readlink -f "$0")")
MODEL=$(readlink -f "$1") CALIB=$(readlink -f "$2") OUT=$(readlink -f "$3")
STATS=$OUT.stats.d
export MODEL CALIB OUT STATS
shift 3
mkdir -p "$STATS"

calibrate=$(sbatch --parsable "$here/calibrate.sbatch")
compress=$(sbatch --parsable --dependency="afterok:${calibrate%%;*}" --kill-on-invalid-dep=yes "$here/compress.sbatch" "$@")
echo "calibrate: job $calibrate; compress: job $compress, writes $OUT"
