#!/usr/bin/env python3
"""tunnel_bench.py - measure ANY TCP tunnel, alone or side by side.  Standard library only.

    driver --TCP--> [local listener | tunnel under test | remote connect] --TCP--> target
      ^ this program                                          this program, own process ^

A tunnel is anything that listens on a local TCP port and forwards each connection to one
fixed target port.  The harness brings its own target (sink / source / echo / paused sink,
picked by the first byte of each connection), starts and stops the tunnel processes, and
reports per tunnel:

  bulk      up (driver->target) and down, MiB/s, over 1 and over --parallel connections,
            with CPU seconds per GiB of the client and of the server process tree
  lat       1-byte ping-pong, p50/p90/p99/max in microseconds, idle
  latload   the same while one bulk upload saturates the tunnel (bufferbloat / fairness)
  cps       new connections per second: connect + 1-byte echo + close, sequential and 16-wide
  mem       slow reader, both directions: the reader stops for --pause seconds while the writer
            pushes; how many bytes the tunnel swallowed, how much each process grew, whether
            another connection still works meanwhile (head-of-line blocking), and whether all
            bytes arrive once the reader resumes
  integ     random bytes + SHA-256 in both directions, half-close (EOF) propagation both ways,
            refused/aborted connection seen as a close
  idle      RSS and CPU of each process tree doing nothing

Every test is bounded: a bulk transfer stops after --bytes or --max-seconds, whichever is first.

USE
  1. A tunnel the harness starts (placeholders: {port} {target_host} {target_port} {python} {dir}):
       tunnel_bench.py --name mine --port 7001 \\
           --server-cmd 'mytool serve --to {target_host}:{target_port}' \\
           --client-cmd 'mytool connect --listen {port}' --json out.json
  2. A tunnel that already runs; the target must then be reachable on --target-port:
       tunnel_bench.py --name mine --port 7001 --target-port 7000 --client-pid 123 --server-pid 456
  3. Side by side, interleaved, medians, ratios (the usual way):
       tunnel_bench.py --spec spec.json --rounds 3 --baseline ssh --json out.json
     spec.json is a list of objects:
       {"name": "ssh", "port": 7002, "server_cmd": "...", "client_cmd": "...",
        "bytes": 536870912, "env": {"K": "V"}, "skip": ["mem"], "settle": 0.5,
        "target_host": "127.0.0.1", "connect_host": "127.0.0.1", "extra_cmds": ["relay ..."]}
     server_cmd starts first, then extra_cmds (a relay, say), then client_cmd.  Either may be "".
     `--raw` adds a pseudo tunnel "raw" (driver straight to the target): the limit.
  4. The target alone, on another host or network namespace:
       tunnel_bench.py --target-only --target-bind 0.0.0.0 --target-port 7000

  --tests bulk,lat,...   choose tests         --only a,b     choose tunnels of the spec
  --bytes N (K/M/G)      bytes per bulk run   --quick        small everything, for a smoke test
  --pings N --conns N --parallel N --pause S --max-seconds S --ready-timeout S
  --quiet-wait S         before each tunnel wait, at most S seconds, until others use < 0.15 cores
  --max-foreign F        leave a sample out of the median if others used more than F cores during it
                         (every bulk and lat sample carries "foreign_cores"; kernel threads count in it)
  --json FILE            all raw samples + medians + ratios; without it, JSON is not written
  --md FILE              the Markdown table that is also printed
  --logs DIR             stdout+stderr of the tunnel processes (default: a temp dir, shown on failure)

EXIT STATUS  0 every test of every tunnel gave a figure; 1 some test failed (named in "errors");
             2 a usage error; a tunnel that does not come up counts as failed, others still run.

NOTES ON METHOD
  * CPU is utime+stime of the whole process tree of each command (children that ended count too),
    read from /proc before and after; `sys_cpu_s_per_gib` is the whole machine's busy time and so
    includes driver, target and kernel work that no process is charged for.
  * The driver's own cost is kept small on Linux: it discards with recv(MSG_TRUNC), without a copy,
    so on a 2-core machine the tunnel, not the driver, is what is measured (0.27 CPU s per GiB for
    driver + target on an EPYC core; sendfile() from a memfd was tried and costs more than send()).
    --copy reads with a copy instead.
  * RSS is sampled every 50 ms over the process tree; "growth" is the peak during the test minus
    the value just before it.
  * Rounds interleave the tunnels (A B C, A B C, ...), each with fresh processes, so slow drift of
    a shared machine hits all alike; report the ratio to --baseline, not the absolute figure.
  * Works on Linux (needs /proc for CPU and memory; without it those figures are null).
"""

import argparse
import contextlib
import hashlib
import json
import os
import random
import re
import shlex
import signal
import socket
import statistics
import struct
import subprocess
import sys
import tempfile
import threading
import time

MIB = 1 << 20
BLOCK = 1 << 20
U64 = struct.Struct("!Q")
PROC = os.path.isdir("/proc/self")
TICK = os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100
MSG_TRUNC = getattr(socket, "MSG_TRUNC", 0) if sys.platform.startswith("linux") else 0
MSG_MORE = getattr(socket, "MSG_MORE", 0) if sys.platform.startswith("linux") else 0
COPY = False  # --copy

