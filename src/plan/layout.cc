#include "plan/layout.h"

#include <algorithm>

#include "base/checked.h"
#include "device/uploader.h"
#include "engine/ranks/memory_rules.h"
#include "engine/ranks/step_plan.h"

namespace tutti {

namespace {

constexpr int64_t kBlock = 16;  // tokens of the KV cache
constexpr int kMostRanks = 16;
// Code, heap and buffers of the program itself.
constexpr int64_t kProgramBytes = int64_t{512} << 20;
// As upload_threads(), of another machine.
constexpr int64_t kMostUploadThreads = 8;
constexpr int64_t kGraphBytesPerLayer = int64_t{16} << 10;
// Steps are recorded and replayed: the host is done before the device asks.
constexpr double kHostSeconds = 0;

// Weights, cache and activations of one rank of a form.
RankNeed need_of_rank(const SplitNeed& split,
                      const SplitNeed* whole,
                      const Parallel& form,
                      const ModelShape& shape,
                      int rank) {
  RankNeed need = split.ranks[usize(rank % split.tp)];
  if (form.dp > 1) {  // attention whole on every rank, all else shared out as by tensors
    need.weights.attention = whole->ranks.front().weights.attention;
    need.kv_token_bytes = whole->ranks.front().kv_token_bytes;
    need.activations = std::max(need.activations, whole->ranks.front().activations);
  }
  need.kv_token_bytes = ceil_div(need.kv_token_bytes, form.dcp);
  if (form.pp > 1) {  // the stage with most: the layers of all are equal but for the first few
    const int64_t most = ceil_div(shape.layers, form.pp);
    PartBytes outside = need.weights;
    PartBytes heaviest;
    for (const PartBytes& layer : need.layers) {
      outside.attention -= layer.attention;
      outside.experts -= layer.experts;
      outside.other -= layer.other;
      heaviest = layer.total() > heaviest.total() ? layer : heaviest;
    }
    need.weights = outside;  // table and head: of the first and the last stage
    for (int64_t i = 0; i < most; ++i) {
      need.weights += heaviest;
    }
    need.kv_token_bytes = ceil_div(need.kv_token_bytes * most, shape.layers);
  }
  return need;
}

// A layer that proposes drafts is one of the model's last kind, behind a matrix in bf16 that brings
// two hidden states together, its outputs shared out, and three norms.
int64_t draft_bytes(const RankNeed& rank, const ModelShape& shape, const Parallel& form) {
  if (shape.draft_layers == 0 || rank.layers.empty() || form.pp > 1) {
    return 0;
  }
  const int64_t joint = ceil_div(shape.hidden, form.tp) * 2 * shape.hidden * 2;
  const int64_t norms = 3 * shape.hidden * 4;
  return shape.draft_layers * (rank.layers.back().total() + joint + norms);
}

// Elements of matrices that each row of a rank meets. With data-parallel attention a rank has all
// of attention and fewer rows; with tensors split it has all rows.
double elements_of(const ModelShape& shape, const Parallel& form) {
  double per_token = static_cast<double>(shape.dense_elements);
  if (shape.experts > 0) {
    per_token += static_cast<double>(shape.expert_elements) *
                 static_cast<double>(shape.experts_per_token) / static_cast<double>(shape.experts);
  }
  return per_token / (form.tp * form.pp);
}

int64_t goal_batch(const PlanRequest& request) {
  if (request.concurrency > 0) {
    return request.concurrency;
  }
  switch (request.goal) {
    case Goal::kLatency:
      return 1;
    case Goal::kBalanced:
      return 16;
    case Goal::kThroughput:
      return request.max_batch_sequences;
  }
  return 1;
}

class Builder {
 public:
  Builder(ModelNeeds& needs, const Machine& machine, const PlanRequest& request, Layout& out)
      : needs_(needs), machine_(machine), request_(request), out_(out) {}

