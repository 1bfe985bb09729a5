#!/usr/bin/env bash
# Runs examples/slurm for real: a Slurm of one node, from Debian's packages (installed if they are not there, which needs root), calibrates the demo model as an
# array of 16 jobs and compresses; the result must be, byte for byte, that of a calibration without shards. Everything lies in a temporary folder and is shut down.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

[ "$(id -u)" = 0 ] || { echo "$0: must be root, to install and run Slurm" >&2; exit 2; }
if ! command -v slurmctld slurmd munged sbatch >/dev/null; then
  packages=(munge slurmctld slurmd slurm-client)
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${packages[@]}" >/dev/null 2>&1 ||
    { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${packages[@]}" >/dev/null; }
fi
[ -n "${BUILT:-}" ] || dotnet build -c Release -v q OnnxLowRank.Cli

folder=$(mktemp -d) processes=()
stop() {
  for process in "${processes[@]}"; do kill "$process" 2>/dev/null || true; done
  wait 2>/dev/null || true
  rm -rf "$folder"
}
trap stop EXIT
chmod 755 "$folder"
mkdir "$folder"/{state,spool,munge}

# Messages between the parts of Slurm are signed by munge, with a key of our own.
head -c 128 /dev/urandom >"$folder/munge/key"
chmod 600 "$folder/munge/key"
munged --foreground --force --key-file="$folder/munge/key" --socket="$folder/munge/socket" --pid-file="$folder/munge/pid" \
  --log-file="$folder/munge/log" --seed-file="$folder/munge/seed" >"$folder/munged.log" 2>&1 &
processes+=($!)

# The node claims more than it has: the examples' jobs ask for 4 and 8 processors.
host=$(hostname -s)
cat >"$folder/slurm.conf" <<CONF
ClusterName=one
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=17817
SlurmdPort=17818
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket=$folder/munge/socket
CredType=cred/munge
StateSaveLocation=$folder/state
SlurmdSpoolDir=$folder/spool
SlurmctldPidFile=$folder/slurmctld.pid
SlurmdPidFile=$folder/slurmd.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SlurmdParameters=config_overrides
NodeName=$host NodeAddr=127.0.0.1 CPUs=8 RealMemory=64000
PartitionName=all Nodes=ALL Default=YES State=UP
CONF
export SLURM_CONF=$folder/slurm.conf
until [ -S "$folder/munge/socket" ]; do sleep 0.2; done
slurmctld -D -i >"$folder/slurmctld.log" 2>&1 &
processes+=($!)
slurmd -D -N "$host" >"$folder/slurmd.log" 2>&1 &
processes+=($!)
for _ in $(seq 100); do
  [ "$(sinfo --noheader --format=%t 2>/dev/null)" = idle ] && break
  sleep 0.3
done
sinfo || { cat "$folder"/slurm*.log >&2; exit 1; }

PATH=$PWD/artifacts/bin/OnnxLowRank.Cli/release:$PATH
model=$PWD/models/digits-cnn.onnx calib=$PWD/models/digits-calib
compress_options=(--labels "$calib/labels.npy" --no-timing -q)
cd "$folder"
start=$SECONDS
"$OLDPWD/examples/slurm/submit.sh" "$model" "$calib" out.onnx "${compress_options[@]}"
squeue
while [ -n "$(squeue --noheader)" ]; do
  [ $((SECONDS - start)) -lt 900 ] || { squeue; cat ./*.log; exit 1; }
  sleep 1
done
echo "jobs took $((SECONDS - start)) s"
scontrol --oneliner show job | grep -o 'JobState=[A-Z]*' | sort | uniq -c
[ -f out.onnx ] || { cat ./*.log >&2; exit 1; }
tail -n 3 calibrate-0.log
ls -l out.onnx.stats.d

mkdir alone
onnx-lowrank calibrate "$model" --calib "$calib" --stats alone/all.stats --threads 4
onnx-lowrank "$model" alone/out.onnx --calib "$calib" --threads 8 "${compress_options[@]}" --stats alone/all.stats
sha256sum out.onnx alone/out.onnx
cmp out.onnx alone/out.onnx
echo "16 shards in Slurm and 1 without: the same bytes"
