// Ops that compute nothing: for passes that only measure memory (Arena::measuring).
#pragma once
#include "ops/ops.h"

namespace tutti {

class NullOps final : public Ops {
 public:
  const char* name() const override { return "null"; }

 private:
  void execute(const OpCall&) override {}
};

}  // namespace tutti
