// What arguments of operations are made of.
#pragma once
#include <cstdint>

#include "tensor/tensor_view.h"

namespace tutti {

/// Which elements a rotation pairs: half-split (i, i + d/2) as GPT-NeoX and Llama, or interleaved
/// (2i, 2i + 1) as GPT-J and DeepSeek's MLA.
enum class RopeLayout { kHalfSplit, kInterleaved };

/// How a step's tokens map to sequences and cache blocks; all int32 on the device of the ops.
struct AttentionBatch {
  ConstTensorView
      query_begin;  ///< [s + 1]: sequence i owns query rows [query_begin[i], query_begin[i+1])
  ConstTensorView context_before;  ///< [s]: tokens of sequence i that precede its first query row
  ConstTensorView block_table;     ///< [s, max_blocks]: block ids; position p is row p % block_size
                                   ///< of block p / block_size
  int64_t block_size = 0;
  // Upper bounds the host knows without asking the device; kernels choose their grids from them.
  int64_t max_queries = 0;  ///< most query rows of one sequence; 1: every sequence decodes
  int64_t max_keys = 0;     ///< most context_before + query rows of one sequence
};

enum class RouterScoring { kSigmoid, kSoftmax };

struct RouterParams {
  RouterScoring scoring = RouterScoring::kSigmoid;
  int64_t top_k = 1;
  int64_t num_groups = 1;  ///< experts form this many groups of equal size, consecutive ids
  int64_t top_groups = 1;  ///< only experts of the best groups can be chosen
  bool normalize = true;   ///< divide the chosen weights by their sum (+1e-20)
  float scale = 1.0F;      ///< applied after normalising
};

/// How a row draws its token; on the device a row of 6 i32.
struct DrawParams {
  float temperature = 0.0F;   ///< 0: the greedy choice
  int32_t top_k = 0;          ///< keep the k best tokens; 0 = all
  float top_p = 1.0F;         ///< then the smallest best-first set with this share of their mass
  float min_p = 0.0F;         ///< then those at least this likely relative to the best
  uint32_t uniform_low = 0;   ///< the draw, from [0, 1), in units of 2^-53: bits 0 to 31
  uint32_t uniform_high = 0;  ///< bits 32 to 52
};

static_assert(sizeof(DrawParams) == 6 * sizeof(int32_t));

/// How a row of logits is changed before a token is drawn from it; on the device a row of 7 i32.
struct AdjustParams {
  static constexpr int32_t kMasked = 1;         ///< only the ids of `allowed` may come
  static constexpr int32_t kEndsForbidden = 2;  ///< no end id may come
  static constexpr int32_t kPenalised = 4;      ///< by the ids in `seen`, which is kept up to date

  int32_t row = -1;   ///< of the logits; negative: padding, of which nothing is done
  int32_t state = 0;  ///< its row in AdjustTables
  int32_t flags = 0;
  int32_t edits = 0;  ///< how many of the state's edits there are
  float repetition = 1.0F;
  float frequency = 0.0F;
  float presence = 0.0F;
};

static_assert(sizeof(AdjustParams) == 7 * sizeof(int32_t));

/// What a device keeps from step to step about rows whose logits are changed.
struct AdjustTables {
  TensorView seen;     ///< [p, v] i32: 2 * how often generated + (in the prompt ? 1 : 0)
  TensorView allowed;  ///< [p, ceil(v / 32)] i32: bit t % 32 of word t / 32
  TensorView
      edits;  ///< [p, e, 3] i32, no id twice: id, bias (f32; -inf forbids it), 1 if an end id
};

/// Ids that op::LogProbs lists of a row at most.
constexpr int64_t kMostLogProbs = 32;

}  // namespace tutti
