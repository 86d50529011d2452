// A grammar ready to constrain a model's output: a TokenGrammar of the engine.
#pragma once
#include <cstdint>
#include <memory>
#include <vector>

#include "base/status.h"
#include "grammar/lazy_dfa.h"
#include "grammar/syntax.h"
#include "grammar/vocabulary.h"
#include "sched/token_grammar.h"

namespace tutti::grammar {

/// What is learned about a grammar while it is used: places, masks. Shared by all requests with the
/// same grammar; used by one thread after the other (the engine's, once a request is there).
class GrammarCore;

/// kInvalidArgument if the grammar has no text, refers to itself before any text, or is beyond the
/// budget.
Result<std::shared_ptr<GrammarCore>> make_core(Syntax syntax,
                                               std::shared_ptr<const Vocabulary> vocabulary,
                                               const GrammarBudget& budget = {});

/// Roughly, of host memory. Thread-safe.
size_t memory_bytes(const GrammarCore& core);

/// It has grown so much, by all the texts it has read, that who begins anew had better make it
/// anew. Thread-safe.
bool worn(const GrammarCore& core);

/// `end_ids`: the tokens that may come where a text may end.
std::shared_ptr<const TokenGrammar> make_token_grammar(std::shared_ptr<GrammarCore> core,
                                                       std::vector<int32_t> end_ids);

/// Whether `text` is one of the grammar's. For tests and tools.
bool matches(GrammarCore& core, std::string_view text);

}  // namespace tutti::grammar
