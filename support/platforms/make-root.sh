#!/bin/bash
# make-root.sh RELEASE FOLDER PACKAGE…: makes a Debian in FOLDER and installs the packages. Nothing of them is started.
# Where FOLDER exists already, it is complete, and nothing is done. Needs root, and a mount namespace of its own.
set -euo pipefail
release=$1 folder=$2
shift 2
[ ! -e "$folder" ] || exit 0

# The mirror of this machine, else Debian's own.
mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' | grep -E '/debian/?$' | head -n 1 || true)
mirror=${mirror:-https://deb.debian.org/debian}

# Renamed when it is complete, so that a half-made one is never used.
partial=$folder.partial
rm -rf --one-file-system "$partial"
# Debian's own releases share one script; an older debootstrap doesn't know the newest names.
debootstrap --variant=minbase --include=ca-certificates "$release" "$partial" "$mirror" /usr/share/debootstrap/scripts/sid

# The certificates and the network settings of this machine, by which it reaches the mirror.
cp --archive /etc/ssl/certs/. "$partial/etc/ssl/certs/"
cp --archive /usr/share/ca-certificates/. "$partial/usr/share/ca-certificates/"
apt-config dump | grep -E '^Acquire::(https?|Retries|Check-)' > "$partial/etc/apt/apt.conf.d/99this-machine" || true
cp /etc/hosts /etc/resolv.conf "$partial/etc/"

# No service may start: it would run in this machine's network, on the usual ports.
printf '#!/bin/sh\nexit 101\n' > "$partial/usr/sbin/policy-rc.d"
chmod 755 "$partial/usr/sbin/policy-rc.d"
mount --rbind /dev "$partial/dev"
mount --bind /proc "$partial/proc"
export DEBIAN_FRONTEND=noninteractive
chroot "$partial" apt-get -qq update
chroot "$partial" apt-get -qq install --yes --no-install-recommends "$@"
chroot "$partial" apt-get clean
umount "$partial/proc"
umount --recursive "$partial/dev"
mv "$partial" "$folder"
