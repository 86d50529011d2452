#include "sched/sequence.h"

#include <algorithm>

#include "base/check.h"
#include "base/checked.h"

namespace tutti {
namespace {

// Room for output made at the start, so that decoding does not allocate; more than that doubles.
constexpr int64_t kReservedOutput = 4096;

}  // namespace

Sequence::Sequence(SequenceRequest request, int64_t block_size)
    : request_(std::move(request)), tokens_(std::move(request_.prompt)) {
  TUTTI_CHECK(!tokens_.empty());
  TUTTI_CHECK_GE(request_.max_tokens, 1);
  request_.prompt.clear();
  prompt_count_ = token_count();
  const int64_t length = prompt_count_ + std::min(request_.max_tokens, kReservedOutput);
  tokens_.reserve(usize(length));
  blocks_.reserve(usize(ceil_div(length, block_size)));
}

SampleRow Sequence::sample_row() const {
  SampleRow row{.params = request_.sampling,
                .choice = request_.choice,
                .output_position = output_count(),
                .prompt_tokens = {},
                .output_tokens = {}};
  if (row.params.has_penalties()) {
    const auto output = tokens_.begin() + prompt_count_;
    row.prompt_tokens.assign(tokens_.begin(), output);
    row.output_tokens.assign(output, tokens_.end());
  }
  return row;
}

std::optional<FinishReason> Sequence::append(int32_t token) {
  const auto& stops = request_.stop_ids;
  if (std::find(stops.begin(), stops.end(), token) != stops.end()) {
    return FinishReason::kStop;
  }
  tokens_.push_back(token);
  if (output_count() >= request_.max_tokens) {
    return FinishReason::kLength;
  }
  return std::nullopt;
}

}  // namespace tutti
