#include "comm/thread_communicator.h"

#include <algorithm>
#include <cstring>
#include <thread>

#include "base/checked.h"

namespace tutti {

namespace {

// A collective inside a decode step follows within microseconds when every rank has a core of its
// own; with fewer cores than ranks spinning only keeps the late rank from running.
constexpr int kSpins = 4000;

inline void pause_cpu() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#endif
}

}  // namespace

ThreadGroup::ThreadGroup(int size)
    : size_(size),
      spins_(static_cast<unsigned>(size) <= std::thread::hardware_concurrency() ? kSpins : 0),
      slots_(usize(size)) {
  TUTTI_CHECK_GT(size, 0);
}

void ThreadGroup::abort(const std::string& reason) {
  if (!abort_once_.test_and_set()) {
    abort_reason_ = reason;
    aborted_.store(true, std::memory_order_release);
    generation_.fetch_add(1, std::memory_order_release);
    generation_.notify_all();
  }
}

void ThreadGroup::wait_for_all() {
  const auto check_abort = [this] {
    if (aborted_.load(std::memory_order_acquire)) {
      throw DeviceError("collective stopped: " + abort_reason_);
    }
  };
  // In this order: an abort after the load changes the generation and so ends the wait below; one
  // before it is seen by the check.
  const uint32_t generation = generation_.load(std::memory_order_acquire);
  check_abort();
  if (arrived_.fetch_add(1, std::memory_order_acq_rel) + 1 == size_) {
    arrived_.store(0, std::memory_order_relaxed);
    generation_.fetch_add(1, std::memory_order_acq_rel);
    generation_.notify_all();
    check_abort();
    return;
  }
  for (int i = 0; i < spins_ && generation_.load(std::memory_order_acquire) == generation; ++i) {
    pause_cpu();
  }
  while (generation_.load(std::memory_order_acquire) == generation) {
    generation_.wait(generation, std::memory_order_acquire);
  }
  check_abort();
}

class ThreadCommunicator final : public Communicator {
 public:
  ThreadCommunicator(ThreadGroup& group, int rank) : group_(group), rank_(rank) {}

  int rank() const override { return rank_; }

  int size() const override { return group_.size_; }

  void all_reduce_sum(TensorView x) override {
    if (size() == 1) {
      return;
    }
    TUTTI_CHECK(x.contiguous());
    const int64_t n = x.numel();
    group_.slots_[usize(rank_)] = x;
    group_.wait_for_all();
    if (n > capacity_) {
      // Past the first barrier no rank still reads the old result, so it may move.
      if (rank_ == 0) {
        group_.sum_.resize(usize(n));
      }
      group_.wait_for_all();
      capacity_ = n;
    }
    const int64_t begin = n * rank_ / size();
    const int64_t end = n * (rank_ + 1) / size();
    float* sum = group_.sum_.data();
    const float* first = group_.slots_[0].data<float>();
    std::copy(first + begin, first + end, sum + begin);
    for (int r = 1; r < size(); ++r) {
      const float* part = group_.slots_[usize(r)].data<float>();
      for (int64_t i = begin; i < end; ++i) {
        sum[i] += part[i];
      }
    }
    group_.wait_for_all();
    // The next reduction writes sum_ only after all ranks passed its first barrier, that is after
    // this copy.
    std::copy_n(sum, n, x.data<float>());
  }

  void all_gather_columns(TensorView out,
                          ConstTensorView in,
                          std::span<const int64_t> widths) override {
    TUTTI_CHECK_EQ(ssize(widths.size()), int64_t{size()});
    group_.slots_[usize(rank_)] = in;
    group_.wait_for_all();
    for (int64_t row = 0; row < in.dim(0); ++row) {
      float* to = out.at(row).data<float>();
      for (size_t r = 0; r < widths.size(); ++r) {
        to = std::copy_n(group_.slots_[r].at(row).data<float>(), widths[r], to);
      }
    }
    group_.wait_for_all();  // nobody may overwrite its input while another rank still reads it
  }

  void broadcast(const Broadcast& args) override {
    TUTTI_CHECK(args.root >= 0 && args.root < size() && args.x.contiguous());
    group_.slots_[usize(rank_)] = args.x;
    group_.wait_for_all();
    if (rank_ != args.root) {
      std::memcpy(args.x.raw(), group_.slots_[usize(args.root)].raw(), usize(args.x.bytes()));
    }
    group_.wait_for_all();
  }

  void barrier() override { group_.wait_for_all(); }

 private:
  ThreadGroup& group_;
  int rank_;
  int64_t capacity_ = 0;  // elements of group_.sum_; all ranks see the same sizes, so they agree
};

std::unique_ptr<Communicator> ThreadGroup::endpoint(int rank) {
  TUTTI_CHECK(rank >= 0 && rank < size_);
  return std::make_unique<ThreadCommunicator>(*this, rank);
}

}  // namespace tutti
