// A context-free grammar whose terminals are regular expressions: what every front end (JSON
// schema, GBNF, patterns, choices, tool calls) makes and the machine (machine.h) runs.
#pragma once
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "base/status.h"
#include "grammar/regex_pool.h"

namespace tutti::grammar {

/// Of one syntax.
using NodeId = uint32_t;

struct Node {
  enum class Kind : uint8_t {
    kNothing,   ///< no text
    kEmpty,     ///< the empty text
    kTerminal,  ///< a: expression
    kSequence,  ///< a, b
    kChoice,    ///< a: begin in Syntax::choices, b: count
    kRule,      ///< a: rule
    kRepeat,    ///< a, min times to max times
    kObject,    ///< a: JSON object; b: how far it is, see ObjectShape
    kArray,     ///< a: JSON array; b: elements so far, see ArrayShape
  };

  Kind kind = Kind::kNothing;
  uint32_t a = 0;
  uint32_t b = 0;
  uint32_t min = 0;
  uint32_t max = 0;

  bool operator==(const Node&) const = default;
};

/// What a JSON object may hold. Each member's expression is its key with what stands around it: as
/// the first one, and behind another.
struct ObjectShape {
  struct Member {
    ExprId first = RegexPool::kNothing;
    ExprId later = RegexPool::kNothing;
    NodeId value = 0;
    bool required = false;
    std::vector<uint32_t> needs;  ///< members that must be there if this is
  };

  ExprId open = RegexPool::kNothing;
  ExprId close = RegexPool::kNothing;
  std::vector<Member> members;
  std::vector<Member>
      others;        ///< keys by expression; any number, behind `members` unless any_order
  uint32_t min = 0;  ///< members and others
  uint32_t max = kUnbounded;
  bool any_order = false;
};

struct ArrayShape {
  ExprId open = RegexPool::kNothing;
  ExprId close = RegexPool::kNothing;
  ExprId comma = RegexPool::kNothing;
  std::vector<NodeId> first;  ///< of the first elements
  NodeId rest = 0;            ///< of those behind
  uint32_t min = 0;
  uint32_t max = kUnbounded;
};

class Syntax {
 public:
  static constexpr NodeId kNothing = 0;
  static constexpr NodeId kEmpty = 1;

  Syntax();

  RegexPool& pool() { return *pool_; }

  NodeId terminal(ExprId expr);
  NodeId sequence(std::span<const NodeId> parts);
  NodeId choice(std::span<const NodeId> options);
  NodeId repeat(NodeId node, uint32_t min, uint32_t max);
  NodeId object(ObjectShape shape);
  NodeId array(ArrayShape shape);

  /// A rule whose body is set later, so that it can refer to itself. `name` is for errors.
  uint32_t add_rule(std::string name);
  void set_body(uint32_t rule, NodeId body);
  NodeId rule(uint32_t rule);

  void set_root(NodeId root) { root_ = root; }

  NodeId root() const { return root_; }

  /// kInvalidArgument if a rule leads to itself before any text, which no reading from left to
  /// right can follow.
  Status check() const;

  // For the machine.
  const std::vector<Node>& nodes() const { return nodes_; }

  std::span<const NodeId> options(const Node& choice) const {
    return std::span(choices_).subspan(choice.a, choice.b);
  }

  NodeId body(uint32_t rule) const { return bodies_[rule]; }

  size_t rules() const { return bodies_.size(); }

  std::vector<ObjectShape>& objects() { return objects_; }

  const std::vector<ObjectShape>& objects() const { return objects_; }

  std::vector<ArrayShape>& arrays() { return arrays_; }

  NodeId add(Node node);

  std::unique_ptr<RegexPool> take_pool() { return std::move(pool_); }

  /// By node: the empty text is among its texts.
  std::vector<bool> nullable_nodes() const;

 private:
  std::unique_ptr<RegexPool> pool_;
  std::vector<Node> nodes_;
  std::vector<NodeId> choices_;
  std::vector<NodeId> bodies_;
  std::vector<std::string> rule_names_;
  std::vector<ObjectShape> objects_;
  std::vector<ArrayShape> arrays_;
  NodeId root_ = kNothing;
};

}  // namespace tutti::grammar
