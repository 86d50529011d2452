// Reads texts of a grammar byte by byte. Where a text may be in the grammar is a place: a set of
// pairs of a state of a terminal and what must follow it. Places are made as texts reach them,
// kept, and the same for the same rest of the grammar, whatever led there.
#pragma once
#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <tuple>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/status.h"
#include "grammar/lazy_dfa.h"
#include "grammar/syntax.h"

namespace tutti::grammar {

/// Of one machine.
using PlaceId = uint32_t;

/// What follows a terminal: a node, then what follows that. 0: the end of the text.
using RestId = uint32_t;

struct Entry {
  StateId state = kDeadState;
  RestId rest = 0;

  auto operator<=>(const Entry&) const = default;
};

/// Not thread-safe.
class Machine {
 public:
  /// No text of the grammar begins so.
  static constexpr PlaceId kNowhere = 0;

  /// kInvalidArgument if the grammar has no text, refers to itself without end, or is beyond the
  /// budget.
  static Result<std::unique_ptr<Machine>> make(Syntax syntax, const GrammarBudget& budget);

  PlaceId start() const { return start_; }

  PlaceId step(PlaceId place, uint8_t byte);

  /// The text may end here.
  bool may_end(PlaceId place) const { return places_[place].may_end; }

  std::span<const Entry> entries(PlaceId place) const {
    const Place& of = places_[place];
    return std::span(entries_).subspan(of.begin, of.count);
  }

  /// Where a text is that has just read all before `rest`.
  PlaceId begin_of(RestId rest);

  LazyDfa& dfa() { return dfa_; }

  /// The grammar turned out to be larger than its budget: answers may be wrong from then on.
  bool exhausted() const { return exhausted_ || dfa_.exhausted(); }

  size_t memory_bytes() const;

 private:
  struct Place {
    size_t begin = 0;
    uint32_t count = 0;
    bool may_end = false;
  };

  struct Rest {
    NodeId node = 0;
    RestId next = 0;

    auto operator<=>(const Rest&) const = default;
  };

  // How far a JSON object is. `used`: of its members, where that matters.
  struct ObjectState {
    uint32_t shape = 0;
    uint32_t next = 0;
    uint32_t count = 0;
    std::vector<bool> used;

    auto operator<=>(const ObjectState&) const = default;
  };

  // What begin_of() has found so far.
  struct Opening;

  Machine(Syntax syntax, const GrammarBudget& budget);

  void find_productive();
  bool productive(const Node& node, const std::vector<bool>& rules);
  void drop_unproductive();

  bool goes(ExprId terminal) { return dfa_.state_of(terminal) != kDeadState; }

  PlaceId place_of(std::vector<Entry> entries, bool may_end);
  RestId rest_of(NodeId node, RestId next);
  void open(RestId rest, Opening& opening);
  void open_repeat(const Node& node, RestId next, Opening& opening);

  // machine_json.cc
  NodeId expansion(NodeId id);
  NodeId object_node(ObjectState state);
  NodeId expand_object(const Node& node);
  NodeId array_node(uint32_t shape, uint32_t count);
  NodeId expand_array(const Node& node);
  bool wanted(const ObjectState& state, uint32_t member) const;
  uint32_t wanted_besides(const ObjectState& state, uint32_t member) const;
  bool can_take(const ObjectState& state, uint32_t member) const;
  NodeId take(const ObjectState& state, const ObjectShape::Member& member, ObjectState next);

  Syntax syntax_;
  const GrammarBudget budget_;
  LazyDfa dfa_;
  std::vector<bool> productive_;  // by node of the syntax as it was given: it has a text
  std::vector<bool> nullable_;    // the same: the empty text is one
  std::vector<Place> places_;
  std::vector<Entry> entries_;
  std::map<std::pair<std::vector<Entry>, bool>, PlaceId> place_ids_;
  std::vector<Rest> rests_;
  std::map<Rest, RestId> rest_ids_;
  std::unordered_map<RestId, PlaceId> begins_;
  std::unordered_map<uint64_t, PlaceId> steps_;
  std::map<std::tuple<NodeId, uint32_t, uint32_t>, NodeId> repeats_;
  std::vector<ObjectState> object_states_;
  std::map<ObjectState, NodeId> object_nodes_;
  std::map<std::pair<uint32_t, uint32_t>, NodeId> array_nodes_;
  std::unordered_map<NodeId, NodeId> expansions_;
  PlaceId start_ = kNowhere;
  bool exhausted_ = false;
};

}  // namespace tutti::grammar
