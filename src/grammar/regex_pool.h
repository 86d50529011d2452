// Regular expressions over bytes with union, intersection and complement, matched by derivatives
// (Brzozowski 1964; Owens, Reppy and Turon 2009): the derivative of an expression by a byte denotes
// what may follow that byte. Equal expressions are one object, so that the derivatives of one are
// the states of a deterministic automaton.
#pragma once
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "grammar/automaton.h"
#include "grammar/byte_set.h"

namespace tutti::grammar {

/// Of one pool.
using ExprId = uint32_t;

/// No upper bound of a repetition.
inline constexpr uint32_t kUnbounded = UINT32_MAX;

class RegexPool {
 public:
  /// No text at all.
  static constexpr ExprId kNothing = 0;
  /// The empty text only.
  static constexpr ExprId kEmpty = 1;
  /// Every text.
  static constexpr ExprId kAnything = 2;

  RegexPool();
  RegexPool(const RegexPool&) = delete;
  RegexPool& operator=(const RegexPool&) = delete;

  // Those that make expressions simplify them, by rules that keep the language.
  ExprId bytes(const ByteSet& set);
  ExprId literal(std::string_view text);
  ExprId concat(ExprId first, ExprId second);
  ExprId concat(std::span<const ExprId> parts);
  ExprId either(std::span<const ExprId> options);

  ExprId either(ExprId a, ExprId b) {
    const ExprId both[] = {a, b};
    return either(both);
  }

  ExprId both(std::span<const ExprId> parts);

  ExprId both(ExprId a, ExprId b) {
    const ExprId two[] = {a, b};
    return both(two);
  }

  ExprId complement(ExprId expr);
  /// min <= max; max may be kUnbounded.
  ExprId repeat(ExprId expr, uint32_t min, uint32_t max);

  ExprId optional(ExprId expr) { return repeat(expr, 0, 1); }

  ExprId automaton(std::shared_ptr<const Automaton> automaton);
  /// One of these texts. Cheap to match however many there are: they share their beginnings.
  ExprId any_of(std::vector<std::string_view> texts);

  /// The empty text is among its texts.
  bool nullable(ExprId expr) const { return exprs_[expr].nullable; }

  /// Not built from intersections, complements and automata: then it has a text unless it is
  /// kNothing.
  bool plain(ExprId expr) const { return exprs_[expr].plain; }

  ExprId derivative(ExprId expr, uint8_t byte);

  /// An expression in which counts that no text of so many bytes exhausts are unbounded: after any
  /// such text it has a text left if and only if `expr` has, and accepts if and only if that does.
  /// `expr` must be plain().
  ExprId without_counts_from(ExprId expr, uint32_t bytes);

  /// Takes one derivative after the other; for single texts.
  bool matches(ExprId expr, std::string_view text);

  /// Whether it has any text; nothing if that is not known after so many derivatives.
  std::optional<bool> has_text(ExprId expr, size_t most);

  /// Which bytes no expression made so far, nor its derivatives, tells apart: class by byte.
  /// Returns the number of classes.
  int byte_classes(std::span<uint8_t, 256> classes) const;

  /// Number of expressions, and of the operands of theirs: what the memory is proportional to.
  size_t size() const { return exprs_.size() + lists_.size(); }

 private:
  enum class Kind : uint8_t {
    kNothing,
    kEmpty,
    kBytes,       // a: index of a set
    kConcat,      // a, b; a is no concatenation
    kEither,      // list, ascending
    kBoth,        // list, ascending
    kComplement,  // a
    kRepeat,      // a, min, max
    kAutomaton,   // a: index, b: state
  };

  struct Expr {
    Kind kind = Kind::kNothing;
    bool nullable = false;
    bool plain = true;
    uint32_t a = 0;
    uint32_t b = 0;
    uint32_t min = 0;            // of lists: begin
    uint32_t max = 0;            // of lists: count
    uint32_t largest_count = 0;  // a bound of some repetition in it
  };

  struct Hash {
    const RegexPool* pool;
    size_t operator()(ExprId id) const;
  };

  struct Equal {
    const RegexPool* pool;
    bool operator()(ExprId left, ExprId right) const;
  };

  bool is(ExprId id, Kind kind) const { return exprs_[id].kind == kind; }

  std::span<const ExprId> list(const Expr& expr) const {
    return std::span(lists_).subspan(expr.min, expr.max);
  }

  ExprId intern(Expr expr);
  ExprId intern_list(Kind kind, std::span<const ExprId> items);
  uint32_t set_index(const ByteSet& set);

  uint32_t largest_count(ExprId id) const { return exprs_[id].largest_count; }

  ExprId derive_concat(ExprId expr, uint8_t byte);
  void flatten(Kind kind, std::span<const ExprId> items, std::vector<ExprId>& out) const;
  void merge_bytes(std::vector<ExprId>& options);
  void merge_heads(std::vector<ExprId>& options);

  std::vector<Expr> exprs_;
  std::vector<ExprId> lists_;
  std::vector<ByteSet> sets_;
  std::map<ByteSet, uint32_t> set_of_;
  std::vector<std::shared_ptr<const Automaton>> automata_;
  std::unordered_set<ExprId, Hash, Equal> known_;
  std::unordered_map<uint64_t, ExprId> without_counts_;  // by expression and number of bytes
};

}  // namespace tutti::grammar
