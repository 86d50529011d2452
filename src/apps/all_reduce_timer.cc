#include "apps/all_reduce_timer.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#include "base/checked.h"
#include "device/device.h"

namespace tutti {

namespace {

constexpr int64_t kWidest = 4096;  // elements of a row
constexpr float kEps = 1e-6F;

// How many sums are queued at once, and how often that is timed.
struct Effort {
  int sums = 0;
  int launches = 0;
};

Effort effort_for(int64_t bytes) {
  constexpr int64_t kMiB = 1 << 20;
  if (bytes <= kMiB) {
    return {.sums = 50, .launches = 101};
  }
  return bytes <= 16 * kMiB ? Effort{.sums = 20, .launches = 41}
                            : Effort{.sums = 5, .launches = 21};
}

// Small whole numbers, whose sums over any number of ranks every type here holds.
float element(int64_t i, int rank) {
  return static_cast<float>((i + rank) % 4);
}

float sum_of_element(int64_t i, int ranks) {
  float sum = 0;
  for (int r = 0; r < ranks; ++r) {
    sum += element(i, r);
  }
  return sum;
}

// One rank's tensors of a case.
class Sums {
 public:
  static Result<Sums> make(RankHandles& rank, const AllReduceCase& c) {
    Sums sums(rank, c);
    TUTTI_TRY(sums.x_, Tensor::empty(rank.device, c.dtype, sums.shape_, "sums"));
    if (c.fused) {
      TUTTI_TRY(sums.y_, Tensor::empty(rank.device, c.dtype, sums.shape_, "sums"));
      TUTTI_TRY(sums.residual_, Tensor::empty(rank.device, DType::kF32, sums.shape_, "sums"));
      TUTTI_TRY(sums.weight_, Tensor::empty(rank.device, DType::kF32, {sums.shape_[1]}, "sums"));
      const std::vector<float> ones(usize(sums.shape_[1]), 1.0F);
      TUTTI_RETURN_IF_ERROR(rank.device.copy_from_host(
          sums.weight_.view().raw(), ones.data(), sums.weight_.bytes(), rank.stream));
    }
    return sums;
  }

  /// Queues one; false: there is no such kernel.
  bool queue() {
    if (!c_.fused) {
      rank_.parallel.tp.all_reduce_sum(x_.view());
      return true;
    }
    return rank_.parallel.tp.all_reduce_add_rms_norm({.y = y_.view(),
                                                      .residual = residual_.view(),
                                                      .x = x_.view(),
                                                      .weight = weight_.view(),
                                                      .eps = kEps});
  }

  /// x = element(), residual = 0.
  Status fill() {
    return write([&](int64_t i) { return element(i, rank_.rank); });
  }

  /// All zero, so that sums of sums stay what they are.
  Status clear() {
    return write([](int64_t) { return 0.0F; });
  }

  /// Whether one sum of what fill() wrote has arrived: exactly, but for the norm's rounding.
  Result<bool> check() {
    const int64_t n = x_.view().numel();
    const int ranks = rank_.parallel.tp.size();
    TUTTI_TRY(const std::vector<float> sum, read(c_.fused ? residual_ : x_));
    for (int64_t i = 0; i < n; ++i) {
      if (sum[usize(i)] != sum_of_element(i, ranks)) {
        return false;
      }
    }
    if (!c_.fused) {
      return true;
    }
    TUTTI_TRY(const std::vector<float> y, read(y_));
    const int64_t width = shape_[1];
    for (int64_t row = 0; row < n / width; ++row) {
      double squares = 0;
      for (int64_t i = row * width; i < (row + 1) * width; ++i) {
        squares += static_cast<double>(sum[usize(i)]) * sum[usize(i)];
      }
      const double scale = 1.0 / std::sqrt(squares / static_cast<double>(width) + kEps);
      for (int64_t i = row * width; i < (row + 1) * width; ++i) {
        const double want = sum[usize(i)] * scale;
        if (!(std::abs(y[usize(i)] - want) <= 0.01 * std::abs(want) + 1e-3)) {
          return false;
        }
      }
    }
    return true;
  }

 private:
  Sums(RankHandles& rank, const AllReduceCase& c) : rank_(rank), c_(c) {
    const int64_t elements = std::max<int64_t>(1, c.bytes / dtype_size(c.dtype));
    const int64_t width = std::min(elements, kWidest);
    shape_ = {elements / width, width};
  }

  template <class Value>
  Status write(const Value& value) {
    const int64_t n = x_.view().numel();
    TUTTI_RETURN_IF_ERROR(put(x_, n, value));
    return c_.fused ? put(residual_, n, [](int64_t) { return 0.0F; }) : ok_status();
  }

  template <class Value>
  Status put(const Tensor& to, int64_t n, const Value& value) {
    std::vector<std::byte> host(usize(to.bytes()));
    for (int64_t i = 0; i < n; ++i) {
      store_dense(host.data(), to.dtype(), i, value(i));
    }
    TUTTI_RETURN_IF_ERROR(
        rank_.device.copy_from_host(to.view().raw(), host.data(), to.bytes(), rank_.stream));
    return rank_.stream.synchronize();
  }

