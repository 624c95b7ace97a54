"""Makes a small Mach-O file for arm64, which returns 0, with or without a signature in which entitlements are.

    tests/macho.py FILE                                              unsigned
    tests/macho.py FILE ENTITLEMENTS [no-runtime] [no-der] [none]    with what its signature says, of which no digest is right
"""

import struct
import sys

PAGE = 0x4000
BASE = 0x100000000


def segment(name, address, size, offset, file_size, protection, sections=b"", count=0):
    return (
        struct.pack("<II16sQQQQiiII", 0x19, 72 + len(sections), name, address, size, offset, file_size, protection, protection, count, 0)
        + sections
    )


def blob(magic, content):
    return struct.pack(">II", magic, 8 + len(content)) + content


def signature(entitlements, options):
    flags = 0x2 | (0 if "no-runtime" in options else 0x10000)
    directory = blob(0xFADE0C02, struct.pack(">II", 0x20400, flags) + bytes(80))
    blobs = [(0, directory)]
    if "none" not in options:
        blobs.append((5, blob(0xFADE7171, entitlements)))
        if "no-der" not in options:
            blobs.append((7, blob(0xFADE7172, b"\x70\x00")))
    offset, index, content = 12 + 8 * len(blobs), b"", b""
    for slot, each in blobs:
        index += struct.pack(">II", slot, offset + len(content))
        content += each
    return struct.pack(">III", 0xFADE0CC0, offset + len(content), len(blobs)) + index + content


def macho(signed):
    # mov w0, #0; ret
    code = bytes.fromhex("00008052c0035fd6")
    linkedit = signed or bytes(16)
    text = struct.pack("<16s16sQQIIIIIIII", b"__text", b"__TEXT", BASE + PAGE - len(code), len(code), PAGE - len(code), 2, 0, 0, 0x80000400, 0, 0, 0)
    commands = [
        segment(b"__PAGEZERO", 0, BASE, 0, 0, 0),
        segment(b"__TEXT", BASE, PAGE, 0, PAGE, 5, text, 1),
        segment(b"__LINKEDIT", BASE + PAGE, PAGE, PAGE, len(linkedit), 1),
        struct.pack("<IIIIII", 0x2, 24, PAGE, 0, PAGE, 16),
        struct.pack("<II", 0xE, 32) + struct.pack("<I", 12) + b"/usr/lib/dyld\x00" + bytes(6),
        struct.pack("<IIIIII", 0x32, 24, 1, 0xB0000, 0xE0000, 0),
        struct.pack("<IIQQ", 0x80000028, 24, PAGE - len(code), 0),
    ]
    if signed:
        commands.append(struct.pack("<IIII", 0x1D, 16, PAGE, len(signed)))
    body = b"".join(commands)
    header = struct.pack("<IIIIIIII", 0xFEEDFACF, 0x0100000C, 0, 2, len(commands), len(body), 0x200085, 0)
    head = header + body
    return head + bytes(PAGE - len(code) - len(head)) + code + linkedit


signed = b""
if len(sys.argv) > 2:
    with open(sys.argv[2], "rb") as file:
        signed = signature(file.read(), sys.argv[3:])
with open(sys.argv[1], "wb") as file:
    file.write(macho(signed))
