#!/usr/bin/env bash
# Disturbs the program in every way that its promise covers: the output appears whole or not at all, what was there before survives, nothing is left
# behind. One line with counts per kind of fault; exits 1 if any promise was broken, and says where. About five minutes on two cores.
#
# Settings by environment: PROGRAM (built otherwise), KILLS (200) runs to kill, SIGNALS (24) to interrupt, SEED (1) of the moments, WORK (folder for
# everything that is written; a temporary one otherwise). Needs python3 (standard library only). Root, to mount small and read-only disks; strace,
# to kill between two system calls; libfaketime, to set the clock (FAKETIME_LIB if it is not where Debian has it): what is missing is said and skipped.
set -uo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/zoo.sh"
cd "$WORK"

kills=${KILLS:-200} signals=${SIGNALS:-24} RANDOM=${SEED:-1}
if [ -z "${PROGRAM:-}" ]; then
  dotnet build -c Release "$repository/OnnxLowRank.Cli" -v quiet --nologo >build.log 2>&1 || { cat build.log >&2; exit 1; }
  PROGRAM=$repository/artifacts/bin/OnnxLowRank.Cli/release/onnx-lowrank
fi

# Files that .NET itself leaves in the folder for temporary files when it is killed are none of ours.
export DOTNET_EnableDiagnostics=0 DOTNET_NOLOGO=1 LC_ALL=C
export XDG_CACHE_HOME=$WORK/cache TMPDIR=$WORK/tmp
mkdir -p cache tmp calib shots disk
disk=$WORK/disk
trap 'umount "$disk" 2>/dev/null; jobs -p | xargs -r kill 2>/dev/null; [ -n "${KEEP:-}" ] || rm -rf "$WORK"' EXIT

# The demo model as it is, and with its weights in a file of their own; fewer samples, so that runs are short.
one=$WORK/one.onnx two=$WORK/two.onnx calib=$WORK/calib/image.npy
cp "$repository/models/digits-cnn.onnx" "$one"
python3 - "$repository/models" "$WORK" <<'PYTHON' || exit 1
import os, struct, sys, zipfile
models, work = sys.argv[1:]

# 400 of the samples
with open(os.path.join(models, "digits-calib", "image.npy"), "rb") as file:
    start = file.read(10)
    header = file.read(struct.unpack("<H", start[8:10])[0]).decode()
    shape = header[header.index("'shape'"):]
    count = int(shape[shape.index("(") + 1:shape.index(",")])
    rest = file.read()
