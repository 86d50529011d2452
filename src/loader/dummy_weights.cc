// Weights for benchmarks, from no checkpoint: small pseudo-random numbers that cost little more to
// make than to copy.
#include <cmath>
#include <cstring>
#include <map>

#include "base/checked.h"
#include "loader/weight_loader.h"

namespace tutti {

namespace {

// Entries of one plane of a format, made up once and handed out in turns: a benchmark of a large
// model should not spend minutes on its weights. The period is prime, so that rows differ.
class DummyEntries {
 public:
  static constexpr int64_t kPeriod = 1048573;

  DummyEntries(const WeightFormat& format, int plane, float amplitude, uint64_t& state)
      : size_(format.planes[usize(plane)].elements * dtype_size(format.planes[usize(plane)].dtype)),
        values_(usize(kPeriod * size_)) {
    for (int64_t i = 0; i < kPeriod; ++i) {
      state ^= state >> 12U;  // xorshift64*: good enough to keep values apart
      state ^= state << 25U;
      state ^= state >> 27U;
      const float uniform =
          static_cast<float>((state * 0x2545F4914F6CDD1DULL) >> 40U) * 0x1p-24F - 0.5F;
      format.make_up(plane, uniform, amplitude, values_.data() + i * size_);
    }
  }

  /// The next `bytes` bytes are taken; returns the number of the first entry.
  int64_t take(int64_t bytes) {
    const int64_t first = at_;
    at_ = (at_ + bytes / size_) % kPeriod;
    return first;
  }

  /// Copies the `bytes` bytes that begin `offset` bytes behind entry `first`. Any thread, also
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

  FillFunction next(const Param& param, int plane, int64_t bytes) {
    const WeightFormat& format = *param.layout().format;
    const int64_t cols = param.spec().cols;
    if (cols == 0) {
      return [dtype = format.planes[0].dtype](int64_t begin, int64_t end, std::byte* out) {
        for (int64_t i = 0; i < (end - begin) / dtype_size(dtype); ++i) {
          store_dense(out, dtype, i, 1.0F);
        }
        return ok_status();
      };
    }
    const float amplitude = 2.0F / std::sqrt(static_cast<float>(cols));
    DummyEntries& entries =
        planes_.try_emplace({&format, plane, cols}, format, plane, amplitude, state_).first->second;
    const int64_t first = entries.take(bytes);
    return [&entries, first](int64_t begin, int64_t end, std::byte* out) {
      entries.copy(first, begin, end - begin, out);
      return ok_status();
    };
  }

 private:
  uint64_t state_;
  std::map<std::tuple<const WeightFormat*, int, int64_t>, DummyEntries>
      planes_;  // by format, plane and columns
};

}  // namespace

Status WeightLoader::load_dummy(Device& device, uint64_t seed, const UploadOptions& options) {
  TUTTI_RETURN_IF_ERROR(registry_.status());
  DummyWeights weights(seed);
  return load_all(device, options, [&](Param& param) -> Status {
    TUTTI_RETURN_IF_ERROR(imply_layout(param));
    TUTTI_RETURN_IF_ERROR(param.allocate(device));
    for (int p = 0; p < param.layout_.format->plane_count; ++p) {
      const TensorView view = param.planes_[usize(p)].view();
      TUTTI_RETURN_IF_ERROR(
          uploader_->upload(view.raw(), view.bytes(), weights.next(param, p, view.bytes())));
    }
    return param.derivation() == nullptr ? ok_status() : derive(param, device);
  });
}

}  // namespace tutti
