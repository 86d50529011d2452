#include "backend/lone_rank.h"

#include <algorithm>
#include <numeric>
#include <set>

#include "base/checked.h"

namespace tutti {

namespace {

constexpr int64_t kMostRows = 16384;  // of a gather
constexpr int64_t kLogits = int64_t{4} << 20;

int64_t bytes_of(const ConstTensorView& view) {
  return view.numel() * dtype_size(view.dtype());
}

// Device memory with values that never change.
template <class T>
class Constants {
 public:
  static Result<Constants> make(Device& device,
                                Stream& stream,
                                const std::vector<T>& values,
                                DType dtype) {
    Constants constants;
    constants.dtype_ = dtype;
    constants.count_ = ssize(values.size());
    const int64_t bytes = constants.count_ * ssize(sizeof(T));
    TUTTI_TRY(constants.buffer_, Buffer::allocate(device, bytes, "a lone rank's constants"));
    TUTTI_RETURN_IF_ERROR(
        device.copy_from_host(constants.buffer_.data(), values.data(), bytes, stream));
    return constants;
  }

  int64_t count() const { return count_; }

  ConstTensorView view(int64_t begin, const Shape& shape) const {
    return {static_cast<const T*>(buffer_.data()) + begin, dtype_, shape};
  }

 private:
  Buffer buffer_;
  DType dtype_ = DType::kF32;
  int64_t count_ = 0;
};

// What the other ranks would bring are copies of this rank's.
class LoneCommunicator final : public Communicator {
 public:
  LoneCommunicator(int of, Ops& ops, Constants<int32_t> rows)
      : of_(of), ops_(ops), rows_(std::move(rows)) {}

  int rank() const override { return 0; }

  int size() const override { return of_; }

  void all_reduce_sum(TensorView) override {}

  void all_gather_columns(TensorView out,
                          ConstTensorView in,
                          std::span<const int64_t> widths) override {
    int64_t begin = 0;
    for (const int64_t width : widths) {
      const int64_t copied = std::min(width, in.dim(1));
      TUTTI_CHECK_LE(in.dim(0), rows_.count());
      ops_.gather_rows(
          out.slice(1, begin, copied), in.slice(1, 0, copied), rows_.view(0, {in.dim(0)}));
      begin += width;
    }
  }

  void exchange_rows(const ExchangeRows& args) override {
    all_gather_columns(args.out, args.in.slice(0, 0, args.out.dim(0)), args.widths);
  }

  void broadcast(const Broadcast&) override {}

  void barrier() override {}

 private:
  int of_;
  Ops& ops_;
  Constants<int32_t> rows_;
};

// Routers see random logits instead of those of made-up weights.
class EvenRouting final : public Ops {
 public:
  EvenRouting(std::unique_ptr<Ops> inner,
              Device& device,
              Stream& stream,
              Constants<float> logits,
              LoneRankReport& report)
      : inner_(std::move(inner)),
        device_(device),
        stream_(stream),
        logits_(std::move(logits)),
        report_(report) {}

  const char* name() const override { return inner_->name(); }

  std::vector<KernelCalls> kernel_calls() const override { return inner_->kernel_calls(); }

  void set_rehearsal(bool on) override { inner_->set_rehearsal(on); }

  Status check_compute(DType act) const override { return inner_->check_compute(act); }

  Status supports(const OpCall& op) const override { return inner_->supports(op); }

 private:
  void execute(const OpCall& op) override {
    op.visit([this](const auto& args) {
      if constexpr (requires { args.params.top_groups; }) {
        auto changed = args;
        const int64_t count = args.logits.numel();
        if (count <= logits_.count()) {
          // Another place for every call, so that layers differ.
          constexpr int64_t kStep = 100'003;
          changed.logits = logits_.view(next_ % (logits_.count() - count + 1), args.logits.shape());
          next_ += kStep;
        }
        inner_->call(changed);
        if (report_.watch_experts) {
          watch(args.experts);
        }
      } else {
        inner_->call(args);
      }
    });
  }

  void watch(const TensorView& experts) {
    std::vector<int32_t> chosen(usize(experts.numel()));
    Status status = device_.copy_to_host(chosen.data(), experts.raw(), bytes_of(experts), stream_);
    if (status.ok()) {
      status = stream_.synchronize();
    }
    if (!status.ok()) {
      throw DeviceError(status.message());
    }
    report_.experts.push_back(ssize(std::set<int32_t>(chosen.begin(), chosen.end()).size()));
  }

