"""A list of cases, run one after another: each a name and a function that raises what is wrong."""

import os
import traceback

CASES = []


def case(*variants):
    """@case() or @case("stream", "whole"): the function gets the variant."""

    def add(function):
        for variant in variants or (None,):
            name = function.__name__ + (f"[{variant}]" if variant is not None else "")
            CASES.append((name, (lambda f=function, v=variant: f(v)) if variants else function))
        return function

    return add


def run(library):
    only = os.environ.get("ONLY", "")
    failed = 0
    ran = 0
    for name, function in CASES:
        if only not in name:
            continue
        ran += 1
        try:
            function()
        except Exception:
            failed += 1
            print(f"FAIL {library} {name}\n{traceback.format_exc()}", flush=True)
    print(f"{library}: {ran - failed} of {ran} passed", flush=True)
    return failed
