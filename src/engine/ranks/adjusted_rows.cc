#include "engine/ranks/adjusted_rows.h"

#include <algorithm>
#include <bit>
#include <limits>
#include <numeric>
#include <utility>

namespace tutti {

namespace {

constexpr int64_t kBits = 32;
constexpr float kForbidden = -std::numeric_limits<float>::infinity();

int64_t count_edits(const LogitRules& rules) {
  return ssize(rules.bias) + ssize(rules.bad_words) + ssize(rules.end_ids);
}

// Words of `plan` for a row of a table, all `fill`.
std::span<int32_t> add_write(
    StepPlan& plan, StateWrite::Table table, int32_t state, int64_t count, int32_t fill) {
  const size_t begin = plan.state_words.size();
  plan.state_words.resize(begin + usize(count), fill);
  plan.state_writes.push_back({.table = table,
                               .state = state,
                               .begin = narrow<int32_t>(ssize(begin)),
                               .count = narrow<int32_t>(count)});
  return std::span(plan.state_words).subspan(begin);
}

}  // namespace

int64_t AdjustedRows::padded(int64_t count, int64_t most) {
  constexpr int64_t kFew = 4;
  constexpr int64_t kSome = 16;
  if (count == 0) {
    return 0;
  }
  return std::min(count <= kFew ? kFew : count <= kSome ? kSome : most, most);
}

void AdjustedRows::configure(int64_t rows, int64_t slots, int64_t vocab_size) {
  vocab_size_ = vocab_size;
  states_.assign(usize(rows), {});
  state_of_.assign(usize(slots), -1);
}

bool AdjustedRows::can_adjust(const SampleRow& row) {
  return row.rules == nullptr ||
         (!row.rules->reads_output() && count_edits(*row.rules) <= kMaxEdits);
}

void AdjustedRows::release(int32_t slot) {
  if (capacity() > 0 && state_of_[usize(slot)] >= 0) {
    states_[usize(state_of_[usize(slot)])] = {};
    state_of_[usize(slot)] = -1;
  }
}

void AdjustedRows::outdate(int32_t slot) {
  if (capacity() > 0 && state_of_[usize(slot)] >= 0) {
    states_[usize(state_of_[usize(slot)])].counts = false;
  }
}

void AdjustedRows::keep(int32_t slot) {
  if (state_of_[usize(slot)] >= 0) {
    states_[usize(state_of_[usize(slot)])].kept = true;
  }
}

void AdjustedRows::end_step() {
  for (State& state : states_) {
    state.kept = false;
  }
}

bool AdjustedRows::reads_tokens(int32_t slot, const SampleRow& row) const {
  const int32_t state = state_of_[usize(slot)];
  return row.params.has_penalties() && (state < 0 || !states_[usize(state)].counts);
}

int32_t AdjustedRows::take_state(int32_t slot) {
  // A free one, or that of a sequence that has ended or sits this step out.
  const auto better = [](const State& a, const State& b) {
    return std::pair(a.kept, a.slot >= 0) < std::pair(b.kept, b.slot >= 0);
  };
  const auto it = std::min_element(states_.begin(), states_.end(), better);
  TUTTI_CHECK(!it->kept);
  if (it->slot >= 0) {
    state_of_[usize(it->slot)] = -1;
  }
  *it = {.slot = slot};
  return narrow<int32_t>(it - states_.begin());
}

AdjustParams AdjustedRows::place(int32_t slot,
                                 const SampleRow& row,
                                 std::span<const uint32_t> mask,
                                 StepPlan& plan) {
  const LogitRules* rules = row.rules.get();
  int32_t& number = state_of_[usize(slot)];
  if (number < 0) {
    number = take_state(slot);
    if (rules != nullptr) {
      write_edits(number, *rules, plan);
    }
  }
  State& state = states_[usize(number)];
  state.kept = true;
  AdjustParams params{.state = number, .edits = state.edits};
  const bool allows = rules != nullptr && !rules->allowed.empty();
  if (!mask.empty() || (allows && !state.allows)) {
    write_allowed(number,
                  allows ? std::span<const int32_t>(rules->allowed) : std::span<const int32_t>(),
                  mask,
                  plan);
    state.allows = mask.empty();
  }
  params.flags |= allows || !mask.empty() ? AdjustParams::kMasked : 0;
  if (rules != nullptr && row.output_position < rules->min_tokens) {
    params.flags |= AdjustParams::kEndsForbidden;
  }
  if (row.params.has_penalties()) {
    if (!state.counts) {
      write_seen(number, row, plan);
      state.counts = true;
    }
    params.flags |= AdjustParams::kPenalised;
    params.repetition = row.params.repetition_penalty;
    params.frequency = row.params.frequency_penalty;
    params.presence = row.params.presence_penalty;
  }
  return params;
}

void AdjustedRows::write_edits(int32_t state, const LogitRules& rules, StepPlan& plan) {
  biases_.clear();
  for (const LogitBias& b : rules.bias) {
    biases_.push_back(b);
  }
  for (const std::vector<int32_t>& word : rules.bad_words) {
    biases_.push_back({.token = word.front(), .bias = kForbidden});
  }
  const size_t others = biases_.size();
  for (const int32_t token : rules.end_ids) {
    biases_.push_back({.token = token});
  }
  // Each id once: what several say of it adds up, and -inf stays.
  order_.resize(biases_.size());
  std::iota(order_.begin(), order_.end(), 0);
  std::sort(order_.begin(), order_.end(), [this](int32_t a, int32_t b) {
    return std::pair(biases_[usize(a)].token, a) < std::pair(biases_[usize(b)].token, b);
  });
  std::vector<int32_t>& words = plan.state_words;
  const size_t begin = words.size();
  for (const int32_t i : order_) {
    const LogitBias& b = biases_[usize(i)];
    if (!legal(b.token)) {
      continue;
    }
    if (words.size() == begin || words[words.size() - usize(kEditWords)] != b.token) {
      words.insert(words.end(), {b.token, std::bit_cast<int32_t>(0.0F), 0});
    }
    int32_t& bias = words[words.size() - 2];
    bias = std::bit_cast<int32_t>(std::bit_cast<float>(bias) + b.bias);
    words.back() |= usize(i) >= others ? 1 : 0;
  }
  const int64_t count = ssize(words.size() - begin);
  states_[usize(state)].edits = narrow<int32_t>(count / kEditWords);
  plan.state_writes.push_back({.table = StateWrite::kEdits,
                               .state = state,
                               .begin = narrow<int32_t>(ssize(begin)),
                               .count = narrow<int32_t>(count)});
}

void AdjustedRows::write_allowed(int32_t state,
                                 std::span<const int32_t> allowed,
                                 std::span<const uint32_t> mask,
                                 StepPlan& plan) const {
  const std::span<int32_t> words = add_write(
      plan, StateWrite::kAllowed, state, ceil_div(vocab_size_, kBits), allowed.empty() ? -1 : 0);
  for (const int32_t token : allowed) {
    if (legal(token)) {
      int32_t& word = words[usize(token / kBits)];
      word = static_cast<int32_t>(static_cast<uint32_t>(word) | uint32_t{1} << (token % kBits));
    }
  }
  for (size_t i = 0; !mask.empty() && i < words.size(); ++i) {
    words[i] &= i < mask.size() ? static_cast<int32_t>(mask[i]) : 0;
  }
}

void AdjustedRows::write_seen(int32_t state, const SampleRow& row, StepPlan& plan) const {
  const std::span<int32_t> words = add_write(plan, StateWrite::kSeen, state, vocab_size_, 0);
  for (const int32_t token : row.prompt_tokens) {
    if (legal(token)) {
      words[usize(token)] = 1;
    }
  }
  for (const int32_t token : row.output_tokens) {
    if (legal(token)) {
      words[usize(token)] += 2;
    }
  }
}

}  // namespace tutti