  std::unique_ptr<Ops> inner_;
  Device& device_;
  Stream& stream_;
  Constants<float> logits_;
  LoneRankReport& report_;
  int64_t next_ = 0;
};

// -3 to 3; no library, so that every machine has the same.
std::vector<float> random_logits() {
  std::vector<float> values(usize(kLogits));
  uint64_t state = 1;
  for (float& value : values) {
    state = state * 6364136223846793005U + 1442695040888963407U;
    value = static_cast<float>(static_cast<double>(state >> 11U) * 0x1p-53 * 6.0 - 3.0);
  }
  return values;
}

class LoneBackend final : public Backend {
 public:
  LoneBackend(std::unique_ptr<Backend> inner, int of, LoneRankReport& report)
      : inner_(std::move(inner)), of_(of), report_(report) {}

  Result<RankChoice> choose_ranks(int /*tp*/, const LegalRanks& legal) override {
    return inner_->choose_ranks(1, legal);
  }

  std::string describe(const RankChoice& choice) const override {
    return fmt::format("{}, rank 0 of {} alone", inner_->describe(choice), of_);
  }

  std::vector<MemoryPool> memory_pools(int ranks) const override {
    return inner_->memory_pools(ranks);
  }

  bool ranks_share_memory() const override { return inner_->ranks_share_memory(); }

  int64_t rank_overhead_bytes() const override {
    return inner_->rank_overhead_bytes() + kLogits * ssize(sizeof(float));
  }

  std::string tuning_identity() const override { return inner_->tuning_identity(); }

  Result<Ceilings> measure_ceilings(const RankChoice& choice, DType compute) override {
    return inner_->measure_ceilings(choice, compute);
  }

  DType default_compute() const override { return inner_->default_compute(); }

  Status check_compute(DType act) const override { return inner_->check_compute(act); }

  Result<std::unique_ptr<RankSet>> make_ranks(const RankRequest& request) override {
    TUTTI_CHECK_EQ(request.ranks, 1);
    TUTTI_TRY(std::unique_ptr<RankSet> set, inner_->make_ranks(request));
    RankResources& rank = set->ranks().front();
    std::vector<int32_t> rows(usize(kMostRows));
    std::iota(rows.begin(), rows.end(), 0);
    TUTTI_TRY(Constants<int32_t> all_rows,
              Constants<int32_t>::make(*rank.device, *rank.stream, rows, DType::kI32));
    TUTTI_TRY(Constants<float> logits,
              Constants<float>::make(*rank.device, *rank.stream, random_logits(), DType::kF32));
    TUTTI_RETURN_IF_ERROR(rank.stream->synchronize());
    rank.ops = std::make_unique<EvenRouting>(
        std::move(rank.ops), *rank.device, *rank.stream, std::move(logits), report_);
    rank.tp = std::make_unique<CountingCommunicator>(
        std::make_unique<LoneCommunicator>(of_, *rank.ops, std::move(all_rows)),
        report_.collectives);
    return set;
  }

 private:
  std::unique_ptr<Backend> inner_;
  int of_;
  LoneRankReport& report_;
};

}  // namespace

void CountingCommunicator::all_reduce_sum(TensorView x) {
  ++counts_[{"all_reduce_sum", bytes_of(x)}];
  inner_->all_reduce_sum(x);
}

void CountingCommunicator::all_gather_columns(TensorView out,
                                              ConstTensorView in,
                                              std::span<const int64_t> widths) {
  ++counts_[{"all_gather_columns", bytes_of(in)}];
  inner_->all_gather_columns(out, in, widths);
}

void CountingCommunicator::exchange_rows(const ExchangeRows& args) {
  ++counts_[{"exchange_rows", bytes_of(args.in)}];
  inner_->exchange_rows(args);
}

void CountingCommunicator::broadcast(const Broadcast& args) {
  ++counts_[{"broadcast", bytes_of(args.x)}];
  inner_->broadcast(args);
}

std::unique_ptr<Backend> make_lone_backend(std::unique_ptr<Backend> inner,
                                           int of,
                                           LoneRankReport& report) {
  return std::make_unique<LoneBackend>(std::move(inner), of, report);
}

}  // namespace tutti
