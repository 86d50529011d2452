#include "engine/logit_adjust.h"

#include <algorithm>
#include <bit>
#include <limits>

#include "base/checked.h"

namespace tutti {
namespace {

constexpr float kForbidden = -std::numeric_limits<float>::infinity();
constexpr float kLargest = std::numeric_limits<float>::max();

/// One row on its way. Ids that the row has no column for have no effect.
class Row {
 public:
  Row(std::span<const float> logits, LogitAdjustScratch& scratch)
      : logits_(logits), out_(scratch.logits), counts_(scratch.counts) {}

  void copy() { out_.assign(logits_.begin(), logits_.end()); }

  void keep_only(const std::vector<int32_t>& allowed) {
    out_.assign(logits_.size(), kForbidden);
    for (const int32_t token : allowed) {
      if (legal(token)) {
        out_[usize(token)] = logits_[usize(token)];
      }
    }
  }

  void mask(std::span<const uint32_t> words) {
    constexpr size_t kBits = 32;
    for (size_t begin = 0; begin < out_.size(); begin += kBits) {
      const uint32_t word = begin / kBits < words.size() ? words[begin / kBits] : 0;
      const size_t count = std::min(kBits, out_.size() - begin);
      if (word == 0) {
        std::fill_n(out_.begin() + static_cast<ptrdiff_t>(begin), count, kForbidden);
        continue;
      }
      for (uint32_t rest = ~word; rest != 0; rest &= rest - 1) {
        if (const auto bit = static_cast<size_t>(std::countr_zero(rest)); bit < count) {
          out_[begin + bit] = kForbidden;
        }
      }
    }
  }

  void forbid(int32_t token) {
    if (legal(token)) {
      out_[usize(token)] = kForbidden;
    }
  }

  void add_bias(const std::vector<LogitBias>& bias) {
    for (const LogitBias& b : bias) {
      if (legal(b.token)) {
        float& logit = out_[usize(b.token)];
        logit = std::min(logit + b.bias, kLargest);
      }
    }
  }

  void penalise(const SampleRow& row);

 private:
  bool legal(int32_t token) const { return token >= 0 && token < ssize(logits_.size()); }

  std::span<const float> logits_;
  std::vector<float>& out_;
  std::vector<int32_t>& counts_;
};

void Row::penalise(const SampleRow& row) {
  const SamplingParams& params = row.params;
  if (counts_.size() < logits_.size()) {
    counts_.resize(logits_.size(), 0);
  }
  const auto repeat = [&](int32_t token) {
    float& logit = out_[usize(token)];
    logit = logit > 0.0F ? logit / params.repetition_penalty : logit * params.repetition_penalty;
    logit = std::min(logit, kLargest);  // a tiny penalty may overflow
  };
  for (const int32_t token : row.output_tokens) {
    if (legal(token) && counts_[usize(token)]++ == 0) {
      repeat(token);
    }
  }
  for (const int32_t token : row.output_tokens) {
    if (legal(token) && counts_[usize(token)] > 0) {
      const auto count = static_cast<float>(counts_[usize(token)]);
      out_[usize(token)] -= params.frequency_penalty * count + params.presence_penalty;
      counts_[usize(token)] = -1;  // done, and seen
    }
  }
  for (const int32_t token : row.prompt_tokens) {
    if (legal(token) && counts_[usize(token)] == 0) {
      repeat(token);
      counts_[usize(token)] = -1;
    }
  }
  for (const auto* tokens : {&row.output_tokens, &row.prompt_tokens}) {
    for (const int32_t token : *tokens) {
      if (legal(token)) {
        counts_[usize(token)] = 0;
      }
    }
  }
}

/// The output ends with all of the word but its last token.
bool begun(std::span<const int32_t> word, std::span<const int32_t> output) {
  const std::span<const int32_t> head = word.first(word.size() - 1);
  return head.size() <= output.size() &&
         std::equal(head.begin(), head.end(), output.last(head.size()).begin());
}

}  // namespace

bool wants_adjusting(const SampleRow& row, std::span<const uint32_t> mask) {
  return row.rules != nullptr || !mask.empty() || row.params.has_penalties();
}

std::span<const float> adjust_logits(std::span<const float> logits,
                                     const SampleRow& row,
                                     std::span<const uint32_t> mask,
                                     LogitAdjustScratch& scratch) {
  Row out(logits, scratch);
  const LogitRules* rules = row.rules.get();
  if (rules != nullptr && !rules->allowed.empty()) {
    out.keep_only(rules->allowed);
  } else {
    out.copy();
  }
  if (!mask.empty()) {
    out.mask(mask);
  }
  if (rules != nullptr) {
    for (const std::vector<int32_t>& word : rules->bad_words) {
      if (begun(word, row.output_tokens)) {
        out.forbid(word.back());
      }
    }
    if (row.output_position < rules->min_tokens) {
      for (const int32_t token : rules->end_ids) {
        out.forbid(token);
      }
    }
    out.add_bias(rules->bias);
  }
  if (row.params.has_penalties()) {
    out.penalise(row);
  }
  return scratch.logits;
}

}  // namespace tutti
