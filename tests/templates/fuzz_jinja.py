#!/usr/bin/env python3
"""Random templates from a grammar, rendered by Tutti and by Python's jinja2: the same text, or both refuse.

usage: fuzz_jinja.py RENDER_CASES [--count N] [--seed S]

Left out: what Python prints of functions but macros, of generators and Markup, and integers of more than 64 bits.
"""
import argparse
import collections
import copy
import json
import random
import subprocess
import sys
import warnings

from jinja2_oracle import NOW, make_environment

CONTEXT = {
    "s": "Hello World",
    "u": "héllo → 世界 😀\n",
    "e": "",
    "n": 7,
    "k": -3,
    "f": 2.5,
    "t": True,
    "z": None,
    "l": [3, 1, 2],
    "w": ["b", "a", "C", ""],
    "d": {"b": 1, "a": [1, 2.0, None, True, "x'y"], "c": {"k": "v"}},
    "users": [{"name": "bob", "age": 30}, {"name": "Alice", "age": 25}, {"name": "carol", "age": 30}],
    "ml": "one\n\n  two\nthree\n",
}
TEXTS = ["'a'", "'ab'", "' x '", "''", "'a,b,,c'", "\"q'\"", "'\\n'", "'é世'", "'<&>'", "'12'", "'1.5'", "'%s'", "'Ab Cd'", "'k'", "'b'"]
NUMBERS = ["0", "1", "2", "-1", "3", "10", "2.5", "-0.5", "1e3", "7"]
TESTS = "defined undefined none string mapping iterable sequence number boolean true false integer float odd even upper lower callable".split()
TEST_ARGS = ["eq({})", "equalto {}", "ne({})", "lt({})", "gt({})", "ge({})", "le({})", "in({})", "sameas({})", "divisibleby({})"]
FILTERS = (
    "abs capitalize count d e escape first float int items|list join last length list lower max min reverse|list "
    "safe sort string sum title tojson trim unique|list upper wordcount dictsort round default('x') "
    "default('x',true) join(',') join('-',attribute='name') replace('a','bb') replace('a','b',1) indent indent(2) "
    "indent(2,true) indent('>',blank=true) center(11) truncate(5) truncate(5,true,'') truncate(6,leeway=0) "
    "batch(2)|list batch(2,'-')|list slice(2)|list slice(2,0)|list map('upper')|list map(attribute='name')|list "
    "map(attribute='age',default=0)|list map('length')|list select|list select('string')|list reject('none')|list "
    "selectattr('age','gt',26)|list rejectattr('name','in',['bob'])|list sort(reverse=true) "
    "sort(case_sensitive=true) sort(attribute='name') sort(attribute='age,name') groupby('age')|list tojson(indent=2) "
    "tojson(sort_keys=true) tojson(separators=(',',':')) tojson(true) round(1) round(1,'floor') int(5) int(0,16) "
    "float(1.5) dictsort(by='value') dictsort(true) min(attribute='age') max(attribute='name') sum(attribute='age') "
    "attr('x') unique(attribute='age')|list format(1) format('x','y') trim('a ') forceescape"
).split()
METHODS = (
    "upper() lower() title() capitalize() swapcase() strip() lstrip() rstrip() strip('a ') lstrip('H') split() "
    "split(',') split(',',1) rsplit(',',1) split(none,1) splitlines() splitlines(true) startswith('a') endswith('d') "
    "startswith(('a','H')) find('l') rfind('l') index('a') count('l') replace('l','L') replace('','-') "
    "replace('l','',1) join(['x','y']) join(w) partition('l') rpartition('l') removeprefix('He') removesuffix('ld') "
    "zfill(5) center(9,'*') ljust(6) rjust(6) isdigit() isalpha() isalnum() isspace() isupper() islower() "
    "encode format(1,2) items() keys() values() get('a') get('q') get('q',1) items()|list keys()|list values()|list "
    "append(1) index(1) count(1) copy() casefold() isdecimal() isnumeric() isascii() istitle() expandtabs() "
    "expandtabs(3)"
).split()


