"""Declares `pam tunnel`; the work is in the modules the handlers name."""

from __future__ import annotations

from commander.plugin.command import ArgumentKind, Command, Group, flag, option, positional
from commander.plugin.hookspecs import hookimpl

_RECORD = positional("record", kind=ArgumentKind.RECORD, help="record: UID, title or path")
_TUNNEL = positional(
    "tunnel",
    kind=ArgumentKind.TUNNEL,
    help="tunnel id (or its beginning), record UID or title, name in a tunnels file",
)

_START = Command(
    path="pam tunnel start",
    aliases=("pam t start", "pam tunnel s", "pam t s"),
    summary="open a tunnel to a record's target",
    description=(
        "In a session the tunnel lives in it; one-shot it stays in the foreground until Ctrl-C; in a "
        "batch it lives until the batch ends. A record that has a live tunnel prints that endpoint."
    ),
    example='pam tunnel start "Orders DB" --port 15432',
    arguments=(
        _RECORD,
        option("--host", "-o", default="127.0.0.1", help="local address: 127.x.y.z or ::1"),
        option("--port", "-p", kind=ArgumentKind.PORT, help="local port, exactly this one"),
        flag(
            "--natural",
            help="the target's own port, on an address of this record's own (127.x.y.z), and a name",
        ),
        option("--unix", kind=ArgumentKind.PATH, help="listen at this Unix socket, for you alone"),
        flag(
            "--stdio",
            help="carry one connection on stdin and stdout, as ssh's ProxyCommand needs it",
        ),
        flag(
            "--allow-remote",
            help="let --host be an address that other machines reach, where the record's settings let it",
        ),
        option("--target-host", "-th", help="another target host, where the record allows it"),
        option(
            "--target-port", "-tp", kind=ArgumentKind.PORT, help="another target port, likewise"
        ),
        option(
            "--path",
            choices=("auto", "direct", "relay", "webrtc", "turn"),
            default="auto",
            help="what carries it",
        ),
        flag("--new", help="open another one beside a live tunnel of this record"),
        flag("--foreground", "-fg", help="stay until stopped, also in a session"),
        flag("--background", "-bg", help="leave it running in a process of its own"),
        option("--run", "-R", help="run this command, then stop and exit with its code"),
        positional(
            "command",
            kind=ArgumentKind.REST,
            required=False,
            help="after --: the same, without a shell",
        ),
        option("--pid-file", kind=ArgumentKind.PATH, help="write the hosting process's pid there"),
        option("--timeout", kind=ArgumentKind.DURATION, default=30, help="wait at most so long"),
        option("--idle-timeout", kind=ArgumentKind.DURATION, help="stop after so long unused"),
        option("--reason", "-r", default="", help="why, for the audit log"),
        option("--ticket", "-tk", default="", help="ticket number, for the audit log"),
        flag("--wait", "-w", help="wait for the gateway to come online, up to --timeout"),
    ),
    exclusive=(
        ("foreground", "background", "run", "command", "stdio"),
        ("unix", "port", "stdio"),
        ("unix", "natural", "stdio", "allow_remote"),
        ("stdio", "pid_file"),
    ),
    handler="plugins.pam.tunnel.start:start",
)

_LIST = Command(
    path="pam tunnel list",
    aliases=("pam t list", "pam tunnel l", "pam t l"),
    summary="list open tunnels of all your processes on this machine",
    example="pam tunnel list --format json",
    handler="plugins.pam.tunnel.listing:list_tunnels",
    needs_login=False,
    listing=True,
)

_SHOW = Command(
    path="pam tunnel show",
    aliases=("pam t show",),
    summary="show one tunnel: path, streams and their programs, limits; or why it ended",
    example='pam tunnel show "Orders DB"',
    arguments=(_TUNNEL,),
    handler="plugins.pam.tunnel.showing:show_tunnel",
    needs_login=False,
)

_STOP = Command(
    path="pam tunnel stop",
    aliases=("pam t stop", "pam tunnel x", "pam t x"),
    summary="stop tunnels, whichever of your processes they live in",
    example='pam tunnel stop "Orders DB"',
    arguments=(
        positional("tunnel", kind=ArgumentKind.TUNNEL, required=False, help=_TUNNEL.help),
        flag("--all", help="stop every tunnel (of the record, when one is named)"),
    ),
    handler="plugins.pam.tunnel.listing:stop_tunnels",
    needs_login=False,
)

_TAIL = Command(
    path="pam tunnel tail",
    aliases=("pam t tail",),
    summary="follow a tunnel's log: paths, connections, bytes, causes",
    example='pam tunnel tail "Orders DB" --no-follow --format json',
    arguments=(
        _TUNNEL,
        flag("--follow", "-f", help="follow (the default)"),
        flag("--no-follow", help="print the last lines and stop"),
        option(
            "--lines", "-n", kind=ArgumentKind.INT, default=20, help="how many lines to begin with"
        ),
    ),
    exclusive=(("follow", "no_follow"),),
    handler="plugins.pam.tunnel.tail:tail",
    needs_login=False,
)

_FILE = option(
    "--file", "-f", kind=ArgumentKind.PATH, help="the tunnels file (default: tunnels.yaml here)"
)

