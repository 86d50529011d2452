// Objects and arrays of the machine: what may come next in them is made when a text gets there, so
// that counts and orders cost what is used of them.
#include <algorithm>

#include "grammar/machine.h"

namespace tutti::grammar {

namespace {

// Which members have been there matters only if any may follow, or one needs another.
bool counts_used(const ObjectShape& shape) {
  return shape.any_order || std::ranges::any_of(shape.members, [](const auto& member) {
           return !member.needs.empty();
         });
}

// How many there were matters up to the larger bound.
uint32_t clamp_count(uint32_t count, uint32_t min, uint32_t max) {
  return max != kUnbounded ? count : std::min(count, std::max<uint32_t>(min, 1));
}

}  // namespace

NodeId Machine::expansion(NodeId id) {
  const auto known = expansions_.find(id);
  if (known != expansions_.end()) {
    return known->second;
  }
  const Node node = syntax_.nodes()[id];
  const NodeId made = node.kind == Node::Kind::kObject ? expand_object(node) : expand_array(node);
  expansions_[id] = made;
  return made;
}

NodeId Machine::object_node(ObjectState state) {
  const ObjectShape& shape = syntax_.objects()[state.shape];
  state.count = clamp_count(state.count, shape.min, shape.max);
  if (shape.any_order) {
    state.next = 0;
  }
  if (!counts_used(shape)) {
    state.used.clear();
  }
  const auto known = object_nodes_.find(state);
  if (known != object_nodes_.end()) {
    return known->second;
  }
  object_states_.push_back(state);
  const NodeId made = syntax_.add({.kind = Node::Kind::kObject,
                                   .a = state.shape,
                                   .b = static_cast<uint32_t>(object_states_.size())});
  object_nodes_[std::move(state)] = made;
  return made;
}

// The member must come, and has not yet.
bool Machine::wanted(const ObjectState& state, uint32_t member) const {
  const ObjectShape& shape = syntax_.objects()[state.shape];
  if (state.used.empty()) {
    return member >= state.next && shape.members[member].required;
  }
  if (state.used[member]) {
    return false;
  }
  if (shape.members[member].required) {
    return true;
  }
  for (size_t i = 0; i < shape.members.size(); ++i) {
    if (state.used[i] &&
        std::ranges::find(shape.members[i].needs, member) != shape.members[i].needs.end()) {
      return true;
    }
  }
  return false;
}

uint32_t Machine::wanted_besides(const ObjectState& state, uint32_t member) const {
  const ObjectShape& shape = syntax_.objects()[state.shape];
  uint32_t count = 0;
  for (uint32_t i = 0; i < shape.members.size(); ++i) {
    count += i != member && wanted(state, i) ? 1 : 0;
  }
  return count;
}

bool Machine::can_take(const ObjectState& state, uint32_t index) const {
  const ObjectShape& shape = syntax_.objects()[state.shape];
  const ObjectShape::Member& member = shape.members[index];
  if (member.value == Syntax::kNothing || (!state.used.empty() && state.used[index])) {
    return false;
  }
  for (const uint32_t need : member.needs) {
    const bool there = state.used[need];
    const bool possible =
        shape.members[need].value != Syntax::kNothing && (shape.any_order || need > index);
    if (!there && !possible) {
      return false;
    }
  }
  if (shape.max != kUnbounded && state.count + 1 + wanted_besides(state, index) > shape.max) {
    return false;
  }
  if (shape.any_order || !shape.others.empty() || shape.min == 0) {
    return true;
  }
  // Enough are left behind it.
  uint32_t left = 0;
  for (size_t i = index + 1; i < shape.members.size(); ++i) {
    left += shape.members[i].value != Syntax::kNothing ? 1 : 0;
  }
  return state.count + 1 + left >= shape.min;
}

NodeId Machine::take(const ObjectState& state,
                     const ObjectShape::Member& member,
                     ObjectState next) {
  const NodeId parts[] = {syntax_.terminal(state.count == 0 ? member.first : member.later),
                          member.value,
                          object_node(std::move(next))};
  return syntax_.sequence(parts);
}

NodeId Machine::expand_object(const Node& node) {
  const ObjectShape& shape = syntax_.objects()[node.a];
  if (node.b == 0) {
    const NodeId parts[] = {
        syntax_.terminal(shape.open),
        object_node({.shape = node.a, .used = std::vector<bool>(shape.members.size())})};
    return syntax_.sequence(parts);
  }
  const ObjectState state = object_states_[node.b - 1];
  std::vector<NodeId> options;
  const auto count = static_cast<uint32_t>(shape.members.size());
  const bool all_there = wanted_besides(state, count) == 0;
  if (all_there && state.count >= shape.min) {
    options.push_back(syntax_.terminal(shape.close));
  }
  for (uint32_t i = state.next; i < count; ++i) {
    if (can_take(state, i)) {
      ObjectState next = state;
      next.next = i + 1;
      ++next.count;
      if (!next.used.empty()) {
        next.used[i] = true;
      }
      options.push_back(take(state, shape.members[i], std::move(next)));
    }
    if (!shape.any_order && wanted(state, i)) {
      break;  // nothing may come before it
    }
  }
  const bool room =
      shape.max == kUnbounded || state.count + 1 + wanted_besides(state, count) <= shape.max;
  if (room && (shape.any_order || all_there)) {
    for (const ObjectShape::Member& other : shape.others) {
      ObjectState next = state;
      next.next = shape.any_order ? 0 : count;
      ++next.count;
      options.push_back(take(state, other, std::move(next)));
    }
  }
  return syntax_.choice(options);
}

NodeId Machine::array_node(uint32_t shape, uint32_t count) {
  NodeId& known = array_nodes_[{shape, count}];
  if (known == 0) {
    known = syntax_.add({.kind = Node::Kind::kArray, .a = shape, .b = count + 1});
  }
  return known;
}

NodeId Machine::expand_array(const Node& node) {
  const ArrayShape& shape = syntax_.arrays()[node.a];
  if (node.b == 0) {
    const NodeId parts[] = {syntax_.terminal(shape.open), array_node(node.a, 0)};
    return syntax_.sequence(parts);
  }
  const uint32_t count = node.b - 1;
  std::vector<NodeId> options;
  if (count >= shape.min) {
    options.push_back(syntax_.terminal(shape.close));
  }
  if (count < shape.max) {
    const auto listed = static_cast<uint32_t>(shape.first.size());
    const NodeId element = count < listed ? shape.first[count] : shape.rest;
    const uint32_t next = std::max(clamp_count(count + 1, shape.min, shape.max),
                                   std::min(count + 1, std::max<uint32_t>(listed, 1)));
    const NodeId parts[] = {count == 0 ? Syntax::kEmpty : syntax_.terminal(shape.comma),
                            element,
                            array_node(node.a, next)};
    options.push_back(syntax_.sequence(parts));
  }
  return syntax_.choice(options);
}

}  // namespace tutti::grammar
