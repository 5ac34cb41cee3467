#!/usr/bin/env python3
"""Checks what `haetae ledger export` has written, by the steps of deploy/ledger.md and with none of haetae's own code.

    verify_ledger.py EXPORT CENTRE_PUBLIC_KEY.pem

Needs Python and the openssl command. Ends with 0 if all of it holds, with 1 if not, and says what does not.
"""
import hashlib
import json
import pathlib
import subprocess
import sys
import tempfile


def signed(text, signature, key, folder):
    (folder / "text").write_bytes(text)
    (folder / "signature").write_bytes(signature)
    command = ["openssl", "pkeyutl", "-verify", "-pubin", "-inkey", key, "-rawin"]
    command += ["-in", str(folder / "text"), "-sigfile", str(folder / "signature")]
    return subprocess.run(command, capture_output=True).returncode == 0


def main(export, key):
    lines = pathlib.Path(export).read_bytes().split(b"\n")[1:-1]
    wrong, before, attempts, forgotten, covered, receipts = [], None, {}, [], None, 0
    with tempfile.TemporaryDirectory() as folder:
        for number, line in enumerate(lines, 2):
            entry = json.loads(line)
            sequence, previous = entry["sequence"], entry["previous"]
            if before is None:
                oldest = (sequence, previous)
            elif (sequence, previous) != (before[0] + 1, before[1]):
                wrong.append(f"{export}:{number}: entry {sequence} does not follow entry {before[0]}")
            before = (sequence, hashlib.sha256(line).hexdigest())
            if "attempt" in entry:
                attempts[sequence] = entry
            if "forgotten" in entry:
                forgotten.append((entry["forgotten"]["through"] + 1, entry["forgotten"]["head"]))
            outcome = entry.get("outcome", {})
            attempt, receipt = attempts.get(outcome.get("of")), outcome.get("receipt")
            if attempt is None or receipt is None:
                continue
            said = attempt["attempt"]
            text = "".join(part + "\n" for part in [
                "haetae receipt 1",
                f"site={said['site']}",
                f"sensor={said['sensor']}",
                f"sequence={attempt['sequence'] - 1}",
                f"head={attempt['previous']}",
                f"sha256={said['sha256']}",
                f"committed={outcome.get('committed', 0)}",
                f"time={receipt['time']}",
                f"key={receipt['key']}",
            ])
            if signed(text.encode(), bytes.fromhex(receipt["signature"]), key, pathlib.Path(folder)):
                covered, receipts = attempt["sequence"] - 1, receipts + 1
            else:
                wrong.append(f"{export}:{number}: the receipt for entry {attempt['sequence']} was not signed so")
    if before and oldest != (1, "0" * 64) and oldest not in forgotten:
        wrong.append(f"{export}:2: what stood before entry {oldest[0]} is gone, and nothing says that it went")
    print("\n".join(wrong + [f"{len(lines)} entries, {receipts} receipts hold, covered up to entry {covered}"]))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
