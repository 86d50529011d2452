// The operations a model is made of, for one rank on one device. The public functions check shapes
// and dtypes once and call a private virtual; backends never check again and cannot disagree on
// what is legal.
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
#include <vector>

#include "base/status.h"
#include "ops/weight_view.h"
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
  ConstTensorView block_table;  ///< [s, max_blocks]: block ids; position p is slot p % block_size
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

/// The greedy choice among the ids that one rank has.
struct ShardArgmax {
  TensorView best;         ///< [r, 2] f32: the largest logit; the bits of its id as i32
  ConstTensorView logits;  ///< [r, w] f32: of the ids first_id, first_id + 1, ...
  int64_t first_id = 0;
  int64_t limit = 0;  ///< ids from here on do not count
};

/// The greedy choice among those of all ranks.
struct MergeArgmax {
  TensorView tokens;     ///< [r] i32
  ConstTensorView best;  ///< [r, 2 n] f32: the results of n ranks side by side, ids ascending
};

/// Ids that Ops::log_probs lists of a row at most.
constexpr int64_t kMostLogProbs = 32;

/// Calls that one of several kernels computed; a recorded call counts once, when it is recorded.
struct KernelCalls {
  const char* kernel = "";  ///< as in docs/kernels.md
  int64_t calls = 0;
};

class Ops {
 public:
  virtual ~Ops() = default;
  virtual const char* name() const = 0;

  /// What ran so far of the ops that a backend has several kernels for: none, unless it has. While
  /// no op is being queued.
  virtual std::vector<KernelCalls> kernel_calls() const { return {}; }

  /// While it is on, results are of no worth, and what runs may take the time to measure which of
  /// several kernels is fastest for its shape. Off, nothing is measured. Off at first.
  virtual void set_rehearsal(bool /*on*/) {}

  /// kUnsupported says why this backend cannot compute with activations of `act`.
  virtual Status check_compute(DType act) const;

  /// y[t, :] = f32(table[ids[t] - first_id, :]) if that row exists, else 0 (another rank has it).
  void embedding(TensorView y,           // [t, d] f32
                 ConstTensorView table,  // [v, d] f32 | f16 | bf16
                 ConstTensorView ids,    // [t] i32
                 int64_t first_id);

  /// y = x / sqrt(mean(x^2) + eps) * weight over the last dimension. In place allowed (y == x).
  void rms_norm(TensorView y,            // [..., d] act, rank 2 or 3
                ConstTensorView x,       // same shape, act or f32
                ConstTensorView weight,  // [d] f32
                float eps);

  /// residual += x; y = rms_norm(residual). residual is in place.
  void add_rms_norm(TensorView y,            // [t, d] act
                    TensorView residual,     // [t, d] f32
                    ConstTensorView x,       // [t, d] act
                    ConstTensorView weight,  // [d] f32
                    float eps);

  /// y += x.
  void add(TensorView y,        // [t, d] act or f32
           ConstTensorView x);  // [t, d] act

  /// y = x * w^T (+ bias). bias may be undefined.
  void linear(TensorView y,              // [t, n] act or f32 (logits)
              ConstTensorView x,         // [t, k] act
              const WeightView& weight,  // [n, k]
              ConstTensorView bias);     // [n] f32; may be rounded to the type of y first

  /// Rows [offsets[g], offsets[g+1]) of x times matrix g: the experts of a mixture.
  void grouped_linear(TensorView y,              // [r, n] act
                      ConstTensorView x,         // [r, k] act
                      const WeightView& weight,  // [g, n, k]
                      ConstTensorView offsets);  // [g + 1] i32, offsets[0] = 0, offsets[g] = r

  /// y[t, h, :] = W[h] * x[t, h, :]: one matrix per head.
  void batched_linear(TensorView y,               // [t, h, n] act
                      ConstTensorView x,          // [t, h, k] act
                      const WeightView& weight);  // [h, n, k]

  /// y = silu(gate) * up, silu(z) = z / (1 + exp(-z)). y may be gate or up.
  void silu_mul(TensorView y, ConstTensorView gate, ConstTensorView up);  // [t, n] act

  /// y[:, :n] = silu(x * gate^T) * (x * up^T): linear() and silu_mul() without rounding in between
  /// where the backend can. y[:, n:] is scratch.
  void gated_linear(TensorView y,              // [t, 2 n] act
                    ConstTensorView x,         // [t, k] act
                    const WeightView& weight,  // [2 n, k]: gate, then up
                    ConstTensorView bias);     // [2 n] f32 or undefined

