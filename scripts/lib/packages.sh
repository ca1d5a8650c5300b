# Debian packages that the tests and the sandbox use. Source it, then call need_programs.
# Only what is missing is installed, by apt as root or through sudo; a package never takes over a file of another.
source "$(dirname "${BASH_SOURCE[0]}")/retry.sh"

# program -> package. A program is looked for in PATH, the sbin folders and PostgreSQL's own folder.
declare -A PACKAGE_OF=(
  [initdb]=postgresql [psql]=postgresql-client [pgbench]=postgresql
  [sshd]=openssh-server [ssh]=openssh-client [scp]=openssh-client [ssh-keygen]=openssh-client
  [nft]=nftables [ip]=iproute2 [ping]=iputils-ping
  [strace]=strace [tmux]=tmux [curl]=curl [setpriv]=util-linux
  [faketime]=faketime [turnserver]=coturn
  [node]=nodejs [npm]=npm [chromium-headless-shell]=chromium-headless-shell
)

find_program() {  # path of a program, also outside a plain user's PATH
  local found
  found="$(PATH="$PATH:/usr/local/sbin:/usr/sbin:/sbin" command -v "$1")" && { echo "$found"; return; }
  found="$(compgen -G "/usr/lib/postgresql/*/bin/$1" | sort -V | tail -n 1)" && [ -n "$found" ] && echo "$found"
}

as_root() {  # run a command as root, or fail with a hint
  if [ "$(id -u)" -eq 0 ]; then "$@"
  elif sudo -n true 2>/dev/null; then sudo -n "$@"
  else echo "not root and no sudo without a password: run as root: $*" >&2; return 1
  fi
}

apt_update_and_install() {  # both again when a download fails: a package may have gone from the mirror since the update
  as_root apt-get -o DPkg::Lock::Timeout=120 -o Acquire::Retries=3 update &&
    as_root env DEBIAN_FRONTEND=noninteractive \
      apt-get -o DPkg::Lock::Timeout=120 -o Acquire::Retries=3 install -y --no-install-recommends "$@"
}

apt_install() {  # install packages without starting any server of theirs; the end of apt's log on failure
  local log policy=/usr/sbin/policy-rc.d ours=no status=0
  log="$(mktemp)"
  # Our tests start their own servers on their own ports; the machine's must not come up beside them.
  if [ ! -e "$policy" ]; then
    printf '#!/bin/sh\nexit 101\n' | as_root tee "$policy" > /dev/null && as_root chmod 755 "$policy" && ours=yes
  fi
  retry apt_update_and_install "$@" > "$log" 2>&1 || { status=1; tail -n 20 "$log" >&2; }
  [ "$ours" = no ] || as_root rm -f "$policy"
  rm -f "$log"
  return "$status"
}

need_programs() {  # install the packages of the programs that are missing; status 1 when one stays missing
  local program package missing=()
  for program in "$@"; do
    find_program "$program" > /dev/null && continue
    package="${PACKAGE_OF[$program]}"
    [[ " ${missing[*]:-} " == *" $package "* ]] || missing+=("$package")
  done
  [ "${#missing[@]}" -gt 0 ] || return 0

  echo "installing with apt: ${missing[*]}" >&2
  if ! command -v apt-get > /dev/null; then
    echo "no apt-get here; install by hand what provides: ${missing[*]}" >&2
    return 1
  fi
  apt_install "${missing[@]}" || { echo "apt could not install: ${missing[*]}" >&2; return 1; }
  for program in "$@"; do
    find_program "$program" > /dev/null && continue
    echo "still missing after the install: $program (package ${PACKAGE_OF[$program]})" >&2
    return 1
  done
}
