#!/usr/bin/env python3
"""Compare a run by hand with a golden fixture. Needs only numpy.

    oracle.py check FIXTURE_DIR LOGITS.npy      logits of the prompt, float32 [len(ids), vocab]
    oracle.py tokens FIXTURE_DIR ID,ID,...      greedy continuation

Exits 0 when the criteria of README.md hold, 1 when they do not, 2 on wrong use.
"""
import json
import os
import sys

import numpy as np

MAX_RELATIVE = 2e-5
MAX_NMSE = 1e-8
CLEAR_GAP = 0.01


def check(folder, golden, path):
    want = np.load(os.path.join(folder, "logits.npy"))
    got = np.load(path)
    if got.shape != want.shape:
        print(f"shape {got.shape}, expected {want.shape}")
        return False
    if not np.isfinite(got).all():
        print(f"{np.count_nonzero(~np.isfinite(got))} values are not finite")
        return False
    # In float64, so that the comparison adds no rounding of its own.
    got, want = got.astype(np.float64), want.astype(np.float64)
    diff = np.abs(got - want)
    row, column = np.unravel_index(diff.argmax(), diff.shape)
    relative = diff.max() / np.abs(want).max()
    nmse = ((got - want) ** 2).sum() / (want**2).sum()
    if golden["weights"] == "f32":
        passed, rule = relative <= MAX_RELATIVE, f"max diff / max |logit| <= {MAX_RELATIVE:g}"
    else:
        passed, rule = nmse <= MAX_NMSE, f"NMSE <= {MAX_NMSE:g}"
    print(f"max diff / max |logit| {relative:.3e}   NMSE {nmse:.3e}")
    print(f"largest at position {row}, id {column}: {got[row, column]:.7g}, expected {want[row, column]:.7g}")
    # The first wrong row tells a wrong position from a wrong weight.
    per_row = diff.max(axis=1) / np.abs(want).max()
    wrong = np.flatnonzero(per_row > MAX_RELATIVE)
    if len(wrong):
        print(f"{len(wrong)} of {len(want)} positions differ by more than {MAX_RELATIVE:g}, the first is {wrong[0]}")
    print(f"{'pass' if passed else 'FAIL'}: {golden['weights']} weights, {rule}")
    return bool(passed)


def tokens(golden, text):
    got = [int(part) for part in text.replace(",", " ").split()]
    for step, (want, gap) in enumerate(zip(golden["greedy"], golden["greedy_gap"])):
        if gap < CLEAR_GAP:
            print(f"pass: equal up to step {step}, where the reference itself is near a tie ({gap:g})")
            return True
        if step >= len(got) or got[step] != want:
            found = got[step] if step < len(got) else "nothing"
            print(f"FAIL: step {step} gives {found}, expected {want} (gap {gap:g})")
            return False
    print(f"pass: all {len(golden['greedy'])} ids equal")
    return True


def main(arguments):
    if len(arguments) != 3 or arguments[0] not in ("check", "tokens"):
        print(__doc__.strip(), file=sys.stderr)
        return 2
    verb, folder, given = arguments
    with open(os.path.join(folder, "golden.json")) as file:
        golden = json.load(file)
    passed = check(folder, golden, given) if verb == "check" else tokens(golden, given)
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
