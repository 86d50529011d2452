#include "grammar/machine.h"

#include <algorithm>
#include <set>

#include "base/check.h"

namespace tutti::grammar {

struct Machine::Opening {
  std::vector<RestId> open;
  std::set<RestId> seen;
  // Of repetitions by what is repeated and what follows: the largest number of times left.
  std::map<std::pair<NodeId, RestId>, uint32_t> repeats;
  std::vector<Entry> entries;
  bool may_end = false;
};

Machine::Machine(Syntax syntax, const GrammarBudget& budget)
    : syntax_(std::move(syntax)), budget_(budget), dfa_(syntax_.take_pool(), budget) {
  places_.push_back({});
  rests_.push_back({});
}

Result<std::unique_ptr<Machine>> Machine::make(Syntax syntax, const GrammarBudget& budget) {
  TUTTI_RETURN_IF_ERROR(syntax.check());
  std::vector<bool> nullable = syntax.nullable_nodes();
  std::unique_ptr<Machine> machine(new Machine(std::move(syntax), budget));
  machine->nullable_ = std::move(nullable);
  machine->find_productive();
  machine->drop_unproductive();
  if (machine->productive_[machine->syntax_.root()]) {
    machine->start_ = machine->begin_of(machine->rest_of(machine->syntax_.root(), 0));
  }
  if (machine->exhausted()) {
    return invalid(
        "the grammar is too large: more than {} states or {} alternatives at one place; "
        "use smaller counts or fewer alternatives",
        budget.dfa_states,
        budget.entries);
  }
  if (machine->start_ == kNowhere) {
    return invalid("no text can satisfy it: its conditions contradict each other");
  }
  return machine;
}

bool Machine::productive(const Node& node, const std::vector<bool>& rules) {
  using Kind = Node::Kind;
  const auto member_goes = [&](const ObjectShape::Member& member) {
    return productive_[member.value] && goes(member.first) && goes(member.later);
  };
  switch (node.kind) {
    case Kind::kNothing:
      return false;
    case Kind::kEmpty:
      return true;
    case Kind::kTerminal:
      return goes(node.a);
    case Kind::kSequence:
      return productive_[node.a] && productive_[node.b];
    case Kind::kChoice:
      return std::ranges::any_of(syntax_.options(node), [&](NodeId option) {
        return static_cast<bool>(productive_[option]);
      });
    case Kind::kRule:
      return rules[node.a];
    case Kind::kRepeat:
      return node.min == 0 || productive_[node.a];
    case Kind::kObject: {
      const ObjectShape& shape = syntax_.objects()[node.a];
      uint32_t required = 0;
      uint32_t possible = 0;
      for (const ObjectShape::Member& member : shape.members) {
        required += member.required ? 1 : 0;
        possible += member_goes(member) ? 1 : 0;
        if (member.required && !member_goes(member)) {
          return false;
        }
      }
      return required <= shape.max &&
             (possible >= shape.min || std::ranges::any_of(shape.others, member_goes));
    }
    case Kind::kArray: {
      const ArrayShape& shape = syntax_.arrays()[node.a];
      for (size_t i = 0; i < shape.first.size() && i < shape.min; ++i) {
        if (!productive_[shape.first[i]]) {
          return false;
        }
      }
      return shape.min <= shape.max && (shape.min <= shape.first.size() || productive_[shape.rest]);
    }
  }
  TUTTI_CHECK(false);
}

// Parts have smaller ids than the whole, but for the bodies of rules: those take several rounds.
void Machine::find_productive() {
  const size_t count = syntax_.nodes().size();
  productive_.assign(count, false);
  std::vector<bool> rules(syntax_.rules());
  bool changed = true;
  while (changed) {
    for (size_t id = 0; id < count; ++id) {
      productive_[id] = productive_[id] || productive(syntax_.nodes()[id], rules);
    }
    changed = false;
    for (uint32_t rule = 0; rule < rules.size(); ++rule) {
      if (productive_[syntax_.body(rule)] && !rules[rule]) {
        rules[rule] = true;
        changed = true;
      }
    }
  }
}

// What can never be finished must not be begun.
void Machine::drop_unproductive() {
  for (ObjectShape& shape : syntax_.objects()) {
    const auto stuck = [&](const ObjectShape::Member& member) {
      return !productive_[member.value] || !goes(member.first) || !goes(member.later);
    };
    std::erase_if(shape.others, stuck);
    // A member that another needs keeps its number: it cannot be taken, and so cannot that one.
    for (ObjectShape::Member& member : shape.members) {
      if (stuck(member)) {
        member.value = Syntax::kNothing;
      }
    }
  }
  for (ArrayShape& shape : syntax_.arrays()) {
    for (uint32_t i = 0; i < shape.first.size(); ++i) {
      if (!productive_[shape.first[i]]) {
        shape.max = std::min(shape.max, i);
        break;
      }
    }
    if (!productive_[shape.rest]) {
      shape.max = std::min(shape.max, static_cast<uint32_t>(shape.first.size()));
    }
  }
}

RestId Machine::rest_of(NodeId node, RestId next) {
  if (node == Syntax::kEmpty) {
    return next;
  }
  const auto [found, added] =
      rest_ids_.try_emplace(Rest{node, next}, static_cast<RestId>(rests_.size()));
  if (added) {
    rests_.push_back({node, next});
    exhausted_ = exhausted_ || rests_.size() > budget_.continuations;
  }
  return found->second;
}

PlaceId Machine::place_of(std::vector<Entry> entries, bool may_end) {
  std::ranges::sort(entries);
  const auto repeated = std::ranges::unique(entries);
  entries.erase(repeated.begin(), repeated.end());
  if (entries.empty() && !may_end) {
    return kNowhere;
  }
  if (entries.size() > budget_.entries || entries_.size() > budget_.continuations) {
    exhausted_ = true;
    return kNowhere;
  }
  const auto next = static_cast<PlaceId>(places_.size());
  const auto [found, added] = place_ids_.try_emplace({std::move(entries), may_end}, next);
  if (added) {
    const std::vector<Entry>& own = found->first.first;
    places_.push_back(
        {.begin = entries_.size(), .count = static_cast<uint32_t>(own.size()), .may_end = may_end});
    entries_.insert(entries_.end(), own.begin(), own.end());
  }
  return found->second;
}

// Of two repetitions of the same with the same behind them, the one with more times left has all
// texts of the other once no more are required. So empty rounds are not counted one by one.
void Machine::open_repeat(const Node& node, RestId next, Opening& opening) {
  const bool may_be_empty = node.a < nullable_.size() && nullable_[node.a];
  const uint32_t min = may_be_empty ? 0 : node.min;
  if (min == 0) {
    const auto [found, added] = opening.repeats.try_emplace({node.a, next}, node.max);
    if (!added && found->second >= node.max) {
      return;
    }
    found->second = node.max;
    opening.open.push_back(next);
  }
  const uint32_t less_min = min == 0 ? 0 : min - 1;
  const uint32_t less_max = node.max == kUnbounded ? kUnbounded : node.max - 1;
  NodeId less = Syntax::kEmpty;
  if (less_max > 0) {
    NodeId& known = repeats_[{node.a, less_min, less_max}];
    if (known == 0) {
      known =
          syntax_.add({.kind = Node::Kind::kRepeat, .a = node.a, .min = less_min, .max = less_max});
    }
    less = known;
  }
  opening.open.push_back(rest_of(node.a, rest_of(less, next)));
}

void Machine::open(RestId id, Opening& opening) {
  if (id == 0) {
    opening.may_end = true;
    return;
  }
  if (!opening.seen.insert(id).second) {
    return;
  }
  const Rest rest = rests_[id];
  if (rest.node < productive_.size() && !productive_[rest.node]) {
    return;
  }
  const Node node = syntax_.nodes()[rest.node];
  switch (node.kind) {
    case Node::Kind::kNothing:
      break;
    case Node::Kind::kEmpty:
      opening.open.push_back(rest.next);
      break;
    case Node::Kind::kTerminal: {
      const StateId state = dfa_.state_of(node.a);
      if (dfa_.accepts(state)) {
        opening.open.push_back(rest.next);
      }
      if (dfa_.goes_on(state)) {
        opening.entries.push_back({state, rest.next});
      }
      break;
    }
    case Node::Kind::kSequence:
      opening.open.push_back(rest_of(node.a, rest_of(node.b, rest.next)));
      break;
    case Node::Kind::kChoice:
      for (const NodeId option : syntax_.options(node)) {
        opening.open.push_back(rest_of(option, rest.next));
      }
      break;
    case Node::Kind::kRule:
      opening.open.push_back(rest_of(syntax_.body(node.a), rest.next));
      break;
    case Node::Kind::kRepeat:
      open_repeat(node, rest.next, opening);
      break;
    case Node::Kind::kObject:
    case Node::Kind::kArray:
      opening.open.push_back(rest_of(expansion(rest.node), rest.next));
      break;
  }
}

PlaceId Machine::begin_of(RestId rest) {
  const auto known = begins_.find(rest);
  if (known != begins_.end()) {
    return known->second;
  }
  Opening opening;
  opening.open.push_back(rest);
  while (!opening.open.empty() && !exhausted_) {
    const RestId next = opening.open.back();
    opening.open.pop_back();
    open(next, opening);
    exhausted_ = exhausted_ || opening.seen.size() > 64 * budget_.entries ||
                 syntax_.nodes().size() > budget_.regex_nodes;
  }
  const PlaceId place = place_of(std::move(opening.entries), opening.may_end);
  begins_[rest] = place;
  return place;
}

PlaceId Machine::step(PlaceId from, uint8_t byte) {
  const uint64_t key = uint64_t{from} << 8U | byte;
  const auto known = steps_.find(key);
  if (known != steps_.end()) {
    return known->second;
  }
  std::vector<Entry> next;
  bool end = false;
  const Place place = places_[from];
  for (size_t i = place.begin; i < place.begin + place.count; ++i) {
    const Entry entry = entries_[i];
    const StateId state = dfa_.step(entry.state, byte);
    if (state == kDeadState) {
      continue;
    }
    if (dfa_.goes_on(state)) {
      next.push_back({state, entry.rest});
    }
    if (!dfa_.accepts(state)) {
      continue;
    }
    if (entry.rest == 0) {
      end = true;
      continue;
    }
    const PlaceId begun = begin_of(entry.rest);
    const auto begun_entries = entries(begun);
    next.insert(next.end(), begun_entries.begin(), begun_entries.end());
    end = end || may_end(begun);
  }
  const PlaceId to = place_of(std::move(next), end);
  steps_[key] = to;
  return to;
}

size_t Machine::memory_bytes() const {
  return dfa_.memory_bytes() + syntax_.nodes().size() * sizeof(Node) + entries_.size() * 24 +
         places_.size() * 120 + rests_.size() * 72 + (begins_.size() + steps_.size()) * 40 +
         object_states_.size() * 160;
}

}  // namespace tutti::grammar