  /// table[t, i] = scale * cos(positions[t] * inv_freq[i]), table[t, d/2 + i] = scale * sin(...).
  /// The angle is the f32 product, as in Hugging Face's rotary embeddings; cos and sin of it are
  /// exact to f32.
  void rope_table(TensorView table,           // [t, d] f32
                  ConstTensorView positions,  // [t] i32
                  ConstTensorView inv_freq,   // [d / 2] f32
                  float scale);

  /// Rotates the last dimension of x in place.
  void rope(TensorView x,           // [t, h, d] act
            ConstTensorView table,  // [t, d] f32 from rope_table
            RopeLayout layout);

  /// cache[slot / block_size, slot % block_size, :] = x[t, :] with slot = slots[t]; rows with a
  /// negative slot are not stored.
  void write_kv(TensorView cache,        // [blocks, block_size, w] act
                ConstTensorView x,       // [t, w] act
                ConstTensorView slots);  // [t] i32

  /// rope() of q and of k, then write_kv() of k and of v.
  void rope_and_write_kv(TensorView q,           // [t, hq, d] act
                         TensorView k,           // [t, hkv, d] act, heads without gaps
                         ConstTensorView v,      // [t, w] act
                         ConstTensorView table,  // [t, d] f32 from rope_table
                         RopeLayout layout,
                         TensorView k_cache,      // [blocks, block_size, hkv * d] act
                         TensorView v_cache,      // [blocks, block_size, w] act
                         ConstTensorView slots);  // [t] i32

  /// Causal attention over a paged cache. Query row j of sequence i stands at position
  /// context_before[i] + j and sees positions 0..that. Query head h reads KV head h * hkv / h_q.
  void attention(TensorView out,           // [t, hq, dv] act
                 ConstTensorView q,        // [t, hq, d] act
                 ConstTensorView k_cache,  // [blocks, block_size, hkv * d] act
                 ConstTensorView v_cache,  // [blocks, block_size, hkv * dv] act
                 const AttentionBatch& batch,
                 float scale);

  /// Absorbed MLA (DeepSeek-V2, arXiv:2405.04434): score = (q_latent . c + q_rope . k_rope) * scale
  /// over the cached [latent | rope] rows, out = sum of probabilities times latent.
  void mla_attention(TensorView out,            // [t, h, latent] act
                     ConstTensorView q_latent,  // [t, h, latent] act
                     ConstTensorView q_rope,    // [t, h, rope] act
                     ConstTensorView cache,     // [blocks, block_size, latent + rope] act
                     const AttentionBatch& batch,
                     float scale);

  /// Copies the cached rows of all sequences, positions 0 .. context_before + queries - 1, one
  /// after another.
  void gather_kv(TensorView y,           // [c, w] act
                 ConstTensorView cache,  // [blocks, block_size, w] act
                 const AttentionBatch& batch,
                 ConstTensorView key_begin);  // [s + 1] i32: sequence i fills rows [key_begin[i],
                                              // key_begin[i+1])

  /// Expanded MLA: keys are [k_nope per head | k_rope shared], values per head, over gathered rows.
  void mla_expanded_attention(TensorView out,          // [t, h, dv] act
                              ConstTensorView q,       // [t, h, nope + rope] act
                              ConstTensorView kv,      // [c, h, nope + dv] act
                              ConstTensorView k_rope,  // [c, rope] act
                              const AttentionBatch& batch,
                              ConstTensorView key_begin,  // [s + 1] i32
                              float scale);

  /// Chooses experts. s = sigmoid(logits) or softmax(logits); choice = s + bias. A group's score is
  /// the sum of its two largest choices; only the top_groups best groups stay; the top_k largest
  /// choices among them are chosen, largest first, ties to the lower id. weights = s (without
  /// bias), normalised, then scaled. With num_groups == 1 all experts stay. Scores and choices are
  /// rounded to f32 before they are compared; NaN counts as -inf. (DeepSeek-V3, arXiv:2412.19437
  /// section 2.1.2.)
  void moe_route(TensorView experts,      // [t, top_k] i32
                 TensorView weights,      // [t, top_k] f32
                 ConstTensorView logits,  // [t, e] f32
                 ConstTensorView bias,    // [e] f32 or undefined
                 const RouterParams& params);

  /// Groups (token, choice) pairs by expert, stable in token order.
  void moe_permute(TensorView row_token,      // [t * top_k] i32: token behind each sorted row
                   TensorView pair_row,       // [t, top_k] i32: sorted row of each pair
                   TensorView offsets,        // [e + 1] i32
                   ConstTensorView experts);  // [t, top_k] i32, values in [0, e)

