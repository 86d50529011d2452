#!/usr/bin/env python3
"""Asks a running OpenAI-compatible server the held-out problems and scores it; standard library only.

    python3 evaluate.py --url http://127.0.0.1:9997/v1
    python3 evaluate.py --dump tp1.json && python3 evaluate.py --compare tp1.json tp2.json
"""

import argparse
import collections
import concurrent.futures
import json
import os
import sys
import time
import urllib.error
import urllib.request

HERE = os.path.dirname(os.path.abspath(__file__))


def load_problems(path, families, limit):
    """Held-out problems; a limit takes the same share of every family."""
    with open(path, encoding="utf-8") as f:
        items = [json.loads(line) for line in f if line.strip()]
    if families:
        items = [x for x in items if x["family"] in families]
    if limit and limit < len(items):
        items = [items[i * len(items) // limit] for i in range(limit)]
    return items


def call(url, body, key, timeout):
    request = urllib.request.Request(url, data=json.dumps(body).encode(), headers={"Content-Type": "application/json", "Authorization": "Bearer " + key})
    with urllib.request.urlopen(request, timeout=timeout) as reply:
        return json.load(reply)


def first_model(base, key, timeout):
    request = urllib.request.Request(base + "/models", headers={"Authorization": "Bearer " + key})
    with urllib.request.urlopen(request, timeout=timeout) as reply:
        return json.load(reply)["data"][0]["id"]


def answer_of(message):
    """The final answer: what follows the thought, whether or not the server split it off."""
    content = message.get("content") or ""
    return content.split("</think>")[-1].strip()


def ask(item, args, model):
    body = {"model": model, "messages": [{"role": "user", "content": item["question"]}], "temperature": args.temperature, "max_tokens": args.max_tokens, "seed": 1}
    began = time.time()
    for attempt in range(3):
        try:
            reply = call(args.url + "/chat/completions", body, args.key, args.timeout)
            message = reply["choices"][0]["message"]
            return {"id": item["id"], "family": item["family"], "lang": item["lang"], "question": item["question"], "want": item["answer"], "got": answer_of(message),
                    "thinking": message.get("reasoning_content") or message.get("reasoning") or "", "tokens": (reply.get("usage") or {}).get("completion_tokens", 0), "seconds": round(time.time() - began, 3)}
        except (urllib.error.URLError, OSError, KeyError, ValueError) as error:
            problem = error
            time.sleep(0.5 * (attempt + 1))
    return {"id": item["id"], "family": item["family"], "lang": item["lang"], "question": item["question"], "want": item["answer"], "got": None, "error": str(problem), "tokens": 0, "seconds": round(time.time() - began, 3)}


def table(results):
    """Exact answers in percent, per family, per language and overall."""
    right, total = collections.Counter(), collections.Counter()
    for r in results:
        for name in (r["family"], "lang " + r["lang"], "all"):
            total[name] += 1
            right[name] += r["got"] == r["want"]
    return {name: {"exact_percent": round(100.0 * right[name] / total[name], 2), "problems": total[name]} for name in total}


def compare(first, second):
    """Share of problems with the same final answer in two dumps."""
    answers = [{r["id"]: r["got"] for r in json.load(open(path, encoding="utf-8"))["results"]} for path in (first, second)]
    shared = sorted(set(answers[0]) & set(answers[1]))
    different = [i for i in shared if answers[0][i] != answers[1][i]]
    print(json.dumps({"problems": len(shared), "same_percent": round(100.0 * (len(shared) - len(different)) / max(1, len(shared)), 2), "different": different[:50]}))
    return 0 if shared else 1


def main():
    ap = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    ap.add_argument("--url", default="http://127.0.0.1:9997/v1")
    ap.add_argument("--model", help="model name (the server's first if absent)")
    ap.add_argument("--key", default="none", help="API key")
    ap.add_argument("--problems", default=os.path.join(HERE, "heldout.jsonl"))
    ap.add_argument("--family", action="append", help="only this family (repeatable)")
    ap.add_argument("-n", "--count", type=int, default=0, help="number of problems (all if 0)")
    ap.add_argument("--concurrency", type=int, default=16)
    ap.add_argument("--temperature", type=float, default=0.0)
    ap.add_argument("--max-tokens", type=int, default=900)
    ap.add_argument("--timeout", type=float, default=300.0)
    ap.add_argument("--dump", help="write all answers to this JSON file")
    ap.add_argument("--misses", type=int, default=20, help="print up to this many wrong answers")
    ap.add_argument("--min-accuracy", type=float, default=0.0, help="exit with 1 below this percentage overall")
    ap.add_argument("--compare", nargs=2, metavar="DUMP", help="compare two dumps instead of asking")
    args = ap.parse_args()
    if args.compare:
        return compare(*args.compare)
    args.url = args.url.rstrip("/")
    items = load_problems(args.problems, args.family, args.count)
    model = args.model or first_model(args.url, args.key, args.timeout)
    began = time.time()
    with concurrent.futures.ThreadPoolExecutor(args.concurrency) as pool:
        results = list(pool.map(lambda item: ask(item, args, model), items))
    seconds = time.time() - began
    scores = table(results)
    for name, s in scores.items():
        print(f"{name:10s} {s['exact_percent']:6.2f} %  of {s['problems']}")
    for r in [r for r in results if r["got"] != r["want"]][:args.misses]:
        print(f"miss {r['id']}: {r['question']!r} want {r['want']!r} got {r['got']!r}{' ' + r['error'] if 'error' in r else ''}", file=sys.stderr)
    summary = {"model": model, "accuracy": scores, "seconds": round(seconds, 2), "completion_tokens": sum(r["tokens"] for r in results)}
    print(json.dumps(summary))
    if args.dump:
        with open(args.dump, "w", encoding="utf-8") as f:
            json.dump({**summary, "results": results}, f, ensure_ascii=False, indent=1)
    return 0 if scores and scores["all"]["exact_percent"] >= args.min_accuracy else 1


if __name__ == "__main__":
    sys.exit(main())
