"""Logs of five kinds, as scripts write them, and anomalies of ten kinds to plant among their lines.

    python -m benchmarks.logs sshd --day 1 --lines 20000 > sshd.log

A day's lines depend on the kind and the day alone.
"""

import argparse
import base64
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

USERS = ("root", "admin", "deploy", "anna", "bjorn", "carla", "git", "oracle", "test", "ubuntu")
PATHS = ("/", "/index.html", "/style.css", "/app.js", "/api/items", "/api/orders", "/login", "/img/logo.png")
AGENTS = (
    "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/127.0.0.0 Safari/537.36",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 Version/17.5 Mobile/15E148",
    "curl/8.5.0",
)
UNITS = ("logrotate", "apt-daily", "fstrim", "man-db", "certbot", "dpkg-db-backup")
SHOPS, SENSORS = ("berlin", "oslo", "porto"), ("boiler", "inlet", "outlet", "roof")

Line = Callable[[np.random.Generator, int, int], str]  # of a day and a second of it
Anomaly = Callable[[str, np.random.Generator], str]


@dataclass(frozen=True)
class Log:
    """A kind of log: its lines, and patterns of what need not be learnt."""

    line: Line
    ignore: tuple[str, ...]


def one_of(rng: np.random.Generator, choices: Sequence[str]) -> str:
    """Return one of some words, the first ones more often."""
    return choices[min(int(rng.exponential(len(choices) / 3)), len(choices) - 1)]


def address(rng: np.random.Generator) -> str:
    """Return an IPv4 address."""
    return ".".join(map(str, rng.integers(1, 255, 4)))


def clock(second: int) -> str:
    """Return a second of a day as HH:MM:SS."""
    return f"{second // 3600:02}:{second // 60 % 60:02}:{second % 60:02}"


def sshd(rng: np.random.Generator, day: int, second: int) -> str:
    """Return a line of sshd's log."""
    user, where, port = one_of(rng, USERS), address(rng), rng.integers(1024, 65536)
    text = one_of(
        rng,
        [
            f"Failed password for {user} from {where} port {port} ssh2",
            f"Failed password for invalid user {user} from {where} port {port} ssh2",
            f"Invalid user {user} from {where} port {port}",
            f"Connection closed by {where} port {port} [preauth]",
            f"Received disconnect from {where} port {port}:11: Bye Bye [preauth]",
            f"Accepted publickey for {user} from {where} port {port} ssh2: ED25519 SHA256:Qk3nXw9m",
            f"pam_unix(sshd:session): session opened for user {user} by (uid=0)",
            f"pam_unix(sshd:session): session closed for user {user}",
        ],
    )
    return f"Mar {day:2} {clock(second)} gate sshd[{rng.integers(1000, 32768)}]: {text}"


def nginx(rng: np.random.Generator, day: int, second: int) -> str:
    """Return a line of nginx's access log."""
    path = one_of(rng, PATHS) + (f"?page={rng.integers(1, 40)}" if rng.random() < 0.2 else "")
    method = "POST" if path == "/login" else "GET"
    status = "200" if rng.random() < 0.93 else one_of(rng, ("304", "301", "404"))
    request = f'"{method} {path} HTTP/1.1" {status} {rng.integers(120, 50_000)}'
    return f'{address(rng)} - - [{day:02}/Mar/2026:{clock(second)} +0000] {request} "-" "{one_of(rng, AGENTS)}"'


def syslog(rng: np.random.Generator, day: int, second: int) -> str:
    """Return a line of a machine's system log."""
    unit, number = one_of(rng, UNITS), rng.integers(300, 32768)
    program, text = [
        ("systemd[1]", f"Starting {unit}.service - daily work of {unit}..."),
        ("systemd[1]", f"{unit}.service: Deactivated successfully."),
        ("systemd[1]", f"Finished {unit}.service - daily work of {unit}."),
        (f"CRON[{number}]", f"(root) CMD (test -x /usr/sbin/{unit} && {unit} --quiet)"),
        ("kernel", f"[{number}.{rng.integers(0, 1_000_000):06}] eth0: link up, 1000 Mbps, full duplex"),
        (f"dhclient[{number}]", f"DHCPACK of {address(rng)} from {address(rng)}"),
    ][min(int(rng.exponential(2.2)), 5)]
    return f"2026-03-{day:02}T{clock(second)}.{rng.integers(0, 1000):03}+00:00 store {program}: {text}"


def application(rng: np.random.Generator, day: int, second: int) -> str:
    """Return a line of an application's log in JSON."""
    level = "info" if rng.random() < 0.9 else one_of(rng, ("warning", "error"))
    message = one_of(rng, ("order created", "order paid", "order shipped", "cache miss", "mail queued", "retrying"))
    entry = {
        "time": f"2026-03-{day:02}T{clock(second)}Z",
        "level": level,
        "shop": one_of(rng, SHOPS),
        "message": message,
        "order": int(rng.integers(100_000, 999_999)),
        "ms": round(float(rng.gamma(2, 20)), 1),
    }
    return json.dumps(entry | ({"user": one_of(rng, USERS)} if rng.random() < 0.5 else {}))


