#!/bin/bash
# in-root.sh ROOT NODE PROJECT COMMAND…: runs COMMAND in the Debian of the folder ROOT, in the folder PROJECT, which has
# the same path there, with the Node of the folder NODE. Needs root, and mount and process namespaces of its own: what is
# mounted here, and what the command has started, go with it.
set -euo pipefail
root=$1 node=$2 project=$3
shift 3
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"
mount --rbind /sys "$root/sys"
mount -t tmpfs tmpfs "$root/tmp"
mkdir -p "$root$project" "$root/opt/node"
mount --rbind "$project" "$root$project"
mount --bind "$node" "$root/opt/node"
cp /etc/hosts /etc/resolv.conf "$root/etc/"
exec chroot "$root" /usr/bin/env --ignore-environment --chdir="$project" \
  PATH=/opt/node/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8 ${SEED:+SEED="$SEED"} "$@"
