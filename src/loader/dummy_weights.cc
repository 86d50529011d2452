// Weights for benchmarks, from no checkpoint: small pseudo-random numbers that cost little more to
// make than to copy.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <map>

#include "base/checked.h"
#include "loader/stored_values.h"
#include "loader/weight_loader.h"

namespace tutti {

namespace {

// Values of one type and amplitude, converted once and handed out in turns: a benchmark of a large
// model should not spend minutes on its weights. The period is prime, so that rows differ.
class DummyValues {
 public:
  static constexpr int64_t kPeriod = 1048573;

  DummyValues(DType dtype, float amplitude, uint64_t& state)
      : size_(dtype_size(dtype)), values_(usize(kPeriod * size_)) {
    for (int64_t i = 0; i < kPeriod; ++i) {
      state ^= state >> 12U;  // xorshift64*: good enough to keep values apart
      state ^= state << 25U;
      state ^= state >> 27U;
      const float uniform =
          static_cast<float>((state * 0x2545F4914F6CDD1DULL) >> 40U) * 0x1p-24F - 0.5F;
      store_dense(values_.data(), dtype, i, uniform * amplitude);
    }
  }

  /// The next `count` elements are taken; returns the number of the first.
  int64_t take(int64_t count) {
    const int64_t first = at_;
    at_ = (at_ + count) % kPeriod;
    return first;
  }

  /// Copies the `bytes` bytes that begin `offset` bytes behind element `first`. Any thread, also
  /// while another one takes.
  void copy(int64_t first, int64_t offset, int64_t bytes, std::byte* to) const {
    int64_t at = (first * size_ + offset) % ssize(values_.size());
    while (bytes > 0) {
      const int64_t n = std::min(bytes, ssize(values_.size()) - at);
      std::memcpy(to, values_.data() + at, usize(n));
      to += n;
      bytes -= n;
      at = 0;
    }
  }

 private:
  int64_t size_;
  std::vector<std::byte> values_;
  int64_t at_ = 0;
};

// The values of all parameters of a load. Fill functions refer to it.
class DummyWeights {
 public:
  explicit DummyWeights(uint64_t seed) : state_(seed * 0x9E3779B97F4A7C15ULL + 0x1234567ULL) {}

  FillFunction next(const ParamSpec& spec, DType local) {
    if (spec.cols == 0) {
      return [local](int64_t begin, int64_t end, std::byte* out) {
        for (int64_t i = 0; i < (end - begin) / dtype_size(local); ++i) {
          store_dense(out, local, i, 1.0F);
        }
        return ok_status();
      };
    }
    const float amplitude = 2.0F / std::sqrt(static_cast<float>(spec.cols));
    DummyValues& values =
        matrices_.try_emplace({local, spec.cols}, local, amplitude, state_).first->second;
    const int64_t first = values.take(spec.local_shape().numel());
    return [&values, first](int64_t begin, int64_t end, std::byte* out) {
      values.copy(first, begin, end - begin, out);
      return ok_status();
    };
  }

 private:
  uint64_t state_;
  std::map<std::pair<DType, int64_t>, DummyValues> matrices_;  // by type and columns
};

}  // namespace

Result<int64_t> WeightLoader::dummy_bytes(DType dtype) const {
  constexpr int64_t kLimit = int64_t{1} << 56;  // leaves room to add up over ranks
  int64_t total = 0;
  for (const Param& param : registry_.params()) {
    if (param.is_derived_) {  // takes the place of its source
      continue;
    }
    const Shape shape = param.spec().local_shape();
    std::vector<int64_t> factors{
        dtype_size(param.spec().dtype == DTypeRule::kF32 ? DType::kF32 : dtype)};
    for (int i = 0; i < shape.rank(); ++i) {
      factors.push_back(shape[i]);
    }
    const std::optional<int64_t> bytes = checked_product(factors);
    if (!bytes || *bytes > kLimit - total) {
      return error(StatusCode::kOutOfMemory,
                   "{}: shape {} needs more memory than any machine has",
                   param.spec().name,
                   shape.to_string());
    }
    total += *bytes;
  }
  return total;
}

Status WeightLoader::load_dummy(Device& device,
                                DType dtype,
                                uint64_t seed,
                                const UploadOptions& options) {
  TUTTI_RETURN_IF_ERROR(registry_.status());
  DummyWeights weights(seed);
  return load_all(device, options, [&](Param& param) -> Status {
    const DType local = param.spec().dtype == DTypeRule::kF32 ? DType::kF32 : dtype;
    TUTTI_RETURN_IF_ERROR(upload(param, device, local, weights.next(param.spec(), local)));
    return param.derivation() == nullptr ? ok_status() : derive(param, device, local);
  });
}

}  // namespace tutti
