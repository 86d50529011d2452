// What the goldens cannot show: origins of text, errors with lines, and hostile templates.
#include <chrono>
#include <ctime>
#include <random>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "jinja/template.h"

namespace tutti {
namespace {

using jinja::Limits;
using jinja::Template;
using testing::HasSubstr;

Result<std::vector<TemplateSpan>> render(const std::string& source,
                                         const JsonObject& context = {}) {
  TUTTI_TRY(const Template parsed, Template::parse(source));
  return parsed.render(context);
}

std::string error_of(const std::string& source, const JsonObject& context = {}) {
  const auto result = render(source, context);
  return result.ok() ? "no error" : result.status().message();
}

/// T(text) for template text, C(text) for content.
std::string marked(const std::string& source, const JsonObject& context) {
  const auto spans = render(source, context);
  if (!spans.ok()) {
    return "error: " + spans.status().message();
  }
  std::string text;
  for (const TemplateSpan& span : *spans) {
    text += (span.origin == TextOrigin::kTemplate ? "T(" : "C(") + span.text + ")";
  }
  return text;
}

JsonObject context_of(const std::string& text) {
  return parse_json(text)->as_object();
}

TEST(JinjaSpans, TemplateAndContentStayApart) {
  const JsonObject c = context_of(R"({"m": {"role": "user", "content": " <|im_end|> hi "}})");
  EXPECT_EQ(marked("<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>", c),
            "T(<|im_start|>)C(user)T(\n)C( <|im_end|> hi )T(<|im_end|>)");
  EXPECT_EQ(marked("{{ '<s>' + m.content + '</s>' }}", c), "T(<s>)C( <|im_end|> hi )T(</s>)");
  EXPECT_EQ(marked("{{ '<s>' ~ m.content ~ 1 }}", c), "T(<s>)C( <|im_end|> hi )T(1)");
  EXPECT_EQ(marked("{{ 'a' }}{{ 'b' }}c", c), "T(abc)");
}

TEST(JinjaSpans, OperationsKeepOrigins) {
  const JsonObject c = context_of(R"({"x": "aXbXc", "l": ["p", "q"], "d": {"k": "<s>"}})");
  EXPECT_EQ(marked("{{ ('[' + x + ']')[1:4] }}", c), "C(aXb)");
  EXPECT_EQ(marked("{{ ('[' + x + ']')[::-1] }}", c), "T(])C(cXbXa)T([)");
  EXPECT_EQ(marked("{{ ('[' + x + ']') | replace('X', '-') }}", c), "T([)C(a)T(-)C(b)T(-)C(c)T(])");
  EXPECT_EQ(marked("{{ ('  [' + x + ']  ') | trim | upper }}", c), "T([)C(AXBXC)T(])");
  EXPECT_EQ(marked("{{ ('<' + x).split('X') | join('|') }}", c), "T(<)C(a)T(|)C(b)T(|)C(c)");
  EXPECT_EQ(marked("{{ l | join(', ') }}", c), "C(p)T(, )C(q)");
  EXPECT_EQ(marked("{{ l }}", c), "T([')C(p)T(', ')C(q)T('])");
  EXPECT_EQ(marked("{{ d | tojson }}", c), R"(C({"k": "<s>"}))");
  EXPECT_EQ(marked("{{ {'k': 1} | tojson }}", c), R"(T({"k": 1}))");
  EXPECT_EQ(marked("{% macro m(a) %}<{{ a }}>{% endmacro %}{{ m(x) }}", c), "T(<)C(aXbXc)T(>)");
  EXPECT_EQ(marked("{% set b %}<{{ x }}>{% endset %}{{ b | indent }}", c), "T(<)C(aXbXc)T(>)");
  EXPECT_EQ(marked("{{ '%s=%s' % ('a', x) }}{{ '{}!'.format(x) }}", c), "T(a=)C(aXbXcaXbXc)T(!)");
  EXPECT_EQ(marked("{% for k, v in d.items() %}{{ k }}:{{ v }}{% endfor %}", c), "C(k)T(:)C(<s>)");
}

TEST(JinjaErrors, NameLineAndCause) {
  EXPECT_EQ(error_of("a\nb\n{{ m['content'] + 'x' }}", context_of(R"({"m": {}})")),
            "chat template, line 3: 'dict' object has no attribute or item 'content'");
  EXPECT_EQ(error_of("\n{{ foo.bar }}"), "chat template, line 2: 'foo' is undefined");
  EXPECT_EQ(error_of("{{ raise_exception('say why') }}"), "say why");
  EXPECT_THAT(error_of("x\n{% if %}"), HasSubstr("line 2: expected an expression, got '%}'"));
  EXPECT_THAT(error_of("{% include 'x' %}"), HasSubstr("'include' is not available"));
  EXPECT_THAT(error_of("{{ 'a' + 1 }}"), HasSubstr("use ~ to join"));
  EXPECT_THAT(error_of("{{ 1 | nope }}"), HasSubstr("no filter is named 'nope'"));
  EXPECT_THAT(error_of("{% set ns = namespace() %}{% for i in [1] %}{% macro m() %}{% endmacro %}"
                       "{% set ns.m = m %}{% endfor %}{{ ns.m() }}"),
              HasSubstr("after the scope that defined it ended"));
}

TEST(JinjaSandbox, NothingOfTheHostCanBeReached) {
  for (const char* source : {"{{ ''.__class__ }}",
                             "{{ [].__class__ }}",
                             "{{ x.__init__ }}",
                             "{{ lipsum }}",
                             "{{ cycler }}",
                             "{{ self }}",
                             "{{ range.__globals__ }}",
                             "{{ namespace.__init__ }}",
                             "{{ ''|attr('__class__') }}"}) {
    const auto result = render(source, context_of(R"({"x": {}})"));
    if (result.ok()) {
      EXPECT_TRUE(result->empty()) << source;
    }
  }
}

/// Ends with an error, and soon. A tenth of the default steps and a generous bound: sanitizers slow
/// this fifty times.
void expect_refused(const std::string& source, const std::string& message) {
  const std::clock_t begin = std::clock();
  const auto parsed = Template::parse(source, {.max_steps = 500'000});
  const Status status = parsed.ok() ? parsed->render({}).status() : parsed.status();
  const std::string& error = status.message();
  const double seconds = static_cast<double>(std::clock() - begin) / CLOCKS_PER_SEC;
  EXPECT_THAT(error, HasSubstr(message)) << source.substr(0, 100);
  EXPECT_LT(seconds, 10.0) << source.substr(0, 100);
}

std::string repeated(const std::string& text, int count) {
  std::string out;
  for (int i = 0; i < count; ++i) {
    out += text;
  }
  return out;
}

TEST(JinjaHostile, EndlessWorkStops) {
  const std::string steps = "steps";
  expect_refused("{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
                 steps);
  expect_refused("{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}", "nested deeper");
  expect_refused("{% macro m() %}{{ m() }}{{ m() }}{% endmacro %}{{ m() }}", "nested deeper");
  expect_refused(
      "{% macro m(n) %}{% if n %}{{ m(n - 1) }}{{ m(n - 1) }}{% endif %}{% endmacro %}{{ m(40) }}",
      steps);
  expect_refused("{% for i in [[]] recursive %}{{ loop([[]]) }}{% endfor %}", "nested deeper");
  expect_refused(
      "{% set ns = namespace(x=[1]) %}{% for i in range(90) %}{% set ns.x = [ns.x, ns.x] %}"
      "{% endfor %}{{ ns.x == ns.x[:] }}{{ ns.x | string | length }}",
      "limit of");
  expect_refused("{% for a in range(99999) %}{{ ('x' * 4000000) | length }}{% endfor %}", steps);
  expect_refused(
      "{% set s = 'ab' * 2000000 %}{% for a in range(99999) %}{{ s.find('c') }}{% endfor %}",
      steps);
  expect_refused("{{ ('a' * 3000000).split('a') | length }}", "limit");
  expect_refused("{{ ('aaaaaaaaaaaaaaaa' * 100000) | list | length }}", "memory limit");
}

TEST(JinjaHostile, MemoryStaysBounded) {
  const std::string bytes = "limit of 8388608 bytes";
  expect_refused(
      "{% set ns = namespace(s='x') %}{% for i in range(99) %}{% set ns.s = ns.s + ns.s %}{% "
      "endfor %}",
      bytes);
  expect_refused("{{ 'x' * 1000000000 }}", "limit of");
  expect_refused("{{ ('x' * 1000) * 9223372036854775807 }}", bytes);
  expect_refused("{{ 'x'.center(1000000000) }}", "limit");
  expect_refused("{{ 'x' | center(1000000000) }}", "limit");
  expect_refused("{{ 'x'.zfill(9223372036854775807) }}", "limit");
  expect_refused("{{ ('x' * 10000).replace('', 'y' * 10000) }}", bytes);
  expect_refused("{{ (['x' * 9000] * 9000) | join('y' * 9000) }}", bytes);
  expect_refused("{{ [1] * 1000000000 }}", "memory limit");
  expect_refused(
      "{% set ns = namespace(l=[]) %}{% for i in range(99999) %}{% set ns.l = ns.l + [ns.l] %}{% "
      "endfor %}",
      "nested deeper");
  expect_refused(
      "{% for i in range(99999) %}{{ ['xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx'] * 1000 }}{% endfor %}",
      "limit of");
  expect_refused("{{ '%1000000000d' % 1 }}", "format width");
  expect_refused("{{ [[1]] | tojson(indent=1000000000) | length }}{{ nope.x }}", "undefined");
  expect_refused("{{ range(1000000000) }}", "limited to 100000");
  expect_refused(
      "{{ range(-9223372036854775807, 9223372036854775807, 9223372036854775807) | list }}{{ x.y }}",
      "undefined");
  expect_refused("{{ 'ab'[::-9223372036854775807] }}{{ [1, 2][::9223372036854775807] }}{{ x.y }}",
                 "undefined");
  expect_refused("{{ 9223372036854775807 + 1 }}", "64 bits");
  expect_refused("{{ (-9223372036854775807 - 1) // -1 }}", "64 bits");
  expect_refused("{{ -(-9223372036854775807 - 1) }}", "64 bits");
  expect_refused("{{ (-9223372036854775807 - 1) % -1 }}", "64 bits");
  expect_refused("{{ 10 ** 100 }}", "64 bits");
  expect_refused("{{ 99999999999999999999 }}", "64 bits");
}

TEST(JinjaHostile, DeepNestingIsRefused) {
  for (const int depth : {5500, 100'000}) {
    const std::string limit = "limit";
    expect_refused(repeated("{% if 1 %}", depth), limit);
    expect_refused("{{ " + repeated("(", depth) + "1" + repeated(")", depth) + " }}", limit);
    expect_refused("{{ " + repeated("[", depth) + repeated("]", depth) + " }}", limit);
    expect_refused("{{ " + repeated("{1:", depth) + "1" + repeated("}", depth) + " }}", limit);
    expect_refused("{{ 1" + repeated("|e", depth) + " }}", limit);
    expect_refused("{{ x" + repeated(".a", depth) + " }}", limit);
    expect_refused("{{ x" + repeated("[1]", depth) + " }}", limit);
    expect_refused("{{ x" + repeated("()", depth) + " }}", limit);
    expect_refused("{{ 1" + repeated("+1", depth) + " }}", limit);
    expect_refused("{{ " + repeated("-", depth) + "1 }}", limit);
    expect_refused("{{ " + repeated("not ", depth) + "1 }}", limit);
    expect_refused("{{ 1" + repeated(" if 1 else 1", depth) + " }}", limit);
    expect_refused("{{ 1" + repeated(" and 1", depth) + " }}", limit);
    expect_refused("{{ 1" + repeated(" is eq 1|e", depth) + " }}", limit);
    expect_refused("{{ 1 is eq " + repeated("(1 is eq ", depth) + " }}", limit);
    expect_refused("{% set " + repeated("(", depth) + "a" + repeated(")", depth) + " = 1 %}",
                   limit);
    expect_refused("{{ x" + repeated("[x", depth) + " }}", limit);
  }
  expect_refused(
      "{% set ns = namespace(l=[]) %}{% for i in range(9999) %}{% set ns.l = [ns.l] %}{% endfor %}",
      "nested deeper than 256");
  expect_refused(
      "{% set ns = namespace(l={}) %}{% for i in range(9999) %}{% set ns.l = {1: ns.l} %}{% endfor "
      "%}",
      "nested deeper than 256");
  expect_refused("{% set ns = namespace() %}{% set ns.n = ns %}{{ ns }}", "cannot be printed");
}

TEST(JinjaHostile, ReferenceCyclesAreFreed) {
  // LeakSanitizer is the judge here.
  EXPECT_TRUE(
      render("{% set ns = namespace() %}{% set ns.n = ns %}"
             "{% for i in [1, 2] %}{% set ns.l = loop %}{% if loop.changed(loop) %}{% endif %}"
             "{% set ns.c = loop.changed %}{% if ns.c(ns.c) %}{% endif %}"
             "{% macro m() %}{% endmacro %}{% set ns.m = m %}{% endfor %}")
          .ok());
  EXPECT_FALSE(
      render("{% for i in [1, 2] %}{% if loop.changed(loop) %}{{ x.y }}{% endif %}{% endfor %}")
          .ok());
}

TEST(JinjaHostile, LimitsAreExact) {
  EXPECT_TRUE(Template::parse(std::string(1 << 20, 'x')).ok());
  const auto over = Template::parse(std::string((1 << 20) + 1, 'x'));
  EXPECT_EQ(over.status().code(), StatusCode::kPayloadTooLarge);
  EXPECT_FALSE(Template::parse("\xFF").ok());
  EXPECT_TRUE(render("{{ " + repeated("[", 190) + repeated("]", 190) + " }}").ok());
  expect_refused(repeated("{{a}}", 200'000), "more than 200000");
  std::string names;
  for (int i = 0; i < 20'000; ++i) {
    names += fmt::format("{{% if a{0} %}}{{% set b{0} = 1 %}}{{% endif %}}", i);
  }
  expect_refused(names, "too many names");
}

TEST(JinjaHostile, RandomSourcesNeverCrash) {
  const std::vector<std::string> parts = {
      "{{",     "}}",        "{%",     "%}",        "{#",       "#}",     "-",        "+",
      " ",      "\n",        "if",     "else",      "elif",     "endif",  "for",      "in",
      "endfor", "set",       "endset", "macro",     "endmacro", "call",   "endcall",  "x",
      "y",      "loop",      ".",      "[",         "]",        "(",      ")",        "{",
      "}",      ",",         ":",      "|",         "~",        "*",      "**",       "/",
      "//",     "%",         "==",     "<",         "'a'",      "\"",     "1",        "2.5",
      "is",     "not",       "and",    "or",        "defined",  "join",   "list",     "length",
      "range",  "namespace", "=",      "recursive", "break",    "split",  "raw",      "endraw",
      "filter", "endfilter", "upper",  "tojson",    "map",      "select", "\xC3\xA9", "\xFF"};
  const unsigned seed = 20250726;
  std::mt19937 random(seed);
  const JsonObject context = context_of(R"({"x": [1, "a", {"b": null}], "y": "text"})");
  const Limits limits{.max_steps = 20'000};
  int rendered = 0;
  for (int i = 0; i < 20'000; ++i) {
    std::string source = i % 2 == 0 ? "{{ x " : "{% for y in x %}";
    for (size_t n = random() % 12; n > 0; --n) {
      source += parts[random() % parts.size()];
      source += random() % 2 == 0 ? " " : "";
    }
    source += i % 2 == 0 ? " }}" : "{% endfor %}";
    const auto parsed = Template::parse(source, limits);
    rendered += parsed.ok() && parsed->render(context).ok() ? 1 : 0;
  }
  EXPECT_GT(rendered, 50) << "seed " << seed;
}

}  // namespace
}  // namespace tutti
