#!/bin/bash
# From a Debian package to a signed App Container image, to a web site that it is discovered on, to a running pod, and to an
# OCI image that podman or docker runs. Every command is shown before what it prints.
#
#   examples/rocket.sh
#
# As root or as an ordinary user; besides Lading it needs bash, python3, gpg, gpgv and openssl. Everything listens on loopback
# alone and lies below one temporary directory, which goes at the end, and with Ctrl-C, with all that was made.
# LADING may say which command is meant; without it, it is the one of this checkout, or the one on the PATH.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
if [ -z "${LADING:-}" ]; then
  if [ -x "$here/../.venv/bin/lading" ]; then LADING=$here/../.venv/bin/lading; else LADING=lading; fi
fi
read -ra LADING <<< "$LADING"

step() { printf '\n== %s\n' "$*"; }
fail() { printf 'rocket.sh: %s\n' "$*" >&2; exit 1; }
show() { printf '$ %s\n' "$(words "$@")"; "$@"; }
words() { local word text=''; for word in "$@"; do [[ $word =~ ^[A-Za-z0-9_./:=,@%+-]+$ ]] || word=${word@Q}; text+=" $word"; done; printf '%s' "${text# }"; }
lading() { "${LADING[@]}" "$@"; }

for tool in python3 gpg gpgv openssl "${LADING[0]}"; do
  command -v "$tool" > /dev/null || fail "$tool is not installed"
done
[ "$(id -u)" = 0 ] || { : <> /dev/net/tun; } 2> /dev/null ||
  fail "/dev/net/tun may not be opened: an ordinary user's pod has its network through it (chmod 666 /dev/net/tun)"

# -- what is made, and how it goes ------------------------------------------------------------------------------------------

work=$(mktemp -d /tmp/rocket.XXXXXX)
export LADING_ROOT=$work/root LADING_RUN=$work/run LADING_CONFIG=$work/config GNUPGHOME=$work/gpg
site=''

