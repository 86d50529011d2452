#include "engine/ranks/adjusted_rows.h"

#include <algorithm>
#include <bit>
#include <limits>

namespace tutti {

namespace {

constexpr int64_t kEditWords = 3;
constexpr int64_t kBits = 32;
constexpr float kForbidden = -std::numeric_limits<float>::infinity();

int64_t count_edits(const LogitRules& rules) {
  return ssize(rules.bias) + ssize(rules.bad_words) + ssize(rules.end_ids);
}

Status upload(RankContext& rank, const TensorView& to, const std::vector<int32_t>& words) {
  return rank.device.copy_from_host(
      to.raw(), words.data(), ssize(words.size() * sizeof(int32_t)), rank.stream);
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

int64_t AdjustedRows::device_bytes(int64_t rows, int64_t vocab_size) {
  return rows * (vocab_size + ceil_div(vocab_size, kBits) + kEditWords * kMaxEdits) *
         dtype_size(DType::kI32);
}

Status AdjustedRows::allocate(RankContext& rank, int64_t rows, int64_t slots, int64_t vocab_size) {
  TUTTI_TRY(seen_, Tensor::empty(rank.device, DType::kI32, {rows, vocab_size}, "tokens seen"));
  TUTTI_TRY(allowed_,
            Tensor::empty(
                rank.device, DType::kI32, {rows, ceil_div(vocab_size, kBits)}, "masks of logits"));
  TUTTI_TRY(
      edits_,
      Tensor::empty(rank.device, DType::kI32, {rows, kMaxEdits, kEditWords}, "biases of logits"));
  states_.resize(usize(rows));
  state_of_.assign(usize(slots), -1);
  return ok_status();
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

Result<AdjustParams> AdjustedRows::place(RankContext& rank,
                                         int32_t slot,
                                         const SampleRow& row,
                                         std::span<const uint32_t> mask) {
  const LogitRules* rules = row.rules.get();
  int32_t& number = state_of_[usize(slot)];
  if (number < 0) {
    number = take_state(slot);
    if (rules != nullptr) {
      TUTTI_RETURN_IF_ERROR(upload_edits(rank, number, *rules));
    }
  }
  State& state = states_[usize(number)];
  state.kept = true;
  AdjustParams params{.state = number, .edits = state.edits};
  const bool allows = rules != nullptr && !rules->allowed.empty();
  if (!mask.empty() || (allows && !state.allows)) {
    TUTTI_RETURN_IF_ERROR(upload_allowed(
        rank,
        number,
        allows ? std::span<const int32_t>(rules->allowed) : std::span<const int32_t>(),
        mask));
    state.allows = mask.empty();
  }
  params.flags |= allows || !mask.empty() ? AdjustParams::kMasked : 0;
  if (rules != nullptr && row.output_position < rules->min_tokens) {
    params.flags |= AdjustParams::kEndsForbidden;
  }
  if (row.params.has_penalties()) {
    if (!state.counts) {
      TUTTI_RETURN_IF_ERROR(upload_seen(rank, number, row));
      state.counts = true;
    }
    params.flags |= AdjustParams::kPenalised;
    params.repetition = row.params.repetition_penalty;
    params.frequency = row.params.frequency_penalty;
    params.presence = row.params.presence_penalty;
  }
  return params;
}

Status AdjustedRows::upload_edits(RankContext& rank, int32_t state, const LogitRules& rules) {
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
  std::vector<int32_t> order(biases_.size());
  for (size_t i = 0; i < order.size(); ++i) {
    order[i] = narrow<int32_t>(i);
  }
  std::sort(order.begin(), order.end(), [this](int32_t a, int32_t b) {
    return biases_[usize(a)].token < biases_[usize(b)].token;
  });
  words_.clear();
  for (const int32_t i : order) {
    const LogitBias& b = biases_[usize(i)];
    if (!legal(b.token)) {
      continue;
    }
    if (words_.empty() || words_[words_.size() - kEditWords] != b.token) {
      words_.insert(words_.end(), {b.token, std::bit_cast<int32_t>(0.0F), 0});
    }
    int32_t& bias = words_[words_.size() - 2];
    bias = std::bit_cast<int32_t>(std::bit_cast<float>(bias) + b.bias);
    words_.back() |= usize(i) >= others ? 1 : 0;
  }
  states_[usize(state)].edits = narrow<int32_t>(ssize(words_) / kEditWords);
  return upload(rank, edits_.view().at(state), words_);
}

Status AdjustedRows::upload_allowed(RankContext& rank,
                                    int32_t state,
                                    std::span<const int32_t> allowed,
                                    std::span<const uint32_t> mask) {
  const auto count = usize(allowed_.shape()[1]);
  words_.assign(count, allowed.empty() ? -1 : 0);
  for (const int32_t token : allowed) {
    if (legal(token)) {
      int32_t& word = words_[usize(token / kBits)];
      word = static_cast<int32_t>(static_cast<uint32_t>(word) | uint32_t{1} << (token % kBits));
    }
  }
  for (size_t i = 0; !mask.empty() && i < count; ++i) {
    words_[i] &= i < mask.size() ? static_cast<int32_t>(mask[i]) : 0;
  }
  return upload(rank, allowed_.view().at(state), words_);
}

Status AdjustedRows::upload_seen(RankContext& rank, int32_t state, const SampleRow& row) {
  words_.assign(usize(seen_.shape()[1]), 0);
  for (const int32_t token : row.prompt_tokens) {
    if (legal(token)) {
      words_[usize(token)] = 1;
    }
  }
  for (const int32_t token : row.output_tokens) {
    if (legal(token)) {
      words_[usize(token)] += 2;
    }
  }
  return upload(rank, seen_.view().at(state), words_);
}

}  // namespace tutti
