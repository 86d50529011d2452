// Turns declared parameters into loaded ones, in two steps: plan() compares every declaration with
// the source and sizes everything without allocating; load() reads this rank's slices and nothing
// else. Without a source weights are made up, in the formats that the configuration implies.
#pragma once
#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "device/uploader.h"
#include "loader/hf_config.h"
#include "loader/param_spec.h"
#include "loader/tensor_source.h"

namespace tutti {

class SliceReader;
struct WeightShare;

struct LoadPlan {
  int64_t weight_bytes = 0;             ///< on the device when loading is done
  int64_t peak_extra_bytes = 0;         ///< largest temporary on the host while loading
  int64_t read_bytes = 0;               ///< bytes of the source that this rank reads
  std::vector<std::string> unexpected;  ///< tensors of the source that nothing declared
};

/// Types that no source decides.
struct WeightTypes {
  DType made_up = DType::kBF16;  ///< of made-up weights, unless they are quantised: F32, F16, BF16
  DType derived = DType::kF32;   ///< of parameters derived from a quantised one: F32, F16, BF16
};

class WeightLoader {
 public:
  /// `tensors` may be nullptr: every tensor then exists ("dummy" weights, for benchmarks and
  /// plans). Registry and tensors must outlive the loader.
  WeightLoader(ParamRegistry& registry,
               const TensorSource* tensors,
               const QuantConfig& quant,
               const WeightTypes& types = {})
      : registry_(registry), tensors_(tensors), quant_(quant), types_(types) {}

  /// Also gives every parameter its layout. Tensors whose name starts with one of
  /// `ignored_prefixes` may be left unread without mention. kInvalidArgument lists every missing
  /// and mis-shaped tensor it can find (the first few by name) and shares that cut what cannot be
  /// cut; kOutOfMemory if no machine could hold made-up weights of these shapes.
  Result<LoadPlan> plan(const std::vector<std::string>& ignored_prefixes);

  /// Allocates on `device` and reads, with threads of its own. Bytes are added to `done`, if there
  /// is one, as they are read. Errors are those of plan(), of the device and of reading.
  Status load(Device& device, const UploadOptions& options, std::atomic<int64_t>* done = nullptr);

  /// Allocates and fills with small pseudo-random numbers that depend on `seed`; for benchmarks
  /// only.
  Status load_dummy(Device& device, uint64_t seed, const UploadOptions& options);

  /// Bytes of the source read so far by this rank.
  int64_t read_bytes() const { return read_bytes_.load(std::memory_order_relaxed); }

 private:
  /// Where the parameter comes from; gives it its layout.
  Result<WeightShare> resolve(Param& param) const;
  Status imply_layout(Param& param) const;
  void add_bytes(const Param& param, LoadPlan& plan) const;
  Result<LoadPlan> plan_dummy();
  std::vector<std::string> unexpected_tensors(
      const std::vector<std::string>& ignored_prefixes) const;
  Status load_constant(Param& param, Device& device);
  Status load_param(Param& param, Device& device);
  Status load_converted(Param& param, const WeightShare& share);
  /// As stored, or with entries of a small plane converted and repeated for the local cells.
  Status load_plane(Param& param, const WeightShare& share, int plane);
  Status load_small_plane(Param& param, const WeightShare& share, int plane);
  Status upload(Param& param, int plane, std::shared_ptr<const SliceReader> reader);
  Status derive(Param& param, Device& device);
  /// Places the constants, and has `load_one` queue every parameter that is read or made; leaves
  /// nothing under way when it returns.
  Status load_all(Device& device,
                  const UploadOptions& options,
                  const std::function<Status(Param&)>& load_one);
  void count_read(int64_t bytes);

  /// The plane in host memory.
  Result<std::vector<std::byte>> fetch(ConstTensorView plane, Device& device);

  ParamRegistry& registry_;
  const TensorSource* tensors_;
  QuantConfig quant_;
  WeightTypes types_;
  std::atomic<int64_t> read_bytes_{0};  // the upload's threads add to it
  std::atomic<int64_t>* done_ = nullptr;
  std::unique_ptr<Stream> stream_;  // of all copies of one load
  Uploader* uploader_ = nullptr;    // load_all()'s
  Device* device_ = nullptr;        // load_all()'s
};

}  // namespace tutti
