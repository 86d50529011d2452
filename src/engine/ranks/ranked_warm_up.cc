// What is done once before the first request: collectives and products measured, code loaded, steps
// recorded.
#include <algorithm>
#include <chrono>
#include <functional>
#include <string_view>

#include <fmt/ranges.h>

#include "base/log.h"
#include "base/units.h"
#include "engine/ranks/ranked_model_runner.h"

namespace tutti {

namespace {

// Numbers of tokens at which prompts are tried at load, descending: two for each doubling.
std::vector<int64_t> prompt_sizes(int64_t longest) {
  std::vector<int64_t> sizes{longest};
  for (int64_t size = 16; size < longest; size *= 2) {
    for (const int64_t tokens : {size, size + size / 2}) {
      if (tokens < longest) {
        sizes.push_back(tokens);
      }
    }
  }
  std::sort(sizes.begin(), sizes.end(), std::greater<>());
  return sizes;
}

// Names kernels of docs/kernels.md that take what no fast one does; returns how often.
int64_t name_general_kernels(const std::vector<KernelCalls>& kernels) {
  std::vector<std::string> general;
  int64_t calls = 0;
  for (const KernelCalls& k : kernels) {
    if (std::string_view(k.kernel).starts_with("simple_") && k.calls > 0) {
      general.push_back(fmt::format("{} ({} calls)", k.kernel, k.calls));
      calls += k.calls;
    }
  }
  if (!general.empty()) {
    log_warn("no fast kernel fits some operations of this model: {} took them, right but slow",
             fmt::join(general, ", "));
  }
  return calls;
}

}  // namespace

Status RankedModelRunner::warm_up(const StepShape& shape, bool record) {
  const auto start = std::chrono::steady_clock::now();
  TUTTI_RETURN_IF_ERROR(tune_collectives());
  StepPlan& plan = shared_->warm_up_plan;
  const auto everywhere = [&](const std::function<Status(RankHandles&, RankWorker&)>& work) {
    return group_->run(
        [&](RankHandles& rank) { return work(rank, *shared_->workers[usize(rank.rank)]); });
  };
  // Each job ends before the next one begins on any rank: none waits for another in a collective
  // while that one still measures, loads or records.
  // Rank 0 before the others, which find what it has measured: products that every rank makes alike
  // (of routers, for one) must give the same bits everywhere.
  const auto rehearse = [&]() -> Status {
    for (const bool first : {true, false}) {
      const Status status = everywhere([&](RankHandles& rank, RankWorker& worker) {
        return (rank.rank == 0) == first ? worker.rehearse(rank, plan) : ok_status();
      });
      TUTTI_RETURN_IF_ERROR(status);
    }
    return ok_status();
  };
  // Libraries have other code for other numbers of rows: prompts of all sizes find theirs loaded.
  const int64_t longest = std::min(shape.max_tokens, shape.max_context);
  for (const int64_t tokens : longest > 1 ? prompt_sizes(longest) : std::vector<int64_t>{}) {
    planner_.plan_padding(1, tokens, plan);
    TUTTI_RETURN_IF_ERROR(rehearse());
  }
  const std::vector<int64_t> sizes = padded_sizes(shape.max_sequences);
  for (auto size = sizes.rbegin(); size != sizes.rend(); ++size) {
    planner_.plan_padding(*size, 1, plan);
    TUTTI_RETURN_IF_ERROR(rehearse());
    if (!record) {
      continue;
    }
    TUTTI_RETURN_IF_ERROR(everywhere(
        [&](RankHandles& rank, RankWorker& worker) { return worker.record(rank, plan); }));
    const Status ran = everywhere([&](RankHandles& rank, RankWorker& worker) -> Status {
      TUTTI_RETURN_IF_ERROR(worker.run(rank, plan).status());
      return rank.stream.synchronize();
    });
    TUTTI_RETURN_IF_ERROR(ran);
  }
  TUTTI_RETURN_IF_ERROR(everywhere([this](RankHandles& rank, RankWorker&) {
    if (rank.rank == 0) {
      limits_.general_kernel_calls = name_general_kernels(rank.ops.kernel_calls());
    }
    return ok_status();
  }));
  log_info("warm-up: {} sizes of decode steps {} in {}",
           sizes.size(),
           record ? "recorded" : "tried",
           format_seconds(
               std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count()));
  if (const Status saved = shared_->tuning->save(); !saved.ok()) {
    log_warn("{}", saved.message());
  }
  return ok_status();
}

// From which size on collectives take another way: as measured before, or now.
Status RankedModelRunner::tune_collectives() {
  if (group_->size() == 1) {
    return ok_status();
  }
  const std::string key = fmt::format("collectives of {}", group_->describe());
  const std::optional<std::string> known = shared_->tuning->find(key);
  std::string found;
  const Status tuned = group_->run([&](RankHandles& rank) {
    Communicator& group = rank.parallel.tp;
    if (!known || !group.set_tuning(*known).ok()) {
      group.tune();
    }
    if (rank.rank == 0) {
      found = group.tuning();
    }
    return ok_status();
  });
  TUTTI_RETURN_IF_ERROR(tuned);
  if (!found.empty()) {
    shared_->tuning->put(key, found);
    log_info("collectives of {}: {}", group_->describe(), found);
  }
  return ok_status();
}

}  // namespace tutti
