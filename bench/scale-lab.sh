#!/usr/bin/env bash
# scale-lab.sh - run a server and a load generator with up to a million connections in a small virtual machine.
#
# Why: a process cannot have more sockets than its limit of open files (RLIMIT_NOFILE), which is fixed on many developer
# and CI machines. The kernel of a virtual machine (the guest) has limits of its own, and nothing changes on the host.
# The guest is Debian's packaged kernel with a small initramfs: busybox and your two programs. It runs under QEMU's
# software emulation and needs no root, /dev/kvm, network, disk image or tty.
#
# Meaning of the figures: COUNTS (connections that the server held, messages that arrived) and MEMORY per connection are
# the same as on a real Linux machine. TIMES come from an emulated CPU, which is roughly 10 to 30 times slower than the
# host: compare times only with other runs of this script on the same machine.
#
# Usage:
#   scale-lab.sh [option...] -- SERVER [arg...] -- GENERATOR [arg...]
#   scale-lab.sh [option...] --check          boot an empty guest and exit (to check this machine)
#
#   scale-lab.sh -m 6G -t 600 -p 8080 -o results.jsonl -- ./server -addr 0.0.0.0:8080 -- ./gen -n 250000
#
# Options:
#   -m, --memory SIZE     memory of the guest, such as 4G (default 4G; the host provides only the pages that are used).
#                         Rule of thumb: 1 GiB + 15 KiB per connection.
#   -c, --cpus N          CPUs of the guest (default: as many as the host has, at most 4; more only slow the guest down)
#   -t, --time-limit SEC  limit for everything, including the boot (default 600). 30 s before the limit the guest takes a
#                         last sample, reports it and powers off; at the limit the guest is killed.
#   -p, --port PORT       the generator starts when a program in the guest listens on this TCP port (default 8080)
#   -o, --output FILE     file for the collected JSON lines (default scale-lab.jsonl)
#   -l, --log FILE        keep the guest's complete console log in this file
#   -s, --sample SEC      take a memory sample every SEC seconds (default 15; 0: only at marks)
#   -e, --env NAME=VALUE  environment variable for all programs, such as GOMEMLIMIT=4GiB (can be repeated)
#       --sysctl K=V      sysctl of the guest, set after those of the lab (can be repeated)
#       --append WORDS    further parameters for the guest's kernel
#       --sidecar 'CMD'   program that starts before the server and ends after it (can be repeated), for example
#                         --sidecar 'redis-server --port 6379 --save "" --appendonly no'
#       --file SRC:DEST   copy a file of the host into the guest (can be repeated)
#       --kernel FILE     use this kernel instead of Debian's linux-image-cloud-amd64, which is downloaded once
#       --cpu-model NAME  emulated CPU (default qemu64: plain x86-64, whose emulation is fastest; use max for binaries
#                         built for newer CPUs, such as with GOAMD64=v2 or higher)
#       --accel NAME      tcg (default; works everywhere) or kvm (only if this machine has a working KVM)
#       --install         install missing packages with apt-get (needs root); without it the script only lists them.
#                         The kernel's package is only unpacked, not installed, and needs no root.
#       --cache DIR       folder for the downloaded kernel (default ${XDG_CACHE_HOME:-~/.cache}/scale-lab)
#   -h, --help            this text
#
# Programs: x86-64 Linux binaries. Static binaries are simplest (CGO_ENABLED=0 go build); for dynamic binaries the shared
# libraries are copied too. The output of the programs goes to this script's stdout, with the prefix "server| " or
# "generator| ". In the guest all addresses of 127.0.0.0/8 can be source addresses. Spread the clients over many of them
# (about 20000 connections each), because a source address has only 64 k ports per server port.
#
# FILE has one JSON object per line:
#   {"source":"server"|"generator","t":UPTIME,"data":{...}}    each output line of a program that is a JSON object
#   {"source":"lab","event":"mark"|"sample",...}               memory, sockets, slabs; the names say KiB or bytes
#   {"source":"lab","event":"end","reason":...,"server_exit":N,"generator_exit":N}
# When the generator prints a line "@mark NAME", the lab takes a memory sample, and then writes NAME to /run/mark. The
# generator should wait until /run/mark has NAME; otherwise the sample is taken while the generator works. The *_per_conn
# figures are the growth since the mark "start", which the lab takes before it starts the generator. If the generator
# makes the mark "baseline" after a warm-up, these figures are the growth since "baseline". A connection counts as two
# TCP sockets, because both ends are in the guest.
#
# Exit status: that of the generator if it is 0 to 99 and the server was alive when the generator ended; otherwise
#   100 wrong usage   101 something is missing on this machine   102 the guest did not boot or did not end in time
#   103 the server ended early or never listened   104 a signal, a crash or the time limit ended the generator
#   130 this script was interrupted; it has ended all processes that it started

