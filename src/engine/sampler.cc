#include "engine/sampler.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <iterator>
#include <limits>

#include "base/check.h"
#include "base/checked.h"
#include "engine/random.h"

namespace tutti {
namespace {

using Candidate = SamplerCandidate;

// Weights below e^-60 of the best cannot be drawn: even 2^20 of them together are 1e-20 of the mass
// and the draw has 53 bits (1e-16).
constexpr float kNegligible = -60.0F;

// Lower temperatures act like this one, which tells logits apart that differ by 1e-5: no 0 * inf.
constexpr float kMinTemperature = 1e-6F;

// Most nuclei are this small; the search looks there before it starts halving.
constexpr ptrdiff_t kFirstNucleus = 64;

constexpr float kInfinity = std::numeric_limits<float>::infinity();

/// The one order of tokens: best first, lowest id first among equals.
bool better(const Candidate& a, const Candidate& b) {
  return a.logit > b.logit || (a.logit == b.logit && a.token < b.token);
}

struct Best {
  float logit = -kInfinity;
  int32_t token = -1;
};

// Loops of this fixed length become vector instructions without relaxed floating-point rules.
constexpr size_t kLanes = 16;

/// Logits in rows of kLanes; the end of the last row is filled with -inf.
template <class Visit>
void for_each_row(std::span<const float> logits, Visit visit) {
  size_t begin = 0;
  for (; begin + kLanes <= logits.size(); begin += kLanes) {
    visit(begin, logits.data() + begin);
  }
  if (begin < logits.size()) {
    std::array<float, kLanes> rest;
    rest.fill(-kInfinity);
    std::copy(logits.begin() + static_cast<ptrdiff_t>(begin), logits.end(), rest.begin());
    visit(begin, rest.data());
  }
}

Best find_best(std::span<const float> logits) {
  Best best;
  for_each_row(logits, [&](size_t begin, const float* row) {
    int any = 0;
    for (size_t i = 0; i < kLanes; ++i) {
      any |= row[i] > best.logit ? 1 : 0;
    }
    if (any != 0) {
      for (size_t i = 0; i < kLanes; ++i) {
        if (row[i] > best.logit) {
          best = {.logit = row[i], .token = static_cast<int32_t>(begin + i)};
        }
      }
    }
  });
  return best;
}

Status check_row(std::span<const float> logits) {
  int bad = 0;
  for_each_row(logits, [&](size_t /*begin*/, const float* row) {
    for (size_t i = 0; i < kLanes; ++i) {
      bad |= row[i] < kInfinity ? 0 : 1;  // NaN is not less either
    }
  });
  if (bad != 0) {
    return unusable_logits();
  }
  return ok_status();
}

/// The `count` best tokens, in no particular order. One pass; keeps at most 2 * count + 1024 items.
void select_best(std::span<const float> logits, int64_t count, std::vector<Candidate>& out) {
  out.clear();
  const size_t keep = usize(count);
  const size_t capacity = 2 * keep + 1024;
  float threshold = -kInfinity;  // `keep` tokens with lower ids are at least this good
  const auto shrink = [&] {
    if (out.size() > keep) {
      const auto middle = out.begin() + static_cast<ptrdiff_t>(keep);
      std::nth_element(out.begin(), middle - 1, out.end(), better);
      threshold = (middle - 1)->logit;
      out.erase(middle, out.end());
    }
  };
  for (size_t i = 0; i < logits.size(); ++i) {
    if (logits[i] > threshold) {
      out.push_back({.logit = logits[i], .token = static_cast<int32_t>(i), .weight = 0.0F});
      if (out.size() == capacity) {
        shrink();
      }
    }
  }
  shrink();
}

/// Fills scratch.candidates, by id, with the weights of the top-k tokens.
void collect(std::span<const float> logits,
             const SamplingParams& params,
             float best,
             SamplerScratch& scratch) {
  auto& out = scratch.candidates;
  const float scale = 1.0F / std::max(params.temperature, kMinTemperature);
  const bool limited = params.top_k > 0 && params.top_k < ssize(logits.size());
  if (limited) {
    select_best(logits, params.top_k, out);
    std::sort(out.begin(), out.end(), [](const Candidate& a, const Candidate& b) {
      return a.token < b.token;
    });
  } else {
    out.clear();
    for (size_t i = 0; i < logits.size(); ++i) {
      if ((logits[i] - best) * scale >= kNegligible) {
        out.push_back({.logit = logits[i], .token = static_cast<int32_t>(i), .weight = 0.0F});
      }
    }
  }
  for (Candidate& c : out) {
    c.weight = std::exp((c.logit - best) * scale);
  }
}

double mass(std::span<const Candidate> candidates) {
  double sum = 0.0;
  for (const Candidate& c : candidates) {
    sum += c.weight;
  }
  return sum;
}

/// The worst token of the smallest best-first set with at least `top_p` of the mass.
Candidate nucleus_boundary(float top_p, SamplerScratch& scratch) {
  const double total = mass(scratch.candidates);
  const double target = total * static_cast<double>(top_p);
  // Tokens lighter than their even share of the mass outside cannot all be needed: together they
  // weigh less than total - target, so the rest reaches the target without them.
  const double light =
      (total - target) / static_cast<double>(scratch.candidates.size()) * (1.0 - 1e-6);
  auto& items = scratch.selection;
  items.clear();
  std::copy_if(scratch.candidates.begin(),
               scratch.candidates.end(),
               std::back_inserter(items),
               [light](const Candidate& c) { return static_cast<double>(c.weight) >= light; });
  // items[0, low) are the best `low` tokens and their mass `below` is less than the target;
  // items[0, high) are the best `high` and reach it.
  ptrdiff_t low = 0;
  auto high = static_cast<ptrdiff_t>(items.size());
  double below = 0.0;
  ptrdiff_t middle = std::min(kFirstNucleus, high / 2);
  while (high - low > 1) {
    std::nth_element(items.begin() + low, items.begin() + middle, items.begin() + high, better);
    const double part = mass({items.begin() + low, items.begin() + middle});
    if (below + part >= target) {
      high = middle;
    } else {
      low = middle;
      below += part;
    }
    middle = low + (high - low) / 2;
  }
  return items[static_cast<size_t>(low)];
}

/// Shrinks scratch.candidates to what top-p and min-p keep.
void filter(const SamplingParams& params, SamplerScratch& scratch) {
  auto& candidates = scratch.candidates;
  if (params.top_p < 1.0F) {
    const Candidate boundary = nucleus_boundary(params.top_p, scratch);
    std::erase_if(candidates, [&](const Candidate& c) { return better(boundary, c); });
  }
  if (params.min_p > 0.0F) {
    // The best token's weight is 1, so a weight is its probability relative to the best.
    std::erase_if(candidates, [&](const Candidate& c) { return c.weight < params.min_p; });
  }
}

int32_t draw(const SampleRow& row, std::span<const Candidate> candidates) {
  const double target =
      mass(candidates) * uniform_draw(row.params.seed, row.choice, row.output_position);
  double sum = 0.0;
  int32_t token = -1;
  for (const Candidate& c : candidates) {
    if (c.weight > 0.0F) {
      token = c.token;  // the last one if rounding keeps the sum below the target
      sum += c.weight;
      if (sum > target) {
        break;
      }
    }
  }
  return token;
}

/// Every token is at -inf: whose doing is it?
Status nothing_allowed(std::span<const float> logits) {
  if (find_best(logits).token < 0) {
    return error(StatusCode::kInternal, "the model forbids every token; generation cannot go on");
  }
  return forbidden_tokens();
}

/// Of out.token and the `top` likeliest.
void add_logprobs(std::span<const float> logits,
                  int32_t top_count,
                  SamplerScratch& scratch,
                  SampledToken& out) {
  const double best = find_best(logits).logit;
  double sum = 0.0;
  for (const float logit : logits) {
    sum += std::exp(static_cast<double>(logit) - best);
  }
  const double log_sum = best + std::log(sum);
  const auto logprob = [&](float logit) {
    return static_cast<float>(static_cast<double>(logit) - log_sum);
  };
  out.logprob = out.token < ssize(logits.size()) ? logprob(logits[usize(out.token)]) : -kInfinity;
  if (top_count == 0) {
    return;
  }
  auto& top = scratch.selection;
  select_best(logits, std::min<int64_t>(top_count, ssize(logits.size())), top);
  std::sort(top.begin(), top.end(), better);
  for (const Candidate& c : top) {
    out.top.push_back({.token = c.token, .logprob = logprob(c.logit)});
  }
}

}  // namespace

Status unusable_logits() {
  return error(StatusCode::kInternal,
               "the model produced logits that are not finite numbers, or forbids every token; "
               "generation cannot go on");
}

Status forbidden_tokens() {
  return invalid(
      "the request forbids every token that could come next; allow more in allowed_token_ids, "
      "bad_words or min_tokens");
}

Result<SampledToken> sample(std::span<const float> logits,
                            int64_t vocab_limit,
                            const SampleRow& row,
                            SamplerScratch& scratch,
                            std::span<const uint32_t> mask) {
  TUTTI_CHECK_GT(vocab_limit, 0);
  const auto known = logits.first(std::min(logits.size(), usize(vocab_limit)));
  TUTTI_RETURN_IF_ERROR(check_row(known));
  const SamplingParams& params = row.params;
  const bool adjusts = wants_adjusting(row, mask);
  const auto adjusted = adjusts ? adjust_logits(known, row, mask, scratch.adjust) : known;
  const Best best = find_best(adjusted);
  if (best.token < 0) {
    return nothing_allowed(known);
  }
  SampledToken out;
  if (params.greedy()) {
    out.token = best.token;
  } else {
    collect(adjusted, params, best.logit, scratch);
    filter(params, scratch);
    out.token = draw(row, scratch.candidates);
  }
  if (params.top_logprobs >= 0) {
    add_logprobs(known, params.top_logprobs, scratch, out);
  }
  return out;
}

Result<PromptScore> score(std::span<const float> logits,
                          int64_t vocab_limit,
                          int32_t token,
                          int32_t top,
                          SamplerScratch& scratch) {
  TUTTI_CHECK_GT(vocab_limit, 0);
  TUTTI_CHECK_GE(token, 0);
  const auto known = logits.first(std::min(logits.size(), usize(vocab_limit)));
  TUTTI_RETURN_IF_ERROR(check_row(known));
  if (find_best(known).token < 0) {
    return nothing_allowed(known);
  }
  PromptScore out;
  out.token.token = token;
  add_logprobs(known, top, scratch, out.token);
  const float own = token < ssize(known.size()) ? known[usize(token)] : -kInfinity;
  for (const float logit : known) {
    out.rank += logit >= own ? 1 : 0;
  }
  return out;
}

}  // namespace tutti
