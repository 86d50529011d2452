#include "grammar/grammar_compiler.h"

#include <utility>

namespace tutti::grammar {

namespace {

// All bytes that are text: special tokens begin with the other one.
ExprId any_text(RegexPool& pool) {
  return pool.repeat(pool.bytes(ByteSet::range(0, 0xFE)), 0, kUnbounded);
}

// A text that ends with `mark` and holds no other one.
ExprId up_to(RegexPool& pool, const std::string& mark) {
  const ExprId ending = pool.concat(RegexPool::kAnything, pool.literal(mark));
  if (mark[0] == '\xFF') {
    return pool.concat(any_text(pool), pool.literal(mark));
  }
  const ExprId more = pool.concat(ending, pool.repeat(pool.bytes(ByteSet::all()), 1, kUnbounded));
  const ExprId parts[] = {any_text(pool), ending, pool.complement(more)};
  return pool.both(parts);
}

}  // namespace

GrammarCompiler::GrammarCompiler(std::vector<std::string> texts,
                                 std::unordered_map<std::string, int32_t> special)
    : vocabulary_(std::make_shared<const Vocabulary>(std::move(texts))),
      special_(std::move(special)) {}

std::string GrammarCompiler::mark(const std::string& text) const {
  const auto found = special_.find(text);
  return found == special_.end() ? text : special_token_text(found->second);
}

// What comes behind the mark may be parted from it by line ends, which belong to neither.
NodeId GrammarCompiler::add_preamble(const Preamble& preamble, Syntax& syntax) const {
  RegexPool& pool = syntax.pool();
  const ExprId parts[] = {
      preamble.open.empty() ? RegexPool::kEmpty : pool.literal(mark(preamble.open)),
      up_to(pool, mark(preamble.close)),
      pool.repeat(pool.literal("\n"), 0, 2)};
  const ExprId expr = pool.concat(parts);
  return syntax.terminal(preamble.optional ? pool.optional(expr) : expr);
}

Result<std::shared_ptr<const TokenGrammar>> GrammarCompiler::compile(const GrammarSpec& spec,
                                                                     const Preamble& preamble,
                                                                     std::vector<int32_t> end_ids) {
  auto made = compile(
      spec.key(),
      [&](Syntax& syntax) { return add_spec(spec, syntax); },
      preamble,
      std::move(end_ids));
  if (!made.ok() && made.status().param().empty()) {
    return error(made.status().code(), "{}: {}", spec.field, made.status().message())
        .with_param(spec.field);
  }
  return made;
}

Result<std::shared_ptr<const TokenGrammar>> GrammarCompiler::compile(
    const std::string& key,
    const std::function<Result<NodeId>(Syntax&)>& make,
    const Preamble& preamble,
    std::vector<int32_t> end_ids) {
  const std::string whole =
      fmt::format("{}\n{}\n{}\n{}", preamble.open, preamble.close, preamble.optional, key);
  std::shared_ptr<GrammarCore> core = find(whole);
  if (core == nullptr) {
    Syntax syntax;
    TUTTI_TRY(const NodeId body, make(syntax));
    const NodeId parts[] = {preamble.any() ? add_preamble(preamble, syntax) : Syntax::kEmpty, body};
    syntax.set_root(syntax.sequence(parts));
    TUTTI_TRY(core, make_core(std::move(syntax), vocabulary_));
    core = keep(whole, std::move(core));
  }
  return make_token_grammar(std::move(core), std::move(end_ids));
}

size_t GrammarCompiler::bytes_of(const Kept& kept) const {
  return 2 * kept.key.size() + memory_bytes(*kept.core);
}

size_t GrammarCompiler::kept() const {
  const std::lock_guard lock(mutex_);
  return kept_.size();
}

size_t GrammarCompiler::kept_bytes() const {
  const std::lock_guard lock(mutex_);
  size_t bytes = 0;
  for (const Kept& one : kept_) {
    bytes += bytes_of(one);
  }
  return bytes;
}

std::shared_ptr<GrammarCore> GrammarCompiler::find(const std::string& key) {
  const std::lock_guard lock(mutex_);
  const auto found = by_key_.find(key);
  if (found == by_key_.end()) {
    return nullptr;
  }
  if (worn(*found->second->core)) {  // those under way go on with it
    kept_.erase(found->second);
    by_key_.erase(found);
    return nullptr;
  }
  kept_.splice(kept_.begin(), kept_, found->second);
  return found->second->core;
}

// Somebody else may have made the same meanwhile.
std::shared_ptr<GrammarCore> GrammarCompiler::keep(std::string key,
                                                   std::shared_ptr<GrammarCore> core) {
  const std::lock_guard lock(mutex_);
  const auto known = by_key_.find(key);
  if (known != by_key_.end()) {
    return known->second->core;
  }
  kept_.push_front({key, core});
  by_key_[std::move(key)] = kept_.begin();
  size_t bytes = 0;
  for (auto one = kept_.begin(); one != kept_.end();) {
    bytes += bytes_of(*one);
    if (bytes > kKeptBytes && one != kept_.begin()) {
      by_key_.erase(one->key);
      one = kept_.erase(one);
    } else {
      ++one;
    }
  }
  return core;
}

}  // namespace tutti::grammar