kept = 400
with open(os.path.join(work, "calib", "image.npy"), "wb") as file:
    file.write(start + header.replace(f"({count},", f"({kept},".ljust(len(f"({count},"))).encode()[:len(header)].ljust(len(header)) + rest[:len(rest) // count * kept])
with zipfile.ZipFile(os.path.join(work, "calib.npz"), "w", zipfile.ZIP_DEFLATED) as file:
    file.write(os.path.join(work, "calib", "image.npy"), "image.npy")

# Raw data of initializers of 1 KiB and more moves to a file beside the model, by the wire format alone.
data = bytearray()

def varint(value):
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7f | 0x80)
        value >>= 7
    return bytes(out) + bytes([value])

def fields(message):
    at = 0
    def read():
        nonlocal at
        value = shift = 0
        while True:
            byte = message[at]
            at += 1
            value |= (byte & 0x7f) << shift
            shift += 7
            if byte < 0x80:
                return value
    while at < len(message):
        key = read()
        start = at
        if key & 7 == 0:
            read()
        elif key & 7 == 2:
            length = read()
            start, at = at, at + length
        else:
            at += 8 if key & 7 == 1 else 4
        yield key >> 3, key & 7, message[start:at]

def field(number, wire, content):
    return varint(number << 3 | wire) + (varint(len(content)) if wire == 2 else b"") + content

def entry(key, value):
    return field(13, 2, field(1, 2, key.encode()) + field(2, 2, value.encode()))

def tensor(message):
    out = bytearray()
    for number, wire, content in fields(message):
        if number == 9 and len(content) >= 1024:
            data.extend(b"\0" * (-len(data) % 4096))
            out += entry("location", "two.onnx.data") + entry("offset", str(len(data))) + entry("length", str(len(content))) + field(14, 0, b"\1")
            data.extend(content)
        else:
            out += field(number, wire, content)
    return bytes(out)

def graph(message):
    return b"".join(field(n, w, tensor(c) if n == 5 else c) for n, w, c in fields(message))

with open(os.path.join(work, "one.onnx"), "rb") as file:
    model = b"".join(field(n, w, graph(c) if n == 7 else c) for n, w, c in fields(file.read()))
with open(os.path.join(work, "two.onnx"), "wb") as file:
    file.write(model)
with open(os.path.join(work, "two.onnx.data"), "wb") as file:
    file.write(data)
PYTHON
inputs=$(sha256sum "$one" "$two" "$two.data" "$calib")

violations=0
violated() {
  echo "fault-test: VIOLATION: $*" >&2
  violations=$((violations + 1))
}

quick=(--method none --format int8 --no-timing -q)
run() { "$PROGRAM" "$1" "$2" --calib "$calib" --method none --format "${format:-int8}" --no-timing -q "${@:3}"; }

# data_of MODEL: the path of its weights file, if it has one.
data_of() {
  local name
  name=$(grep -aoE 'out\.onnx\.[0-9a-f]{16}\.data' "$1" 2>/dev/null | head -1)
  [ -z "$name" ] || echo "$(dirname "$1")/$name"
}

# print MODEL: the hash of the model and of its weights file together.
print() {
  local data
  data=$(data_of "$1")
  cat "$1" ${data:+"$data"} 2>/dev/null | sha256sum | cut -c 1-16
}

# What undisturbed runs make: old and new, of both models. Both are loaded.
declare -A whole
for kind in one two; do
  for age in old new; do
    mkdir -p "$kind.$age"
    [ $age = old ] && format=int4 || format=int8
    run "$WORK/$kind.onnx" "$kind.$age/out.onnx" --tolerance 1 || { echo "fault-test: an undisturbed run fails" >&2; exit 1; }
    "$PROGRAM" inspect "$kind.$age/out.onnx" >/dev/null 2>&1 || { echo "fault-test: what it wrote cannot be read" >&2; exit 1; }
    whole[$kind.$age]=$(print "$kind.$age/out.onnx")
  done
done
[ -n "$(data_of two.new/out.onnx)" ] || { echo "fault-test: the output has no weights file" >&2; exit 1; }

# state FOLDER KIND: absent, old, new or broken.
state() {
  [ -e "$1/out.onnx" ] || { echo absent; return; }
  case $(print "$1/out.onnx") in
    "${whole[$2.old]}") echo old ;;
    "${whole[$2.new]}") echo new ;;
    *) echo broken ;;
  esac
}

# before FOLDER KIND old|absent: what a run finds. What killed runs left stays, for the run to remove.
before() {
  local data
  data=$(data_of "$1/out.onnx")
  rm -f "$1/out.onnx" ${data:+"$data"} "$1/r.json"
  [ "$3" = absent ] || cp "$WORK/$2.old/"out.onnx* "$1/"
}

# left FOLDER: how many files are there beside the output, its weights file and a report; and in the folders for temporary and cached files.
left() { # shellcheck disable=SC2012
  local data
  data=$(data_of "$1/out.onnx")
  ls -A "$1" | grep -vxE "out.onnx|r\.json${data:+|$(basename "$data")}" | wc -l
}
temporaries() { find "$TMPDIR" "$XDG_CACHE_HOME" -mindepth 1 \( -name '*.tmp' -o -path "$TMPDIR/*" \) | wc -l; }

seconds() { date +%s.%N; }
elapsed() { awk -v from="$1" -v to="$(seconds)" 'BEGIN { printf "%.3f", to - from }'; }

# draw FROM TO: a moment, into $moment. Not by $(…): there, RANDOM would not go on.
draw() {
  local drawn=$((RANDOM << 15 | RANDOM))
  moment=$(awk -v x=$drawn -v from="$1" -v to="$2" 'BEGIN { printf "%.3f", from + x / 2 ^ 30 * (to - from) }')
}

echo "== $("$PROGRAM" --version), seed ${SEED:-1}"