  /// y[t, :] = sum over j of weights[t, j] * x[pair_row[t, j], :], j ascending.
  void moe_combine(TensorView y,              // [t, d] act
                   ConstTensorView x,         // [t * top_k, d] act
                   ConstTensorView pair_row,  // [t, top_k] i32
                   ConstTensorView weights);  // [t, top_k] f32

  /// y[r, :] = x[rows[r], :].
  void gather_rows(TensorView y,           // [r, d] act, f32 (residual stream) or i32
                   ConstTensorView x,      // [t, d], same type
                   ConstTensorView rows);  // [r] i32

  /// tokens[r] = the greedy choice: the lowest id whose logit is the largest of logits[r, 0 ..
  /// limit). -1 if there is none to make: one of them is NaN or +inf, or all are -inf.
  void argmax(TensorView tokens,       // [r] i32
              ConstTensorView logits,  // [r, v] f32
              int64_t limit);          // 1 .. v

  /// The same over logits that are spread over ranks: each looks at its own, and the choice among
  /// what all of them found is argmax() of the whole. A rank none of whose logits are larger than
  /// -inf finds -inf and the id -1; one with a NaN or +inf finds NaN.
  void shard_argmax(const ShardArgmax& args);
  void merge_argmax(const MergeArgmax& args);

  /// tokens[r] = the first id, in ascending order, at which the summed weights exp((logit -
  /// largest) / temperature) of the kept ids exceed the draw's share of their total. Ids are kept
  /// in the order (logit descending, id ascending). Weights are f32; one below 2^-44 may count as
  /// 0. -1 as argmax.
  void draw(TensorView tokens,       // [r] i32
            ConstTensorView logits,  // [r, v] f32
            int64_t limit,           // 1 .. v
            ConstTensorView rows);   // [r, 6] i32: DrawParams

  /// Log-probabilities under the softmax of logits[r, 0 .. limit), of rows with counts[r] >= 0:
  /// values[r, 0] is that of tokens[r], -inf if it is none of these ids; ids[r, j] is the j-th
  /// likeliest in the order (logit descending, id ascending) and values[r, 1 + j] its own, for j
  /// below counts[r]. Ids at -inf are not likely: past the others come -1 and -inf, and nothing
  /// else from a row of which argmax makes nothing. What lies beyond is not written. Values are
  /// within 2e-6 and one rounding.
  void log_probs(TensorView ids,           // [r, n] i32, n <= kMostLogProbs
                 TensorView values,        // [r, 1 + n] f32
                 ConstTensorView tokens,   // [r] i32
                 ConstTensorView logits,   // [r, v] f32
                 int64_t limit,            // 1 .. v
                 ConstTensorView counts);  // [r] i32, at most n

  /// y[i, :limit] = logits[rows[i].row, :limit] after, in this order: ids that the state's mask
  /// leaves out and end ids, where rows[i].flags say so, become -inf; biases are added; of ids seen
  /// in prompt or output those above 0 are divided by `repetition` and the others multiplied; from
  /// ids in the output frequency * their number + presence is subtracted. No sum leaves the finite
  /// numbers upwards; each operation is rounded to f32 by itself. Of logits of which argmax makes
  /// nothing comes anything.
  void adjust_logits(TensorView y,            // [n, v] f32
                     ConstTensorView logits,  // [r, v] f32
                     int64_t limit,           // 1 .. v
                     const AdjustTables& tables,
                     ConstTensorView rows);  // [n, 7] i32: AdjustParams

  /// What was drawn from adjusted rows takes the place of what their plain logits gave: with row =
  /// rows[i].row, chosen[row] = tokens[i], or -2 where that is negative: nothing is left. A
  /// negative chosen[row] stays: the logits are of no use. Tokens of kPenalised rows count in
  /// tables.seen.
  void take_adjusted(TensorView chosen,  // [r] i32, in place
                     const AdjustTables& tables,
                     ConstTensorView tokens,  // [n] i32
                     ConstTensorView rows);   // [n, 7] i32: AdjustParams, states differ

  /// tokens[t] = last[rows[t]] where tokens[t] is negative: the token a step needs and only the
  /// device knows yet.
  void fill_tokens(TensorView tokens,      // [t] i32, in place
                   ConstTensorView last,   // [n] i32
                   ConstTensorView rows);  // [t] i32, values in [0, n)

  /// y[at[i]] = values[i]; negative places are left out, the others differ from each other.
  void scatter(TensorView y,            // [n] i32
               ConstTensorView values,  // [m] i32
               ConstTensorView at);     // [m] i32, less than n