set -euo pipefail

guest=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)/scale/guest   # files that run in the virtual machine
say() { printf 'scale-lab: %s\n' "$*" >&2; }
die() { local rc=$1; shift; say "$*"; exit "$rc"; }
usage() { sed -n '2,/^$/{/^$/d;s/^# \{0,1\}//;p}' "$0"; }
need_arg() { [ "$2" -ge 2 ] || die 100 "$1 needs a value (see --help)"; }
quote() { printf "'%s' " "${1//\'/\'\\\'\'}"; }                     # quotes one word for the guest's shell
is_number() { case $1 in ''|*[!0-9]*) return 1 ;; esac; }

memory=4G cpus='' limit=600 port=8080 output=scale-lab.jsonl log='' sample=15 append='' kernel='' accel=tcg cpu_model=qemu64 install=0 check=0
cache=${XDG_CACHE_HOME:-${HOME:-/tmp}/.cache}/scale-lab
envs=() sysctls=() sidecars=() files=() server=() generator=()

while [ $# -gt 0 ]; do
  case $1 in
    -m|--memory) need_arg "$1" $#; memory=$2; shift ;;
    -c|--cpus) need_arg "$1" $#; cpus=$2; shift ;;
    -t|--time-limit) need_arg "$1" $#; limit=$2; shift ;;
    -p|--port) need_arg "$1" $#; port=$2; shift ;;
    -o|--output) need_arg "$1" $#; output=$2; shift ;;
    -l|--log) need_arg "$1" $#; log=$2; shift ;;
    -s|--sample) need_arg "$1" $#; sample=$2; shift ;;
    -e|--env) need_arg "$1" $#; envs+=("$2"); shift ;;
    --sysctl) need_arg "$1" $#; sysctls+=("$2"); shift ;;
    --append) need_arg "$1" $#; append=$2; shift ;;
    --sidecar) need_arg "$1" $#; sidecars+=("$2"); shift ;;
    --file) need_arg "$1" $#; files+=("$2"); shift ;;
    --kernel) need_arg "$1" $#; kernel=$2; shift ;;
    --accel) need_arg "$1" $#; accel=$2; shift ;;
    --cpu-model) need_arg "$1" $#; cpu_model=$2; shift ;;
    --cache) need_arg "$1" $#; cache=$2; shift ;;
    --install) install=1 ;;
    --check) check=1 ;;
    -h|--help) usage; exit 0 ;;
    --) shift; break ;;
    *) die 100 "unknown option $1 (see --help)" ;;
  esac
  shift