# ---- kill -9: half of the moments anywhere, half after the output was first written to its hidden folder
kill_runs() { # KIND COUNT SEED: prints killed or ended, and the state, per run
  local kind=$1 folder=$WORK/kill.$1 took=0 ending=0 start process moment i
  local job=("$PROGRAM" "$WORK/$1.onnx" "$WORK/kill.$1/out.onnx" --calib "$calib" "${quick[@]}" --tolerance 1)
  longer() { awk -v a="$1" -v b="$2" 'BEGIN { print (a + 0 > b + 0 ? a : b) }'; }
  staged() { while kill -0 "$process" 2>/dev/null && ! compgen -G "$folder/.out.onnx.*.tmp/out.onnx" >/dev/null; do sleep 0.005; done; }
  RANDOM=$3
  mkdir -p "$folder"
  for i in 1 2 3; do
    before "$folder" "$kind" absent
    start=$(seconds)
    "${job[@]}" &
    process=$!
    staged
    local from
    from=$(seconds)
    wait $process
    took=$(longer "$took" "$(elapsed "$start")") ending=$(longer "$ending" "$(elapsed "$from")")
  done
  for ((i = 0; i < $2; i++)); do
    before "$folder" "$kind" "$([ $((i / 2 % 2)) = 0 ] && echo old || echo absent)"
    find "$folder" -path '*.tmp/out.onnx' -delete # of runs killed before, or this one's would not be waited for
    "${job[@]}" 2>/dev/null &
    process=$!
    if [ $((i % 2)) = 0 ]; then
      draw 0 "$took"
    else
      draw 0 "$(awk -v t="$ending" 'BEGIN { print 1.5 * t }')" # on a busy machine no run is as long as another
      staged
    fi
    sleep "$moment"
    kill -9 $process 2>/dev/null
    wait $process 2>/dev/null
    [ $? = 137 ] && echo "killed" || echo "ended"
    state "$folder" "$kind"
  done
  before "$folder" "$kind" absent
  run "$WORK/$kind.onnx" "$folder/out.onnx" --tolerance 1
  echo "left $(left "$folder")"
}
kill_runs one $((kills / 2)) "$RANDOM" >shots/one 2>shots/one.log &
first=$!
kill_runs two $((kills - kills / 2)) "$RANDOM" >shots/two 2>shots/two.log
wait $first
count() { cat shots/one shots/two | grep -cx "$1"; }
after=$(($(sed -n 's/^left //p' shots/one) + $(sed -n 's/^left //p' shots/two) + $(temporaries)))
echo "kill -9: $kills runs, $(count killed) killed and $(count ended) over before: $(count absent) absent, $(count old) the older one whole, $(count new) the new one whole, $(count broken) broken; temporary files left after the next run: $after"
[ "$(count broken)" = 0 ] || violated "kill -9 left a broken output"
[ "$after" = 0 ] || violated "kill -9: files left: $(ls -A kill.one kill.two tmp)"

# ---- kill -9 at each system call that moves, makes or removes files, in the thread that does
if strace -f -o /dev/null true 2>/dev/null; then
  mkdir -p calls
  declare -A calls=()
  total=0 broken=0 remains=0
  before calls two old
  strace -f -o calls.txt -e trace=rename,unlink,rmdir,mkdir "$PROGRAM" "$two" calls/out.onnx --calib "$calib" "${quick[@]}" --tolerance 1 --report calls/r.json
  [ "$(state calls two)" = new ] || violated "a traced run did not write"
  for call in rename unlink rmdir mkdir; do
    most=$(awk -v call="$call" 'index($2, call "(") == 1 { n[$1]++ } END { for (id in n) if (n[id] > most) most = n[id]; print most + 0 }' calls.txt)
    for ((i = 1; i <= most; i++)); do
      before calls two "$([ $((total % 2)) = 0 ] && echo old || echo absent)"
      strace -f -o /dev/null -e trace=$call -e inject=$call:signal=KILL:when=$i \
        "$PROGRAM" "$two" calls/out.onnx --calib "$calib" "${quick[@]}" --tolerance 1 --report calls/r.json 2>/dev/null
      found=$(state calls two)
      calls[$found]=$((${calls[$found]:-0} + 1))
      total=$((total + 1))
      before calls two absent
      run "$two" calls/out.onnx --tolerance 1 --report calls/r.json
      remains=$((remains + $(left calls)))
    done
  done 2>/dev/null
  remains=$((remains + $(temporaries)))
  echo "kill -9 at each rename, unlink, rmdir, mkdir of a run that writes a model, its weights and a report: $total runs: ${calls[absent]:-0} absent, ${calls[old]:-0} the older one whole, ${calls[new]:-0} the new one whole, ${calls[broken]:-0} broken; temporary files left after the next run: $remains"
  [ "${calls[broken]:-0}" = 0 ] || violated "a kill between two system calls left a broken output"
  [ "$remains" = 0 ] || violated "a kill between two system calls: files left: $(ls -A calls tmp)"
