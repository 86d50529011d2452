// A decoder-only language model on one rank. Built through a Scope, which declares its parameters;
// a WeightLoader fills them; then forward() runs steps and logits() ends those that choose tokens.
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
  Range logit_ids;          ///< ids whose logits this rank computes
  int64_t max_context = 0;  ///< max_position_embeddings
  /// LongRoPE: a token takes the long frequencies if its prompt, or the sequence up to itself, has
  /// more tokens than this (as Hugging Face does with a KV cache); 0: one set of frequencies.
  int64_t long_rope_from = 0;
  KvLayout kv;  ///< of this rank
  /// Checkpoint tensors under these prefixes belong to parts that are not run (MTP layers).
  std::vector<std::string> ignored_prefixes;
};

/// The tokens of a step whose hidden states forward() returns.
enum class HiddenRows {
  kLogitRows,  ///< those of StepInputs::logit_rows
  kAll,
};

class CausalLm {
 public:
  virtual ~CausalLm() = default;
  virtual const CausalLmInfo& info() const = 0;

  /// Runs the step. Returns hidden states, equal on all ranks, after the final norm: there heads,
  /// embeddings and DeepSeek's MTP layers read them, and the sum over ranks that completes them
  /// makes the norm in passing (ADR 25). They live in the step's arena.
  virtual TensorView forward(const StepContext& ctx,
                             HiddenRows rows) const = 0;  // -> [r, hidden] act

  /// Logits of any such rows for this rank's ids; live in the arena. gather_logits() in
  /// nn/embedding.h brings them together.
  virtual TensorView logits(const ComputeContext& ctx,
                            ConstTensorView hidden) const = 0;  // -> [r, logit_ids.count] f32
};

}  // namespace tutti