def table(rng: np.random.Generator, day: int, second: int) -> str:
    """Return a row of measurements."""
    value = 20 + 5 * rng.standard_normal()
    state = "ok" if rng.random() < 0.97 else "late"
    return f"2026-03-{day:02} {clock(second)},{one_of(rng, SHOPS)},{one_of(rng, SENSORS)},{value:.2f},C,{state}"


CLOCK, ADDRESS = r"\d\d:\d\d:\d\d(\.\d+)?", r"\b\d{1,3}(\.\d{1,3}){3}\b"
LOGS = {
    "sshd": Log(sshd, (r"^\w+ +\d+ " + CLOCK, ADDRESS, r"(?<=sshd\[)\d+", r"(?<=port )\d+")),
    "nginx": Log(nginx, (r"(?<=\[)[^]]+(?=\])", ADDRESS, r"(?<=\" \d\d\d )\d+")),
    "syslog": Log(syslog, (r"^\S+", ADDRESS, r"(?<=\[)\d+(?=\]:)", r"(?<=kernel: \[)[\d.]+")),
    "json": Log(application, (r'(?<="time": ")[^"]+', r'(?<="order": )\d+', r'(?<="ms": )[\d.]+')),
    "csv": Log(table, (r"^\S+ " + CLOCK, r"(?<=,)-?\d+\.\d+")),
}


def day_of(kind: str, day: int, count: int) -> list[str]:
    """Return the lines of a day in order of time."""
    rng = np.random.default_rng([day, list(LOGS).index(kind)])
    seconds = np.sort(rng.integers(0, 86400, count)).tolist()
    return [LOGS[kind].line(rng, day, second) for second in seconds]


# ---- anomalies ----


def inserted(line: str, rng: np.random.Generator, text: str) -> str:
    """Return a line with a text in place of one of its words, not the first."""
    words = line.split(" ")
    words[int(rng.integers(min(1, len(words) - 1), len(words)))] = text
    return " ".join(words)


def traversal(line: str, rng: np.random.Generator) -> str:
    """A path that leads out of its folder."""
    return inserted(line, rng, "../" * int(rng.integers(2, 5)) + "etc/passwd")


def injection(line: str, rng: np.random.Generator) -> str:
    """A condition that is always true."""
    return inserted(line, rng, f"x'OR'{rng.integers(1, 10)}'='1'--")


def dotfile(line: str, rng: np.random.Generator) -> str:
    """The name of a file with secrets."""
    return inserted(line, rng, str(rng.choice(["/.env", "/.git/config", "~/.aws/credentials", "/wp-login.php"])))


def cut_short(line: str, rng: np.random.Generator) -> str:
    """A line that ends in the middle of a word."""
    return line[: int(len(line) * rng.uniform(0.3, 0.7))]


def lost(line: str, rng: np.random.Generator) -> str:
    """A line that has lost a part in its middle."""
    begin = int(len(line) * rng.uniform(0.3, 0.5))
    return line[:begin] + line[begin + int(len(line) * 0.25) :]


def repeated(line: str, rng: np.random.Generator) -> str:
    """Two lines run together."""
    return line[: int(len(line) * rng.uniform(0.4, 0.8))] + line


def blob(line: str, rng: np.random.Generator) -> str:
    """A base64 text in place of a word."""
    return inserted(line, rng, base64.b64encode(rng.bytes(int(rng.integers(18, 60)))).decode())


def binary(line: str, rng: np.random.Generator) -> str:
    """Some bytes that are no text."""
    return inserted(line, rng, "".join(map(chr, rng.integers(1, 9, 6).tolist())))  # none of them ends a line


def crash(line: str, rng: np.random.Generator) -> str:
    """A message that nobody has seen before."""
    return inserted(line, rng, str(rng.choice(["Segmentation fault", "Out of memory: Killed", "panic: nil pointer"])))


def foreign(line: str, rng: np.random.Generator) -> str:
    """A line of another program."""
    return f'Traceback (most recent call last): File "/srv/job{rng.integers(1, 99)}.py", line {rng.integers(1, 500)}'


ANOMALIES: tuple[Anomaly, ...] = (
    *(traversal, injection, dotfile, cut_short, lost),
    *(repeated, blob, binary, crash, foreign),
)


def planted(lines: Sequence[str], count: int) -> tuple[list[str], set[int]]:
    """Return lines with `count` anomalies among them, of each kind equally many, and their positions."""
    rng, mixed = np.random.default_rng(0), [*lines]
    places = rng.choice(len(lines), count, replace=False).tolist()
    for i, place in enumerate(places):
        mixed[place] = ANOMALIES[i % len(ANOMALIES)](lines[place], rng)
    return mixed, {*places}


def main(argv: Sequence[str] | None = None) -> None:
    """Print a day of a log."""
    parser = argparse.ArgumentParser(description="Print the lines of a day of a log.")
    parser.add_argument("kind", choices=LOGS)
    parser.add_argument("--day", type=int, default=1, metavar="N", help="day of the month; default: 1")
    parser.add_argument("--lines", type=int, default=20_000, metavar="N", help="number of lines; default: 20000")
    parser.add_argument("--planted", type=int, default=0, metavar="N", help="anomalies among them; default: 0")
    given = parser.parse_args(argv)
    lines, _ = planted(day_of(given.kind, given.day, given.lines), given.planted)
    sys.stdout.write("".join(f"{line}\n" for line in lines))


if __name__ == "__main__":
    main()
