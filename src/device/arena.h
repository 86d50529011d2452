// Bump allocator for one step's activations: allocation is an addition, reset frees everything.
// Addresses repeat from step to step when the sizes do, so captured graphs stay valid.
#pragma once
#include <cstddef>
#include <cstdint>
#include <stdexcept>

#include "base/check.h"
#include "device/device.h"

namespace tutti {

/// A step wants more activations than its arena was sized for. Our bug or an unforeseen shape; no
/// memory was touched, so the step is lost and nothing else.
class ArenaFull : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

class Arena {
 public:
  static Result<Arena> create(Device& device, int64_t bytes);

  /// Hands out addresses that must not be touched and never runs out: a forward pass over it, with
  /// ops that compute nothing, tells by peak() how large the real arena must be.
  static Arena measuring();

  /// Uninitialised; lives until reset(). ArenaFull if there is no room.
  TensorView alloc(DType dtype, const Shape& shape);

  void reset() { used_ = 0; }

  /// As if all that lay below `used` were allocated again: what a recorded graph uses.
  void resume(int64_t used);

  int64_t used() const { return used_; }

  int64_t peak() const { return peak_; }

  int64_t capacity() const { return capacity_; }

  /// Frees, when it goes out of scope, everything allocated since it was made.
  class Scope {
   public:
    explicit Scope(Arena& arena) : arena_(arena), mark_(arena.used_) {}

    ~Scope() { arena_.used_ = mark_; }

    Scope(const Scope&) = delete;
    Scope& operator=(const Scope&) = delete;

   private:
    Arena& arena_;
    int64_t mark_;
  };

 private:
  Buffer buffer_;
  std::byte* base_ = nullptr;
  int64_t capacity_ = 0;
  int64_t used_ = 0;
  int64_t peak_ = 0;
};

}  // namespace tutti
