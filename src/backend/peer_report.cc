#include "backend/peer_report.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <set>

#include <fmt/format.h>

#include "base/units.h"

namespace tutti {

namespace {

struct VerdictWord {
  PeerVerdict verdict;
  const char* word;      // in a line of the testing process
  const char* sentence;  // "cuda:2 -> cuda:5 ..."
};

constexpr std::array kWords{
    VerdictWord{PeerVerdict::kUntested, "untested", "was not tested"},
    VerdictWord{PeerVerdict::kTrying, "trying", "was not tested to the end"},
    VerdictWord{PeerVerdict::kOk, "ok", "works"},
    VerdictWord{PeerVerdict::kUnsupported, "unsupported", "has no peer access"},
    VerdictWord{PeerVerdict::kWrongData, "wrong", "returned wrong data"},
    VerdictWord{PeerVerdict::kError, "error", "failed"},
    VerdictWord{PeerVerdict::kHang, "hang", "hangs"},
    VerdictWord{PeerVerdict::kCrash, "crash", "ends the process that tries it"},
};

const VerdictWord& word_of(PeerVerdict verdict) {
  return *std::find_if(
      kWords.begin(), kWords.end(), [&](const VerdictWord& w) { return w.verdict == verdict; });
}

// Takes an index from the front of `text`.
bool take_index(std::string_view& text, int& index) {
  const auto [end, ec] = std::from_chars(text.data(), text.data() + text.size(), index);
  if (ec != std::errc() || index < 0) {
    return false;
  }
  text.remove_prefix(static_cast<size_t>(end - text.data()));
  return true;
}

bool take(std::string_view& text, char c) {
  if (text.empty() || text.front() != c) {
    return false;
  }
  text.remove_prefix(1);
  return true;
}

}  // namespace

bool PeerReport::usable() const {
  return beside.empty() && !pairs.empty() &&
         std::all_of(pairs.begin(), pairs.end(), [](const PeerResult& pair) {
           return pair.verdict == PeerVerdict::kOk;
         });
}

std::string PeerReport::line() const {
  if (usable()) {
    std::set<int> gpus;
    for (const PeerResult& pair : pairs) {
      gpus.insert(pair.from);
    }
    return fmt::format("P2P between {} GPUs: verified by moved data in {}{}",
                       gpus.size(),
                       format_seconds(seconds),
                       in_child ? "" : ", in this process");
  }
  // The worst comes last in the enumeration.
  const PeerResult* worst = nullptr;
  int bad = 0;
  for (const PeerResult& pair : pairs) {
    if (pair.verdict == PeerVerdict::kOk) {
      continue;
    }
    ++bad;
    if (worst == nullptr || pair.verdict > worst->verdict) {
      worst = &pair;
    }
  }
  std::string why = beside;
  // A pair that was tested tells more than what went wrong beside it.
  if (worst != nullptr && (why.empty() || worst->verdict > PeerVerdict::kOk)) {
    why = fmt::format(
        "cuda:{} -> cuda:{} {}{}{}{}",
        worst->from,
        worst->to,
        word_of(worst->verdict).sentence,
        worst->text.empty() ? "" : " (" + worst->text + ")",
        bad > 1 ? fmt::format(" and {} more of {} pairs do not work", bad - 1, pairs.size()) : "",
        in_child ? "" : ", tried in this process");
  }
  return fmt::format("P2P is off: {}; collectives go through host memory (slower)", why);
}

std::vector<PeerResult> peer_pairs(const std::vector<int>& gpus) {
  std::vector<PeerResult> pairs;
  for (const int from : gpus) {
    for (const int to : gpus) {
      if (from != to) {
        pairs.push_back({.from = from, .to = to});
      }
    }
  }
  return pairs;
}

std::string pairs_text(const std::vector<PeerResult>& pairs) {
  std::string text;
  for (const PeerResult& pair : pairs) {
    text += fmt::format("{}{}:{}", text.empty() ? "" : ",", pair.from, pair.to);
  }
  return text;
}

bool parse_pairs(std::string_view text, std::vector<PeerResult>& pairs) {
  pairs.clear();
  do {
    PeerResult pair;
    if (!take_index(text, pair.from) || !take(text, ':') || !take_index(text, pair.to) ||
        pair.from == pair.to) {
      return false;
    }
    pairs.push_back(pair);
  } while (take(text, ','));
  return text.empty();
}

std::string peer_line(const PeerResult& result) {
  std::string line =
      fmt::format("{} {} {} {}", word_of(result.verdict).word, result.from, result.to, result.text);
  std::replace(line.begin(), line.end(), '\n', ' ');
  return line;
}

bool parse_peer_line(std::string_view line, PeerResult& result) {
  for (const VerdictWord& known : kWords) {
    const std::string_view word = known.word;
    if (line.size() > word.size() && line.starts_with(word) && line[word.size()] == ' ') {
      line.remove_prefix(word.size() + 1);
      result.verdict = known.verdict;
      if (!take_index(line, result.from) || !take(line, ' ') || !take_index(line, result.to) ||
          !take(line, ' ')) {
        return false;
      }
      result.text = line;
      return true;
    }
  }
  return false;
}

}  // namespace tutti
