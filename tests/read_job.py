"""Reads a launchd job from standard input with Python's reader, compares its keys and their types with the table of
launchd.plist(5), and prints it as JSON."""

import json
import plistlib
import sys


def is_text(value):
    return isinstance(value, str) and value != "" and "\n" not in value


def is_path(value):
    return is_text(value) and value.startswith("/")


def is_number(value):
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def is_flag(value):
    return isinstance(value, bool)


def table(**keys):
    """A dictionary with some of these keys, and no others."""
    return lambda value: isinstance(value, dict) and all(key in keys and keys[key](value[key]) for key in value)


def texts(value):
    return isinstance(value, dict) and all(is_text(key) and is_text(text) for key, text in value.items())


SOCKET = table(
    SockType=lambda value: value in ("stream", "dgram", "seqpacket"),
    SockNodeName=is_text,
    SockServiceName=is_text,
    SockFamily=lambda value: value in ("IPv4", "IPv6", "IPv4v6", "Unix"),
)

JOB = {
    "Label": is_text,
    "ProgramArguments": lambda value: isinstance(value, list) and is_path(value[0]) and all(map(is_text, value)),
    "WorkingDirectory": is_path,
    "UserName": is_text,
    "EnvironmentVariables": texts,
    "RunAtLoad": is_flag,
    "KeepAlive": table(SuccessfulExit=is_flag),
    "ThrottleInterval": is_number,
    "ExitTimeOut": is_number,
    "ProcessType": lambda value: value in ("Background", "Standard", "Adaptive", "Interactive"),
    "SoftResourceLimits": table(NumberOfFiles=is_number),
    "Umask": is_number,
    "Sockets": lambda value: isinstance(value, dict) and all(map(SOCKET, value.values())),
    "StandardErrorPath": is_path,
}

job = plistlib.loads(sys.stdin.buffer.read(), fmt=plistlib.FMT_XML)
wrong = [key for key in job if key not in JOB or not JOB[key](job[key])]
if wrong or not {"Label", "ProgramArguments"} <= set(job):
    sys.exit(f"not as the manual has it: {', '.join(f'{key} = {job[key]!r}' for key in wrong) or 'no Label'}")
json.dump(job, sys.stdout)
