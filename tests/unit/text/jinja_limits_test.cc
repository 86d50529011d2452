// Templates that would run for ever, nest without end or fill the memory are stopped with an error,
// soon and small; big chats are not stopped. Measured: processor time and growth of the peak of
// resident memory.
#include <ctime>
#include <fstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/file.h"
#include "text/chat_template.h"

namespace tutti {
namespace {

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr double kMaxSeconds = 10.0;  // sanitizers slow this some fifty times and multiply memory
constexpr int64_t kMaxGrowth = int64_t{1} << 40;
#elif defined(NDEBUG)
constexpr double kMaxSeconds = 0.1;
constexpr int64_t kMaxGrowth = int64_t{64} << 20;
#else
constexpr double kMaxSeconds = 2.0;
constexpr int64_t kMaxGrowth = int64_t{64} << 20;
#endif

// Bytes of the given line of /proc/self/status.
int64_t memory_line(const std::string& name) {
  std::ifstream status("/proc/self/status");
  std::string line;
  while (std::getline(status, line)) {
    if (line.rfind(name, 0) == 0) {
      return std::stoll(line.substr(name.size())) * 1024;
    }
  }
  return -1;
}

// Sets the peak of resident memory to what is resident now.
void reset_peak() {
  std::ofstream("/proc/self/clear_refs") << 5;
}

std::string repeated(const std::string& text, int count) {
  std::string out;
  for (int i = 0; i < count; ++i) {
    out += text;
  }
  return out;
}

struct Hostile {
  const char* name;
  std::string source;
};

std::string nested(const std::string& open, const std::string& middle, const std::string& close) {
  return "{{ " + repeated(open, 10'000) + middle + repeated(close, 10'000) + " }}";
}

std::string grow(const std::string& start, const std::string& step) {
  return "{% set n = namespace(v=" + start +
         ") %}{% for i in range(100000) %}{% set n.v = " + step +
         " %}{% endfor %}{{ n.v | string | length }}";
}

std::vector<Hostile> hostile_templates() {
  return {
      // Endless work.
      {"nested ranges",
       "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}"},
      {"nested ranges with output",
       "{% for a in range(99999) %}{% for b in range(99999) %}x{% endfor %}{% endfor %}"},
      {"filtered loops",
       "{% for a in range(99999) if a < 0 %}{% endfor %}{% for a in range(99999) %}{% for b in "
       "range(99999) if false %}{% endfor %}{% endfor %}"},
      {"macro calls itself", "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}"},
      {"macros call each other",
       "{% macro a() %}{{ b() }}{% endmacro %}{% macro b() %}{{ a() }}{{ a() }}{% endmacro %}{{ "
       "a() }}"},
      {"macro tree",
       "{% macro m(n) %}{% if n %}{{ m(n - 1) }}{{ m(n - 1) }}{% endif %}{% endmacro %}{{ m(60) "
       "}}"},
      {"call blocks",
       "{% macro m() %}{% call m() %}{{ caller() }}{% endcall %}{% endmacro %}{% call m() %}x{% "
       "endcall %}"},
      {"recursive loop", "{% for i in [1] recursive %}{{ loop([1]) }}{% endfor %}"},
      {"recursive loop, wide", "{% for i in [1, 2] recursive %}{{ loop([1, 2]) }}{% endfor %}"},
      {"long powers",
       "{% for i in range(99999) %}{% for j in range(99999) %}{{ 1.0000001 ** 99999 }}{% endfor "
       "%}{% endfor %}"},
      {"searching",
       "{% set s = 'ab' * 2000000 %}{% for i in range(99999) %}{{ s.find('ba' * 500 ~ 'c') }}{% "
       "endfor %}"},
      {"counting",
       "{% set s = 'a' * 2000000 %}{% for i in range(99999) %}{{ s.count('a') }}{% endfor %}"},
      {"splitting",
       "{% set s = 'a ' * 100000 %}{% for i in range(99999) %}{{ s.split() | length }}{% endfor "
       "%}"},
      {"reversing",
       "{% set s = 'a' * 2000000 %}{% for i in range(99999) %}{{ s[::-1] | length }}{% endfor %}"},
      {"slicing",
       "{% set l = range(99999) | list %}{% for i in range(99999) %}{{ l[::2] | length }}{% endfor "
       "%}"},
      {"changing case",
       "{% set s = 'aé' * 1000000 %}{% for i in range(99999) %}{{ (s | upper) | length }}{% endfor "
       "%}"},
      {"counting characters",
       "{% set s = 'é' * 2000000 %}{% for i in range(99999) %}{{ s | length }}{% endfor %}"},
      {"indexing characters",
       "{% set s = 'é' * 2000000 %}{% for i in range(99999) %}{{ s[-1] }}{% endfor %}"},
      {"comparing",
       "{% set a = 'a' * 2000000 %}{% set b = 'a' * 2000000 %}{% for i in range(99999) %}{{ a == b "
       "}}{% endfor %}"},
      {"comparing shared lists",
       "{% set n = namespace(a=[1], b=[1]) %}{% for i in range(100) %}{% set n.a = [n.a, n.a] %}{% "
       "set n.b = [n.b, n.b] %}{% endfor %}{{ n.a == n.b }}"},
      {"looking up unlike keys",
       "{% set n = namespace(d={}) %}{% for i in range(99999) %}{% set n.d = dict(n.d, **{'k' ~ i: "
       "i}) %}{% endfor %}"},
      {"sorting",
       "{% set l = range(99999) | map('string') | list %}{% for i in range(99) %}{{ l | sort | "
       "length }}{% endfor %}"},
      {"sorting by attributes",
       "{% for i in range(99999) %}{{ range(9999) | sort(attribute='a,b,c,d') | length }}{% endfor "
       "%}"},
      {"grouping",
       "{% for i in range(99999) %}{{ range(9999) | groupby('real') | length }}{% endfor %}"},
      {"unique",
       "{% for i in range(99999) %}{{ range(99999) | unique | list | length }}{% endfor %}"},
      {"words",
       "{% set s = 'ab ' * 1000000 %}{% for i in range(99) %}{{ s | wordcount }}{% endfor %}"},
      {"stripping",
       "{% set s = ' ' * 2000000 %}{% for i in range(99999) %}{{ s | trim }}{% endfor %}"},
      {"stripping characters",
       "{% set s = 'z' * 2000000 %}{% set c = 'y' * 2000000 ~ 'z' %}{{ s.strip(c) }}"},
      {"many names",
       "{% for i in range(99999) %}{% for j in range(99999) %}{% set a = i %}{% set b = j %}{% "
       "endfor %}{% endfor %}"},
      {"cycling",
       "{% for i in range(99999) %}{% for j in range(99999) %}{{ loop.cycle(1, 2, 3) }}{{ "
       "loop.changed(j) }}{% endfor %}{% endfor %}"},
      // Growth.
      {"doubling a string", grow("'x'", "n.v ~ n.v")},
      {"appending to a string", grow("'x' * 10000", "n.v + 'y'")},
      {"doubling in a block",
       "{% set s = 'x' %}" + repeated("{% set s %}{{ s }}{{ s }}{% endset %}", 60) + "{{ s }}"},
      {"repeating a string", "{{ 'x' * 10**9 }}"},
      {"repeating a long string", "{{ ('x' * 1000000) * 1000000 }}"},
      {"repeating by 1", "{{ ('ab' * 1000 * 1000 * 1000) | length }}"},
      {"joining", "{{ (['x' * 100000] * 100000) | join('y' * 100000) }}"},
      {"string method join", "{{ ('y' * 100000).join(['x' * 1000] * 100000) }}"},
      {"replacing", "{{ ('x' * 100000) | replace('', 'y' * 100000) }}"},
      {"replacing all", "{{ ('x' * 100000).replace('x', 'y' * 100000) }}"},
      {"formatting", "{{ '%s%s%s%s' * 10000 % ((('x' * 100000),) * 40000) }}"},
      {"formatting widely", "{{ '%1000000000d' % 1 }}{{ '%999d' * 100000 % ((1,) * 100000) }}"},
      {"format method", "{{ ('{0}' * 100000).format('x' * 100000) }}"},
      {"centering", "{{ 'x' | center(1000000000) }}"},
      {"justifying", "{{ 'x'.ljust(1000000000) }}"},
      {"zeros", "{{ 'x'.zfill(1000000000) }}"},
      {"tabs", "{{ ('\\t' * 1000000).expandtabs(1000) }}"},
      {"indenting", "{{ ('x\\n' * 100000) | indent(10000) }}"},
      {"escaping", "{{ ('&' * 1000000) | e | e | e | e | length }}"},
      {"repeating a list", "{{ [1] * 10**9 }}"},
      {"doubling a list", grow("[1]", "n.v + n.v")},
      {"growing a list", grow("[1]", "n.v + [i]")},
      {"growing a list of strings", grow("[]", "n.v + ['x' * 1000 ~ i]")},
      {"list of ranges", grow("[]", "n.v + [range(99999) | list]")},
      {"growing a dict", grow("{}", "dict(n.v, **{'k' ~ i: 'v' * 1000})")},
      {"nesting a list", grow("[]", "[n.v]")},
      {"nesting a dict", grow("{}", "{'a': n.v}")},
      {"batches", "{{ [1] | batch(1000000000, 'x') | list | length }}"},
      {"columns", "{{ [1] | slice(1000000000) | list | length }}"},
      {"summing lists", "{{ ([range(9999) | list] * 9999) | sum(start=[]) | length }}"},
      {"characters as a list", "{{ ('x' * 4000000) | list | length }}"},
      {"lines", "{{ ('\\n' * 4000000).splitlines() | length }}"},
      {"tojson of shared lists",
       "{% set n = namespace(v=['x' * 1000]) %}{% for i in range(60) %}{% set n.v = [n.v, n.v] "
       "%}{% endfor %}{{ n.v | tojson }}"},
      {"tojson with indent",
       "{% set n = namespace(v=[1]) %}{% for i in range(200) %}{% set n.v = [n.v] %}{% endfor %}{{ "
       "([n.v] * 99999) | tojson(indent=100) }}"},
      {"tojson with separators", "{{ ([1] * 99999) | tojson(separators=['x' * 100000, 'y']) }}"},
      {"printing shared lists",
       "{% set n = namespace(v=['x']) %}{% for i in range(60) %}{% set n.v = [n.v, n.v] %}{% "
       "endfor %}{{ n.v }}"},
      {"from_json", "{{ ('[' ~ '1,' * 2000000 ~ '1]') | from_json | length }}"},
      {"much output", "{% for i in range(99999) %}{{ 'x' * 100000 }}{% endfor %}"},
      {"arguments",
       "{% macro m() %}{{ m(*(varargs + varargs)) }}{% endmacro %}{{ m(*range(99999)) }}"},
      {"titles", "{{ ('a ' * 2000000) | title | length }}"},
      // Depth of the source.
      {"parentheses", nested("(", "1", ")")},
      {"lists", nested("[", "1", "]")},
      {"dicts", nested("{1: ", "1", "}")},
      {"calls", nested("f(", "1", ")")},
      {"items", nested("x[", "1", "]")},
      {"signs", nested("-", "1", "")},
      {"nots", nested("not ", "1", "")},
      {"filters", nested("", "1", "|e")},
      {"attributes", nested("", "x", ".a")},
      {"tests", nested("", "1", " is eq 1|e")},
      {"sums", nested("", "1", "+1")},
      {"conditions", nested("", "1", " if 1 else 1")},
      {"ifs", repeated("{% if 1 %}", 10'000) + repeated("{% endif %}", 10'000)},
      {"elifs",
       "{% if 1 %}" + repeated("{% elif 1 %}{% set a = 1 %}", 10'000) +
           "{% endif %}{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor "
           "%}"},
      {"fors", repeated("{% for i in [1] %}", 10'000) + repeated("{% endfor %}", 10'000)},
      {"macros", repeated("{% macro m() %}", 10'000) + repeated("{% endmacro %}", 10'000)},
      {"sets", repeated("{% set x %}", 10'000) + repeated("{% endset %}", 10'000)},
      {"blocks", repeated("{% filter upper %}", 10'000) + repeated("{% endfilter %}", 10'000)},
      {"a big source", repeated("{{ a }}", 160'000)},
      {"targets", "{% set " + repeated("(", 10'000) + "a" + repeated(")", 10'000) + " = 1 %}"},
  };
}

TEST(JinjaLimits, HostileTemplatesStopSoonAndSmall) {
  double slowest = 0;
  const char* slowest_name = "";
  int64_t largest = 0;
  for (const Hostile& hostile : hostile_templates()) {
    Status status;
    double seconds = 1e9;
    int64_t growth = INT64_MAX;
    // The best of some tries: others use this machine too.
    for (int attempt = 0; attempt < 5 && (seconds > kMaxSeconds || growth > kMaxGrowth);
         ++attempt) {
      reset_peak();
      const int64_t before = memory_line("VmRSS:");
      const std::clock_t begin = std::clock();
      const auto parsed = jinja::Template::parse(hostile.source);
      status = parsed.ok() ? parsed->render({}).status() : parsed.status();
      seconds = std::min(seconds, static_cast<double>(std::clock() - begin) / CLOCKS_PER_SEC);
      growth = std::min(growth, memory_line("VmHWM:") - before);
    }
    EXPECT_FALSE(status.ok()) << hostile.name;
    EXPECT_FALSE(status.message().empty()) << hostile.name;
    EXPECT_LT(seconds, kMaxSeconds) << hostile.name << ": " << status.message();
    EXPECT_LT(growth, kMaxGrowth) << hostile.name << ": " << status.message();
    if (seconds > slowest) {
      slowest_name = hostile.name;
    }
    slowest = std::max(slowest, seconds);
    largest = std::max(largest, growth);
  }
  RecordProperty("slowest_ms", static_cast<int>(slowest * 1000));
  RecordProperty("largest_mib", static_cast<int>(largest >> 20));
  std::printf("slowest %.0f ms (%s), largest growth %lld MiB\n",
              slowest * 1000,
              slowest_name,
              static_cast<long long>(largest >> 20));
}

// 1,000 messages with 2 MB of text and 128 tools, through templates of every family.
TEST(JinjaLimits, BigChatsAreNotStopped) {
  JsonArray messages;
  const std::string text = repeated("The quick brown fox é世界 jumps. ", 56);  // about 2 KB
  for (int i = 0; i < 250; ++i) {
    messages.push_back(Json::object({{"role", "user"}, {"content", text}}));
    messages.push_back(*parse_json(fmt::format(
        R"({{"role": "assistant", "content": null, "reasoning_content": "why", "tool_calls": [{{"id": "functions.f:{}",
            "type": "function", "function": {{"name": "f", "arguments": "{{\"a\": [1, 2, {{\"b\": null}}]}}"}}}}]}})",
        i)));
    messages.push_back(Json::object({{"role", "tool"}, {"content", text}}));
    messages.push_back(Json::object(
        {{"role", "assistant"}, {"content", "<think>\n" + text + "</think>\n" + text}}));
  }
  JsonArray tools;
  for (int i = 0; i < 128; ++i) {
    tools.push_back(*parse_json(fmt::format(
        R"({{"type": "function", "function": {{"name": "tool_{}", "description": "{}",
            "parameters": {{"type": "object", "properties": {{"a": {{"type": "string"}}, "b": {{"type": "integer"}}}}}}}}}})",
        i,
        text)));
  }
  const Json tool_list(std::move(tools));
  const ChatTemplateInput input{.messages = Json(std::move(messages)), .tools = &tool_list};
  JsonObject tokens;
  tokens.set("bos_token", "<bos>");
  tokens.set("eos_token", "<eos>");
  for (const char* style : {"qwen3", "kimi", "minimax", "r1", "distill"}) {
    const auto chat = ChatTemplate::parse(
        *read_file(std::string(TUTTI_SOURCE_DIR) + "/tests/unit/text/jinja_templates/" + style +
                   "_style.jinja"),
        tokens);
    ASSERT_TRUE(chat.ok()) << chat.status().message();
    const std::clock_t begin = std::clock();
    const auto prompt = (*chat)->render(input);
    const double seconds = static_cast<double>(std::clock() - begin) / CLOCKS_PER_SEC;
    ASSERT_TRUE(prompt.ok()) << style << ": " << prompt.status().message();
    EXPECT_GT(prompt->joined().size(), 1'000'000U) << style;
    std::printf("%s: %zu bytes, %.0f ms\n", style, prompt->joined().size(), seconds * 1000);
  }
}

}  // namespace
}  // namespace tutti