else
  echo "kill -9 at each system call: skipped, no strace that may trace"
fi

# ---- full and read-only disks
mounted() { # OPTIONS COMMAND…: with a small disk on $disk
  mount -t tmpfs -o "$1" tmpfs "$disk" || return 1
  shift
  "$@"
  umount "$disk"
}
full() { # KIND: one run; tells what became of it
  local exit found
  "$PROGRAM" "$WORK/$1.onnx" "$disk/out.onnx" --calib "$calib" "${quick[@]}" --tolerance 1 --report "$disk/r.json" 2>full.err
  exit=$? found=$(state "$disk" "$1")
  case $exit in
    0) { [ "$found" = new ] && [ -s "$disk/r.json" ] && [ "$(left "$disk")" = 0 ]; } || violated "full disk: exit 0, $found: $(ls -A "$disk")" ;;
    6)
      { [ "$found" = "$2" ] && [ ! -e "$disk/r.json" ] && [ "$(left "$disk")" = 0 ]; } || violated "full disk: exit 6, $found instead of $2: $(ls -A "$disk")"
      [ "$(wc -l <full.err)" = 1 ] || violated "full disk: not one line: $(cat full.err)"
      ;;
    *) violated "full disk: exit $exit: $(cat full.err)" ;;
  esac
  echo $exit >>shots/full
}
full_with_old() {
  if ! cp "$WORK/$1.old/"out.onnx* "$disk/" 2>/dev/null; then return; fi
  full "$1" old
}
if mounted size=4k true 2>/dev/null; then
  : >shots/full
  for ((size = 4; size <= 1100; size += 96)); do
    mounted "size=${size}k" full one absent
    mounted "size=$((size + 8))k" full two absent
    mounted "size=$((size + 400))k" full_with_old two
  done
  for ((nodes = 1; nodes <= 12; nodes++)); do
    mounted "nr_inodes=$nodes" full two absent
    mounted "nr_inodes=$((nodes + 2))" full_with_old two
  done
  echo "full disk at each write: $(wc -l <shots/full) runs on disks from 4 KB and 1 file on: $(grep -cx 6 shots/full) exit 6 with one line and nothing changed, $(grep -cx 0 shots/full) had room"

  harmless=0
  cache_full() {
    XDG_CACHE_HOME=$disk "$PROGRAM" "$one" "$WORK/disk.onnx" --calib "$calib" --method none --format int8 --tolerance 1 --report "$WORK/disk.json" -q 2>full.err &&
      grep -q "measured times cannot be kept" "$WORK/disk.json" || violated "full cache: $(cat full.err)"
    [ "$(find "$disk" -name '*.tmp' | wc -l)" = 0 ] || violated "full cache: files left"
    harmless=$((harmless + 1))
  }
  mounted nr_inodes=1 cache_full
  mounted nr_inodes=3 cache_full
  mounted ro cache_full
  scratch_full() {
    TMPDIR=$disk "$PROGRAM" "$one" "$WORK/disk.onnx" --calib "$WORK/calib.npz" "${quick[@]}" --tolerance 1 2>full.err
    [ $? = 6 ] && [ "$(wc -l <full.err)" = 1 ] && [ "$(ls -A "$disk" | wc -l)" = 0 ] || violated "full folder for temporary files: $(cat full.err)"
  }
  rm -f disk.onnx
  mounted size=64k scratch_full
  mounted nr_inodes=1 scratch_full
  [ ! -e disk.onnx ] || violated "full folder for temporary files: an output"
  echo "full or read-only cache: $harmless runs did not mind, and said so in the report; full folder for unpacked samples: 2 runs, exit 6"

  refused=0
  read_only() {
    cp "$WORK/$1.old/"out.onnx* "$disk/"
    mount -o remount,ro "$disk"
    local exit
    run "$WORK/$1.onnx" "$disk/out.onnx" 2>full.err
    exit=$?
    { [ $exit = 6 ] && [ "$(wc -l <full.err)" = 1 ] && [ "$(state "$disk" "$1")" = old ]; } || violated "read-only folder: exit $exit: $(cat full.err)"
    run "$WORK/$1.onnx" "$WORK/ro.onnx" --report "$disk/r.json" 2>full.err
    exit=$?
    { [ $exit = 6 ] && [ "$(wc -l <full.err)" = 1 ] && [ ! -e "$WORK/ro.onnx" ]; } || violated "read-only folder of the report: exit $exit: $(cat full.err)"
    refused=$((refused + 2))
  }
  mounted size=4m read_only one
  mounted size=4m read_only two
  rm -f "$WORK/ro.onnx"
  echo "read-only folder of the output or the report: $refused runs, exit 6 with one line, nothing changed"
