#include "grammar/syntax.h"

#include <algorithm>
#include <utility>

#include "base/check.h"

namespace tutti::grammar {

Syntax::Syntax() : pool_(std::make_unique<RegexPool>()) {
  nodes_.push_back({.kind = Node::Kind::kNothing});
  nodes_.push_back({.kind = Node::Kind::kEmpty});
}

NodeId Syntax::add(Node node) {
  nodes_.push_back(node);
  return static_cast<NodeId>(nodes_.size() - 1);
}

NodeId Syntax::terminal(ExprId expr) {
  if (expr == RegexPool::kNothing) {
    return kNothing;
  }
  return expr == RegexPool::kEmpty ? kEmpty : add({.kind = Node::Kind::kTerminal, .a = expr});
}

NodeId Syntax::sequence(std::span<const NodeId> parts) {
  if (std::ranges::find(parts, kNothing) != parts.end()) {
    return kNothing;
  }
  NodeId out = kEmpty;
  for (size_t i = parts.size(); i-- > 0;) {
    if (parts[i] == kEmpty) {
      continue;
    }
    out = out == kEmpty ? parts[i] : add({.kind = Node::Kind::kSequence, .a = parts[i], .b = out});
  }
  return out;
}

NodeId Syntax::choice(std::span<const NodeId> options) {
  std::vector<NodeId> some;
  for (const NodeId option : options) {
    if (option != kNothing && std::ranges::find(some, option) == some.end()) {
      some.push_back(option);
    }
  }
  if (some.size() < 2) {
    return some.empty() ? kNothing : some[0];
  }
  const auto begin = static_cast<uint32_t>(choices_.size());
  choices_.insert(choices_.end(), some.begin(), some.end());
  return add({.kind = Node::Kind::kChoice, .a = begin, .b = static_cast<uint32_t>(some.size())});
}

NodeId Syntax::repeat(NodeId node, uint32_t min, uint32_t max) {
  TUTTI_CHECK(min <= max);
  if (max == 0 || node == kEmpty) {
    return kEmpty;
  }
  if (node == kNothing) {
    return min == 0 ? kEmpty : kNothing;
  }
  if (min == 1 && max == 1) {
    return node;
  }
  return add({.kind = Node::Kind::kRepeat, .a = node, .min = min, .max = max});
}

NodeId Syntax::object(ObjectShape shape) {
  objects_.push_back(std::move(shape));
  return add(
      {.kind = Node::Kind::kObject, .a = static_cast<uint32_t>(objects_.size() - 1), .b = 0});
}

NodeId Syntax::array(ArrayShape shape) {
  arrays_.push_back(std::move(shape));
  return add({.kind = Node::Kind::kArray, .a = static_cast<uint32_t>(arrays_.size() - 1), .b = 0});
}

uint32_t Syntax::add_rule(std::string name) {
  bodies_.push_back(kNothing);
  rule_names_.push_back(std::move(name));
  return static_cast<uint32_t>(bodies_.size() - 1);
}

void Syntax::set_body(uint32_t rule, NodeId body) {
  bodies_[rule] = body;
}

NodeId Syntax::rule(uint32_t rule) {
  return add({.kind = Node::Kind::kRule, .a = rule});
}

// Parts of a node have smaller ids than it, but for the bodies of rules: those take several rounds.
std::vector<bool> Syntax::nullable_nodes() const {
  std::vector<bool> nullable(nodes_.size());
  std::vector<bool> rules(bodies_.size());
  bool changed = true;
  while (changed) {
    for (size_t id = 0; id < nodes_.size(); ++id) {
      const Node& node = nodes_[id];
      switch (node.kind) {
        case Node::Kind::kNothing:
        case Node::Kind::kObject:
        case Node::Kind::kArray:
          nullable[id] = false;
          break;
        case Node::Kind::kEmpty:
          nullable[id] = true;
          break;
        case Node::Kind::kTerminal:
          nullable[id] = pool_->nullable(node.a);
          break;
        case Node::Kind::kSequence:
          nullable[id] = nullable[node.a] && nullable[node.b];
          break;
        case Node::Kind::kChoice:
          nullable[id] = std::ranges::any_of(
              options(node), [&](NodeId option) { return static_cast<bool>(nullable[option]); });
          break;
        case Node::Kind::kRule:
          nullable[id] = rules[node.a];
          break;
        case Node::Kind::kRepeat:
          nullable[id] = node.min == 0 || nullable[node.a];
          break;
      }
    }
    changed = false;
    for (size_t rule = 0; rule < bodies_.size(); ++rule) {
      if (nullable[bodies_[rule]] && !rules[rule]) {
        rules[rule] = true;
        changed = true;
      }
    }
  }
  return nullable;
}

Status Syntax::check() const {
  const std::vector<bool> nullable = nullable_nodes();
  // Which rules may begin where a rule begins.
  std::vector<std::vector<uint32_t>> begins(bodies_.size());
  std::vector<uint32_t> seen(nodes_.size(), UINT32_MAX);
  for (uint32_t rule = 0; rule < bodies_.size(); ++rule) {
    std::vector<NodeId> open{bodies_[rule]};
    while (!open.empty()) {
      const NodeId id = open.back();
      open.pop_back();
      if (std::exchange(seen[id], rule) == rule) {
        continue;
      }
      const Node& node = nodes_[id];
      if (node.kind == Node::Kind::kRule) {
        begins[rule].push_back(node.a);
      } else if (node.kind == Node::Kind::kRepeat) {
        open.push_back(node.a);
      } else if (node.kind == Node::Kind::kChoice) {
        const auto all = options(node);
        open.insert(open.end(), all.begin(), all.end());
      } else if (node.kind == Node::Kind::kSequence) {
        open.push_back(node.a);
        if (nullable[node.a]) {
          open.push_back(node.b);
        }
      }
    }
  }
  enum class Mark : uint8_t { kNew, kOpen, kDone };
  std::vector<Mark> marks(bodies_.size(), Mark::kNew);

  struct Visit {
    uint32_t rule;
    size_t next;
  };

  for (uint32_t root = 0; root < bodies_.size(); ++root) {
    std::vector<Visit> path;
    if (marks[root] == Mark::kNew) {
      path.push_back({root, 0});
      marks[root] = Mark::kOpen;
    }
    while (!path.empty()) {
      Visit& top = path.back();
      if (top.next == begins[top.rule].size()) {
        marks[top.rule] = Mark::kDone;
        path.pop_back();
        continue;
      }
      const uint32_t next = begins[top.rule][top.next++];
      if (marks[next] == Mark::kOpen) {
        return invalid(
            "{} begins with itself (left recursion), which cannot be followed; put "
            "something before it, or write it as a repetition",
            rule_names_[next]);
      }
      if (marks[next] == Mark::kNew) {
        marks[next] = Mark::kOpen;
        path.push_back({next, 0});
      }
    }
  }
  return ok_status();
}

}  // namespace tutti::grammar
