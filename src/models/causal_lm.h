// A decoder-only language model on one rank. Built through a Scope, which declares its parameters;
// a WeightLoader fills them; then forward() runs steps.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "nn/mla.h"
#include "nn/step_context.h"

namespace tutti {

/// Choices about how a model computes, as opposed to what (which is config.json's business).
struct ModelOptions {
  MlaForm mla_form = MlaForm::kAbsorbed;
};

struct CausalLmInfo {
  int64_t vocab_size = 0;
  int64_t max_context = 0;  ///< max_position_embeddings
  /// LongRoPE: a token takes the long frequencies if its prompt, or the sequence up to itself, has
  /// more tokens than this (as Hugging Face does with a KV cache); 0: one set of frequencies.
  int64_t long_rope_from = 0;
  KvLayout kv;  ///< of this rank
  /// Checkpoint tensors under these prefixes belong to parts that are not run (MTP layers).
  std::vector<std::string> ignored_prefixes;
};

class CausalLm {
 public:
  virtual ~CausalLm() = default;
  virtual const CausalLmInfo& info() const = 0;
  /// Logits of the wanted rows, whole vocabulary on every rank; lives in the step's arena.
  virtual TensorView forward(const StepContext& ctx) const = 0;  // -> [r, vocab] f32
};

}  // namespace tutti