BY_TYPE = {  # what gives a text, a number, a list, a mapping or a truth
    "s": ["s", "u", "ml", "{s}|upper", "{s}|lower|trim", "{s} ~ {a}", "{s} + {s}", "{s}|replace('l', {s})", "{s}[{i}:{i}]", "{s}[::-1]",
          "{l}|join({s})", "{a}|string", "{a}|tojson", "{d}|tojson(indent=2)", "{s}|title", "{s}|capitalize", "{s}|indent({i})", "{s}|indent(2, true, true)",
          "{s}.split({t})[-1]", "{s}.strip({t})", "{s}.lstrip()", "{s}.rstrip({t})", "{s}.upper()", "{s}.title()", "{s}.swapcase()", "{s}|center(20)",
          "{s}.replace({t}, {s})", "{s}.replace({t}, {t}, 1)", "{s} * {i}", "({s} if {b} else {s})", "{s}|truncate(7)", "{s}|truncate(9, true, '')",
          "'%s-%s' % ({a}, {a})", "'%05d|%-4s|%.2f' % ({i}, {s}, {n})", "'{{}}:{{}}'.format({s}, {i})", "{l}|first|string", "{s}|list|last|default('')|string",
          "{s}.zfill(8)", "{s}.center(9, '*')", "{s}.ljust(6, '.')", "{s}.removeprefix({t})", "{s}.partition({t})[2]", "{s}.join({w})", "{s}.casefold()",
          "{s}|reverse", "{s}|default({t}, true)", "({s} or {s})", "{d}.get('k', {s})|string", "{s}.expandtabs(4)", "{s}|format"],
    "n": ["n", "k", "f", "{i} + {n}", "{n} - {n}", "{n} * {i}", "{i} // 3", "{i} % 4", "{n} / 2", "-{n}", "{i} ** 2", "{s}|length", "{l}|length", "{n}|abs", "{n}|round(1)",
          "{n}|round", "{n}|int", "{n}|float", "{s}|int", "{s}|float", "{s}|int({i})", "{s}.find({t})", "{s}.count({t})", "{s}|wordcount", "[1, 2, {i}]|sum", "[{i}, {i}]|max",
          "[{n}, {n}]|min", "({n} if {b} else {i})", "users|sum(attribute='age')", "{l}|count", "{n}|round(0, 'floor')", "{n}|round(1, 'ceil')", "users|map(attribute='age')|max"],
    "i": ["0", "1", "2", "3", "-1", "-2", "n", "{l}|length", "({i} + 1)"],
    "t": ["'l'", "'a'", "' '", "''", "','", "'o W'", "'é'", "'\\n'", "none"],
    "w": ["w", "['x', 'y']", "{s}.split()", "{s}.split({t}, 1)", "{s}.splitlines()", "{s}|list", "{w}[{i}:]", "{w} + {w}", "{w}|sort", "{w}|unique|list", "{w}|map('upper')|list", "{w}|reverse|list",
          "{w}|select('in', {w})|list", "{w}|sort(reverse=true, case_sensitive=true)", "{s}.rsplit({t}, 1)", "{s}.split(none, 2)", "users|map(attribute='name')|list", "{s}.splitlines(true)", "d|list"],
    "l": ["l", "[1, 2, 3]", "[{n}, {a}]", "{w}", "{l} + {l}", "{l}[{i}:]", "{l}[:{i}]", "{l}[::-1]", "{l}|reverse|list", "{l}|batch(2)|list", "{l}|batch(2, 0)|list", "{l}|slice(2)|list", "range({i})|list",
          "{l}|select|list", "{l}|reject('none')|list", "{l}|map('string')|list", "users", "users|selectattr('age', 'gt', 26)|list", "users|rejectattr('name', 'in', {w})|list", "users|sort(attribute='name')",
          "users|sort(attribute='age,name', reverse=true)", "users|groupby('age')|list", "d|dictsort", "d|items|list", "d.items()|list", "d.values()|list", "d.keys()|list", "({l} if {b} else {w})", "{l} * 2", "users|unique(attribute='age')|list",
          "users|map(attribute='x', default={s})|list", "{l}|list", "({l}, {n})", "{l}|selectattr('x', 'defined')|list", "{l}|tojson|list", "(1, {a})"],
    "d": ["d", "{{'a': {a}, 'b': {n}}}", "{{{s}: {a}}}", "users[0]", "dict(a={a}, b=2)", "d['c']", "(d|dictsort(by='key', reverse=true))[0]", "users|first", "dict({{'q': 1}}, r={a})", "{{1: {a}, none: 2, true: 3, 2.5: {l}}}"],
    "b": ["t", "not {b}", "{b} and {b}", "{b} or {b}", "{n} < {n}", "{n} >= {n}", "{s} == {s}", "{s} < {s}", "{t} in {s}", "{s} not in {w}", "{n} in {l}", "{a} is defined", "nope is defined", "{a} is none", "{a} is string",
          "{a} is mapping", "{a} is iterable", "{a} is sequence", "{a} is number", "{i} is odd", "{i} is divisibleby 3", "{a} is not sameas none", "{s} is upper", "{s}.startswith({t} or 'H')", "{s}.endswith(('d', 'x'))",
          "{s}.isalpha()", "{s}.isdigit()", "{s} is in {w}", "{l} == {l}", "{a} is true", "{n} is integer", "{n} is float", "{b} is boolean", "{d} == {d}", "1 < {n} <= 5", "'a' in {d}", "{l} < {l}", "{s}.istitle()", "{s}.islower()", "{a} is callable"],
}
BY_TYPE["a"] = ["{s}", "{n}", "{l}", "{d}", "{b}", "none", "nope", "{w}", "z", "e"]


