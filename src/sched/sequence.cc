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
    : tokens_(std::move(request.prompt)),
      id_(request.id),
      tag_(request.tag),
      max_tokens_(request.max_tokens),
      awaits_token_(request.awaits_token || request.grammar != nullptr),
      grammar_(request.grammar == nullptr ? nullptr : request.grammar->start()),
      request_(std::move(request)) {
  TUTTI_CHECK(!tokens_.empty());
  for (const int32_t stop : request_.stop_ids) {
    stop_filter_ |= uint64_t{1} << (static_cast<uint32_t>(stop) % 64U);
  }
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
                .rules = request_.rules,
                .prompt_tokens = {},
                .output_tokens = {}};
  const auto output = tokens_.begin() + prompt_count_;
  if (row.reads_prompt()) {
    row.prompt_tokens.assign(tokens_.begin(), output);
  }
  if (row.reads_output()) {
    row.output_tokens.assign(output, tokens_.end());
  }
  return row;
}

std::optional<FinishReason> Sequence::append(int32_t token) {
  if ((stop_filter_ >> (static_cast<uint32_t>(token) % 64U) & 1U) != 0) {
    const auto& stops = request_.stop_ids;
    if (std::find(stops.begin(), stops.end(), token) != stops.end()) {
      return FinishReason::kStop;
    }
  }
  tokens_.push_back(token);
  if (output_count() >= max_tokens_) {
    return FinishReason::kLength;
  }
  return std::nullopt;
}

}  // namespace tutti
