// Speed of Tokenizer::encode on real files and on hostile texts.
// usage: tokenizer_bench [--runs N] [--threads N] [--worst] TOKENIZER_DIRECTORY... -- TEXT_FILE...
// Every run encodes a whole file in one call with nothing remembered from before: the word cache
// lives and dies with the call. MB are 1e6 bytes; "cpu" is the calling thread's processor time,
// which other work on the machine disturbs less than the clock on the wall.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "base/file.h"
#include "base/utf8.h"
#include "text/tokenizer.h"

namespace {

using tutti::Tokenizer;

struct Options {
  int runs = 5;
  bool worst = false;
  std::vector<std::string> tokenizers;
  std::vector<std::string> files;
};

struct Timing {
  double wall_s = 0;
  double cpu_s = 0;
};

struct Text {
  std::string name;
  std::string bytes;
};

double thread_cpu_s() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) * 1e-9;
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

template <class T>
T need(tutti::Result<T> result) {
  if (!result.ok()) {
    std::fprintf(stderr, "tokenizer_bench: %s\n", result.status().message().c_str());
    std::exit(1);
  }
  return *std::move(result);
}

Timing encode_once(const Tokenizer& tokenizer, std::string_view text, size_t& tokens) {
  const auto begin = std::chrono::steady_clock::now();
  const double cpu_begin = thread_cpu_s();
  tokens = need(tokenizer.encode(text, {.add_special_tokens = false})).size();
  const double cpu_s = thread_cpu_s() - cpu_begin;
  return {std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count(), cpu_s};
}

void bench_file(const Tokenizer& tokenizer, const Text& text, int runs) {
  size_t tokens = 0;
  std::vector<double> wall;
  std::vector<double> cpu;
  for (int run = 0; run < runs; ++run) {
    const Timing timing = encode_once(tokenizer, text.bytes, tokens);
    wall.push_back(timing.wall_s);
    cpu.push_back(timing.cpu_s);
  }
  const double mb = static_cast<double>(text.bytes.size()) / 1e6;
  std::printf(
      "  %-24s %10zu bytes %9zu tokens  cpu best %6.1f median %6.1f MB/s  wall best %6.1f median "
      "%6.1f MB/s\n",
      text.name.c_str(),
      text.bytes.size(),
      tokens,
      mb / *std::min_element(cpu.begin(), cpu.end()),
      mb / median(cpu),
      mb / *std::min_element(wall.begin(), wall.end()),
      mb / median(wall));
}

std::string repeat(std::string_view unit, size_t bytes) {
  std::string out;
  while (out.size() + unit.size() <= bytes) {
    out += unit;
  }
  return out;
}

// Random bytes as the text a lenient reader makes of them.
std::string random_text(size_t bytes) {
  std::mt19937_64 random(1);
  std::string raw(bytes, '\0');
  for (char& byte : raw) {
    byte = static_cast<char>(random() & 0xFFU);
  }
  return tutti::replace_invalid_utf8(raw).substr(0, bytes - bytes % 4);
}

std::string random_digits(size_t bytes) {
  std::mt19937_64 random(2);
  std::string out(bytes, '0');
  for (char& digit : out) {
    digit = static_cast<char>('0' + random() % 10);
  }
  return out;
}

std::string whole_characters(std::string text) {
  while (!tutti::is_valid_utf8(text)) {
    text.pop_back();
  }
  return text;
}

std::vector<Text> worst_cases(const Tokenizer& tokenizer, size_t bytes) {
  std::vector<Text> texts;
  const auto add = [&](const char* name, std::string_view unit) {
    texts.push_back({name, repeat(unit, bytes)});
  };
  add("a", "a");
  add("A", "A");
  add("space", " ");
  add("tab", "\t");
  add("newline", "\n");
  add("cr-lf", "\r\n");
  add("digit", "7");
  add("full stop", ".");
  add("apostrophe", "'");
  add("no-break space", "\u00A0");
  add("e acute", "\u00E9");
  add("combining acute", "\u0301");
  add("cjk", "\u4E2D");
  add("hiragana", "\u3042");
  add("emoji", "\U0001F600");
  add("zero width joiner", "\u200D");
  add("a-acute decomposed", "a\u0301");
  add("ab", "ab");
  add("space a", " a");
  texts.push_back({"random digits", random_digits(bytes)});
  texts.push_back({"random bytes", whole_characters(random_text(bytes))});
  if (!tokenizer.added_tokens().empty()) {
    add("an added token", tokenizer.added_tokens().back().content);
  }
  return texts;
}

void bench_worst(const Tokenizer& tokenizer, int runs) {
  constexpr size_t kMib = size_t{1} << 20;
  const std::vector<Text> small = worst_cases(tokenizer, kMib);
  const std::vector<Text> large = worst_cases(tokenizer, 4 * kMib);
  for (size_t i = 0; i < small.size(); ++i) {
    size_t tokens = 0;
    double small_s = 1e9;
    double large_s = 1e9;
    for (int run = 0; run < runs; ++run) {
      small_s = std::min(small_s, encode_once(tokenizer, small[i].bytes, tokens).cpu_s);
      large_s = std::min(large_s, encode_once(tokenizer, large[i].bytes, tokens).cpu_s);
    }
    std::printf("  %-24s 1 MiB %7.1f ms   4 MiB %7.1f ms   ratio %4.1f\n",
                small[i].name.c_str(),
                small_s * 1e3,
                large_s * 1e3,
                large_s / small_s);
  }
}

Options parse(int argc, char** argv) {
  Options options;
  bool files = false;
  for (int i = 1; i < argc; ++i) {
    const std::string_view arg = argv[i];
    if (arg == "--") {
      files = true;
    } else if (arg == "--worst") {
      options.worst = true;
    } else if (arg == "--runs" && i + 1 < argc) {
      options.runs = std::max(1, std::atoi(argv[++i]));
    } else {
      (files ? options.files : options.tokenizers).emplace_back(arg);
    }
  }
  return options;
}

}  // namespace

int main(int argc, char** argv) {
  const Options options = parse(argc, argv);
  if (options.tokenizers.empty()) {
    std::fprintf(stderr,
                 "usage: tokenizer_bench [--runs N] [--worst] TOKENIZER_DIRECTORY... -- FILE...\n");
    return 2;
  }
  std::vector<Text> texts;
  for (const std::string& path : options.files) {
    texts.push_back({path.substr(path.find_last_of('/') + 1), need(tutti::read_file(path))});
  }
  for (const std::string& directory : options.tokenizers) {
    const auto begin = std::chrono::steady_clock::now();
    const auto tokenizer = need(Tokenizer::load(directory));
    const double load_s =
        std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    std::printf("%s (loaded in %.2f s)\n", directory.c_str(), load_s);
    for (const Text& text : texts) {
      bench_file(*tokenizer, text, options.runs);
    }
    if (options.worst) {
      bench_worst(*tokenizer, std::min(options.runs, 3));
    }
  }
  return 0;
}
