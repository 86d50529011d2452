// Turns declared parameters into loaded ones, in two steps: plan() compares every declaration with
// the checkpoint and sizes everything without allocating; load() reads this rank's slices and
// nothing else.
#pragma once
#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "device/uploader.h"
#include "loader/checkpoint.h"
#include "loader/hf_config.h"
#include "loader/param_spec.h"

namespace tutti {

class SliceReader;

struct LoadPlan {
  int64_t weight_bytes = 0;             ///< on the device when loading is done
  int64_t peak_extra_bytes = 0;         ///< largest temporary on the host while loading
  int64_t read_bytes = 0;               ///< checkpoint bytes this rank reads
  std::vector<std::string> unexpected;  ///< checkpoint tensors that nothing declared
};

class WeightLoader {
 public:
  /// `checkpoint` may be nullptr: every tensor then exists, with the dtype the configuration
  /// implies
  /// ("dummy" weights, for benchmarks and plans).
  WeightLoader(ParamRegistry& registry, const Checkpoint* checkpoint, const QuantConfig& quant)
      : registry_(registry), checkpoint_(checkpoint), quant_(quant) {}

  /// Tensors whose name starts with one of `ignored_prefixes` may be left unread without mention.
  /// Errors list every missing and mis-shaped tensor they can find (the first few by name).
  Result<LoadPlan> plan(const std::vector<std::string>& ignored_prefixes);

  /// Allocates on `device` and reads, with threads of its own. Bytes are added to `done`, if there
  /// is one, as they are read.
  Status load(Device& device, const UploadOptions& options, std::atomic<int64_t>* done = nullptr);

  /// Bytes that load_dummy() leaves on the device; kOutOfMemory if no machine could hold them.
  Result<int64_t> dummy_bytes(DType dtype) const;

  /// Allocates and fills with small pseudo-random numbers that depend on `seed`; for benchmarks
  /// only.
  Status load_dummy(Device& device, DType dtype, uint64_t seed, const UploadOptions& options);

  /// Checkpoint bytes read so far by this rank.
  int64_t read_bytes() const { return read_bytes_.load(std::memory_order_relaxed); }

 private:
  struct Item;

  Result<Item> resolve(Param& param) const;
  int64_t item_read_bytes(const ParamSpec& spec, const Item& item) const;
  Status load_constant(Param& param, Device& device);
  Status load_param(Param& param, Device& device);
  /// Reads what load_param() uploads. Scales that are multiplied in are read at once.
  Result<std::shared_ptr<const SliceReader>> reader_of(const ParamSpec& spec, const Item& item);
  /// Allocates the parameter and queues its upload.
  Status upload(Param& param, Device& device, DType dtype, FillFunction fill);
  Status load_scales(Param& param, const Item& item, Device& device);
  Status derive(Param& param, Device& device, DType stored);
  /// Places the constants, and has `load_one` queue every parameter that is read or made; leaves
  /// nothing under way when it returns.
  Status load_all(Device& device,
                  const UploadOptions& options,
                  const std::function<Status(Param&)>& load_one);
  void count_read(int64_t bytes);

  /// `tensor` in host memory.
  Result<std::vector<std::byte>> fetch(ConstTensorView tensor, Device& device);

  ParamRegistry& registry_;
  const Checkpoint* checkpoint_;
  QuantConfig quant_;
  std::atomic<int64_t> read_bytes_{0};  // the upload's threads add to it
  std::atomic<int64_t>* done_ = nullptr;
  std::unique_ptr<Stream> stream_;  // of all copies of one load
  Uploader* uploader_ = nullptr;    // load_all()'s
};

}  // namespace tutti
