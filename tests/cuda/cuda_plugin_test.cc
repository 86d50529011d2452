// The real libtutti_cuda.so on machines that cannot use it: every refusal names its cause. Needs no
// GPU; where there is one, only what does not depend on the driver is tested.
#include "backend/cuda_plugin.h"

#include <dlfcn.h>
#include <gmock/gmock.h>

#include "cuda/cuda_testing.h"
#include "unit/loader/checkpoint_files.h"

namespace tutti::test {
namespace {

using ::testing::HasSubstr;

std::string plugin_file() {
  for (const std::string& directory : plugin_paths()) {
    const std::string path = directory + "/" + kCudaPluginLibrary;
    if (std::filesystem::exists(path)) {
      return path;
    }
  }
  return "";
}

CudaPluginEntry entry() {
  void* library = dlopen(plugin_file().c_str(), RTLD_NOW | RTLD_LOCAL);
  EXPECT_NE(library, nullptr) << dlerror();
  return reinterpret_cast<CudaPluginEntry>(dlsym(library, kCudaPluginSymbol));
}

TEST(CudaPlugin, AnotherBuildIsRefused) {
  const CudaPluginEntry open = entry();
  ASSERT_NE(open, nullptr);
  Status status;
  std::unique_ptr<Backend> backend;
  open({.build_id = "0.0.0 other"}, &status, &backend);
  EXPECT_EQ(backend, nullptr);
  EXPECT_EQ(status.code(), StatusCode::kUnavailable);
  EXPECT_THAT(status.message(), HasSubstr(std::string("built for tutti ") + build_id()));
  EXPECT_THAT(status.message(), HasSubstr("0.0.0 other"));
}

TEST(CudaPlugin, NothingButTheEntryIsVisible) {
  void* library = dlopen(plugin_file().c_str(), RTLD_NOW | RTLD_LOCAL);
  ASSERT_NE(library, nullptr);
  // A C++ function of the core, of which the plugin has its own copy: set_check_handler().
  EXPECT_EQ(dlsym(library,
                  "_ZN5tutti17set_check_handlerEPFvRKNSt7__cxx1112basic_stringIcSt11char_traits"
                  "IcESaIcEEEE"),
            nullptr);
  EXPECT_NE(dlsym(library, kCudaPluginSymbol), nullptr);
}

TEST(CudaPlugin, DeviceFileWithoutDriver) {
  if (gpu_present()) {
    GTEST_SKIP() << "this machine has a driver";
  }
  const testing::TempDir machine;
  std::filesystem::create_directories(machine.file("dev"));
  machine.write("dev/nvidia0", "");
  for (const DeviceChoice device : {DeviceChoice::kAuto, DeviceChoice::kCuda}) {
    const auto backend =
        select_backend({.device = device, .root = machine.path(), .plugin_paths = plugin_paths()});
    ASSERT_FALSE(backend.ok());
    EXPECT_EQ(backend.status().code(), StatusCode::kUnavailable);
    for (const char* part : {"an NVIDIA GPU is present but cannot be used",
                             "libtutti_cuda.so",
                             "cudaGetDeviceCount",
                             "driver",
                             "--device cpu"}) {
      EXPECT_THAT(backend.status().message(), HasSubstr(part));
    }
  }
}

TEST(CudaPlugin, MoreGpusThanThereAre) {
  TUTTI_NEEDS_GPU(backend);
  EXPECT_THAT(backend.describe(), HasSubstr("NVIDIA"));
  const auto more = select_backend(
      {.device = DeviceChoice::kCuda, .gpus = {.count = 64}, .plugin_paths = plugin_paths()});
  ASSERT_FALSE(more.ok());
  EXPECT_THAT(more.status().message(), HasSubstr("--gpus 64"));
}

}  // namespace
}  // namespace tutti::test