class Maker:
    def __init__(self, rng):
        self.rng = rng
        self.names = list(CONTEXT) + ["nope", "x", "y"]

    def pick(self, items):
        return self.rng.choice(items)

    def atom(self):
        kind = self.rng.randrange(10)
        if kind < 4:
            return self.pick(self.names)
        if kind < 6:
            return self.pick(TEXTS)
        if kind < 8:
            return self.pick(NUMBERS)
        return self.pick(["true", "false", "none", "[]", "{}", "()", "[1, 'a', none]", "{'a': 1, 'b': [2]}", "(1, 2)", "range(4)", "(1,)"])

    def typed(self, kind, depth=0):
        """An expression that means something: mostly of the wanted type."""
        simple = {"s": "s", "n": "n", "i": "1", "t": "'l'", "w": "w", "l": "l", "d": "d", "b": "t", "a": "f"}
        if depth > 4:
            return simple[kind]
        template = self.pick(BY_TYPE[kind])
        out, pos = "", 0
        while pos < len(template):
            if template[pos] == "{" and template[pos + 2 : pos + 3] == "}" and template[pos + 1] in BY_TYPE:
                part = self.typed(template[pos + 1], depth + 1)
                out += part if part.isalnum() else f"({part})"
                pos += 3
            elif template[pos : pos + 2] in ("{{", "}}"):
                out += template[pos]
                pos += 2
            else:
                out += template[pos]
                pos += 1
        return out

    def expr(self, depth=0):
        if depth == 0 and self.rng.random() < 0.85 or depth == 2 and self.rng.random() < 0.7:
            return self.typed(self.pick("ssssnllwdba"), 1)
        return self.any_expr(depth)

    def any_expr(self, depth):
        if depth > 3 or self.rng.random() < 0.15:
            return self.atom()
        sub = lambda: self.any_expr(depth + 1)
        kind = self.rng.randrange(24)
        if kind < 4:
            return f"{self.group(sub())}|{self.pick(FILTERS)}"
        if kind < 7:
            return f"{self.group(sub())}.{self.pick(METHODS)}"
        if kind < 10:
            return f"{sub()} {self.pick(['+', '-', '*', '/', '//', '%', '~', '~', '+', '**'])} {sub()}"
        if kind < 12:
            return f"{sub()} {self.pick(['==', '!=', '<', '>', '<=', '>=', 'in', 'not in'])} {sub()}"
        if kind < 14:
            return f"{sub()} {self.pick(['and', 'or'])} {sub()}"
        if kind == 14:
            return f"not {sub()}"
        if kind == 15:
            return f"{sub()} if {sub()} else {sub()}" if self.rng.random() < 0.8 else f"{sub()} if {sub()}"
        if kind < 18:
            negation = self.pick(["", "not "])
            if self.rng.random() < 0.6:
                return f"{self.group(sub())} is {negation}{self.pick(TESTS)}"
            return f"{self.group(sub())} is {negation}" + self.pick(TEST_ARGS).format(self.atom())
        if kind < 20:
            part = lambda: self.pick(["", "", "0", "1", "-1", "2", "n", "-2"])
            # Of constants that have no items jinja2 makes an undefined value while it compiles, of all else an error.
            return f"{self.pick(['s', 'u', 'l', 'w', 'd', 'n', 'nope'])}[{part()}:{part()}{self.pick(['', ':', ':-1', ':2'])}]"
        if kind < 22:
            return f"{self.group(sub())}[{self.pick(['0', '-1', '1', repr('a'), repr('name'), 'n', sub()])}]"
        if kind == 22:
            return f"[{sub()}, {sub()}]" if self.rng.random() < 0.5 else "{" + f"{self.pick(TEXTS)}: {sub()}" + "}"
        return f"({sub()})" if self.rng.random() < 0.6 else f"-{self.group(sub())}"

    def group(self, text):
        return f"({text})" if self.rng.random() < 0.7 else text

    def tag(self, body):
        left = self.pick(["{%", "{%", "{%-", "{%+"])
        right = self.pick(["%}", "%}", "-%}", "+%}"])
        return f"{left} {body} {right}"

    def output(self):
        return self.pick(["{{ ", "{{ ", "{{- "]) + self.expr() + self.pick([" }}", " }}", " -}}"])

    def text(self):
        return self.pick(["", " ", "\n", "a", "  \n", "\n  ", "b\n", "{# c #}", "{#- c -#}\n", "\n\n", "<x>"])

    def body(self, depth, loop=False):
        return "".join(self.text() + self.statement(depth, loop) for _ in range(self.rng.randrange(1, 4))) + self.text()

    def statement(self, depth=0, loop=False):
        if depth > 2:
            return self.output()
        kind = self.rng.randrange(16)
        inner = lambda in_loop=loop: self.body(depth + 1, in_loop)
        if kind < 5:
            return self.output()
        if kind == 5:
            return self.tag("if " + self.expr()) + inner() + self.tag("endif")
        if kind == 6:
            return (self.tag("if " + self.expr()) + inner() + self.tag("elif " + self.expr()) + inner() + self.tag("else") + inner() + self.tag("endif"))
        if kind < 10:
            target = self.pick(["x", "y", "x, y", "n", "i"])
            source = self.pick(["l", "w", "users", "d", "d.items()", "range(3)", "s[:3]", self.expr(2)])
            test = f" if {self.expr(2)}" if self.rng.random() < 0.2 else ""
            extra = self.pick(["", "", "{{ loop.index }}", "{{ loop.last }}", "{{ loop.length }}", "{{ loop.cycle('p', 'q') }}", "{{ loop.previtem }}{{ loop.nextitem }}", "{{ loop.revindex0 }}{{ loop.first }}", "{{ loop.changed(x) }}", self.tag("if loop.index > 1") + self.tag(self.pick(["break", "continue"])) + self.tag("endif")])
            other = self.tag("else") + inner(False) if self.rng.random() < 0.2 else ""
            return self.tag(f"for {target} in {source}{test}") + extra + inner(True) + other + self.tag("endfor")
        if kind < 12:
            return self.tag(f"set {self.pick(['x', 'y', 'n', 'x, y'])} = {self.expr()}")
        if kind == 12:
            return self.tag(self.pick(["set x", "set y | upper", "set x | trim | replace('a', 'b')"])) + inner() + self.tag("endset")
        if kind == 13:
            name = self.pick(["m", "g"])
            call = self.pick(["{{ %s() }}", "{{ %s(1) }}", "{{ %s(1, y=2) }}", "{{ %s(s, 2) }}", "{{ %s(x=l) }}", self.tag("call %s(1)") + "in" + self.tag("endcall"), self.tag("call(p) %s(1)") + "{{ p }}" + self.tag("endcall")]).replace("%s", name)
            return self.tag(f"macro {name}({self.pick(['x', 'x, y=3', '', 'x=1, y=x'])})") + inner(False) + self.pick(["", "", "{{ caller() }}", "{{ caller(x) }}", "{{ varargs }}{{ kwargs }}"]) + self.tag("endmacro") + call
        if kind == 14:
            return self.pick(
                [
                    self.tag("filter upper") + inner() + self.tag("endfilter"),
                    self.tag(f"with x = {self.expr()}, y = 1") + inner() + self.tag("endwith"),
                    self.tag("generation") + inner(False) + self.tag("endgeneration"),
                    self.tag("set ns = namespace(a=1)") + self.tag("for i in l") + self.tag(f"set ns.a = {self.pick(['ns.a + i', 'i', 'ns.a ~ i'])}") + self.tag("endfor") + "{{ ns.a }}",
                    self.tag("raw") + "{{ x }}\n" + self.tag("endraw"),
                    self.tag("for x in [[1, [2, []]], [3]] recursive") + "{{ loop.depth }}{{ x }}" + self.tag("if x is sequence and x is not string") + "{{ loop(x) }}" + self.tag("endif") + self.tag("endfor"),
                    self.tag("block q") + inner(False) + self.tag("endblock"),
                ]
            )
        return self.tag("print " + self.expr())


