// Requests whose rules, penalties and grammars a device can see to.
#pragma once
#include <algorithm>
#include <array>
#include <memory>
#include <span>
#include <utility>

#include "engine/ranked_load.h"

namespace tutti::test {

/// Even and odd ids by turns, without end.
class TurnsGrammar final : public TokenGrammar {
 public:
  std::unique_ptr<GrammarState> start() const override { return std::make_unique<State>(); }

 private:
  class State final : public GrammarState {
   public:
    void fill_mask(std::span<uint32_t> mask) override {
      std::fill(mask.begin(), mask.end(), odd_ ? 0xAAAAAAAAU : 0x55555555U);
    }

    bool accept(int32_t token) override {
      const bool legal = (token % 2 == 1) == odd_;
      odd_ = !odd_;
      return legal;
    }

   private:
    bool odd_ = false;
  };
};

/// Rules that need nothing of what was generated; some requests have grammars too.
inline void change_what_may_come(SequenceRequest& r) {
  r.sampling.frequency_penalty = std::array{0.0F, 0.6F, -0.3F}[r.id % 3];
  r.sampling.top_logprobs = std::array{-1, 3}[r.id % 2];
  if (r.rules != nullptr) {
    LogitRules rules = *r.rules;
    std::erase_if(rules.bad_words, [](const auto& word) { return word.size() > 1; });
    for (int32_t t = 1; r.id % 2 == 0 && t < 100; t += 1 + t % 3) {
      rules.allowed.push_back(t);
    }
    rules.bias.push_back({.token = 2, .bias = 4.0F});  // a stop id, after min_tokens
    r.rules = std::make_shared<const LogitRules>(std::move(rules));
  }
  if (r.id % 5 == 0) {
    static const auto kGrammar = std::make_shared<const TurnsGrammar>();
    r.grammar = kGrammar;
  }
}

}  // namespace tutti::test
