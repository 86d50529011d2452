// What masks of structured output cost: compiling a schema, its first mask, and the masks along a
// text that is valid under it.
//
//   grammar_bench VOCABULARY CASES
//
// VOCABULARY: one token a line in base64, then anything (a .tiktoken file). CASES: one JSON object
// a line, {"name", "schema", "text"}; the text is cut into the longest tokens there are. One line
// for each case, then the medians over all.
#include <algorithm>
#include <chrono>
#include <fstream>
#include <iostream>
#include <unordered_map>

#include <fmt/format.h>

#include "base/json.h"
#include "grammar/grammar_compiler.h"

namespace {

using namespace tutti;
using namespace tutti::grammar;
using Clock = std::chrono::steady_clock;

double us_since(Clock::time_point begin) {
  return std::chrono::duration<double, std::micro>(Clock::now() - begin).count();
}

std::string from_base64(std::string_view text) {
  std::string out;
  uint32_t bits = 0;
  int count = 0;
  for (const char c : text) {
    constexpr std::string_view kDigits =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const size_t digit = kDigits.find(c);
    if (digit == std::string_view::npos) {
      break;
    }
    bits = bits << 6U | static_cast<uint32_t>(digit);
    count += 6;
    if (count >= 8) {
      count -= 8;
      out.push_back(static_cast<char>(bits >> static_cast<uint32_t>(count)));
    }
  }
  return out;
}

double at(std::vector<double>& values, double share) {
  std::ranges::sort(values);
  return values.empty()
             ? 0
             : values[std::min(values.size() - 1,
                               static_cast<size_t>(share * static_cast<double>(values.size())))];
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) {
    std::cerr << "usage: grammar_bench VOCABULARY CASES\n";
    return 64;
  }
  std::vector<std::string> texts;
  std::ifstream vocabulary(argv[1]);
  for (std::string line; std::getline(vocabulary, line);) {
    texts.push_back(from_base64(line));
  }
  texts.emplace_back();
  const auto end = static_cast<int32_t>(texts.size() - 1);
  std::unordered_map<std::string, int32_t> ids;
  size_t longest = 0;
  for (size_t i = 0; i < texts.size(); ++i) {
    ids.emplace(texts[i], static_cast<int32_t>(i));
    longest = std::max(longest, texts[i].size());
  }
  auto begin = Clock::now();
  GrammarCompiler compiler(texts, {});
  fmt::print("{} tokens, vocabulary made in {:.1f} ms\n", texts.size() - 1, us_since(begin) / 1e3);
  std::vector<uint32_t> mask((texts.size() + 31) / 32);
  std::vector<double> all;
  std::vector<double> firsts;
  std::ifstream cases(argv[2]);
  for (std::string line; std::getline(cases, line);) {
    const auto parsed = parse_json(line);
    if (!parsed.ok()) {
      std::cerr << parsed.status().message() << '\n';
      return 64;
    }
    GrammarSpec spec{.kind = GrammarSpec::Kind::kJsonSchema,
                     .schema = std::make_shared<const Json>(*parsed->find("schema")),
                     .field = "schema"};
    begin = Clock::now();
    const auto grammar = compiler.compile(spec, {}, {end});
    if (!grammar.ok()) {
      std::cerr << grammar.status().message() << '\n';
      return 1;
    }
    const double compiled = us_since(begin);
    const auto state = (*grammar)->start();
    const std::string& text = parsed->find("text")->as_string();
    std::vector<double> masks;
    for (size_t i = 0; i < text.size();) {
      std::ranges::fill(mask, 0U);
      begin = Clock::now();
      state->fill_mask(mask);
      masks.push_back(us_since(begin));
      size_t length = std::min(longest, text.size() - i);
      while (!ids.contains(text.substr(i, length))) {
        --length;
      }
      const int32_t token = ids.at(text.substr(i, length));
      if ((mask[static_cast<size_t>(token) / 32] >> (token % 32) & 1U) == 0 ||
          !state->accept(token)) {
        std::cerr << "not allowed at byte " << i << ": " << text.substr(i, length) << '\n';
        return 1;
      }
      i += length;
    }
    all.insert(all.end(), masks.begin(), masks.end());
    firsts.push_back((compiled + masks[0]) / 1e3);
    fmt::print(
        "{:24} compile {:7.2f} ms, first mask {:8.1f} us, {:4} tokens: median {:7.1f} us, "
        "p90 {:7.1f} us, most {:8.1f} us\n",
        parsed->find("name")->as_string(),
        compiled / 1e3,
        masks[0],
        masks.size(),
        at(masks, 0.5),
        at(masks, 0.9),
        at(masks, 1.0));
  }
  fmt::print(
      "all: {} masks, median {:.1f} us, p99 {:.1f} us, most {:.1f} us; to the first mask: "
      "median {:.2f} ms, most {:.2f} ms\n",
      all.size(),
      at(all, 0.5),
      at(all, 0.99),
      at(all, 1.0),
      at(firsts, 0.5),
      at(firsts, 1.0));
  return 0;
}