done
while [ $# -gt 0 ] && [ "$1" != -- ]; do server+=("$1"); shift; done
[ $# -eq 0 ] || shift
generator=("$@")

for n in "$limit" "$port" "$sample" "${cpus:-1}"; do is_number "$n" || die 100 "not a number: $n"; done
[ "$limit" -ge 60 ] || die 100 "--time-limit must be at least 60: the last 30 s are kept for the end, and booting takes 3 to 20 s"
case $memory in *[!0-9GM]*|[GM]*) die 100 "--memory wants a size like 4G or 900M, not $memory" ;; *G|*M) ;; *) die 100 "--memory wants a unit, G or M" ;; esac
case $memory in *G) mem_kb=$((${memory%G} << 20)) ;; *) mem_kb=$((${memory%M} << 10)) ;; esac
case $accel in tcg|kvm) ;; *) die 100 "--accel is tcg or kvm" ;; esac
if [ $check -eq 0 ]; then
  if [ ${#server[@]} -eq 0 ] || [ ${#generator[@]} -eq 0 ]; then
    die 100 "give a server and a generator: -- SERVER [arg...] -- GENERATOR [arg...] (see --help)"
  fi
fi
[ "$(uname -sm)" = "Linux x86_64" ] || die 101 "this lab is for Linux on x86-64"
: "${cpus:=$(n=$(nproc); echo $((n > 4 ? 4 : n)))}"

# --- required programs on this machine -------------------------------------------------------------------------------
missing=()
command -v qemu-system-x86_64 >/dev/null || missing+=(qemu-system-x86)
busybox=$(command -v busybox || true)
is_static() { case $(LC_ALL=C ldd "$1" 2>&1 || true) in *'not a dynamic'*|*'statically linked'*) ;; *) return 1 ;; esac; }
if [ -z "$busybox" ] || ! is_static "$busybox"; then missing+=(busybox-static); fi
if [ ${#missing[@]} -gt 0 ]; then
  [ $install -eq 1 ] || die 101 "missing Debian packages: ${missing[*]} (run: apt-get install --no-install-recommends ${missing[*]}, or this script as root with --install)"
  [ "$(id -u)" = 0 ] || die 101 "--install needs root to install: ${missing[*]}"
  say "installing ${missing[*]}"
  { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 install -y -qq --no-install-recommends "${missing[@]}"; } >/dev/null ||
    die 101 "apt-get could not install: ${missing[*]}"
  busybox=$(command -v busybox)
fi
total_kb=$(awk '/^MemTotal/{print $2}' /proc/meminfo) avail_kb=$(awk '/^MemAvailable/{print $2}' /proc/meminfo)
[ "$mem_kb" -lt "$total_kb" ] || die 101 "the guest needs $memory, but this machine has $((total_kb >> 10))M: use fewer connections, or a larger machine"
[ "$mem_kb" -lt "$avail_kb" ] || die 101 "the guest needs $memory, but only $((avail_kb >> 10))M are free now: end other programs, or use fewer connections"

newest_kernel() { find "$cache" -maxdepth 1 -name 'vmlinuz-*-cloud-amd64' | sort -V | tail -n 1; }
kernel_package() { apt-cache depends linux-image-cloud-amd64 2>/dev/null | awk '/Depends: linux-image-/{print $2; exit}'; }
download_kernel() {                                   # puts the kernel into the cache; the package is only unpacked, not installed
  local package tmp
  if ! command -v apt-get || ! command -v dpkg-deb; then
    die 101 "no kernel: give one with --kernel FILE (the lab downloads Debian's kernel only if apt-get is installed)"
  fi >/dev/null
  package=$(kernel_package) || true
  if [ -z "$package" ] && [ $install -eq 1 ]; then apt-get update -qq >/dev/null || true; package=$(kernel_package) || true; fi
  [ -n "$package" ] || die 101 "apt knows no linux-image-cloud-amd64: run apt-get update, or give --kernel FILE"
  say "downloading $package (about 27 MB, once)"
  tmp=$(mktemp -d "$cache/get.XXXXXX")
  # Run apt as the current user, because the user that apt would use may have no access to the cache.
  ( cd "$tmp" && apt-get -o APT::Sandbox::User="$(id -un)" download -qq "$package" 2>&1 && dpkg-deb -x ./*.deb . && mv boot/vmlinuz-* "$cache/" ) >&2 ||
    { rm -rf "$tmp"; die 101 "apt-get download $package failed: run apt-get update, or give --kernel FILE"; }
  rm -rf "$tmp"
}
if [ -z "$kernel" ]; then
  mkdir -p "$cache"
  kernel=$(newest_kernel)
  [ -n "$kernel" ] || { download_kernel; kernel=$(newest_kernel); }
fi
[ -r "$kernel" ] || die 101 "cannot read the kernel $kernel"

# --- end all processes that this script starts -----------------------------------------------------------------------
work=$(mktemp -d "${TMPDIR:-/tmp}/scale-lab.XXXXXX")
vm_pid='' tail_pid=''
# shellcheck disable=SC2317 # called by the trap
cleanup() {
  trap '' INT TERM HUP
  if [ -n "$vm_pid" ]; then                           # the process of timeout(1), which leads the process group of the virtual machine
    kill "$vm_pid" 2>/dev/null || true
    wait "$vm_pid" 2>/dev/null || true
    kill -9 -- "-$vm_pid" 2>/dev/null || true
  fi
  if [ -n "$tail_pid" ]; then kill "$tail_pid" 2>/dev/null || true; wait "$tail_pid" 2>/dev/null || true; fi
  if [ -n "$log" ] && [ -f "$work/console" ]; then tr -d '\r' <"$work/console" >"$log" || true; fi
  rm -rf "$work"
}
trap cleanup EXIT
trap 'say interrupted; exit 130' INT TERM HUP

# --- the guest's root folder: busybox, the programs, init -----------------------------------------------------------
root=$work/root
mkdir -p "$root"/{bin,lab/bin,proc,sys,dev,tmp,run,etc}
cp "$busybox" "$root/bin/busybox"
printf 'root:x:0:0:root:/:/bin/sh\n' >"$root/etc/passwd"
printf 'root:x:0:\n' >"$root/etc/group"
printf '127.0.0.1 localhost redis\n' >"$root/etc/hosts"

add_program() {                                       # add_program PROGRAM NAME: copies it to /lab/bin/NAME, with its libraries
  local path name=$2 lib
  path=$(command -v -- "$1") || die 101 "no such program: $1"
  cp -L -- "$path" "$root/lab/bin/$name"
  chmod 755 "$root/lab/bin/$name"
  LC_ALL=C ldd "$path" 2>/dev/null | grep -oE '/[^ ]+' | sort -u | while read -r lib; do
    [ -e "$root$lib" ] || { mkdir -p "$root${lib%/*}"; cp -L -- "$lib" "$root$lib"; }
  done || true
}
write_runner() {                                      # write_runner NAME WORD...: makes the script /lab/NAME, which executes the words
  local name=$1 w; shift
  { echo "echo \$\$ >/run/$name.pid"; printf 'exec '; for w in "$@"; do quote "$w"; done; echo; } >"$root/lab/$name"
}
if [ $check -eq 0 ]; then
  add_program "${server[0]}" server
  write_runner server /lab/bin/server "${server[@]:1}"
  add_program "${generator[0]}" generator
  write_runner generator /lab/bin/generator "${generator[@]:1}"
fi
n=0
for s in ${sidecars[@]+"${sidecars[@]}"}; do
  n=$((n + 1))
  add_program "${s%% *}" "sidecar$n"
  case $s in *' '*) rest=${s#* } ;; *) rest= ;; esac
  printf 'echo $$ >/run/sidecar%s.pid\nexec /lab/bin/sidecar%s %s\n' $n $n "$rest" >"$root/lab/sidecar$n"
done
for f in ${files[@]+"${files[@]}"}; do
  case $f in *:/*) ;; *) die 100 "--file wants SRC:/DEST, not $f" ;; esac
  mkdir -p "$root$(dirname "${f#*:}")"
  cp -L -- "${f%%:*}" "$root${f#*:}" || die 101 "cannot read ${f%%:*}"
done
{
  echo "CHECK=$check PORT=$port SAMPLE=$sample LIMIT=$((limit - 30)) SIDECARS=$n"
  for e in ${envs[@]+"${envs[@]}"}; do printf 'export '; quote "$e"; echo; done
} >"$root/lab/conf"
for s in ${sysctls[@]+"${sysctls[@]}"}; do printf '%s\n' "$s"; done >"$root/lab/sysctl"

cp "$guest/snapshot.awk" "$root/lab/"
cp "$guest/init" "$root/init"
chmod 755 "$root/init"
( cd "$root" && find . | "$busybox" cpio -o -H newc 2>/dev/null ) >"$work/initramfs" || die 101 "busybox cpio failed"

# --- run -------------------------------------------------------------------------------------------------------------
# The hash table of TCP is larger than the kernel's default, because a million connections are two million sockets here.
[ "$mem_kb" -ge $((6 << 20)) ] && thash=1048576 || thash=262144
case $accel in
  tcg) accel_args=(-accel "tcg,thread=multi" -cpu "$cpu_model") ;;
  kvm) accel_args=(-accel kvm -cpu host) ;;
esac
# Automatic huge pages are off: if a program returned a part of one, the rest would count as memory of the kernel.
: >"$work/console"; : >"$work/results"
say "booting ${kernel##*/} with $memory and $cpus CPUs ($accel); at most $limit s"
started=$SECONDS
timeout -k 10 "$limit" qemu-system-x86_64 -nodefaults -no-user-config -display none -monitor none -no-reboot -machine pc \
  "${accel_args[@]}" -smp "$cpus" -m "$memory" -kernel "$kernel" -initrd "$work/initramfs" \
  -append "console=ttyS0 quiet panic=-1 oops=panic mitigations=off tsc=reliable init_on_alloc=0 security=none audit=0 nokaslr transparent_hugepage=madvise thash_entries=$thash $append" \
  -serial "file:$work/console" -serial "file:$work/results" </dev/null >"$work/vm" 2>&1 &
vm_pid=$!
tail -n +1 -f -s 0.3 --pid="$vm_pid" "$work/console" 2>/dev/null | sed -u 's/\r//g' &
tail_pid=$!
rc=0; wait "$vm_pid" || rc=$?
vm_pid=
wait "$tail_pid" 2>/dev/null || true
tail_pid=

[ $rc -eq 0 ] || { say "the guest ended with status $rc$([ $rc -ne 124 ] || echo ' (time limit)')"; tail -n 5 "$work/vm" >&2; }
if [ $check -eq 0 ]; then
  tr -d '\r' <"$work/results" >"$output"
  say "$(wc -l <"$output") results in $output after $((SECONDS - started)) s"
  # Print the bytes per connection at each mark. awk parses the lines, so no program for JSON is needed.
  awk -F'[,:{}]' '/^\{"source":"lab"/ && /"event":"mark"/ {
      split("", v); for (i = 1; i < NF; i++) { k = $i; gsub("\"", "", k); w = $(i + 1); gsub("\"", "", w); if (!(k in v)) v[k] = w }
      if (!n++) printf "%-28s %10s %10s %14s %14s %14s %10s\n", "mark", "uptime_s", "conns", "server_B/conn", "kernel_B/conn", "client_B/conn", "free_MiB"
      printf "%-28s %10.1f %10d %14s %14s %14s %10d\n", v["name"], v["t"], v["pairs"], v["server_bytes_per_conn"], v["kernel_bytes_per_conn"], v["generator_bytes_per_conn"], v["free_kb"] / 1024
    }' "$output"
fi
end=$(grep '"event":"end"' "$work/results" | tail -n 1 || true)
[ -n "$end" ] || die 102 "the guest did not run to its end ($([ -s "$work/console" ] && echo 'it began to boot: see the output above' || echo 'it printed nothing: is the kernel readable, does --accel work here?'))"
field() { printf '%s\n' "$end" | sed -n "s/.*\"$1\":\"\{0,1\}\([^\",}]*\).*/\1/p"; }
reason=$(field reason) gen=$(field generator_exit)
case $reason in
  check) say "this machine can run the lab"; exit 0 ;;
  done) ;;
  "time limit") die 104 "time limit reached in the guest" ;;
  *) die 103 "$reason (server's exit status $(field server_exit))" ;;
esac
if ! is_number "$gen" || [ "$gen" -ge 100 ]; then die 104 "generator ended with status $gen"; fi
say "generator's exit status $gen"
exit "$gen"
