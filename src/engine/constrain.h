// From what a request wants of its output to the grammar that binds it.
#pragma once
#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <vector>

#include "engine/output_wish.h"
#include "engine/prompt.h"
#include "engine/token_text.h"
#include "grammar/grammar_compiler.h"

namespace tutti {

/// Thread-safe. Goes through the vocabulary when it is asked first.
class Constrainer {
 public:
  Constrainer(std::shared_ptr<const TokenText> text,
              int64_t vocab_size,
              std::vector<int32_t> eos_ids);

  /// Behind a prompt of that form: reasoning that is told apart comes before and is free.
  /// `wish` must bind.
  Result<std::shared_ptr<const TokenGrammar>> grammar_of(const OutputWish& wish,
                                                         const OutputForm& form,
                                                         std::span<const int32_t> stop_ids);

 private:
  grammar::GrammarCompiler& compiler();

  const std::shared_ptr<const TokenText> text_;
  const int64_t vocab_size_;
  const std::vector<int32_t> eos_ids_;
  std::once_flag once_;
  std::unique_ptr<grammar::GrammarCompiler> compiler_;
};

}  // namespace tutti
