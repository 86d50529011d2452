// The operations a model is made of: one struct each, which holds the arguments of a call.
//
// Common contract, unless an op says otherwise:
//  * "act" is the compute type, f32 or bf16: one type for all act arguments of a call. What a
//    backend lacks, check_compute() says before anything is loaded. The residual stream, rotary
//    tables, router weights and logits are f32 whatever act is (docs/adr/0009-compute-type.md)
//  * sums accumulate in at least f32; one rounding when a result is stored
//  * a row of a result depends only on that row's inputs: not on how many rows there are, how work
//    is split over threads, or how a prompt is cut into chunks (bitwise, on one machine)
//  * outputs do not overlap inputs unless "in place" is said; zero rows are legal and do nothing
//  * ops do not allocate device memory, synchronise, or read the environment
//  * views may be strided in all but the last dimension
#pragma once
#include <cstdint>
#include <utility>
#include <variant>

#include "ops/op_types.h"
#include "tensor/weight_view.h"

namespace tutti {

namespace op {

/// y[t, :] = f32(table[ids[t] - first_id, :]) if that row exists, else 0 (another rank has it).
struct Embedding {
  static constexpr const char* kName = "embedding";
  TensorView y;           ///< [t, d] f32
  ConstTensorView table;  ///< [v, d] f32 | f16 | bf16
  ConstTensorView ids;    ///< [t] i32
  int64_t first_id = 0;
};

/// y = x / sqrt(mean(x^2) + eps) * weight over the last dimension. In place allowed (y == x).
struct RmsNorm {
  static constexpr const char* kName = "rms_norm";
  TensorView y;            ///< [..., d] act, rank 2 or 3
  ConstTensorView x;       ///< same shape, act or f32
  ConstTensorView weight;  ///< [d] f32
  float eps = 0;
};

/// residual += x; y = rms_norm(residual). residual is in place.
struct AddRmsNorm {
  static constexpr const char* kName = "add_rms_norm";
  TensorView y;            ///< [t, d] act
  TensorView residual;     ///< [t, d] f32
  ConstTensorView x;       ///< [t, d] act
  ConstTensorView weight;  ///< [d] f32
  float eps = 0;
};

/// y = (x - mean(x)) / sqrt(variance(x) + eps) * weight + bias over the last dimension. In place
/// allowed (y == x).
struct LayerNorm {
  static constexpr const char* kName = "layer_norm";
  TensorView y;            ///< [t, d] act
  ConstTensorView x;       ///< [t, d] act or f32
  ConstTensorView weight;  ///< [d] f32
  ConstTensorView bias;    ///< [d] f32 or undefined
  float eps = 0;
};

/// y[t] = the sums of squares of row t of x and of also; of an undefined one 0.
struct SumSquares {
  static constexpr const char* kName = "sum_squares";
  TensorView y;          ///< [t, 2] f32
  ConstTensorView x;     ///< [t, w] act
  ConstTensorView also;  ///< [t, v] act or undefined
};

/// RmsNorm of a row of which this is a part: y = x / sqrt(squares / width + eps) * weight. In place
/// allowed (y == x).
struct NormPart {
  static constexpr const char* kName = "norm_part";
  TensorView y;             ///< [t, w] act
  ConstTensorView x;        ///< [t, w] act
  ConstTensorView weight;   ///< [w] f32: this part's
  ConstTensorView squares;  ///< [t, 1] f32: the sum of squares of the whole row
  int64_t width = 0;        ///< of the whole row
  float eps = 0;
};

/// y += x.
struct Add {
  static constexpr const char* kName = "add";
  TensorView y;       ///< [t, d] act or f32
  ConstTensorView x;  ///< [t, d] act
};

/// y = x * w^T (+ bias). bias may be undefined.
struct Linear {
  static constexpr const char* kName = "linear";
  TensorView y;          ///< [t, n] act or f32 (logits)
  ConstTensorView x;     ///< [t, k] act
  WeightView weight;     ///< [n, k]
  ConstTensorView bias;  ///< [n] f32; may be rounded to the type of y first
  /// [t, ..] act or e4m3, or undefined: for x in the form that the weight's format asks for
  /// (WeightFormat::activation_row_bytes). Where there is none, x is taken as it is.
  TensorView scratch;
};

/// Rows [offsets[g], offsets[g+1]) of x times matrix g: the experts of a mixture.
struct GroupedLinear {
  static constexpr const char* kName = "grouped_linear";
  TensorView y;             ///< [r, n] act
  ConstTensorView x;        ///< [r, k] act
  WeightView weight;        ///< [g, n, k]
  ConstTensorView offsets;  ///< [g + 1] i32, offsets[0] = 0, offsets[g] = r
  TensorView scratch;       ///< [r, ..] as Linear's
};

/// y[t, h, :] = W[h] * x[t, h, :]: one matrix per head.
struct BatchedLinear {
  static constexpr const char* kName = "batched_linear";
  TensorView y;       ///< [t, h, n] act
  ConstTensorView x;  ///< [t, h, k] act
  WeightView weight;  ///< [h, n, k]
};

/// y = silu(gate) * up, silu(z) = z / (1 + exp(-z)). y may be gate or up.
struct SiluMul {
  static constexpr const char* kName = "silu_mul";
  TensorView y;          ///< [t, n] act
  ConstTensorView gate;  ///< the same
  ConstTensorView up;    ///< [t, n] act
};

/// y = gelu(gate) * up, gelu(z) = z * Phi(z), or with `tanh` its approximation
/// z / 2 * (1 + tanh(sqrt(2 / pi) * (z + 0.044715 z^3))). y may be gate or up.
struct GeluMul {
  static constexpr const char* kName = "gelu_mul";
  TensorView y;          ///< [t, n] act
  ConstTensorView gate;  ///< the same
  ConstTensorView up;    ///< [t, n] act
  bool tanh = false;
};

/// y[:, :n] = silu(x * gate^T) * (x * up^T): Linear and SiluMul without rounding in between
/// where the backend can. y[:, n:] is scratch.
struct GatedLinear {
  static constexpr const char* kName = "gated_linear";
  TensorView y;          ///< [t, 2 n] act
  ConstTensorView x;     ///< [t, k] act
  WeightView weight;     ///< [2 n, k]: gate, then up
  ConstTensorView bias;  ///< [2 n] f32 or undefined
  TensorView scratch;    ///< [t, ..] as Linear's
};

/// GatedLinear of the experts of a mixture: row r of y comes from row rows[r] of x, and from the
/// matrix that row r belongs to.
struct GroupedGatedLinear {
  static constexpr const char* kName = "grouped_gated_linear";
  TensorView y;             ///< [r, 2 n] act; y[:, n:] is scratch
  ConstTensorView x;        ///< [t, k] act
  ConstTensorView rows;     ///< [r] i32, values in [0, t)
  TensorView gathered;      ///< [r, k] act: scratch, also as Linear's
  WeightView weight;        ///< [g, 2 n, k]: gate, then up
  ConstTensorView offsets;  ///< [g + 1] i32, offsets[0] = 0, offsets[g] = r
  /// Done as well, for the expert that all tokens share; y undefined: there is none.
  GatedLinear beside;
};

/// table[t, i] = scale * cos(positions[t] * inv_freq[i]), table[t, d/2 + i] = scale * sin(...).
/// The angle is the f32 product, as in Hugging Face's rotary embeddings; cos and sin of it are
/// exact to f32.
struct RopeTable {
  static constexpr const char* kName = "rope_table";
  TensorView table;           ///< [t, d] f32
  ConstTensorView positions;  ///< [t] i32
  ConstTensorView inv_freq;   ///< [d / 2] f32
  float scale = 0;
};

/// Rotates the first r of the last dimension of x in place.
struct Rope {
  static constexpr const char* kName = "rope";
  TensorView x;           ///< [t, h, d] act
  ConstTensorView table;  ///< [t, r] f32 from RopeTable, r <= d
  RopeLayout layout = RopeLayout::kHalfSplit;
};

/// cache[p / block_size, p % block_size, :] = x[t, :] with p = kv_places[t]; rows with a negative
/// place are not stored.
struct WriteKv {
  static constexpr const char* kName = "write_kv";
  TensorView cache;           ///< [blocks, block_size, w] act
  ConstTensorView x;          ///< [t, w] act
  ConstTensorView kv_places;  ///< [t] i32
};

/// RmsNorm of each head of q and of k, in place, if there are weights, or with `squares` NormPart
/// of all heads together; Rope of q and of k; then WriteKv of k and of v.
struct RopeAndWriteKv {
  static constexpr const char* kName = "rope_and_write_kv";
  TensorView q;           ///< [t, hq, d] act; with `squares` heads without gaps
  TensorView k;           ///< [t, hkv, d] act, heads without gaps
  ConstTensorView v;      ///< [t, w] act
  ConstTensorView table;  ///< [t, r] f32 from RopeTable, r <= d
  RopeLayout layout = RopeLayout::kHalfSplit;
  TensorView k_cache;         ///< [blocks, block_size, hkv * d] act
  TensorView v_cache;         ///< [blocks, block_size, w] act
  ConstTensorView kv_places;  ///< [t] i32
  ConstTensorView q_norm;     ///< [d] f32 or undefined, as k_norm; with `squares` [hq * d]
  ConstTensorView k_norm;     ///< [d] f32 or undefined; with `squares` [hkv * d]
  float norm_eps = 0;
  ConstTensorView squares{};  ///< [t, 2] f32 or undefined: of q and of k, of all ranks
  int64_t q_width = 0;        ///< of all ranks, with `squares`
  int64_t k_width = 0;
};

/// What MLA does with its first projection, in place: RmsNorm of the first columns of a latent row
/// (as many as there are weights), Rope of the others, WriteKv of the whole row; RmsNorm of q, if
/// there is one.
struct WriteLatent {
  static constexpr const char* kName = "write_latent";
  TensorView latent;      ///< [t, latent + rope] act
  ConstTensorView norm;   ///< [latent] f32
  ConstTensorView table;  ///< [t, rope] f32 from RopeTable
  RopeLayout layout = RopeLayout::kInterleaved;
  TensorView cache;           ///< [blocks, block_size, latent + rope] act
  ConstTensorView kv_places;  ///< [t] i32
  TensorView q;               ///< [t, q_lora] act or undefined
  ConstTensorView q_norm;     ///< [q_lora] f32 or undefined
  float eps = 0;
};

/// Causal attention over a paged cache. Query row j of sequence i stands at position
/// context_before[i] + j and sees positions 0..that. Query head h reads KV head h * hkv / h_q.
struct Attention {
  static constexpr const char* kName = "attention";
  TensorView out;           ///< [t, hq, dv] act
  ConstTensorView q;        ///< [t, hq, d] act
  ConstTensorView k_cache;  ///< [blocks, block_size, hkv * d] act
  ConstTensorView v_cache;  ///< [blocks, block_size, hkv * dv] act
  AttentionBatch batch;
  float scale = 0;
};

/// Absorbed MLA (DeepSeek-V2, arXiv:2405.04434): score = (q_latent . c + q_rope . k_rope) * scale
/// over the cached [latent | rope] rows, out = sum of probabilities times latent.
struct MlaAttention {
  static constexpr const char* kName = "mla_attention";
  TensorView out;            ///< [t, h, latent] act
  ConstTensorView q_latent;  ///< [t, h, latent] act
  ConstTensorView q_rope;    ///< [t, h, rope] act
  ConstTensorView cache;     ///< [blocks, block_size, latent + rope] act
  AttentionBatch batch;
  float scale = 0;
};

/// Rope of q_rope, then MlaAttention. What q_rope holds afterwards is not defined. Nothing but
/// q_latent is the work of the operation before this one, which is the product that makes it.
struct RopeAndMlaAttention {
  static constexpr const char* kName = "rope_and_mla_attention";
  TensorView out;            ///< [t, h, latent] act
  ConstTensorView q_latent;  ///< [t, h, latent] act
  TensorView q_rope;         ///< [t, h, rope] act
  ConstTensorView table;     ///< [t, rope] f32 from RopeTable
  RopeLayout layout = RopeLayout::kInterleaved;
  ConstTensorView cache;  ///< [blocks, block_size, latent + rope] act
  AttentionBatch batch;
  float scale = 0;
};

/// Copies the cached rows of all sequences, positions 0 .. context_before + queries - 1, one
/// after another.
struct GatherKv {
  static constexpr const char* kName = "gather_kv";
  TensorView y;           ///< [c, w] act
  ConstTensorView cache;  ///< [blocks, block_size, w] act
  AttentionBatch batch;
  ConstTensorView key_begin;  ///< [s + 1] i32: sequence i fills rows [key_begin[i], key_begin[i+1])
};

/// Expanded MLA: keys are [k_nope per head | k_rope shared], values per head, over gathered rows.
struct MlaExpandedAttention {
  static constexpr const char* kName = "mla_expanded_attention";
  TensorView out;          ///< [t, h, dv] act
  ConstTensorView q;       ///< [t, h, nope + rope] act
  ConstTensorView kv;      ///< [c, h, nope + dv] act
  ConstTensorView k_rope;  ///< [c, rope] act
  AttentionBatch batch;
  ConstTensorView key_begin;  ///< [s + 1] i32
  float scale = 0;
};

/// Chooses experts. s = sigmoid(logits) or softmax(logits); choice = s + bias. A group's score is
/// the sum of its two largest choices; only the top_groups best groups stay; the top_k largest
/// choices among them are chosen, largest first, ties to the lower id. weights = s (without
/// bias), normalised, then scaled. With num_groups == 1 all experts stay. Scores and choices are
/// rounded to f32 before they are compared; NaN counts as -inf. (DeepSeek-V3, arXiv:2412.19437
/// section 2.1.2.)
struct MoeRoute {
  static constexpr const char* kName = "moe_route";
  TensorView experts;      ///< [t, top_k] i32
  TensorView weights;      ///< [t, top_k] f32
  ConstTensorView logits;  ///< [t, e] f32
  ConstTensorView bias;    ///< [e] f32 or undefined
  RouterParams params;
};

/// Groups (token, choice) pairs by expert, stable in token order.
struct MoePermute {
  static constexpr const char* kName = "moe_permute";
  TensorView row_token;     ///< [t * top_k] i32: token behind each sorted row
  TensorView pair_row;      ///< [t, top_k] i32: sorted row of each pair
  TensorView offsets;       ///< [e + 1] i32
  ConstTensorView experts;  ///< [t, top_k] i32, values in [0, e)
};

/// MoeRoute, then MoePermute of what it chose.
struct MoeAssign {
  static constexpr const char* kName = "moe_assign";
  TensorView experts;      ///< [t, top_k] i32
  TensorView weights;      ///< [t, top_k] f32
  TensorView row_token;    ///< [t * top_k] i32
  TensorView pair_row;     ///< [t, top_k] i32
  TensorView offsets;      ///< [e + 1] i32
  ConstTensorView logits;  ///< [t, e] f32
  ConstTensorView bias;    ///< [e] f32 or undefined
  RouterParams params;
};

/// y[t, :] = sum over j of weights[t, j] * x[pair_row[t, j], :], j ascending; plus added[t, :].
struct MoeCombine {
  static constexpr const char* kName = "moe_combine";
  TensorView y;              ///< [t, d] act
  ConstTensorView x;         ///< [t * top_k, d] act
  ConstTensorView pair_row;  ///< [t, top_k] i32
  ConstTensorView weights;   ///< [t, top_k] f32
  ConstTensorView added;     ///< [t, d] act or undefined
};

/// GroupedLinear of the rows that GroupedGatedLinear made, then MoeCombine of the products and of
/// the shared expert's.
struct GroupedLinearCombine {
  static constexpr const char* kName = "grouped_linear_combine";
  TensorView y;              ///< [t, n] act
  ConstTensorView x;         ///< [t * top_k, k] act, sorted by expert
  WeightView weight;         ///< [g, n, k]
  ConstTensorView experts;   ///< [t, top_k] i32, values in [0, g)
  ConstTensorView weights;   ///< [t, top_k] f32
  ConstTensorView pair_row;  ///< [t, top_k] i32: where experts[t, j] has its row of x
  ConstTensorView offsets;   ///< [g + 1] i32 of the sorted rows
  TensorView products;       ///< [t * top_k, n] act: scratch
  TensorView scratch;        ///< [t * top_k, ..] as Linear's
  /// Done as well and added with weight 1, in its y; y undefined: there is none.
  Linear beside;
};

/// y[r, :] = x[rows[r], :].
struct GatherRows {
  static constexpr const char* kName = "gather_rows";
  TensorView y;          ///< [r, d] act, f32 (residual stream) or i32
  ConstTensorView x;     ///< [t, d], same type
  ConstTensorView rows;  ///< [r] i32
};

/// tokens[r] = the greedy choice: the lowest id whose logit is the largest of logits[r, 0 ..
/// limit). -1 if there is none to make: one of them is NaN or +inf, or all are -inf.
struct Argmax {
  static constexpr const char* kName = "argmax";
  TensorView tokens;       ///< [r] i32
  ConstTensorView logits;  ///< [r, v] f32
  int64_t limit = 0;       ///< 1 .. v
};

/// The greedy choice among the ids that one rank has, where logits are spread over ranks: each
/// looks at its own, and the choice among what all of them found (MergeArgmax) is Argmax of the
/// whole. A rank none of whose logits are larger than -inf finds -inf and the id -1; one with a NaN
/// or +inf finds NaN.
struct ShardArgmax {
  static constexpr const char* kName = "shard_argmax";
  TensorView best;         ///< [r, 2] f32: the largest logit; the bits of its id as i32
  ConstTensorView logits;  ///< [r, w] f32: of the ids first_id, first_id + 1, ...
  int64_t first_id = 0;
  int64_t limit = 0;  ///< ids from here on do not count
};

/// The greedy choice among those of all ranks.
struct MergeArgmax {
  static constexpr const char* kName = "merge_argmax";
  TensorView tokens;     ///< [r] i32
  ConstTensorView best;  ///< [r, 2 n] f32: the results of n ranks side by side, ids ascending
};

/// tokens[r] = the first id, in ascending order, at which the summed weights exp((logit -
/// largest) / temperature) of the kept ids exceed the draw's share of their total. Ids are kept
/// in the order (logit descending, id ascending). Weights are f32; one below 2^-44 may count as
/// 0. -1 as argmax.
struct Draw {
  static constexpr const char* kName = "draw";
  TensorView tokens;       ///< [r] i32
  ConstTensorView logits;  ///< [r, v] f32
  int64_t limit = 0;       ///< 1 .. v
  ConstTensorView rows;    ///< [r, 6] i32: DrawParams
};

/// Log-probabilities under the softmax of logits[r, 0 .. limit), of rows with counts[r] >= 0:
/// values[r, 0] is that of tokens[r], -inf if it is none of these ids; ids[r, j] is the j-th
/// likeliest in the order (logit descending, id ascending) and values[r, 1 + j] its own, for j
/// below counts[r]. Ids at -inf are not likely: past the others come -1 and -inf, and nothing
/// else from a row of which argmax makes nothing. What lies beyond is not written. Values are
/// within 2e-6 and one rounding.
struct LogProbs {
  static constexpr const char* kName = "log_probs";
  TensorView ids;          ///< [r, n] i32, n <= kMostLogProbs
  TensorView values;       ///< [r, 1 + n] f32
  ConstTensorView tokens;  ///< [r] i32
  ConstTensorView logits;  ///< [r, v] f32
  int64_t limit = 0;       ///< 1 .. v
  ConstTensorView counts;  ///< [r] i32, at most n
};

/// y[i, :limit] = logits[rows[i].row, :limit] after, in this order: ids that the state's mask
/// leaves out and end ids, where rows[i].flags say so, become -inf; biases are added; of ids seen
/// in prompt or output those above 0 are divided by `repetition` and the others multiplied; from
/// ids in the output frequency * their number + presence is subtracted. No sum leaves the finite
/// numbers upwards; each operation is rounded to f32 by itself. Of logits of which argmax makes
/// nothing comes anything.
struct AdjustLogits {
  static constexpr const char* kName = "adjust_logits";
  TensorView y;            ///< [n, v] f32
  ConstTensorView logits;  ///< [r, v] f32
  int64_t limit = 0;       ///< 1 .. v
  AdjustTables tables;
  ConstTensorView rows;  ///< [n, 7] i32: AdjustParams
};

/// What was drawn from adjusted rows takes the place of what their plain logits gave: with row =
/// rows[i].row, sampled[row] = tokens[i], or -2 where that is negative: nothing is left. A
/// negative sampled[row] stays: the logits are of no use. Tokens of kPenalised rows count in
/// tables.seen.
struct TakeAdjusted {
  static constexpr const char* kName = "take_adjusted";
  TensorView sampled;  ///< [r] i32, in place
  AdjustTables tables;
  ConstTensorView tokens;  ///< [n] i32
  ConstTensorView rows;    ///< [n, 7] i32: AdjustParams, states differ
};

/// tokens[t] = last[rows[t]] where tokens[t] is negative: the token a step needs and only the
/// device knows yet.
struct FillTokens {
  static constexpr const char* kName = "fill_tokens";
  TensorView tokens;     ///< [t] i32, in place
  ConstTensorView last;  ///< [n] i32
  ConstTensorView rows;  ///< [t] i32, values in [0, n)
};

/// y[at[i]] = values[i]; negative places are left out, the others differ from each other.
struct Scatter {
  static constexpr const char* kName = "scatter";
  TensorView y;            ///< [n] i32
  ConstTensorView values;  ///< [m] i32
  ConstTensorView at;      ///< [m] i32, less than n
};

/// A call that is kept.
using Any = std::variant<Embedding,
                         RmsNorm,
                         AddRmsNorm,
                         LayerNorm,
                         SumSquares,
                         NormPart,
                         Add,
                         Linear,
                         GroupedLinear,
                         BatchedLinear,
                         SiluMul,
                         GeluMul,
                         GatedLinear,
                         GroupedGatedLinear,
                         RopeTable,
                         Rope,
                         WriteKv,
                         RopeAndWriteKv,
                         WriteLatent,
                         Attention,
                         MlaAttention,
                         RopeAndMlaAttention,
                         GatherKv,
                         MlaExpandedAttention,
                         MoeRoute,
                         MoePermute,
                         MoeAssign,
                         MoeCombine,
                         GroupedLinearCombine,
                         GatherRows,
                         Argmax,
                         ShardArgmax,
                         MergeArgmax,
                         Draw,
                         LogProbs,
                         AdjustLogits,
                         TakeAdjusted,
                         FillTokens,
                         Scatter>;

}  // namespace op

/// A call of any operation, for whoever treats all alike: backends, observers, recorders. Refers to
/// the arguments, which must outlive it.
class OpCall {
 public:
  template <class Op>
  OpCall(const Op& op)
      : op_(&op) {}  // NOLINT(google-explicit-constructor): a call is its arguments

  /// f(the arguments).
  template <class F>
  decltype(auto) visit(F&& f) const {
    return std::visit([&f](const auto* op) -> decltype(auto) { return f(*op); }, op_);
  }

  const char* name() const {
    return visit([](const auto& op) { return op.kName; });
  }

  op::Any copy() const {
    return visit([](const auto& op) { return op::Any(op); });
  }

 private:
  template <class Variant>
  struct Pointers;

  template <class... Op>
  struct Pointers<std::variant<Op...>> {
    using Type = std::variant<const Op*...>;
  };

  Pointers<op::Any>::Type op_;
};

}  // namespace tutti
