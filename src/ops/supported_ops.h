// Ops that compute nothing and ask a backend whether it could: for passes that only check.
#pragma once
#include "ops/ops.h"

namespace tutti {

class SupportedOps final : public Ops {
 public:
  explicit SupportedOps(const Ops& backend) : backend_(backend) {}

  const char* name() const override { return backend_.name(); }

  /// Of the first operation that the backend does not support.
  const Status& status() const { return status_; }

 private:
  void execute(const OpCall& op) override {
    if (status_.ok()) {
      status_ = backend_.supports(op);
    }
  }

  const Ops& backend_;
  Status status_;
};

}  // namespace tutti
