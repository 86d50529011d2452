#include "comm/thread_communicator.h"

#include <algorithm>
#include <cstring>
#include <thread>

#include "base/checked.h"
#include "base/futex.h"

namespace tutti {

namespace {

// A collective inside a decode step follows within microseconds when every rank has a core of its
// own; with fewer cores than ranks spinning only keeps the late rank from running.
constexpr int kSpins = 4000;
// Before the system puts the rank to sleep: with fewer cores than ranks the late one may run now.
constexpr int kYields = 4;
// Of a wait at most this much is counted at a time, so that a process that was stopped for an hour
// and goes on has not waited for an hour.
constexpr auto kLongestNap = std::chrono::milliseconds(250);

inline void pause_cpu() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#endif
}

}  // namespace

ThreadGroup::ThreadGroup(int size, std::chrono::milliseconds timeout)
    : size_(size),
      spins_(static_cast<unsigned>(size) <= std::thread::hardware_concurrency() ? kSpins : 0),
      timeout_(timeout),
      progress_(size),
      slots_(usize(size)) {
  TUTTI_CHECK_GT(size, 0);
}

void ThreadGroup::abort(const std::string& reason) {
  if (!abort_once_.test_and_set()) {
    abort_reason_ = reason;
    aborted_.store(true, std::memory_order_release);
    wake_all();
  }
}

Status ThreadGroup::health() const {
  return aborted_.load(std::memory_order_acquire) ? Status(StatusCode::kDevice, abort_reason_)
                                                  : ok_status();
}

void ThreadGroup::check_abort() const {
  if (aborted_.load(std::memory_order_acquire)) {
    throw DeviceError("collective stopped: " + abort_reason_);
  }
}

// The failed rank comes to no wait before resume(), so those that it has not passed stay
// incomplete; nobody else is woken. A rank on its way to sleep may miss it for one nap.
void ThreadGroup::interrupt() {
  interrupted_.store(true, std::memory_order_release);
  futex_wake_all(generation_);
}

void ThreadGroup::resume() {
  arrived_.store(0, std::memory_order_relaxed);
  progress_.reset();
  interrupted_.store(false, std::memory_order_release);
}

void ThreadGroup::check_interrupt() const {
  if (interrupted_.load(std::memory_order_acquire)) {
    throw CollectiveInterrupted("a collective was interrupted: another rank lost its job");
  }
}

// In this order: a rank counts itself as a sleeper before the kernel looks at the generation, so
// either it is counted here or it sees the new one.
void ThreadGroup::wake_all() {
  generation_.fetch_add(1);
  if (sleepers_.load() > 0) {
    futex_wake_all(generation_);
  }
}

void ThreadGroup::meet(int rank, const CollectiveCall& call) {
  progress_.enter(rank, call);
  wait_for_all(rank);
  if (const std::optional<std::string> difference = progress_.disagreement(rank)) {
    abort(*difference);
    check_abort();
  }
}

void ThreadGroup::wait_for_all(int rank) {
  progress_.arrive(rank);
  // In this order: an abort after the load changes the generation and so ends the wait below; one
  // before it is seen by the check.
  const uint32_t generation = generation_.load(std::memory_order_acquire);
  check_abort();
  check_interrupt();
  if (arrived_.fetch_add(1, std::memory_order_acq_rel) + 1 == size_) {
    arrived_.store(0, std::memory_order_relaxed);
    wake_all();
    check_abort();
    return;
  }
  for (int i = 0; i < spins_ && waiting(generation); ++i) {
    pause_cpu();
  }
  for (int i = 0; i < kYields && waiting(generation); ++i) {
    std::this_thread::yield();
  }
  if (waiting(generation)) {
    sleep_until_all(rank, generation);
  }
  check_abort();
  if (generation_.load(std::memory_order_acquire) == generation) {
    check_interrupt();
  }
}

