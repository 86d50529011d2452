// Makes the grammars of a model's requests and keeps those that were used last.
#pragma once
#include <cstdint>
#include <functional>
#include <list>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/status.h"
#include "grammar/compiled_grammar.h"
#include "grammar/grammar_spec.h"
#include "grammar/vocabulary.h"

namespace tutti::grammar {

/// Text that a model may write before what the grammar describes, up to and with a mark: its
/// reasoning.
struct Preamble {
  std::string open;   ///< its own mark; empty: it has begun already
  std::string close;  ///< the mark behind it
  bool optional = false;

  bool any() const { return !close.empty(); }
};

/// Thread-safe.
class GrammarCompiler {
 public:
  /// Of all grammars that are kept, about; those in use are alive besides.
  static constexpr size_t kKeptBytes = size_t{96} << 20U;

  /// `texts`: of the tokens, see Vocabulary. `special`: ids of those that are special, by text.
  GrammarCompiler(std::vector<std::string> texts, std::unordered_map<std::string, int32_t> special);

  /// The grammar of `spec` behind `preamble`. Errors are about the field of the spec.
  Result<std::shared_ptr<const TokenGrammar>> compile(const GrammarSpec& spec,
                                                      const Preamble& preamble,
                                                      std::vector<int32_t> end_ids);

  /// Any other grammar: `make` builds it if it is not kept under `key`.
  Result<std::shared_ptr<const TokenGrammar>> compile(
      const std::string& key,
      const std::function<Result<NodeId>(Syntax&)>& make,
      const Preamble& preamble,
      std::vector<int32_t> end_ids);

  /// A mark of the model's text: its special token, or its bytes.
  std::string mark(const std::string& text) const;

  /// Grammars that are kept, and their bytes.
  size_t kept() const;
  size_t kept_bytes() const;

 private:
  struct Kept {
    std::string key;
    std::shared_ptr<GrammarCore> core;
  };

  size_t bytes_of(const Kept& kept) const;
  std::shared_ptr<GrammarCore> find(const std::string& key);
  std::shared_ptr<GrammarCore> keep(std::string key, std::shared_ptr<GrammarCore> core);
  NodeId add_preamble(const Preamble& preamble, Syntax& syntax) const;

  const std::shared_ptr<const Vocabulary> vocabulary_;
  const std::unordered_map<std::string, int32_t> special_;
  mutable std::mutex mutex_;
  std::list<Kept> kept_;  // used last first
  std::unordered_map<std::string, std::list<Kept>::iterator> by_key_;
};

}  // namespace tutti::grammar
