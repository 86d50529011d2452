// The `loop` variable of one running for statement.
#pragma once
#include <memory>
#include <optional>

#include "jinja/value.h"

namespace tutti::jinja {

struct Stmt;

struct LoopState {
  const Stmt* node = nullptr;
  std::weak_ptr<Scope> scope;  ///< where the statement runs, for its test and for recursion
  ListPtr items;
  size_t next = 0;        ///< first item not yet looked at
  bool filtered = false;  ///< the statement's test still has to be applied to items
  int64_t index0 = -1;
  int depth0 = 0;  ///< of recursive loops
  int depth = 1;   ///< nesting of the items, as a value
  std::optional<Value> before, current, after;
  std::optional<Value> changed;  ///< last arguments of loop.changed()
  bool running = true;
};

}  // namespace tutti::jinja