else
  mkdir -p closed && chmod 555 closed
  run "$one" closed/out.onnx 2>full.err
  [ $? = 6 ] && [ "$(wc -l <full.err)" = 1 ] || violated "read-only folder: $(cat full.err)"
  echo "read-only folder: exit 6 with one line. Full disks: skipped, mounting a small disk takes root"
fi
run "$one" full.onnx --tolerance 1 --report - >/dev/full 2>full.err
[ $? = 6 ] && [ "$(wc -l <full.err)" = 1 ] || violated "full standard output: $(cat full.err)"
rm -f full.onnx

# ---- output equals input
mkdir -p same
ln -s "$two" same/link.onnx && ln -s "$WORK" same/folder && ln -s link.onnx same/link-to-link.onnx && ln "$two" same/hard.onnx
ln -s "$two.data" same/weights && refused=0
for output in "$two" "$WORK/./same/../two.onnx" same/link.onnx same/link-to-link.onnx same/folder/two.onnx same/folder/same/folder/two.onnx "$two.data" same/weights "$calib" same/folder/calib/image.npy; do
  run "$two" "$output" 2>full.err
  [ $? = 2 ] && [ "$(wc -l <full.err)" = 1 ] || violated "output is the input ($output): $(cat full.err)"
  refused=$((refused + 1))
done
run "$two" same/hard.onnx --tolerance 1 2>full.err
[ "$(sha256sum "$one" "$two" "$two.data" "$calib")" = "$inputs" ] || violated "an input has changed"
echo "output is a file that is read, by name, path, link, linked folder: $refused of $refused refused; as a second name of one file (hard link): the input is as it was"

# ---- several runs to one output
mkdir -p race
rounds=6 broken=0 failed=0
for ((i = 0; i < rounds; i++)); do
  processes=()
  for format in int8 int4 int8; do
    run "$two" race/out.onnx --tolerance 1 2>>race.err &
    processes+=($!)
    [ $((i % 2)) = 0 ] || { draw 0 0.3; sleep "$moment"; }
  done
  for process in "${processes[@]}"; do wait "$process" || failed=$((failed + 1)); done
  case $(state race two) in old | new) ;; *) broken=$((broken + 1)) ;; esac
done
format=int8 remains=$(left race)
echo "three runs at once to one output: $rounds rounds, $failed failed, $broken broken outputs, $remains files left"
[ $((failed + broken + remains)) = 0 ] || violated "runs at once: $(ls -A race) $(cat race.err)"

# ---- SIGINT and SIGTERM at any moment of a whole job, with timing
mkdir -p stop
before stop one absent
start=$(seconds)
"$PROGRAM" "$one" stop/out.onnx --calib "$calib" -q --tolerance 1 && took=$(elapsed "$start")
interrupted=0 early=0 late=0 longest=0
rm -rf cache && mkdir cache
for ((i = 0; i < signals; i++)); do
  before stop one "$([ $((i / 2 % 2)) = 0 ] && echo old || echo absent)"
  expected=$(state stop one)
  signal=$([ $((i % 2)) = 0 ] && echo INT || echo TERM)
  # A shell's background jobs ignore SIGINT unless they are told not to.
  env --default-signal=INT "$PROGRAM" "$one" stop/out.onnx --calib "$calib" -q 2>stop.err &
  process=$!
  draw 0.05 "$took"
  sleep "$moment"
  start=$(seconds)
  kill -$signal $process 2>/dev/null
  wait $process
  exit=$? passed=$(elapsed "$start")
  case $exit in
    130 | 143)
      [ "$(state stop one)" = "$expected" ] && [ "$(left stop)" = 0 ] || violated "SIG$signal: $(ls -A stop)"
      if [ -s stop.err ]; then
        interrupted=$((interrupted + 1))
        [ $exit = 130 ] && [ "$(cat stop.err)" = "onnx-lowrank: interrupted, nothing was written" ] || violated "SIG$signal: exit $exit: $(cat stop.err)"
      else
        early=$((early + 1)) # before the program's first line: .NET's and the system's own way
      fi
      longest=$(awk -v a="$longest" -v b="$passed" 'BEGIN { print (a + 0 > b + 0 ? a : b) }')
      ;;
    0) late=$((late + 1)) ;;
    *) violated "SIG$signal: exit $exit: $(cat stop.err)" ;;
  esac
