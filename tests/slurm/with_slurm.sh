#!/usr/bin/env bash
# Runs a command beside a Slurm of one node that ends with it: tests/slurm/with_slurm.sh COMMAND...
#
# The machine itself gets nothing of it. Debian's packages are installed into an overlay in memory, which only the
# command and the daemons see; they have processes, a network and a host name of their own. Needs root and Debian.
set -euo pipefail
PACKAGES="munge slurmctld slurmd slurm-client slurmdbd mariadb-server iproute2"
here=$(dirname "$(realpath "$0")")
repository=$(dirname "$(dirname "$here")")

outside() {
  if [ "$(id -u)" != 0 ] || ! command -v apt-get unshare >/dev/null; then
    echo "no Slurm: it takes root, on Debian, to install one" >&2
    exit 77
  fi
  exec unshare --mount --uts --pid --fork --kill-child "$here/with_slurm.sh" --install "$PWD" "$@"
}

install() { # in namespaces of its own, with the machine's network
  local top=/mnt root=/mnt/root
  mount -t tmpfs -o size=8g slurm "$top"
  mkdir "$top/upper" "$top/work" "$root"
  mount -t overlay -o "lowerdir=/,upperdir=$top/upper,workdir=$top/work" slurm "$root"
  mount -t proc proc "$root/proc"
  mount --rbind /dev "$root/dev"
  mount --rbind /sys "$root/sys"
  mount --bind "$repository" "$root$repository" # what the command writes there stays
  hostname node
  printf '#!/bin/sh\nexit 101\n' >"$root/usr/sbin/policy-rc.d" && chmod +x "$root/usr/sbin/policy-rc.d"
  # shellcheck disable=SC2086
  { chroot "$root" apt-get update -qq &&
    DEBIAN_FRONTEND=noninteractive chroot "$root" apt-get install -y -qq --no-install-recommends $PACKAGES; } \
    >"$top/apt.log" 2>&1 || { tail "$top/apt.log" >&2 && echo "no Slurm: it could not be installed" >&2 && exit 77; }
  exec chroot "$root" unshare --net "$here/with_slurm.sh" --start "$@"
}

start() {
  local folder=$1 cores memory
  shift
  trap 'tail -n 20 /var/log/slurm/*.log >&2' ERR
  cores=$(nproc) memory=$(awk '/MemTotal/ {print int($2 / 1024 * 0.9)}' /proc/meminfo)
  ip link set lo up
  ip address add 192.0.2.1/32 dev lo # Slurm listens on no machine that has nothing but 127.0.0.1
  printf '127.0.0.1 localhost\n192.0.2.1 node\n' >/etc/hosts
  /usr/bin/install -d -o munge -g munge -m 0755 /run/munge
  /usr/bin/install -d -o mysql -g mysql /run/mysqld
  /usr/bin/install -d /var/spool/slurmctld /var/spool/slurmd /var/log/slurm
  sed -e "s/@CORES@/$cores/" -e "s/@MEMORY@/$memory/" "$here/slurm.conf" >/etc/slurm/slurm.conf
  /usr/bin/install -m 0600 "$here/slurmdbd.conf" /etc/slurm/slurmdbd.conf
  runuser -u munge -- munged
  runuser -u mysql -- mariadbd --skip-networking >/var/log/slurm/mariadb.log 2>&1 &
  until_true mariadb-admin ping
  slurmdbd
  until_true sacctmgr --noheader list cluster
  sacctmgr --immediate --quiet add cluster phalanx >/dev/null
  slurmctld
  slurmd
  until_true sh -c 'sinfo --noheader --format=%t | grep -qx idle'
  echo "$(slurmctld -V) with accounting, one node of $cores cores and $memory MB" >&2
  cd "$folder"
  trap - ERR
  PHALANX_SLURM=1 "$@" # all else ends with this process
}

until_true() {
  local try
  for try in $(seq 50); do
    timeout 2 "$@" >/dev/null 2>&1 && return
    sleep 0.2
  done
  echo "no Slurm: '$*' does not answer" >&2
  tail -n 20 /var/log/slurm/*.log >&2
  exit 1
}

case ${1:-} in
  --install | --start) phase=${1#--} && shift && "$phase" "$@" ;;
  "") sed -n '2,5s/^# \{0,1\}//p' "$0" && exit 2 ;;
  *) outside "$@" ;;
esac
