#include "grammar/lazy_dfa.h"

#include <utility>

namespace tutti::grammar {

LazyDfa::LazyDfa(std::unique_ptr<RegexPool> pool, const GrammarBudget& budget)
    : pool_(std::move(pool)), budget_(budget) {
  classes_ = static_cast<size_t>(pool_->byte_classes(class_of_));
  for (int byte = 255; byte >= 0; --byte) {
    byte_of_[class_of_[static_cast<size_t>(byte)]] = static_cast<uint8_t>(byte);
  }
  exprs_.push_back(RegexPool::kNothing);
  accepts_.push_back(0);
  goes_on_.push_back(0);
  next_.assign(classes_, kDeadState);
  states_[RegexPool::kNothing] = kDeadState;
}

StateId LazyDfa::state_of(ExprId expr) {
  const auto known = states_.find(expr);
  if (known != states_.end()) {
    return known->second;
  }
  if (!has_text(expr)) {
    states_[expr] = kDeadState;
    return kDeadState;
  }
  if (exprs_.size() >= budget_.dfa_states || next_.size() >= budget_.dfa_cells ||
      pool_->size() >= budget_.regex_nodes) {
    exhausted_ = true;
    return kDeadState;
  }
  const auto id = static_cast<StateId>(exprs_.size());
  states_[expr] = id;
  exprs_.push_back(expr);
  accepts_.push_back(pool_->nullable(expr) ? 1 : 0);
  goes_on_.push_back(expr != RegexPool::kEmpty ? 1 : 0);
  next_.resize(next_.size() + classes_, kUnknown);
  return id;
}

StateId LazyDfa::alike(StateId state, uint32_t bytes) {
  const uint64_t key = uint64_t{state} << 32U | bytes;
  const auto known = alike_.find(key);
  if (known != alike_.end()) {
    return known->second;
  }
  const ExprId expr = exprs_[state];
  const StateId found =
      pool_->plain(expr) ? state_of(pool_->without_counts_from(expr, bytes)) : state;
  return alike_[key] = found;
}

StateId LazyDfa::make_step(StateId state, uint8_t byte) {
  const StateId next = state_of(pool_->derivative(exprs_[state], byte));
  next_[static_cast<size_t>(state) * classes_ + class_of_[byte]] = next;
  return next;
}

// Expressions with intersections or complements may have no text although they do not look so. A
// text is looked for depth first: most have one near.
bool LazyDfa::has_text(ExprId expr) {
  if (pool_->plain(expr)) {
    return expr != RegexPool::kNothing;
  }
  const auto known = has_text_.find(expr);
  if (known != has_text_.end()) {
    return known->second;
  }

  struct Visit {
    ExprId expr;
    size_t next_class;
  };

  std::vector<Visit> path{{expr, 0}};
  std::vector<ExprId> seen{expr};
  has_text_[expr] = false;
  bool found = pool_->nullable(expr);
  while (!found && !path.empty()) {
    Visit& top = path.back();
    if (top.next_class == classes_) {
      path.pop_back();
      continue;
    }
    const ExprId next = pool_->derivative(top.expr, byte_of_[top.next_class++]);
    if (pool_->size() >= budget_.regex_nodes || seen.size() >= budget_.dfa_states) {
      exhausted_ = true;
      return false;
    }
    const auto [entry, added] = has_text_.try_emplace(next, false);
    found = entry->second || pool_->nullable(next) ||
            (pool_->plain(next) && next != RegexPool::kNothing);
    if (added && !found) {
      path.push_back({next, 0});
      seen.push_back(next);
    } else if (found) {
      entry->second = true;
    }
  }
  // What lies on the path has the text. The rest of what was seen leads nowhere, unless it leads
  // onto the path: that is not known, so it is forgotten.
  if (found) {
    for (const ExprId one : seen) {
      has_text_.erase(one);
    }
    for (const Visit& visit : path) {
      has_text_[visit.expr] = true;
    }
  }
  return found;
}

size_t LazyDfa::memory_bytes() const {
  return pool_->size() * 56 + next_.size() * sizeof(uint32_t) + exprs_.size() * 48;
}

}  // namespace tutti::grammar