done 2>/dev/null
remains=$(temporaries)
echo "SIGINT, SIGTERM: $signals runs: $interrupted exit 130, $early while .NET was starting, $late over before; the longest took $longest s to end; temporary files left: $remains"
awk -v t="$longest" 'BEGIN { exit !(t < 2) }' || violated "a run took $longest s to end"
[ "$remains" = 0 ] || violated "interrupted runs left $(ls -A tmp) $(find cache -name '*.tmp')"

# ---- broken pipe
mkdir -p pipe
pipes=0
for options in "" "--report -" "-v"; do
  rm -f pipe/*
  # shellcheck disable=SC2086
  { "$PROGRAM" "$one" pipe/out.onnx --calib "$calib" "${quick[@]:0:5}" --tolerance 1 $options 2>pipe.err; echo $? >pipe.code; } | true
  [ "$(cat pipe.code)" = 0 ] && [ "$(state pipe one)" = new ] && ! grep -q "onnx-lowrank:" pipe.err || violated "broken pipe ($options): exit $(cat pipe.code): $(cat pipe.err)"
  pipes=$((pipes + 1))
done
{ "$PROGRAM" inspect "$one" --json - 2>pipe.err; echo $? >pipe.code; } | head -c 1 >/dev/null
[ "$(cat pipe.code)" = 0 ] && ! grep -q "onnx-lowrank:" pipe.err || violated "broken pipe (inspect): exit $(cat pipe.code): $(cat pipe.err)"
echo "broken pipe on standard output: $((pipes + 1)) runs, exit 0, outputs whole"

# ---- the clock
faketime=${FAKETIME_LIB:-$(find /usr/lib -name libfaketime.so.1 2>/dev/null | head -1)}
if [ -n "$faketime" ] && [ -e "$faketime" ]; then
  mkdir -p clock
  jumps=0
  set_clock() { echo "$1" >clock.new && mv clock.new clock.rc; } # at once: the library reads the file at every call
  for jump in "+0 +3650d" "+0 -3650d" "+3650d -3650d"; do
    read -r from to <<<"$jump"
    before clock one absent
    rm -rf cache && mkdir cache
    set_clock "$from"
    faked() { LD_PRELOAD=$faketime FAKETIME_TIMESTAMP_FILE=$WORK/clock.rc FAKETIME_NO_CACHE=1 FAKETIME_DONT_FAKE_MONOTONIC=1 DONT_FAKE_MONOTONIC=1 "$@"; }
    faked "$PROGRAM" "$one" clock/out.onnx --calib "$calib" -q --method none --format int8 --tolerance 1 --report clock/r.json &
    process=$!
    for half in 1 2 3 4; do
      sleep 0.3
      [ $((half % 2)) = 1 ] && set_clock "$to" || set_clock "$from"
    done
    wait $process || violated "clock $jump: exit $?"
    awk '/"total":/ { gsub(/[^0-9.e-]/, "", $2); if ($2 + 0 < 0 || $2 + 0 > 300) exit 1 }' clock/r.json || violated "clock $jump: it took $(grep '"total"' clock/r.json)"
    # With the clock of another decade the kept times are used as they are.
    kept=$(sha256sum cache/onnx-lowrank/*) made=$(print clock/out.onnx)
    before clock one absent
    faked "$PROGRAM" "$one" clock/out.onnx --calib "$calib" -q --method none --format int8 --tolerance 1 || violated "clock $jump: exit $?"
    [ "$kept" = "$(sha256sum cache/onnx-lowrank/*)" ] || violated "clock $jump: kept times were taken again"
    [ "$made" = "$(print clock/out.onnx)" ] || violated "clock $jump: another model"
    jumps=$((jumps + 1))
  done
  echo "clock set by ten or twenty years, back and forth during a run: $jumps runs and $jumps with the times they kept: same bytes, sane durations"
else
  echo "clock changes: skipped, no libfaketime"
fi

echo "== $violations violations, $SECONDS s"
[ "$violations" = 0 ]