_UP = Command(
    path="pam tunnel up",
    aliases=("pam t up",),
    summary="open the tunnels of a file together",
    description=(
        "All or none: when one cannot be opened, those that were are closed again. What is open "
        "already is left as it is. A command after -- gets NAME_HOST and NAME_PORT of each, and "
        "its exit code is passed on. docs/tunnels-file.md describes the file."
    ),
    example="pam tunnel up -f tunnels.yaml -- make test",
    arguments=(
        _FILE,
        positional(
            "command",
            kind=ArgumentKind.REST,
            required=False,
            help="after --: run this beside the tunnels, then close them",
        ),
        flag("--keep-going", help="keep those that could be opened when others could not"),
        flag("--dry-run", help="check file, records and local ports, and open nothing"),
        flag("--foreground", "-fg", help="stay until stopped, also in a session"),
        flag("--background", "-bg", help="leave them running in a process of their own"),
        flag("--wait", "-w", help="wait for gateways to come online, up to --timeout"),
        option(
            "--timeout",
            kind=ArgumentKind.DURATION,
            default=30,
            help="for each tunnel at most so long",
        ),
    ),
    exclusive=(("command", "foreground", "background", "dry_run"),),
    handler="plugins.pam.tunnel.up:up",
)

_DOWN = Command(
    path="pam tunnel down",
    aliases=("pam t down",),
    summary="stop the tunnels that `up` opened for a file",
    example="pam tunnel down -f tunnels.yaml",
    arguments=(_FILE,),
    handler="plugins.pam.tunnel.down:down",
    needs_login=False,
)

_STATUS = Command(
    path="pam tunnel status",
    aliases=("pam t status",),
    summary="show each tunnel of a file with its state",
    example="pam tunnel status -f tunnels.yaml --check",
    arguments=(_FILE, flag("--check", help="exit code 6 unless all of them are open")),
    handler="plugins.pam.tunnel.down:status",
    needs_login=False,
    listing=True,
)

_EDIT = Command(
    path="pam tunnel edit",
    aliases=("pam t edit", "pam tunnel e", "pam t e"),
    summary="change a record's tunnel settings",
    example='pam tunnel edit "Orders DB" --enable-tunneling --configuration "Local network"',
    arguments=(
        _RECORD,
        flag("--enable-tunneling", "-et", help="allow tunnels to this record's target"),
        flag("--disable-tunneling", "-dt", help="refuse them"),
        option(
            "--configuration",
            "-c",
            kind=ArgumentKind.CONFIGURATION,
            help="PAM configuration that binds it to a gateway",
        ),
        option("--remote-port", help="a port, or `record` for the record's own"),
        option("--local-port", help="a port, or `auto`"),
        option(
            "--add-port",
            repeat=True,
            metavar="LOCAL:REMOTE",
            help="a further port of the target, opened with the tunnel; LOCAL may be `auto`",
        ),
        option(
            "--remove-port", repeat=True, metavar="[LOCAL:]REMOTE", help="take such a port away"
        ),
        option("--reuse-port", choices=("on", "off"), help="take the port this record had last"),
        option("--administrative-credential", kind=ArgumentKind.RECORD, help="pamUser record"),
        option("--launch-credential", kind=ArgumentKind.RECORD, help="pamUser record"),
        option(
            "--allow-remote-clients",
            choices=("on", "off"),
            help="let `start --allow-remote` give the local end to other machines",
        ),
        option(
            "--allow-supply-host", choices=("on", "off"), help="let --target-host/-port be given"
        ),
        option(
            "--paths",
            metavar="KINDS",
            help="kinds of path that may be used: direct,relay,webrtc,turn, or all",
        ),
    ),
    exclusive=(("enable_tunneling", "disable_tunneling"),),
    handler="plugins.pam.tunnel.edit:edit",
)


_DIAGNOSE = Command(
    path="pam tunnel diagnose",
    aliases=("pam t diagnose", "pam tunnel d", "pam t d"),
    summary="check everything between here and a record's target, and say what to do",
    description=(
        "Name, connection, proxy, TLS, server, clock, login, WebSocket, relays; with a record also its "
        "switches, the policy, the gateway, the target, and a measured probe tunnel to the gateway "
        "through each kind of path. Exit code 0, or that of the worst failure: 6 unreachable, 4 not "
        "allowed, 3 not found, 5 not logged in."
    ),
    example='pam tunnel diagnose "Orders DB" --format json',
    arguments=(
        positional("record", kind=ArgumentKind.RECORD, required=False, help=_RECORD.help),
        option(
            "--timeout", kind=ArgumentKind.DURATION, default=120, help="for all checks together"
        ),
    ),
    handler="plugins.pam.tunnel.diagnose:diagnose",
    needs_login=False,
)


@hookimpl
def commander_commands() -> list[Command | Group]:
    """The tunnel commands."""
    return [
        Group("pam", "privileged access: tunnels, gateways, configurations"),
        Group("pam tunnel", "open, list, follow and stop tunnels", aliases=("pam t",)),
        _START,
        _LIST,
        _SHOW,
        _STOP,
        _TAIL,
        _UP,
        _DOWN,
        _STATUS,
        _DIAGNOSE,
        _EDIT,
    ]