  Status build() {
    const Parallel& form = out_.parallel;
    // Data-parallel attention: all else as over that many ranks.
    TUTTI_TRY(split_, needs_.split(form.dp > 1 ? form.dp : form.tp));
    if (form.dp > 1) {
      TUTTI_TRY(whole_, needs_.split(1));
    }
    out_.unexpected = split_->unexpected;
    const int ranks = static_cast<int>(out_.gpus.size());
    for (int rank = 0; rank < ranks; ++rank) {
      ranks_.push_back(need_of_rank(*split_, whole_, form, needs_.shape(), rank));
    }
    place();
    if (out_.loads) {
      size_context();
      predict();
    }
    return ok_status();
  }

 private:
  const PlanGpu& gpu(size_t rank) const { return machine_.gpus[out_.gpus[rank]]; }

  // What is left for the cache on each GPU.
  void place() {
    int64_t largest = 0;
    for (const RankNeed& rank : ranks_) {
      largest = std::max(largest, rank.host_bytes);
    }
    out_.host_bytes = loading_host_bytes(static_cast<int>(ranks_.size()), machine_.cpus, largest);
    out_.host_short = machine_.host_bytes && *machine_.host_bytes < out_.host_bytes;
    out_.loads = !out_.host_short;
    const int64_t of_host = machine_.unified ? out_.host_bytes : 0;
    for (size_t r = 0; r < ranks_.size(); ++r) {
      GpuShare share{.used = true};
      share.weights = ranks_[r].weights.total();
      share.draft_weights = draft_bytes(ranks_[r], needs_.shape(), out_.parallel);
      share.activations = ranks_[r].activations;
      share.graphs = graph_bytes(needs_.shape().layers,
                                 std::max(request_.max_batch_sequences, request_.concurrency));
      share.context = request_.cuda_context_bytes + kCudaRankBytes;
      const int64_t left = gpu(r).free_bytes - share.weights - share.activations - share.graphs -
                           share.context - kReserveBytes - of_host;
      room_.push_back(left);
      out_.kv_token_bytes = std::max(out_.kv_token_bytes, ranks_[r].kv_token_bytes);
      const int64_t lacks = ranks_[r].kv_token_bytes * kBlock - left;
      if (lacks > out_.short_by) {
        out_.short_by = lacks;
        out_.worst = r;
        out_.loads = false;
      }
      out_.shares.push_back(std::move(share));
    }
  }

  int64_t wanted_context() const {
    const int64_t most = needs_.shape().max_context;
    return request_.context > 0 ? std::min(request_.context, most) : most;
  }

  void size_context() {
    const Parallel& form = out_.parallel;
    const int64_t sequences = std::max(request_.max_batch_sequences, request_.concurrency);
    // Ranks of one group hold the same tokens: the tightest decides. Groups have their own.
    int64_t least = INT64_MAX;
    for (size_t r = 0; r < ranks_.size(); ++r) {
      const int64_t block = ranks_[r].kv_token_bytes * kBlock;
      const int64_t budget =
          request_.kv_memory > 0
              ? std::min(request_.kv_memory, room_[r])
              : chosen_kv_bytes({.available = room_[r],
                                 .sequence = ceil_div(wanted_context(), kBlock) * block,
                                 .max_sequences = sequences});
      least = std::min(least, budget / block);
    }
    const int64_t group_tokens = least * kBlock;
    out_.kv_tokens = group_tokens * form.dp * form.replicas;
    out_.context = std::min(wanted_context(), group_tokens);
    for (size_t r = 0; r < ranks_.size(); ++r) {
      GpuShare& share = out_.shares[r];
      share.kv = least * kBlock * ranks_[r].kv_token_bytes;
      share.spare = gpu(r).free_bytes - share.weights - share.kv - share.activations -
                    share.graphs - share.context;
    }
    const int64_t each = request_.context > 0
                             ? wanted_context()
                             : std::min<int64_t>(wanted_context(), kTypicalContext);
    out_.sequences = group_tokens / each * form.dp * form.replicas;
    out_.meets = out_.context >= wanted_context() && out_.sequences >= request_.concurrency;
  }

