#include "grammar/regex_pool.h"

#include <algorithm>
#include <array>
#include <map>
#include <optional>
#include <utility>

#include "base/check.h"

namespace tutti::grammar {

namespace {

size_t mix(size_t seed, uint64_t value) {
  uint64_t x = seed ^ (value + 0x9E3779B97F4A7C15ULL + (seed << 6U) + (seed >> 2U));
  x = (x ^ (x >> 30U)) * 0xBF58476D1CE4E5B9ULL;
  return static_cast<size_t>(x ^ (x >> 31U));
}

}  // namespace

size_t RegexPool::Hash::operator()(ExprId id) const {
  const Expr& expr = pool->exprs_[id];
  size_t seed = mix(static_cast<size_t>(expr.kind), expr.a);
  seed = mix(seed, expr.b);
  if (expr.kind == Kind::kEither || expr.kind == Kind::kBoth) {
    for (const ExprId item : pool->list(expr)) {
      seed = mix(seed, item);
    }
    return seed;
  }
  return mix(mix(seed, expr.min), expr.max);
}

bool RegexPool::Equal::operator()(ExprId left, ExprId right) const {
  const Expr& a = pool->exprs_[left];
  const Expr& b = pool->exprs_[right];
  if (a.kind != b.kind || a.a != b.a || a.b != b.b || a.max != b.max) {
    return false;
  }
  if (a.kind == Kind::kEither || a.kind == Kind::kBoth) {
    return std::ranges::equal(pool->list(a), pool->list(b));
  }
  return a.min == b.min;
}

RegexPool::RegexPool() : known_(64, Hash{this}, Equal{this}) {
  exprs_.push_back({.kind = Kind::kNothing});
  exprs_.push_back({.kind = Kind::kEmpty, .nullable = true});
  known_.insert(kNothing);
  known_.insert(kEmpty);
  const ExprId anything = intern({.kind = Kind::kComplement, .nullable = true, .a = kNothing});
  TUTTI_CHECK_EQ(anything, kAnything);
}

// Looked up as if it were there already; taken away again if it was.
ExprId RegexPool::intern(Expr expr) {
  const auto id = static_cast<ExprId>(exprs_.size());
  exprs_.push_back(expr);
  const auto [found, added] = known_.insert(id);
  if (!added) {
    exprs_.pop_back();
  }
  return *found;
}

ExprId RegexPool::intern_list(Kind kind, std::span<const ExprId> items) {
  Expr expr{.kind = kind, .nullable = kind == Kind::kBoth, .plain = kind == Kind::kEither};
  for (const ExprId item : items) {
    expr.nullable =
        kind == Kind::kBoth ? expr.nullable && nullable(item) : expr.nullable || nullable(item);
    expr.plain = expr.plain && plain(item);
    expr.largest_count = std::max(expr.largest_count, largest_count(item));
  }
  expr.min = static_cast<uint32_t>(lists_.size());
  expr.max = static_cast<uint32_t>(items.size());
  lists_.insert(lists_.end(), items.begin(), items.end());
  const size_t before = exprs_.size();
  const ExprId id = intern(expr);
  if (exprs_.size() == before) {
    lists_.resize(expr.min);
  }
  return id;
}

uint32_t RegexPool::set_index(const ByteSet& set) {
  const auto [found, added] = set_of_.try_emplace(set, static_cast<uint32_t>(sets_.size()));
  if (added) {
    sets_.push_back(set);
  }
  return found->second;
}

ExprId RegexPool::bytes(const ByteSet& set) {
  return set.empty() ? kNothing : intern({.kind = Kind::kBytes, .a = set_index(set)});
}

ExprId RegexPool::literal(std::string_view text) {
  ExprId out = kEmpty;
  for (size_t i = text.size(); i-- > 0;) {
    out = concat(bytes(ByteSet::of(static_cast<uint8_t>(text[i]))), out);
  }
  return out;
}

ExprId RegexPool::concat(ExprId first, ExprId second) {
  if (first == kNothing || second == kNothing) {
    return kNothing;
  }
  if (first == kEmpty) {
    return second;
  }
  if (second == kEmpty) {
    return first;
  }
  if (first == kAnything && second == kAnything) {
    return kAnything;
  }
  std::vector<ExprId> spine;
  while (is(first, Kind::kConcat)) {
    spine.push_back(exprs_[first].a);
    first = exprs_[first].b;
  }
  spine.push_back(first);
  for (size_t i = spine.size(); i-- > 0;) {
    const Expr& a = exprs_[spine[i]];
    const Expr& b = exprs_[second];
    second = intern({.kind = Kind::kConcat,
                     .nullable = a.nullable && b.nullable,
                     .plain = a.plain && b.plain,
                     .a = spine[i],
                     .b = second,
                     .largest_count = std::max(a.largest_count, b.largest_count)});
  }
  return second;
}

ExprId RegexPool::concat(std::span<const ExprId> parts) {
  ExprId out = kEmpty;
  for (size_t i = parts.size(); i-- > 0;) {
    out = concat(parts[i], out);
  }
  return out;
}

void RegexPool::flatten(Kind kind, std::span<const ExprId> items, std::vector<ExprId>& out) const {
  for (const ExprId item : items) {
    if (is(item, kind)) {
      const auto inner = list(exprs_[item]);
      out.insert(out.end(), inner.begin(), inner.end());
    } else {
      out.push_back(item);
    }
  }
  std::ranges::sort(out);
  const auto repeated = std::ranges::unique(out);
  out.erase(repeated.begin(), repeated.end());
}

// [ab] | [cd] is [abcd].
void RegexPool::merge_bytes(std::vector<ExprId>& options) {
  ByteSet all;
  size_t count = 0;
  for (const ExprId option : options) {
    if (is(option, Kind::kBytes)) {
      all = all | sets_[exprs_[option].a];
      ++count;
    }
  }
  if (count > 1) {
    std::erase_if(options, [&](ExprId option) { return is(option, Kind::kBytes); });
    options.push_back(bytes(all));
  }
}

// [ab]x | [cd]x is [abcd]x.
void RegexPool::merge_heads(std::vector<ExprId>& options) {
  std::map<ExprId, std::vector<ExprId>> by_tail;
  for (const ExprId option : options) {
    if (is(option, Kind::kConcat) && is(exprs_[option].a, Kind::kBytes)) {
      by_tail[exprs_[option].b].push_back(option);
    }
  }
  for (const auto& [tail, same] : by_tail) {
    if (same.size() < 2) {
      continue;
    }
    ByteSet all;
    for (const ExprId option : same) {
      all = all | sets_[exprs_[exprs_[option].a].a];
      std::erase(options, option);
    }
    options.push_back(concat(bytes(all), tail));
  }
}

ExprId RegexPool::either(std::span<const ExprId> options) {
  std::vector<ExprId> all;
  flatten(Kind::kEither, options, all);
  std::erase(all, kNothing);
  if (std::ranges::find(all, kAnything) != all.end()) {
    return kAnything;
  }
  merge_bytes(all);
  if (all.size() <= 64) {
    merge_heads(all);
  }
  const auto optional = std::ranges::find(all, kEmpty);
  if (optional != all.end() && std::ranges::any_of(all, [&](ExprId option) {
        return option != kEmpty && nullable(option);
      })) {
    all.erase(optional);
  }
  std::ranges::sort(all);
  if (all.size() < 2) {
    return all.empty() ? kNothing : all[0];
  }
  return intern_list(Kind::kEither, all);
}

ExprId RegexPool::both(std::span<const ExprId> parts) {
  std::vector<ExprId> all;
  flatten(Kind::kBoth, parts, all);
  std::erase(all, kAnything);
  if (std::ranges::find(all, kNothing) != all.end()) {
    return kNothing;
  }
  if (std::ranges::find(all, kEmpty) != all.end()) {
    return std::ranges::all_of(all, [&](ExprId part) { return nullable(part); }) ? kEmpty
                                                                                 : kNothing;
  }
  std::optional<ByteSet> bytes_of_all;
  for (const ExprId part : all) {
    if (is(part, Kind::kBytes)) {
      const ByteSet& set = sets_[exprs_[part].a];
      bytes_of_all = bytes_of_all.has_value() ? *bytes_of_all & set : set;
    }
  }
  if (bytes_of_all.has_value()) {
    std::erase_if(all, [&](ExprId part) { return is(part, Kind::kBytes); });
    const ExprId merged = bytes(*bytes_of_all);
    if (merged == kNothing) {
      return kNothing;
    }
    all.push_back(merged);
    std::ranges::sort(all);
  }
  if (all.size() < 2) {
    return all.empty() ? kAnything : all[0];
  }
  return intern_list(Kind::kBoth, all);
}

ExprId RegexPool::complement(ExprId expr) {
  if (is(expr, Kind::kComplement)) {
    return exprs_[expr].a;
  }
  return intern({.kind = Kind::kComplement,
                 .nullable = !nullable(expr),
                 .plain = false,
                 .a = expr,
                 .largest_count = largest_count(expr)});
}

ExprId RegexPool::repeat(ExprId expr, uint32_t min, uint32_t max) {
  TUTTI_CHECK(min <= max);
  if (max == 0 || expr == kEmpty) {
    return kEmpty;
  }
  if (expr == kNothing) {
    return min == 0 ? kEmpty : kNothing;
  }
  if (nullable(expr)) {
    min = 0;
  }
  if (max == 1 && (min == 1 || nullable(expr))) {
    return expr;
  }
  const Expr& of = exprs_[expr];
  if (of.kind == Kind::kRepeat && of.max == kUnbounded && of.min <= 1) {
    // (x*){m,n} and (x+)? are x*, (x+){m,n} is x{m,}.
    return repeat(of.a, of.min == 0 || min == 0 ? 0 : min, kUnbounded);
  }
  if (of.kind == Kind::kRepeat && of.min == 0 && of.max == 1) {
    return repeat(of.a, 0, max);
  }
  return intern({.kind = Kind::kRepeat,
                 .nullable = min == 0,
                 .plain = of.plain,
                 .a = expr,
                 .min = min,
                 .max = max,
                 .largest_count = std::max({of.largest_count, min, max == kUnbounded ? 0 : max})});
}

ExprId RegexPool::automaton(std::shared_ptr<const Automaton> automaton) {
  const bool nullable = automaton->accepts(0);
  automata_.push_back(std::move(automaton));
  return intern({.kind = Kind::kAutomaton,
                 .nullable = nullable,
                 .plain = false,
                 .a = static_cast<uint32_t>(automata_.size() - 1),
                 .b = 0});
}

// Texts with the same beginning are made from behind: the last one's tail first.
ExprId RegexPool::any_of(std::vector<std::string_view> texts) {
  std::ranges::sort(texts);
  const auto repeated = std::ranges::unique(texts);
  texts.erase(repeated.begin(), repeated.end());

  struct Node {
    size_t first;  // of texts
    size_t last;   // behind it
    size_t depth;
    std::vector<ExprId> options;
    ByteSet head;
  };

  std::vector<Node> stack{{0, texts.size(), 0, {}, {}}};
  while (true) {
    Node& node = stack.back();
    if (node.first < node.last && texts[node.first].size() == node.depth) {
      node.options.push_back(kEmpty);
      ++node.first;
    }
    if (node.first < node.last) {
      const char byte = texts[node.first][node.depth];
      size_t last = node.first;
      while (last < node.last && texts[last][node.depth] == byte) {
        ++last;
      }
      const size_t first = std::exchange(node.first, last);
      const size_t depth = node.depth;
      stack.push_back({first, last, depth + 1, {}, ByteSet::of(static_cast<uint8_t>(byte))});
      continue;
    }
    const ExprId made = either(node.options);
    const ByteSet head = node.head;
    stack.pop_back();
    if (stack.empty()) {
      return made;
    }
    stack.back().options.push_back(concat(bytes(head), made));
  }
}

// Of a concatenation whose first parts may be empty: each of them may be where the byte goes.
ExprId RegexPool::derive_concat(ExprId expr, uint8_t byte) {
  std::vector<ExprId> options;
  while (is(expr, Kind::kConcat)) {
    const Expr parts = exprs_[expr];
    options.push_back(concat(derivative(parts.a, byte), parts.b));
    if (!nullable(parts.a)) {
      return either(options);
    }
    expr = parts.b;
  }
  options.push_back(derivative(expr, byte));
  return either(options);
}

ExprId RegexPool::derivative(ExprId id, uint8_t byte) {
  const Expr expr = exprs_[id];
  switch (expr.kind) {
    case Kind::kNothing:
    case Kind::kEmpty:
      return kNothing;
    case Kind::kBytes:
      return sets_[expr.a].contains(byte) ? kEmpty : kNothing;
    case Kind::kConcat:
      return derive_concat(id, byte);
    case Kind::kEither:
    case Kind::kBoth: {
      std::vector<ExprId> items;
      items.reserve(expr.max);
      for (uint32_t i = 0; i < expr.max; ++i) {  // lists_ may move
        const ExprId item = derivative(lists_[expr.min + i], byte);
        if (item == kNothing && expr.kind == Kind::kBoth) {
          return kNothing;
        }
        if (item != kNothing) {
          items.push_back(item);
        }
      }
      return expr.kind == Kind::kEither ? either(items) : both(items);
    }
    case Kind::kComplement:
      return complement(derivative(expr.a, byte));
    case Kind::kRepeat: {
      const uint32_t min = expr.min == 0 ? 0 : expr.min - 1;
      const uint32_t max = expr.max == kUnbounded ? kUnbounded : expr.max - 1;
      const ExprId once = derivative(expr.a, byte);
      return once == kNothing ? kNothing : concat(once, repeat(expr.a, min, max));
    }
    case Kind::kAutomaton: {
      const uint32_t next = automata_[expr.a]->step(expr.b, byte);
      if (next == Automaton::kDead) {
        return kNothing;
      }
      return intern({.kind = Kind::kAutomaton,
                     .nullable = automata_[expr.a]->accepts(next),
                     .plain = false,
                     .a = expr.a,
                     .b = next});
    }
  }
  TUTTI_CHECK(false);
}

// Each time a repetition goes round it takes a byte at least, unless what it repeats may be empty;
// then more rounds give no other texts within so many bytes either.
ExprId RegexPool::without_counts_from(ExprId id, uint32_t bytes) {
  if (largest_count(id) < bytes) {
    return id;
  }
  const uint64_t key = uint64_t{id} << 32U | bytes;
  const auto known = without_counts_.find(key);
  if (known != without_counts_.end()) {
    return known->second;
  }
  const Expr expr = exprs_[id];
  ExprId made = id;
  if (expr.kind == Kind::kConcat) {
    std::vector<ExprId> parts;
    ExprId rest = id;
    for (; is(rest, Kind::kConcat); rest = exprs_[rest].b) {
      parts.push_back(exprs_[rest].a);
    }
    parts.push_back(rest);
    for (ExprId& part : parts) {
      part = without_counts_from(part, bytes);
    }
    made = concat(parts);
  } else if (expr.kind == Kind::kEither) {
    std::vector<ExprId> options(list(expr).begin(), list(expr).end());
    for (ExprId& option : options) {
      option = without_counts_from(option, bytes);
    }
    made = either(options);
  } else if (expr.kind == Kind::kRepeat) {
    const uint32_t min = std::min(expr.min, bytes + 1);
    made =
        repeat(without_counts_from(expr.a, bytes), min, expr.max >= bytes ? kUnbounded : expr.max);
  }
  without_counts_[key] = made;
  return made;
}

bool RegexPool::matches(ExprId expr, std::string_view text) {
  for (const char c : text) {
    expr = derivative(expr, static_cast<uint8_t>(c));
    if (expr == kNothing) {
      return false;
    }
  }
  return nullable(expr);
}

std::optional<bool> RegexPool::has_text(ExprId expr, size_t most) {
  std::array<uint8_t, 256> classes;
  const int count = byte_classes(classes);
  std::vector<uint8_t> samples(static_cast<size_t>(count));
  for (int byte = 255; byte >= 0; --byte) {
    samples[classes[static_cast<size_t>(byte)]] = static_cast<uint8_t>(byte);
  }
  std::vector<ExprId> open{expr};
  std::unordered_set<ExprId> seen{expr};
  while (!open.empty()) {
    const ExprId one = open.back();
    open.pop_back();
    if (nullable(one) || (plain(one) && one != kNothing)) {
      return true;
    }
    for (const uint8_t byte : samples) {
      const ExprId next = derivative(one, byte);
      if (next != kNothing && seen.insert(next).second) {
        open.push_back(next);
      }
      if (most-- == 0) {
        return {};
      }
    }
  }
  return false;
}

int RegexPool::byte_classes(std::span<uint8_t, 256> classes) const {
  std::vector<ByteSet> sets = sets_;
  for (const auto& automaton : automata_) {
    const std::vector<ByteSet> own = automaton->byte_sets();
    sets.insert(sets.end(), own.begin(), own.end());
  }
  std::ranges::fill(classes, uint8_t{0});
  int count = 1;
  for (const ByteSet& set : sets) {
    std::map<uint8_t, int> split;  // class: the one of its bytes in the set
    std::map<uint8_t, bool> outside;
    for (int byte = 0; byte < 256; ++byte) {
      outside[classes[static_cast<size_t>(byte)]] |= !set.contains(static_cast<uint8_t>(byte));
    }
    for (int byte = 0; byte < 256; ++byte) {
      uint8_t& of = classes[static_cast<size_t>(byte)];
      if (!set.contains(static_cast<uint8_t>(byte)) || !outside[of]) {
        continue;
      }
      const auto [found, added] = split.try_emplace(of, count);
      count += added ? 1 : 0;
      of = static_cast<uint8_t>(found->second);
    }
  }
  return count;
}

}  // namespace tutti::grammar