# ----------------------------------------------------------------------------- byte pumps
# A bulk stream is a run of blocks: 8-byte big-endian length, then that many bytes; length 0 ends
# it.  The end marker makes the protocol independent of half-close support in the tunnel.

_payload = None


def payload():
    global _payload
    if _payload is None:
        _payload = random.Random(7).randbytes(BLOCK)  # incompressible
    return _payload


def send_block(sock, n):
    sock.sendall(U64.pack(n), MSG_MORE)
    sock.sendall(memoryview(payload())[:n])


def recv_exact(sock, n):
    buf = bytearray()
    while len(buf) < n:
        chunk = sock.recv(n - len(buf))
        if not chunk:
            raise ConnectionError("closed after %d of %d bytes" % (len(buf), n))
        buf += chunk
    return bytes(buf)


def discard(sock, n, scratch):
    """Read and drop exactly n bytes."""
    view = memoryview(scratch)
    flags = 0 if COPY else MSG_TRUNC
    while n:
        k = sock.recv_into(view, min(n, len(scratch)), flags)
        if k == 0:
            raise ConnectionError("closed with %d bytes to come" % n)
        n -= k


def recv_blocks(sock, scratch=None, progress=None):
    scratch = scratch or bytearray(BLOCK)
    total = 0
    while True:
        (n,) = U64.unpack(recv_exact(sock, 8))
        if n == 0:
            return total
        discard(sock, n, scratch)
        total += n
        if progress is not None:
            progress[0] = total


def send_blocks(sock, limit, deadline, stop=None, progress=None):
    sent = 0
    while sent < limit and time.monotonic() < deadline and not (stop and stop.is_set()):
        n = min(BLOCK, limit - sent)
        send_block(sock, n)
        sent += n
        if progress is not None:
            progress[0] = sent
    sock.sendall(U64.pack(0))
    return sent


# ----------------------------------------------------------------------------- target server
# First byte of a connection: E echo | S sink blocks, reply u64 total | G u64 limit, u64 max ms:
# source blocks | P u64 pause ms: read nothing that long, then as S | H sha256 of all until EOF, reply
# digest | R u64 n, u64 seed: n random bytes then close | Q query: u64 bytes sourced so far by the latest G
# | X abort with RST | N greet first (for server-speaks-first protocols): handled by 'E' too.

_sourced = [0]


def serve_one(sock):
    try:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        op = sock.recv(1)
        if op == b"E":
            while True:
                d = sock.recv(65536)
                if not d:
                    break
                sock.sendall(d)
        elif op == b"S":
            sock.sendall(U64.pack(recv_blocks(sock)))
        elif op == b"P":
            (ms,) = U64.unpack(recv_exact(sock, 8))
            time.sleep(ms / 1000)
            sock.sendall(U64.pack(recv_blocks(sock)))
        elif op == b"G":
            limit, ms = struct.unpack("!QQ", recv_exact(sock, 16))
            _sourced[0] = 0
            send_blocks(sock, limit, time.monotonic() + ms / 1000, progress=_sourced)
            sock.recv(1)  # let the driver close first
        elif op == b"Q":
            sock.sendall(U64.pack(_sourced[0]))
            sock.recv(1)
        elif op == b"H":
            h = hashlib.sha256()
            n = 0
            while True:
                d = sock.recv(65536)
                if not d:
                    break
                h.update(d)
                n += len(d)
            sock.sendall(U64.pack(n) + h.digest())
        elif op == b"R":
            n, seed = struct.unpack("!QQ", recv_exact(sock, 16))
            sock.sendall(random.Random(seed).randbytes(n))
            sock.shutdown(socket.SHUT_WR)
            while sock.recv(65536):
                pass
        elif op == b"X":
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    except (OSError, ConnectionError, struct.error):
        pass
    finally:
        sock.close()


def target_main(bind, port, ready_fd=None):
    signal.signal(signal.SIGINT, signal.SIG_IGN if ready_fd is not None else signal.SIG_DFL)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    payload()
    s = socket.socket(socket.AF_INET6 if ":" in bind else socket.AF_INET)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.bind((bind, port))
    s.listen(1024)
    if ready_fd is not None:
        parent = os.getppid()

        def watch():  # a killed harness must not leave its target behind
            while os.getppid() == parent:
                time.sleep(1)
            os._exit(0)

        threading.Thread(target=watch, daemon=True).start()
        os.write(ready_fd, b"%d\n" % s.getsockname()[1])
        os.close(ready_fd)
    else:
        print("target on %s port %d" % (bind, s.getsockname()[1]), flush=True)
    while True:
        c, _ = s.accept()
        threading.Thread(target=serve_one, args=(c,), daemon=True).start()


# ----------------------------------------------------------------------------- /proc accounting


def proc_table():
    t = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat", "rb") as f:
                    raw = f.read()
            except OSError:
                continue
            f = raw[raw.rindex(b")") + 2 :].split()
            t[int(name)] = (int(f[1]), sum(int(x) for x in f[11:15]))
    return t