  Result<std::vector<float>> read(const Tensor& from) {
    std::vector<std::byte> host(usize(from.bytes()));
    TUTTI_RETURN_IF_ERROR(
        rank_.device.copy_to_host(host.data(), from.view().raw(), from.bytes(), rank_.stream));
    TUTTI_RETURN_IF_ERROR(rank_.stream.synchronize());
    const int64_t n = from.view().numel();
    std::vector<float> values(usize(n));
    if (from.dtype() == DType::kF32) {
      std::memcpy(values.data(), host.data(), host.size());
      return values;
    }
    for (int64_t i = 0; i < n; ++i) {
      BF16 narrow;
      std::memcpy(&narrow, host.data() + i * 2, 2);
      values[usize(i)] = to_float(narrow);
    }
    return values;
  }

  RankHandles& rank_;
  AllReduceCase c_;
  Shape shape_;
  Tensor x_;
  Tensor y_;
  Tensor residual_;
  Tensor weight_;
};

// `count` of them, recorded or queued one by one.
class Launch {
 public:
  static Result<Launch> make(RankHandles& rank, Sums& sums, int count, bool in_graph) {
    Launch launch(rank, sums, count);
    if (in_graph) {
      TUTTI_TRY(launch.graph_, rank.device.record(rank.stream, [&] {
        launch.queue_all();
        return ok_status();
      }));
      // Nobody makes a graph while another rank's kernel waits for this one.
      rank.parallel.tp.barrier();
    }
    return launch;
  }

  Status run() {
    if (graph_) {
      return graph_->launch(rank_.stream);
    }
    queue_all();
    return ok_status();
  }

  /// Once everything has run: nobody frees a graph earlier either.
  Status end() {
    TUTTI_RETURN_IF_ERROR(rank_.stream.synchronize());
    rank_.parallel.tp.barrier();
    return ok_status();
  }

 private:
  Launch(RankHandles& rank, Sums& sums, int count) : rank_(rank), sums_(sums), count_(count) {}

  void queue_all() {
    for (int i = 0; i < count_; ++i) {
      sums_.queue();
    }
  }

  RankHandles& rank_;
  Sums& sums_;
  int count_;
  std::unique_ptr<Graph> graph_;
};

Result<bool> first_sum_is_right(RankHandles& rank, Sums& sums, bool in_graph) {
  TUTTI_TRY(Launch once, Launch::make(rank, sums, 1, in_graph));
  TUTTI_RETURN_IF_ERROR(sums.fill());
  rank.parallel.tp.barrier();
  TUTTI_RETURN_IF_ERROR(once.run());
  TUTTI_RETURN_IF_ERROR(once.end());
  return sums.check();
}

}  // namespace

double bus_rate(int64_t bytes, int ranks, double seconds) {
  return seconds > 0 ? 2.0 * (ranks - 1) / ranks * static_cast<double>(bytes) / seconds : 0.0;
}

Result<std::optional<AllReduceTimes>> time_all_reduce(RankHandles& rank, const AllReduceCase& c) {
  if (c.in_graph && !rank.device.records_graphs()) {
    return std::optional<AllReduceTimes>();
  }
  TUTTI_TRY(Sums sums, Sums::make(rank, c));
  TUTTI_RETURN_IF_ERROR(sums.clear());
  rank.parallel.tp.barrier();
  if (!sums.queue()) {  // all ranks get the same answer
    return std::optional<AllReduceTimes>();
  }
  TUTTI_RETURN_IF_ERROR(rank.stream.synchronize());
  AllReduceTimes times{.algorithm = rank.parallel.tp.all_reduce_algorithm(c.bytes)};
  TUTTI_TRY(times.correct, first_sum_is_right(rank, sums, c.in_graph));
  TUTTI_RETURN_IF_ERROR(sums.clear());
  const Effort effort = effort_for(c.bytes);
  TUTTI_TRY(Launch launch, Launch::make(rank, sums, effort.sums, c.in_graph));
  rank.parallel.tp.barrier();
  TUTTI_RETURN_IF_ERROR(launch.run());  // the first one warms up
  std::vector<std::unique_ptr<Timer>> timers;
  for (int i = 0; i < effort.launches; ++i) {
    timers.push_back(rank.device.new_timer());
    TUTTI_RETURN_IF_ERROR(timers.back()->start(rank.stream));
    TUTTI_RETURN_IF_ERROR(launch.run());
    TUTTI_RETURN_IF_ERROR(timers.back()->stop(rank.stream));
  }
  TUTTI_RETURN_IF_ERROR(launch.end());
  std::vector<double> seconds;
  for (const auto& timer : timers) {
    TUTTI_TRY(const double of_launch, timer->seconds());
    seconds.push_back(of_launch / effort.sums);
  }
  std::sort(seconds.begin(), seconds.end());
  times.median_seconds = seconds[seconds.size() / 2];
  times.p99_seconds = seconds[usize((ssize(seconds) * 99 - 1) / 100)];
  return std::optional<AllReduceTimes>(std::move(times));
}

}  // namespace tutti
