// The CUDA backend as the program opens it, for tests that need a GPU.
#pragma once
#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <unordered_map>

#include <gtest/gtest.h>

#include "backend/select.h"
#include "ops/op_case.h"

namespace tutti::test {

/// libtutti_cuda.so lies beside the program: in bin/, next to the tests' directory or in their own.
inline std::vector<std::string> plugin_paths() {
  const std::filesystem::path own = std::filesystem::read_symlink("/proc/self/exe").parent_path();
  return {own.string(), (own.parent_path() / "bin").string()};
}

inline bool gpu_present() {
  return nvidia_device_present("/");
}

struct CudaRanks {
  int ranks = 1;            ///< spread evenly over test_gpus() GPUs, or over as many as divide them
  bool peer_access = true;  ///< false: what they exchange goes through host memory
};

// One process opens the backend for many numbers of ranks. What the plugin does for several on one
// GPU (cuda/plugin.cc) has to be done before the first of them.
inline const int kLoadAllKernels = setenv("CUDA_MODULE_LOADING", "EAGER", 0);

/// GPUs that tests may use: TUTTI_TEST_GPUS, by default one.
inline int test_gpus() {
  const char* set = std::getenv("TUTTI_TEST_GPUS");
  return std::max(set == nullptr ? 1 : std::atoi(set), 1);
}

inline Result<std::unique_ptr<Backend>> open_cuda(const CudaRanks& wanted = {}) {
  int gpus = std::min(test_gpus(), wanted.ranks);
  while (wanted.ranks % gpus != 0) {
    --gpus;
  }
  return select_backend({.device = DeviceChoice::kCuda,
                         .gpus = {.count = gpus},
                         .ranks_per_gpu = wanted.ranks / gpus,
                         .peer_access = wanted.peer_access,
                         .plugin_paths = plugin_paths()});
}

/// First line of a test's body: skips where there is no GPU, fails where there is one that cannot
/// be used. What follows the name: see CudaRanks.
#define TUTTI_NEEDS_GPU(backend, ...)                                        \
  if (!::tutti::test::gpu_present()) {                                       \
    GTEST_SKIP() << "this machine shows no NVIDIA GPU";                      \
  }                                                                          \
  auto backend##_result = ::tutti::test::open_cuda(__VA_ARGS__);             \
  ASSERT_TRUE(backend##_result.ok()) << backend##_result.status().message(); \
  ::tutti::Backend& backend = **backend##_result

/// Where cases run: tensors are copied to the GPU and back.
class CudaTestBackend final : public TestBackend {
 public:
  explicit CudaTestBackend(std::unique_ptr<RankSet> set)
      : TestBackend("cuda", *set->ranks().front().ops), set_(std::move(set)) {}

  TensorView to_device(HostTensor& tensor) override {
    Device& device = *rank().device;
    Buffer buffer = Buffer::allocate(device, ssize(tensor.bytes().size()), "test tensor").value();
    const TensorView host = tensor.view();
    const Status status = device.copy_from_host(
        buffer.data(), tensor.bytes().data(), ssize(tensor.bytes().size()), *rank().stream);
    EXPECT_TRUE(status.ok()) << status.message();
    const TensorView view{buffer.data(), host.dtype(), host.shape(), host.strides()};
    buffers_.insert_or_assign(&tensor, std::move(buffer));
    return view;
  }

  void to_host(HostTensor& tensor) override {
    const Buffer& buffer = buffers_.at(&tensor);
    Status status = rank().device->copy_to_host(
        tensor.data<std::byte>(), buffer.data(), ssize(tensor.bytes().size()), *rank().stream);
    status = status.ok() ? rank().stream->synchronize() : status;
    EXPECT_TRUE(status.ok()) << status.message();
  }

  Status synchronize() { return rank().stream->synchronize(); }

  void forget() { buffers_.clear(); }

 private:
  RankResources& rank() { return set_->ranks().front(); }

  std::unique_ptr<RankSet> set_;
  std::unordered_map<HostTensor*, Buffer> buffers_;  // on the device of set_, so freed before it
};

}  // namespace tutti::test