def tree(root, table=None):
    table = table if table is not None else proc_table()
    if root not in table:
        return []
    kids = {}
    for pid, (pp, _) in table.items():
        kids.setdefault(pp, []).append(pid)
    out, todo = [], [root]
    while todo:
        p = todo.pop()
        out.append(p)
        todo += kids.get(p, [])
    return out


def tree_cpu(root):
    if not PROC or not root:
        return None
    table = proc_table()
    return sum(table[p][1] for p in tree(root, table)) / TICK


def tree_rss(pids):
    kb = 0
    for p in pids:
        try:
            with open("/proc/%d/statm" % p) as f:
                kb += int(f.read().split()[1]) * (os.sysconf("SC_PAGE_SIZE") // 1024)
        except (OSError, IndexError):
            pass
    return kb / 1024  # MiB


def sys_busy():
    if not PROC:
        return None
    with open("/proc/stat") as f:
        v = [int(x) for x in f.readline().split()[1:9]]
    return (sum(v) - v[3] - v[4]) / TICK


class RssSampler(threading.Thread):
    """Peak RSS of each tree while running."""

    def __init__(self, roots):
        super().__init__(daemon=True)
        self.roots, self.peak, self.base, self.last = roots, {}, {}, {}
        self.halt = threading.Event()
        self._trees()
        for k, pids in self.pids.items():
            self.base[k] = self.peak[k] = tree_rss(pids)

    def _trees(self):
        table = proc_table()
        self.pids = {k: tree(r, table) for k, r in self.roots.items() if r}

    def run(self):
        i = 0
        while not self.halt.wait(0.05):
            i += 1
            if i % 10 == 0:
                self._trees()
            for k, pids in self.pids.items():
                self.last[k] = r = tree_rss(pids)
                self.peak[k] = max(self.peak.get(k, 0), r)

    def stop(self):
        self.halt.set()
        self.join()
        return self


def self_cpu():
    t = os.times()
    return t.user + t.system


TARGET_PID = [None]


def quiet_wait(limit, below=0.15):
    """Wait until the rest of the machine uses less than `below` cores for a second; the last reading."""
    if not PROC:
        return None
    end = time.monotonic() + limit
    while True:
        b, c, t = sys_busy(), self_cpu(), time.monotonic()
        time.sleep(1)
        load = max(0.0, (sys_busy() - b - (self_cpu() - c)) / (time.monotonic() - t))
        if load < below or time.monotonic() > end:
            return load


class Meter:
    """CPU and RSS of the tunnel over a with-block, and how much CPU strangers took meanwhile."""

    def __init__(self, roots):
        self.roots = {k: v for k, v in roots.items() if v}

    def __enter__(self):
        self.rss = RssSampler(self.roots) if PROC and self.roots else None
        if self.rss:
            self.rss.start()
        self.c0 = {k: tree_cpu(v) for k, v in self.roots.items()}
        self.own0 = self_cpu() + (tree_cpu(TARGET_PID[0]) or 0)
        self.s0 = sys_busy()
        self.t0 = time.monotonic()
        return self

    def __exit__(self, *a):
        self.wall = time.monotonic() - self.t0
        self.cpu = {k: tree_cpu(v) - self.c0[k] for k, v in self.roots.items()} if PROC else {}
        self.sys = sys_busy() - self.s0 if PROC else None
        own = self_cpu() + (tree_cpu(TARGET_PID[0]) or 0) - self.own0
        # what nobody of ours is charged for: other programs, plus kernel threads working for us
        self.foreign = (
            max(0.0, (self.sys - own - sum(self.cpu.values())) / max(self.wall, 1e-9))
            if PROC
            else None
        )
        if self.rss:
            self.rss.stop()
        return False

    def per_gib(self, nbytes):
        g = nbytes / (1 << 30)
        d = {k + "_cpu_s_per_gib": v / g for k, v in self.cpu.items()}
        if self.cpu:
            d["cpu_s_per_gib"] = sum(self.cpu.values()) / g
        if self.sys is not None:
            d["sys_cpu_s_per_gib"] = self.sys / g
            d["foreign_cores"] = self.foreign
        if self.rss:
            d.update({k + "_peak_rss_mib": v for k, v in self.rss.peak.items()})
        return d


# ----------------------------------------------------------------------------- the driver


class Driver:
    def __init__(self, host, port, roots, opt):
        self.host, self.port, self.roots, self.opt = host, port, roots, opt

    def connect(self, op=b"", timeout=None):
        s = socket.create_connection((self.host, self.port), timeout or self.opt.io_timeout)
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if op:
            s.sendall(op)
        return s

    # -- readiness
    def wait_ready(self, limit, alive=lambda: True):
        end = time.monotonic() + limit
        err = None
        while time.monotonic() < end and alive():
            try:
                with self.connect(b"Ex", timeout=3) as s:
                    if s.recv(1) == b"x":
                        return True
            except OSError as e:
                err = e
            time.sleep(0.1)
        raise RuntimeError(f"tunnel not ready in {limit:g}s ({err})")

    # -- bulk
    def bulk(self, direction, conns, nbytes, max_s):
        per = max(1, nbytes // conns)
        got, errs = [0] * conns, []
        barrier = threading.Barrier(conns + 1)
        # connections are opened (and proved) before the clock starts
        socks = []
        for _ in range(conns):
            socks.append(self.connect())

        def work(i):
            s = socks[i]
            try:
                barrier.wait()
                if direction == "up":
                    s.sendall(b"S")
                    sent = send_blocks(s, per, time.monotonic() + max_s)
                    s.settimeout(self.opt.io_timeout + max_s)
                    (n,) = U64.unpack(recv_exact(s, 8))
                    if n != sent:
                        raise RuntimeError("sent %d, target counted %d" % (sent, n))
                    got[i] = n
                else:
                    s.sendall(b"G" + struct.pack("!QQ", per, int(max_s * 1000)))
                    got[i] = recv_blocks(s)
            except Exception as e:  # noqa: BLE001 - reported
                errs.append(f"{type(e).__name__}: {e}")
            finally:
                s.close()

        ts = [threading.Thread(target=work, args=(i,), daemon=True) for i in range(conns)]
        for t in ts:
            t.start()
        with Meter(self.roots) as m:
            barrier.wait()
            for t in ts:
                t.join()
        if errs:
            raise RuntimeError("; ".join(sorted(set(errs))[:3]))
        total = sum(got)
        r = {"mib_s": total / MIB / m.wall, "bytes": total, "seconds": m.wall}
        r.update(m.per_gib(total))
        return r

    # -- latency
    def pingpong(self, n, max_s=30.0):
        out = []
        with self.connect(b"E") as s:
            for _ in range(20):
                s.sendall(b".")
                recv_exact(s, 1)
            end = time.monotonic() + max_s
            for _ in range(n):
                t = time.perf_counter()
                s.sendall(b".")
                if not s.recv(1):
                    raise ConnectionError("echo closed")
                out.append((time.perf_counter() - t) * 1e6)
                if time.monotonic() > end:
                    break
        out.sort()

        def q(p):
            return out[min(len(out) - 1, int(p * len(out)))]

        return {
            "p50_us": q(0.5),
            "p90_us": q(0.9),
            "p99_us": q(0.99),
            "max_us": out[-1],
            "n": len(out),
        }

    def lat(self):
        with Meter(self.roots) as m:
            r = self.pingpong(self.opt.pings)
        if m.foreign is not None:
            r["foreign_cores"] = m.foreign
        if m.cpu:
            r["cpu_us_per_ping"] = sum(m.cpu.values()) / r["n"] * 1e6
        return r

    def latload(self):
        # the load runs in a process of its own, so that it and the pings do not share a GIL
        load = subprocess.Popen(
            [
                sys.executable,
                os.path.abspath(__file__),
                "--load-only",
                "--connect-host",
                self.host,
                "--port",
                str(self.port),
                "--io-timeout",
                str(self.opt.io_timeout),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        try:
            time.sleep(1.0)
            r = self.pingpong(min(self.opt.pings, 1000), max_s=10.0)
            load.stdin.close()
            out = load.stdout.read()
            if load.wait(self.opt.io_timeout + 70) != 0 or not out:
                raise RuntimeError("the load failed")
            r["load_mib_s"] = json.loads(out)["mib_s"]
        finally:
            if load.poll() is None:
                load.kill()
            load.stdout.close()
        return r

    # -- connections per second
    def cps(self, workers):
        n, end = self.opt.conns, time.monotonic() + 10
        done, errs, lat = [0] * workers, [0] * workers, []

        def work(i):
            for _ in range(n // workers):
                if time.monotonic() > end:
                    break
                try:
                    t = time.perf_counter()
                    with self.connect(b"Ex") as s:
                        if s.recv(1) == b"x":
                            done[i] += 1
                            lat.append((time.perf_counter() - t) * 1e6)
                        else:
                            errs[i] += 1
                except OSError:
                    errs[i] += 1

        ts = [threading.Thread(target=work, args=(i,)) for i in range(workers)]
        with Meter(self.roots) as m:
            for t in ts:
                t.start()
            for t in ts:
                t.join()
        if not sum(done):
            raise RuntimeError("no connection worked")
        lat.sort()
        r = {
            "conn_s": sum(done) / m.wall,
            "n": sum(done),
            "failed": sum(errs),
            "first_byte_p50_us": lat[len(lat) // 2],
            "first_byte_p99_us": lat[int(len(lat) * 0.99)],
        }
        if m.cpu:
            r["cpu_ms_per_conn"] = sum(m.cpu.values()) / sum(done) * 1e3
        return r

    # -- slow reader
    def mem(self, direction):
        pause, cap = self.opt.pause, self.opt.mem_cap
        prog = [0]
        res, err = {}, []
        sampler = RssSampler(self.roots)
        sampler.start()
        s = self.connect()
        # The kernel's own socket buffers would swallow megabytes; keep the driver's small.
        if direction == "up":
            s.sendall(b"P" + U64.pack(int(pause * 1000)))

            def push():
                try:
                    s.settimeout(pause + self.opt.io_timeout)
                    sent = send_blocks(s, cap, time.monotonic() + pause, progress=prog)
                    s.settimeout(self.opt.io_timeout + 60)
                    (n,) = U64.unpack(recv_exact(s, 8))
                    res["complete"] = n == sent
                    res["bytes"] = n
                except Exception as e:  # noqa: BLE001
                    err.append(f"{type(e).__name__}: {e}")

            t = threading.Thread(target=push, daemon=True)
            t.start()
            time.sleep(pause * 0.6)
            hol = self._hol()
            time.sleep(pause * 0.3)
            swallowed = prog[0]
        else:
            s.sendall(b"G" + struct.pack("!QQ", cap, int(pause * 1000)))
            time.sleep(pause * 0.6)
            hol = self._hol()
            time.sleep(pause * 0.3)
            swallowed = None
            if hol is not None:
                try:
                    with self.connect(b"Q") as q:
                        (swallowed,) = U64.unpack(recv_exact(q, 8))
                except OSError:
                    pass
        peak_paused = dict(sampler.peak)
        if direction == "up":
            t.join(self.opt.io_timeout + 120)
            if t.is_alive():
                err.append("never drained")
        else:
            try:
                s.settimeout(self.opt.io_timeout + 60)
                n = recv_blocks(s)
                res["bytes"] = n
                res["complete"] = True
            except Exception as e:  # noqa: BLE001
                err.append(f"{type(e).__name__}: {e}")
        s.close()
        sampler.stop()
        if err:
            res["complete"] = False
            res["error"] = err[0]
        res["swallowed_mib"] = None if swallowed is None else swallowed / MIB
        res["hol_echo_ms"] = hol
        res["hol_blocked"] = hol is None
        for k in sampler.base:
            res[k + "_growth_mib"] = peak_paused.get(k, 0) - sampler.base[k]
            res[k + "_peak_rss_mib"] = sampler.peak[k]
        return res

    def _hol(self):
        """ms for a 1-byte echo on a second connection, None if it does not answer in 3 s."""
        try:
            t = time.perf_counter()
            with self.connect(b"Ex", timeout=3) as s:
                if s.recv(1) == b"x":
                    return (time.perf_counter() - t) * 1e3
        except OSError:
            pass
        return None

    # -- correctness
    def integ(self):
        n = self.opt.integ_bytes
        r = {}
        data = random.Random(time.time_ns()).randbytes(n)
        with self.connect(b"H") as s:
            # odd-sized writes on purpose
            view, off, rnd = memoryview(data), 0, random.Random(1)
            while off < n:
                k = rnd.choice((1, 7, 1000, 4096, 65535, 65536, 65537, 300000))
                s.sendall(view[off : off + k])
                off += k
            s.shutdown(socket.SHUT_WR)
            try:
                rep = recv_exact(s, 40)
                r["up_ok"] = rep == U64.pack(n) + hashlib.sha256(data).digest()
                r["half_close_up"] = True
            except (OSError, ConnectionError):
                r["up_ok"] = r["half_close_up"] = False
        seed = random.getrandbits(32)
        want = random.Random(seed).randbytes(n)
        with self.connect(b"R" + struct.pack("!QQ", n, seed)) as s:
            got = bytearray()
            try:
                while True:
                    d = s.recv(1 << 18)
                    if not d:
                        r["half_close_down"] = True
                        break
                    got += d
            except OSError:
                r["half_close_down"] = False
            r["down_ok"] = bytes(got) == want
        with self.connect(b"X", timeout=5) as s:
            try:
                r["abort_seen"] = s.recv(1) == b""
            except TimeoutError:
                r["abort_seen"] = False
            except OSError:
                r["abort_seen"] = True
        if not (r["up_ok"] and r["down_ok"]):
            r["error"] = "data differ"
        return r

    def idle(self):
        time.sleep(0.5)
        with Meter(self.roots) as m:
            time.sleep(2)
        r = {k + "_rss_mib": v for k, v in (m.rss.base.items() if m.rss else ())}
        if m.cpu:
            r["cpu_pct"] = sum(m.cpu.values()) / m.wall * 100
        return r


def load_main(opt):
    """One bulk upload until stdin is closed; prints its rate."""
    stop = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.buffer.read(), stop.set()), daemon=True).start()
    t = time.monotonic()
    with Driver(opt.connect_host, opt.port, {}, opt).connect(b"S") as s:
        sent = send_blocks(s, 1 << 40, t + 60, stop)
        s.settimeout(opt.io_timeout + 60)
        recv_exact(s, 8)
    print(json.dumps({"mib_s": sent / MIB / (time.monotonic() - t)}))
    return 0


# ----------------------------------------------------------------------------- processes


class Tunnel:
    def __init__(self, spec, opt, target_port, logdir):
        self.spec, self.opt, self.target_port, self.logdir = spec, opt, target_port, logdir
        self.procs = []
        self.roots = {"client": spec.get("client_pid"), "server": spec.get("server_pid")}

    def _start(self, cmd, role):
        if not cmd:
            return None
        s = self.spec
        sub = {
            "port": s["port"],
            "target_host": s.get("target_host", "127.0.0.1"),
            "target_port": self.target_port,
            "python": sys.executable,
            "dir": os.path.dirname(os.path.abspath(__file__)),
        }
        for k, v in sub.items():
            cmd = cmd.replace(f"{{{k}}}", str(v))
        log = open(
            os.path.join(self.logdir, "{}.{}.log".format(re.sub(r"[^\w.-]", "_", s["name"]), role)),
            "ab",
        )
        log.write((f"\n$ {cmd}\n").encode())
        log.flush()
        # exec: the pid we hold is then the tool, not a shell, unless the command is a compound one
        argv = ["/bin/sh", "-c", cmd] if any(c in cmd for c in "|&;<>()$`*?~") else shlex.split(cmd)
        p = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            env=dict(os.environ, **s.get("env", {})),
        )
        log.close()
        self.procs.append(p)
        return p

    def __enter__(self):
        s = self.spec
        p = self._start(s.get("server_cmd"), "server")
        if p:
            self.roots["server"] = p.pid
            time.sleep(s.get("settle", 0.3))
        for i, cmd in enumerate(s.get("extra_cmds", [])):
            p = self._start(cmd, "extra%d" % i)
            self.roots["extra%d" % i] = p.pid
            time.sleep(s.get("settle", 0.3))
        p = self._start(s.get("client_cmd"), "client")
        if p:
            self.roots["client"] = p.pid
        self.driver = Driver(s.get("connect_host", "127.0.0.1"), s["port"], self.roots, self.opt)
        try:
            t = time.monotonic()
            self.driver.wait_ready(
                self.opt.ready_timeout, lambda: all(p.poll() is None for p in self.procs)
            )
            self.ready_s = time.monotonic() - t
        except Exception:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(self, *a):
        for p in reversed(self.procs):
            pids = tree(p.pid) if PROC else [p.pid]
            for sig in (signal.SIGTERM, signal.SIGKILL):
                for pid in pids:
                    with contextlib.suppress(OSError):
                        os.kill(pid, sig)
                try:
                    p.wait(3)
                    if sig == signal.SIGTERM and not any(
                        os.path.exists("/proc/%d" % q) for q in pids
                    ):
                        break
                    time.sleep(0.2)
                except subprocess.TimeoutExpired:
                    pass
        self.procs = []
        return False


# ----------------------------------------------------------------------------- running and reporting


def run_tests(tun, spec, opt):
    d, out, errors = tun.driver, {}, []
    nbytes = spec.get("bytes", opt.bytes)

    def do(key, fn, *a):
        if key.split(".")[0] in spec.get("skip", []) or key in spec.get("skip", []):
            return
        try:
            out[key] = fn(*a)
            if out[key].get("error"):
                errors.append("{}: {}".format(key, out[key]["error"]))
        except Exception as e:  # noqa: BLE001 - one failed test must not end the run
            errors.append(f"{key}: {type(e).__name__}: {e}")

    t = opt.tests
    if "idle" in t:
        do("idle", d.idle)
    if "integ" in t:
        do("integ", d.integ)
    if "lat" in t:
        do("lat", d.lat)
    if "cps" in t:
        do("cps.seq", d.cps, 1)
        do("cps.par", d.cps, 16)
    if "bulk" in t:
        for dirn in ("up", "down"):
            do(f"bulk.{dirn}.1", d.bulk, dirn, 1, nbytes, opt.max_seconds)
            do(
                "bulk.%s.%d" % (dirn, opt.parallel),
                d.bulk,
                dirn,
                opt.parallel,
                nbytes,
                opt.max_seconds,
            )
    if "latload" in t:
        do("latload", d.latload)
    if "mem" in t:
        do("mem.up", d.mem, "up")
        do("mem.down", d.mem, "down")
    return out, errors


def medians(samples, max_foreign=0):
    """samples: list of {test: {figure: value}} -> {test: {figure: median}}; of a test, the samples that
    strangers disturbed (foreign_cores above max_foreign, where given) are left out unless all were."""
    acc = {}
    for s in samples:
        for test, figs in s.items():
            if (
                max_foreign
                and figs.get("foreign_cores", 0) > max_foreign
                and any(o.get(test, {}).get("foreign_cores", 9) <= max_foreign for o in samples)
            ):
                continue
            for k, v in figs.items():
                acc.setdefault(test, {}).setdefault(k, []).append(v)
    out = {}
    for test, figs in acc.items():
        out[test] = {}
        for k, vs in figs.items():
            nums = [v for v in vs if isinstance(v, (int, float)) and not isinstance(v, bool)]
            if nums:
                out[test][k] = statistics.median(nums)
            elif all(isinstance(v, bool) for v in vs):
                out[test][k] = all(vs) if not k.endswith("blocked") else any(vs)
            else:
                out[test][k] = vs[-1]
    return out


def ratios(med, base):
    keys = [
        ("bulk", "mib_s"),
        ("lat", "p50_us"),
        ("lat", "p99_us"),
        ("cps", "conn_s"),
        ("bulk", "cpu_s_per_gib"),
    ]
    out = {}
    for name, m in med.items():
        out[name] = {}
        for test, figs in m.items():
            for pre, k in keys:
                if test.split(".")[0].startswith(pre) and k in figs:
                    b = med.get(base, {}).get(test, {}).get(k)
                    if b:
                        out[name][test + "." + k] = figs[k] / b
    return out


def table(med, base, opt):
    P = opt.parallel
    cols = [
        ("up x1 MiB/s", "bulk.up.1", "mib_s", "%.0f"),
        ("down x1", "bulk.down.1", "mib_s", "%.0f"),
        ("up x%d" % P, "bulk.up.%d" % P, "mib_s", "%.0f"),
        ("down x%d" % P, "bulk.down.%d" % P, "mib_s", "%.0f"),
        ("p50 us", "lat", "p50_us", "%.0f"),
        ("p99 us", "lat", "p99_us", "%.0f"),
        ("p50 loaded us", "latload", "p50_us", "%.0f"),
        ("p99 loaded", "latload", "p99_us", "%.0f"),
        ("conn/s seq", "cps.seq", "conn_s", "%.0f"),
        ("conn/s x16", "cps.par", "conn_s", "%.0f"),
        ("cpu s/GiB", "bulk.up.1", "cpu_s_per_gib", "%.2f"),
        ("client RSS", "bulk.up.1", "client_peak_rss_mib", "%.0f"),
        ("server RSS", "bulk.up.1", "server_peak_rss_mib", "%.0f"),
        ("slow-reader growth c/s MiB", None, None, None),
        ("swallowed up/down MiB", None, None, None),
        ("up/base", None, None, None),
        ("down/base", None, None, None),
        ("p50/base", None, None, None),
    ]
    rows = ["| tunnel | " + " | ".join(c[0] for c in cols) + " |", "|" + "---|" * (len(cols) + 1)]

    def get(name, test, k, fmt="%.0f"):
        v = med.get(name, {}).get(test, {}).get(k)
        return "-" if v is None else fmt % v

    def rel(name, test, k):
        a, b = med.get(name, {}).get(test, {}).get(k), med.get(base, {}).get(test, {}).get(k)
        return "-" if not a or not b else "%.2f" % (a / b)

    for name in med:
        cells = [get(name, t, k, f) for _, t, k, f in cols[:13]]
        g = [
            "+".join(get(name, t, r + "_growth_mib") for t in ("mem.up", "mem.down"))
            for r in ("client", "server")
        ]
        cells.append(" / ".join(g))
        cells.append(
            get(name, "mem.up", "swallowed_mib") + " / " + get(name, "mem.down", "swallowed_mib")
        )
        cells += [
            rel(name, "bulk.up.1", "mib_s"),
            rel(name, "bulk.down.1", "mib_s"),
            rel(name, "lat", "p50_us"),
        ]
        rows.append("| {} | {} |".format(name, " | ".join(cells)))
    return "\n".join(rows)


def size(s):
    m = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30}.get(s[-1:].upper())
    return int(float(s[:-1]) * m) if m else int(s)


class Interrupted(Exception):
    pass


def on_term(*a):
    raise KeyboardInterrupt


def main(argv=None):
    global COPY
    signal.signal(signal.SIGTERM, on_term)
    a = argparse.ArgumentParser(
        description="Benchmark any TCP tunnel. See the header of this file."
    )
    a.add_argument("--spec"), a.add_argument("--only"), a.add_argument("--name", default="tunnel")
    a.add_argument("--port", type=int), a.add_argument("--connect-host", default="127.0.0.1")
    a.add_argument("--server-cmd", default=""), a.add_argument("--client-cmd", default="")
    a.add_argument("--extra-cmd", action="append", default=[])
    a.add_argument("--client-pid", type=int), a.add_argument("--server-pid", type=int)
    (
        a.add_argument("--target-port", type=int, default=0),
        a.add_argument("--target-bind", default="127.0.0.1"),
    )
    (
        a.add_argument("--target-only", action="store_true"),
        a.add_argument("--no-target", action="store_true"),
    )
    a.add_argument("--raw", action="store_true"), a.add_argument("--rounds", type=int, default=1)
    (
        a.add_argument("--baseline"),
        a.add_argument("--json"),
        a.add_argument("--md"),
        a.add_argument("--logs"),
    )
    a.add_argument("--tests", default="idle,integ,lat,cps,bulk,latload,mem")
    (
        a.add_argument("--bytes", type=size, default=256 * MIB),
        a.add_argument("--max-seconds", type=float, default=15),
    )
    (
        a.add_argument("--parallel", type=int, default=16),
        a.add_argument("--pings", type=int, default=5000),
    )
    (
        a.add_argument("--conns", type=int, default=500),
        a.add_argument("--pause", type=float, default=5),
    )
    (
        a.add_argument("--mem-cap", type=size, default=512 * MIB),
        a.add_argument("--integ-bytes", type=size, default=8 * MIB),
    )
    (
        a.add_argument("--io-timeout", type=float, default=20),
        a.add_argument("--ready-timeout", type=float, default=25),
    )
    (
        a.add_argument("--quiet-wait", type=float, default=0),
        a.add_argument("--max-foreign", type=float, default=0),
    )
    a.add_argument("--copy", action="store_true"), a.add_argument("--quick", action="store_true")
    a.add_argument("--load-only", action="store_true", help=argparse.SUPPRESS)
    a.add_argument("--ready-fd", type=int, help=argparse.SUPPRESS)
    opt = a.parse_args(argv)
    opt.tests = [t for t in opt.tests.split(",") if t]
    bad = set(opt.tests) - {"idle", "integ", "lat", "cps", "bulk", "latload", "mem"}
    if bad:
        a.error("unknown test: " + ", ".join(sorted(bad)))
    COPY = opt.copy
    if opt.quick:
        opt.bytes, opt.pings, opt.conns, opt.pause, opt.mem_cap, opt.integ_bytes = (
            32 * MIB,
            300,
            64,
            2,
            128 * MIB,
            MIB,
        )
    if opt.target_only:
        return target_main(opt.target_bind, opt.target_port, opt.ready_fd)
    if opt.load_only:
        return load_main(opt)

    if opt.spec:
        with open(opt.spec) as f:
            specs = json.load(f)
        if opt.only:
            names = opt.only.split(",")
            specs = [s for s in specs if s["name"] in names]
    else:
        specs = []
        if opt.port:
            specs.append(
                {
                    "name": opt.name,
                    "port": opt.port,
                    "server_cmd": opt.server_cmd,
                    "client_cmd": opt.client_cmd,
                    "extra_cmds": opt.extra_cmd,
                    "client_pid": opt.client_pid,
                    "server_pid": opt.server_pid,
                    "connect_host": opt.connect_host,
                }
            )
    if not specs and not opt.raw:
        a.error("nothing to measure: give --port, --spec or --raw")

    logdir = opt.logs or tempfile.mkdtemp(prefix="tunnel_bench.")
    os.makedirs(logdir, exist_ok=True)
    target = None
    port = opt.target_port
    if not opt.no_target:
        r, w = os.pipe()
        target = subprocess.Popen(
            [
                sys.executable,
                os.path.abspath(__file__),
                "--target-only",
                "--target-bind",
                opt.target_bind,
                "--target-port",
                str(opt.target_port),
                "--ready-fd",
                str(w),
            ]
            + (["--copy"] if COPY else []),
            pass_fds=[w],
            stdin=subprocess.DEVNULL,
        )
        os.close(w)
        line = os.read(r, 32)
        os.close(r)
        if not line:
            print("the target did not start", file=sys.stderr)
            return 2
        port = int(line)
        TARGET_PID[0] = target.pid
    if opt.raw:
        specs.insert(0, {"name": "raw", "port": port})
    payload()
    samples, errors = {s["name"]: [] for s in specs}, {}
    try:
        for rnd in range(opt.rounds):
            for s in specs:
                quiet = quiet_wait(opt.quiet_wait) if opt.quiet_wait else None
                t0 = time.monotonic()
                try:
                    with Tunnel(s, opt, port, logdir) as tun:
                        out, errs = run_tests(tun, s, opt)
                        out["ready"] = {"seconds": tun.ready_s, "load_before": quiet}
                        samples[s["name"]].append(out)
                except Exception as e:  # noqa: BLE001
                    errs = [f"start: {e}"]
                except KeyboardInterrupt:
                    print("interrupted: reporting what was measured so far", file=sys.stderr)
                    raise Interrupted
                if errs:
                    errors.setdefault(s["name"], []).extend(
                        "round %d %s" % (rnd + 1, e) for e in errs
                    )
                up = (
                    samples[s["name"]][-1].get("bulk.up.1", {}).get("mib_s")
                    if samples[s["name"]]
                    else None
                )
                print(
                    "round %d  %-22s %5.1fs  %s%s"
                    % (
                        rnd + 1,
                        s["name"],
                        time.monotonic() - t0,
                        "" if up is None else f"up {up:.0f} MiB/s",
                        "  FAILED " + "; ".join(errs) if errs else "",
                    ),
                    file=sys.stderr,
                    flush=True,
                )
    except Interrupted:
        errors.setdefault("run", []).append("interrupted before all rounds were done")
    finally:
        if target:
            target.terminate()
            target.wait()
    med = {n: medians(v, opt.max_foreign) for n, v in samples.items() if v}
    base = opt.baseline or (specs[0]["name"])
    md = table(med, base, opt)
    print(md)
    for n, es in errors.items():
        for e in es:
            print(f"FAILED {n}: {e} (logs: {logdir})")
    if opt.md:
        with open(opt.md, "w") as f:
            f.write(md + "\n")
    if opt.json:
        with open(opt.json, "w") as f:
            json.dump(
                {
                    "when": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
                    "host_cpus": os.cpu_count(),
                    "argv": sys.argv[1:],
                    "baseline": base,
                    "median": med,
                    "ratio_to_baseline": ratios(med, base),
                    "samples": samples,
                    "errors": errors,
                },
                f,
                indent=1,
            )
    return 1 if errors else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