  StepTime step(double batch, double context) const {
    const Parallel& form = out_.parallel;
    const ModelShape& shape = needs_.shape();
    const double rows = batch / (form.dp * form.replicas);
    StepTime time{.host = kHostSeconds};
    for (size_t r = 0; r < ranks_.size(); ++r) {
      const StepWork work{.weights = ranks_[r].weights,
                          .layers = ceil_div(shape.layers, form.pp),
                          .ranks = form.tp,
                          .rows = std::max(rows, 1.0),
                          .sequences = std::max(rows, 1.0),
                          .context = context,
                          .kv_token_bytes = static_cast<double>(ranks_[r].kv_token_bytes),
                          .elements = elements_of(shape, form),
                          .expert_rows = std::max(batch / form.replicas, 1.0),
                          .fp8 = needs_.model().format.name == "fp8"};
      time.compute = std::max(time.compute, form.pp * compute_seconds(work, shape, gpu(r).rates));
    }
    const LinkRates link = machine_.link_rates(out_.gpus);
    time.communication = form.dp > 1 ? exchange_seconds(shape, form.dp, batch, link)
                                     : reduce_seconds(shape, form.tp, std::max(rows, 1.0), link);
    if (form.dcp > 1) {
      time.communication += gather_seconds(shape, form, std::max(rows, 1.0), link);
    }
    if (form.pp > 1) {
      constexpr double kHop = 30e-6;  // a message between hosts
      time.communication += (form.pp - 1) * kHop;
    }
    return time;
  }

  void predict() {
    Prediction& p = out_.predicted;
    const int64_t fits = std::max<int64_t>(out_.sequences, 1);
    p.batch = std::min(goal_batch(request_), fits);
    const double context = static_cast<double>(std::min(out_.context, kTypicalContext));
    p.step = step(static_cast<double>(p.batch), context);
    p.decode_tokens_per_second = static_cast<double>(p.batch) / p.step.total();
    const double chunk = static_cast<double>(std::min(request_.max_batch_tokens, out_.context));
    const StepTime whole = step(chunk * out_.parallel.dp * out_.parallel.replicas, 0);
    p.prefill_tokens_per_second = chunk * out_.parallel.dp * out_.parallel.replicas / whole.total();
    p.measured = true;
    for (size_t r = 0; r < ranks_.size(); ++r) {
      p.measured = p.measured && gpu(r).rates.measured;
    }
    out_.figure = p.decode_tokens_per_second;
  }

  ModelNeeds& needs_;
  const Machine& machine_;
  const PlanRequest& request_;
  Layout& out_;
  const SplitNeed* split_ = nullptr;
  const SplitNeed* whole_ = nullptr;
  std::vector<RankNeed> ranks_;
  std::vector<int64_t> room_;
};

}  // namespace

int64_t graph_bytes(int64_t layers, int64_t max_batch_sequences) {
  return ssize(padded_sizes(max_batch_sequences).size()) * layers * kGraphBytesPerLayer;
}

int64_t loading_host_bytes(int ranks, int64_t cpus, int64_t largest_temporary) {
  const int64_t threads = std::clamp<int64_t>(cpus / ranks, 1, kMostUploadThreads);
  return kProgramBytes + ranks * (2 * threads * UploadOptions{}.piece_bytes + largest_temporary);
}

Result<ModelNeeds> ModelNeeds::create(const ModelFacts& model, const PlanRequest& request) {
  ModelNeeds needs(model);
  TUTTI_TRY(needs.shape_, model_shape(model));
  needs.sizes_ = {.max_tokens = request.max_batch_tokens,
                  .max_sequences = std::max(request.max_batch_sequences, request.concurrency),
                  .context = request.context};
  needs.compute_ = request.compute;
  needs.degrees_ = legal_degrees(model, kMostRanks);
  return needs;
}

Result<const SplitNeed*> ModelNeeds::split(int tp) {
  const auto known = splits_.find(tp);
  if (known != splits_.end()) {
    return &known->second;
  }
  TUTTI_TRY(SplitNeed need, split_need(*model_, tp, sizes_, compute_));
  return &splits_.emplace(tp, std::move(need)).first->second;
}

Result<Layout> lay_out(ModelNeeds& needs,
                       const Machine& machine,
                       const PlanRequest& request,
                       const Parallel& parallel,
                       const std::vector<size_t>& gpus) {
  Layout layout;
  layout.parallel = parallel;
  layout.gpus = gpus;
  TUTTI_RETURN_IF_ERROR(Builder(needs, machine, request, layout).build());
  return layout;
}

}  // namespace tutti