clean() {
  local status=$? link tag group pid
  trap '' INT TERM HUP
  trap - EXIT
  set +e
  exec 3>&1 >> "$work/clean.log" 2>&1
  lading rkt list --no-legend --full | cut -f 1 | grep . | while read -r pod; do
    lading rkt stop --force "$pod"
    lading rkt status --wait=60s "$pod"
    lading rkt rm "$pod"
  done
  lading check --repair
  if [ "$(id -u)" = 0 ]; then
    # The default bridge, its table and an empty control group stay while a root exists, as docker0 does. This root goes.
    link=$(lading network inspect bridge --format '{Interface}')
    tag=${link#ld} tag=${tag%-*}
    if [ -n "$tag" ]; then
      ip link delete "$link"
      nft delete table inet "lading-$tag"
      for group in /sys/fs/cgroup/"lading-$tag" /sys/fs/cgroup/*/"lading-$tag"; do [ ! -d "$group" ] || rmdir "$group"; done
    fi
  else
    # An ordinary user's namespaces are kept by a process that ends by itself some seconds after the last command.
    for _ in $(seq 600); do pid=$(cat "$LADING_RUN/userns") && kill -0 "${pid%% *}" && sleep 0.1 || break; done
  fi
  [ -z "$site" ] || { kill "$site"; wait "$site"; }
  gpgconf --kill all
  forget_podman
  exec >&3 3>&-
  chmod -R u+rwX "$work" 2> /dev/null
  if rm -rf "$work"; then
    printf '\nEverything that was made is gone again.\n'
  else
    printf '\nrocket.sh: %s is left over\n' "$work" >&2
    status=1
  fi
  exit "$status"
}
trap clean EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

podman() {  # with a store of its own, and runc where it is there: Debian's crun does not take every layout of control groups
  HOME=$work/xdg XDG_RUNTIME_DIR=$work/xdg XDG_DATA_HOME=$work/xdg XDG_CONFIG_HOME=$work/xdg command podman --root "$work/podman" --runroot "$work/podman-run" \
    --tmpdir "$work/podman-tmp" --storage-driver vfs --cgroup-manager cgroupfs --events-backend none \
    $(command -v runc > /dev/null && echo --runtime runc) "$@"
}

forget_podman() {
  local pid
  [ -d "$work/podman" ] || return
  podman rmi --all --force
  [ "$(id -u)" = 0 ] || podman unshare rm -rf "$work/podman" "$work/podman-run"
  for pid in $(cat "$work"/xdg/libpod/tmp/pause.pid "$work"/podman-tmp/pause.pid); do kill "$pid"; done
}

free_port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }

get() {  # a page, waited for until the server is up
  printf '$ GET %s\n' "$1"
  python3 - "$1" <<'END'
import sys, time, urllib.request
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
deadline = time.monotonic() + 60
while True:
    try:
        sys.stdout.write(opener.open(sys.argv[1], timeout=5).read().decode())
        break
    except OSError as error:
        if time.monotonic() > deadline:
            sys.exit(f"rocket.sh: GET {sys.argv[1]}: {error}")
        time.sleep(0.1)
END
}

# -- the image -----------------------------------------------------------------------------------------------------------

cd "$work"
mkdir -p root run config web/rootfs/srv/www site pages xdg
chmod 700 run xdg
mkdir -m 700 gpg

step 'An App Container image, on a base out of a Debian package'
show lading bootstrap --quiet busybox
show lading aci build --image busybox --name rocket.example/busybox:1 -o site/busybox-1.aci
echo 'Hello from the image.' > web/rootfs/srv/www/index.html
cat > web/manifest <<'END'
{
  "acKind": "ImageManifest", "acVersion": "0.8.11", "name": "rocket.example/web",
  "labels": [{"name": "version", "value": "1.0"}],
  "app": {
    "exec": ["/bin/busybox", "httpd", "-f", "-p", "8080", "-h", "/srv/www"], "user": "0", "group": "0",
    "mountPoints": [{"name": "pages", "path": "/srv/www", "readOnly": true}],
    "ports": [{"name": "www", "protocol": "tcp", "port": 8080}]
  },
  "dependencies": [{"imageName": "rocket.example/busybox", "labels": [{"name": "version", "value": "1"}]}]
}
END
show cat web/manifest
show lading aci build web -o site/web-1.0.aci
show lading aci validate site/web-1.0.aci

step 'A key, and signatures by it'
show gpg --batch --quiet --pinentry-mode loopback --passphrase '' --quick-gen-key 'Rocket example <release@rocket.example>' ed25519 sign
for archive in site/*.aci; do show gpg --batch --quiet --armor --output "$archive.asc" --detach-sign "$archive"; done
gpg --batch --quiet --armor --export > site/keys.asc
show gpg --batch --quiet --no-auto-check-trustdb --fingerprint

step 'A web site over HTTPS: its page says where images and keys are'
cat > site/index.html <<'END'
<!DOCTYPE html>
<html><head>
<meta name="ac-discovery" content="rocket.example https://rocket.example/{name}-{version}.{ext}">
<meta name="ac-discovery-pubkeys" content="rocket.example https://rocket.example/keys.asc">
</head></html>
END
show cat site/index.html
mkdir site/rocket.example && mv site/*.aci site/*.aci.asc site/rocket.example
mkdir tls
certificate=(openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2)
"${certificate[@]}" -subj '/CN=Authority of the example' -keyout tls/ca.key -out tls/ca.crt 2> tls/log
"${certificate[@]}" -subj /CN=rocket.example -addext subjectAltName=DNS:rocket.example -addext basicConstraints=critical,CA:false \
  -CA tls/ca.crt -CAkey tls/ca.key -keyout tls/site.key -out tls/site.crt 2>> tls/log
mkdir -p config/certs.d/rocket.example && cp tls/ca.crt config/certs.d/rocket.example

# Nobody's name leads to this machine, and port 443 is not ours: a proxy on loopback is the way to the site.
cat > site.py <<'END'
import functools, http.server, os, ssl, sys

context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain("tls/site.crt", "tls/site.key")
pages = functools.partial(http.server.SimpleHTTPRequestHandler, directory="site")


class Proxy(http.server.BaseHTTPRequestHandler):
    timeout = 60

    def do_CONNECT(self):
        if self.path != "rocket.example:443":
            return self.send_error(403, "this proxy leads to rocket.example alone")
        self.wfile.write(b"HTTP/1.1 200 go on\r\n\r\n")
        with context.wrap_socket(self.connection, server_side=True) as inner:
            pages(inner, self.client_address, self.server)
        self.close_connection = True

    def log_message(self, *words):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Proxy)
with open("site.port.new", "w") as file:
    file.write(str(server.server_address[1]))
os.rename("site.port.new", "site.port")
server.serve_forever()
END
python3 site.py > site.log 2>&1 &
site=$!
until [ -s site.port ]; do kill -0 "$site" 2> /dev/null || fail "the site did not start: $(cat site.log)"; sleep 0.1; done
unset no_proxy NO_PROXY HTTPS_PROXY
export https_proxy=http://127.0.0.1:$(cat site.port)
show export https_proxy="$https_proxy"

# -- trust, fetch, run -----------------------------------------------------------------------------------------------------

step 'Trust: nothing is fetched before, and a key counts after a yes'
show lading rkt fetch rocket.example/web:1.0 && fail 'an image was fetched that nobody vouched for'
show lading rkt trust --prefix=rocket.example <<< yes
show lading trust list

step 'Fetch by name: discovered, its signature checked, with what it depends on'
show lading rkt fetch rocket.example/web:1.0
show lading rkt image list

step 'Run, with a volume and a port'
echo 'Hello from the volume.' > pages/index.html
port=$(free_port)
show lading rkt run --detach --uuid-file-save=uuid --volume="pages,kind=host,source=$work/pages" --port="www:127.0.0.1:$port" rocket.example/web:1.0
uuid=$(cat uuid)
show lading rkt status --wait-ready "$uuid"
get "http://127.0.0.1:$port/"
show lading rkt list

step 'Look inside'
show lading rkt enter --app=web "$uuid" /bin/busybox cat /srv/www/index.html
show lading rkt enter --app=web "$uuid" /bin/busybox ps

step 'Stop, and collect'
show lading rkt stop "$uuid"
show lading rkt status --wait=60s "$uuid"
show lading rkt gc --grace-period=0s
show lading rkt list

# -- elsewhere -------------------------------------------------------------------------------------------------------------

step 'The same image as an OCI image, run by somebody else'
show lading save rocket.example/web:1.0 -o web.tar
run=(run --rm --network=none --ulimit nofile=1024:1024 --ulimit nproc=1000:1000 --entrypoint /bin/busybox rocket.example/web:1.0 cat /srv/www/index.html)
if type -P podman > /dev/null; then
  show podman load --quiet -i web.tar
  show podman "${run[@]}"
elif type -P docker > /dev/null && docker info > /dev/null 2>&1 && ! docker image inspect rocket.example/web:1.0 > /dev/null 2>&1; then
  show docker load --quiet -i web.tar
  show docker "${run[@]}" || { docker rmi rocket.example/web:1.0; fail 'docker did not run it'; }
  show docker rmi rocket.example/web:1.0
else
  echo 'Neither podman nor a running docker is here: web.tar would be theirs to load.'
fi
step 'Done'