 protected:
  // Fused operations: the parts one after another, unless a backend knows better.
  virtual void do_gated_linear(TensorView y,
                               ConstTensorView x,
                               const WeightView& weight,
                               ConstTensorView bias);
  virtual void do_rope_and_write_kv(TensorView q,
                                    TensorView k,
                                    ConstTensorView v,
                                    ConstTensorView table,
                                    RopeLayout layout,
                                    TensorView k_cache,
                                    TensorView v_cache,
                                    ConstTensorView slots);

 private:
  virtual void do_embedding(TensorView y,
                            ConstTensorView table,
                            ConstTensorView ids,
                            int64_t first_id) = 0;
  virtual void do_rms_norm(TensorView y, ConstTensorView x, ConstTensorView weight, float eps) = 0;
  virtual void do_add_rms_norm(
      TensorView y, TensorView residual, ConstTensorView x, ConstTensorView weight, float eps) = 0;
  virtual void do_add(TensorView y, ConstTensorView x) = 0;
  virtual void do_linear(TensorView y,
                         ConstTensorView x,
                         const WeightView& weight,
                         ConstTensorView bias) = 0;
  virtual void do_grouped_linear(TensorView y,
                                 ConstTensorView x,
                                 const WeightView& weight,
                                 ConstTensorView offsets) = 0;
  virtual void do_batched_linear(TensorView y, ConstTensorView x, const WeightView& weight) = 0;
  virtual void do_silu_mul(TensorView y, ConstTensorView gate, ConstTensorView up) = 0;
  virtual void do_rope_table(TensorView table,
                             ConstTensorView positions,
                             ConstTensorView inv_freq,
                             float scale) = 0;
  virtual void do_rope(TensorView x, ConstTensorView table, RopeLayout layout) = 0;
  virtual void do_write_kv(TensorView cache, ConstTensorView x, ConstTensorView slots) = 0;
  virtual void do_attention(TensorView out,
                            ConstTensorView q,
                            ConstTensorView k_cache,
                            ConstTensorView v_cache,
                            const AttentionBatch& batch,
                            float scale) = 0;
  virtual void do_mla_attention(TensorView out,
                                ConstTensorView q_latent,
                                ConstTensorView q_rope,
                                ConstTensorView cache,
                                const AttentionBatch& batch,
                                float scale) = 0;
  virtual void do_gather_kv(TensorView y,
                            ConstTensorView cache,
                            const AttentionBatch& batch,
                            ConstTensorView key_begin) = 0;
  virtual void do_mla_expanded_attention(TensorView out,
                                         ConstTensorView q,
                                         ConstTensorView kv,
                                         ConstTensorView k_rope,
                                         const AttentionBatch& batch,
                                         ConstTensorView key_begin,
                                         float scale) = 0;
  virtual void do_moe_route(TensorView experts,
                            TensorView weights,
                            ConstTensorView logits,
                            ConstTensorView bias,
                            const RouterParams& params) = 0;
  virtual void do_moe_permute(TensorView row_token,
                              TensorView pair_row,
                              TensorView offsets,
                              ConstTensorView experts) = 0;
  virtual void do_moe_combine(TensorView y,
                              ConstTensorView x,
                              ConstTensorView pair_row,
                              ConstTensorView weights) = 0;
  virtual void do_gather_rows(TensorView y, ConstTensorView x, ConstTensorView rows) = 0;
  virtual void do_argmax(TensorView tokens, ConstTensorView logits, int64_t limit) = 0;
  virtual void do_shard_argmax(const ShardArgmax& args) = 0;
  virtual void do_merge_argmax(const MergeArgmax& args) = 0;
  virtual void do_draw(TensorView tokens,
                       ConstTensorView logits,
                       int64_t limit,
                       ConstTensorView rows) = 0;
  virtual void do_log_probs(TensorView ids,
                            TensorView values,
                            ConstTensorView tokens,
                            ConstTensorView logits,
                            int64_t limit,
                            ConstTensorView counts) = 0;
  virtual void do_adjust_logits(TensorView y,
                                ConstTensorView logits,
                                int64_t limit,
                                const AdjustTables& tables,
                                ConstTensorView rows) = 0;
  virtual void do_take_adjusted(TensorView chosen,
                                const AdjustTables& tables,
                                ConstTensorView tokens,
                                ConstTensorView rows) = 0;
  virtual void do_fill_tokens(TensorView tokens, ConstTensorView last, ConstTensorView rows) = 0;
  virtual void do_scatter(TensorView y, ConstTensorView values, ConstTensorView at) = 0;
};

}  // namespace tutti