void ThreadGroup::sleep_until_all(int rank, uint32_t generation) {
  using std::chrono::nanoseconds;
  nanoseconds waited{0};
  sleepers_.fetch_add(1);
  while (waiting(generation) && waited < timeout_) {
    const nanoseconds nap = std::min<nanoseconds>(kLongestNap, timeout_ - waited);
    const auto begin = std::chrono::steady_clock::now();
    futex_wait(generation_, generation, nap);
    waited += std::min<nanoseconds>(nap, std::chrono::steady_clock::now() - begin);
  }
  sleepers_.fetch_sub(1);
  if (waiting(generation)) {
    abort(progress_.missing(rank, std::chrono::duration<double>(waited).count()));
  }
}

class ThreadCommunicator final : public Communicator {
 public:
  ThreadCommunicator(ThreadGroup& group, int rank) : group_(group), rank_(rank) {}

  int rank() const override { return rank_; }

  int size() const override { return group_.size_; }

  const char* all_reduce_algorithm(int64_t /*bytes*/) const override { return "threads"; }

  void all_reduce_sum(TensorView x) override {
    if (size() == 1) {
      return;
    }
    TUTTI_CHECK(x.contiguous());
    const int64_t n = x.numel();
    group_.slots_[usize(rank_)] = x;
    group_.meet(rank_, {.op = CollectiveOp::kAllReduceSum, .bytes = x.bytes()});
    if (n > capacity_) {
      // Past the first barrier no rank still reads the old result, so it may move.
      if (rank_ == 0) {
        group_.sum_.resize(usize(n));
      }
      group_.wait_for_all(rank_);
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
    group_.wait_for_all(rank_);
    // The next reduction writes sum_ only after all ranks passed its first barrier, that is after
    // this copy.
    std::copy_n(sum, n, x.data<float>());
  }

  void all_gather_columns(TensorView out,
                          ConstTensorView in,
                          std::span<const int64_t> widths) override {
    TUTTI_CHECK_EQ(ssize(widths.size()), int64_t{size()});
    group_.slots_[usize(rank_)] = in;
    group_.meet(rank_, {.op = CollectiveOp::kAllGatherColumns, .bytes = out.bytes()});
    for (int64_t row = 0; row < in.dim(0); ++row) {
      float* to = out.at(row).data<float>();
      for (size_t r = 0; r < widths.size(); ++r) {
        to = std::copy_n(group_.slots_[r].at(row).data<float>(), widths[r], to);
      }
    }
    group_.wait_for_all(rank_);  // nobody may overwrite its input while another rank still reads it
  }

  void exchange_rows(const ExchangeRows& args) override {
    TUTTI_CHECK_EQ(ssize(args.widths.size()), int64_t{size()});
    const int64_t rows = args.in.dim(0);
    int64_t columns = 0;
    for (const int64_t width : args.widths) {
      columns += width;
    }
    group_.slots_[usize(rank_)] = args.in;
    // Results differ in size; what they are parts of does not.
    group_.meet(
        rank_, {.op = CollectiveOp::kExchangeRows, .bytes = rows * columns * ssize(sizeof(float))});
    const RowShare mine = row_share(rows, rank_, size());
    for (int64_t row = 0; row < mine.count; ++row) {
      float* to = args.out.at(row).data<float>();
      for (size_t r = 0; r < args.widths.size(); ++r) {
        to = std::copy_n(group_.slots_[r].at(mine.begin + row).data<float>(), args.widths[r], to);
      }
    }
    group_.wait_for_all(rank_);
  }

  void broadcast(const Broadcast& args) override {
    TUTTI_CHECK(args.root >= 0 && args.root < size() && args.x.contiguous());
    group_.slots_[usize(rank_)] = args.x;
    group_.meet(rank_,
                {.op = CollectiveOp::kBroadcast, .root = args.root, .bytes = args.x.bytes()});
    if (rank_ != args.root) {
      std::memcpy(args.x.raw(), group_.slots_[usize(args.root)].raw(), usize(args.x.bytes()));
    }
    group_.wait_for_all(rank_);
  }

  void barrier() override { group_.meet(rank_, {.op = CollectiveOp::kBarrier}); }

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