class Printed:
    """Sees each value that a template prints, also where the text is thrown away."""

    def __init__(self, environment):
        self.by_address = False  # text that differs from run to run, which Tutti refuses
        environment.finalize = self.watch

    def watch(self, value):
        if not isinstance(value, (str, int, float)):
            self.by_address = self.by_address or any(text in str(value) for text in SKIP)
        return value


def reference(environment, source):
    try:
        return environment.from_string(source).render(**copy.deepcopy(CONTEXT))
    except RecursionError:
        return None
    except Exception:
        return None


# What differs on purpose: text that only Python objects have, results of over 64 bits.
SKIP = ("<generator", "<function", "<built-in", "<bound", "Undefined", "<jinja2", " object at 0x", "dict_", "<LoopContext", "<slot", "<method", "BlockReference", "<Namespace", "<class", "Markup(")


def too_big(text):
    digits = 0
    for c in text:
        digits = digits + 1 if c.isdigit() else 0
        if digits > 18:
            return True
    return False


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("render_cases")
    parser.add_argument("--count", type=int, default=3000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--show", type=int, default=5)
    options = parser.parse_args()
    warnings.simplefilter("ignore")  # Python warns of what random templates do
    environment = make_environment()
    printed = Printed(environment)
    sources = []
    for i in range(options.count):
        rng = random.Random(options.seed * 1_000_003 + i)
        maker = Maker(rng)
        sources.append(maker.output() if rng.random() < 0.5 else maker.body(0))
    lines = [json.dumps({"source": source, "context": CONTEXT, "now": NOW}) for source in sources]
    result = subprocess.run([options.render_cases], input="\n".join(lines) + "\n", stdout=subprocess.PIPE, encoding="utf-8", check=True)
    answers = [json.loads(line) for line in result.stdout.split("\n")[:-1]]
    if len(answers) != len(sources):
        sys.exit(f"{len(sources)} cases, but {len(answers)} answers")
    tally = collections.Counter()
    shown = 0
    for source, answer in zip(sources, answers):
        printed.by_address = False
        want = reference(environment, source)
        refused = printed.by_address and "cannot be printed" in answer.get("error", "")
        if want is not None and (any(text in want for text in SKIP) or too_big(want) or refused):
            tally["left out"] += 1
            continue
        same = answer.get("text") == want
        tally["identical" if same and want is not None else "refused by both" if same else "DIFFERENT"] += 1
        if not same:
            shown += 1
            if shown <= options.show:
                print(f"-- {source!r}\n   wanted {want!r}\n   got    {answer}")
    print(f"random templates, seed {options.seed}: " + ", ".join(f"{count} {name}" for name, count in sorted(tally.items())))
    if tally["DIFFERENT"]:
        sys.exit(1)


if __name__ == "__main__":
    main()
