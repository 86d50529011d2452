// The real libtutti_cuda.so on machines that cannot use it: every refusal names its cause. Needs no
// GPU; where there is one, only what does not depend on the driver is tested.
#include "backend/cuda_plugin.h"

#include <dlfcn.h>
#include <gmock/gmock.h>

#include "backend/cuda_library.h"
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

Result<std::unique_ptr<Backend>> open_gpus(const std::string& text) {
  return select_backend({.device = DeviceChoice::kCuda,
                         .gpus = parse_gpu_choice(text).value(),
                         .plugin_paths = plugin_paths()});
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

TEST(CudaPlugin, ListingGpusForAnotherBuildIsRefused) {
  void* library = dlopen(plugin_file().c_str(), RTLD_NOW | RTLD_LOCAL);
  ASSERT_NE(library, nullptr) << dlerror();
  const auto list = reinterpret_cast<CudaListEntry>(dlsym(library, kCudaListSymbol));
  ASSERT_NE(list, nullptr);
  Status status;
  std::vector<CudaGpuInfo> gpus;
  list({.build_id = "0.0.0 other"}, &gpus, &status);
  EXPECT_TRUE(gpus.empty());
  EXPECT_THAT(status.message(), HasSubstr("0.0.0 other"));
}

// Where there is a GPU, the list is that of the machine; where not, a sentence.
TEST(CudaPlugin, ListsGpusOrSaysWhy) {
  const Result<std::vector<CudaGpuInfo>> gpus = list_cuda_gpus(plugin_paths(), std::nullopt);
  if (!gpus.ok()) {
    EXPECT_THAT(gpus.status().message(), HasSubstr("cudaGetDeviceCount"));
    return;
  }
  for (const CudaGpuInfo& gpu : *gpus) {
    EXPECT_GE(gpu.compute_capability, 50);
    EXPECT_GT(gpu.memory_bytes, 0);
    EXPECT_GT(gpu.multiprocessors, 0);
    EXPECT_EQ(gpu.pci.size(), std::string("0000:18:00.0").size()) << gpu.pci;
  }
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
  EXPECT_NE(dlsym(library, kCudaPeerSymbol), nullptr);
  EXPECT_NE(dlsym(library, kCudaListSymbol), nullptr);
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
                             "‹device› cpu"}) {
      EXPECT_THAT(backend.status().message(), HasSubstr(part));
    }
  }
}

TEST(CudaPlugin, MoreGpusThanThereAre) {
  TUTTI_NEEDS_GPU(backend);
  EXPECT_THAT(backend.describe({}), HasSubstr("NVIDIA"));
  EXPECT_THAT(backend.describe({}), HasSubstr("(cuda:0)"));
  for (const auto& [text, parts] : std::vector<std::pair<std::string, std::vector<std::string>>>{
           {"64", {"‹gpus› 64: visible", "0 NVIDIA", "(GPU-"}},
           {"0,63", {"there is no GPU 63", "0 NVIDIA", "(GPU-"}},
           {"GPU-ffffffff-ffff", {"there is no GPU GPU-ffffffff-ffff", "0 NVIDIA"}}}) {
    const auto more = open_gpus(text);
    ASSERT_FALSE(more.ok());
    EXPECT_EQ(more.status().code(), StatusCode::kUnavailable);
    for (const std::string& part : parts) {
      EXPECT_THAT(more.status().message(), HasSubstr(part));
    }
  }
  const auto twice = open_gpus("0,0");
  ASSERT_FALSE(twice.ok());
  EXPECT_EQ(twice.status().code(), StatusCode::kInvalidArgument);
  EXPECT_THAT(twice.status().message(), HasSubstr("a second time"));
}

TEST(CudaPlugin, AGpuByItsUuid) {
  TUTTI_NEEDS_GPU(backend);
  const std::string message = open_gpus("64").status().message();
  const size_t begin = message.find("(GPU-");
  if (begin == std::string::npos) {
    GTEST_SKIP() << "no whole GPU: " << message;
  }
  const std::string uuid = message.substr(begin + 1, 40);
  for (const std::string& name : {uuid, uuid.substr(0, 23), uuid + ","}) {
    const auto named = open_gpus(name);
    ASSERT_TRUE(named.ok()) << named.status().message();
    EXPECT_EQ((*named)->describe({}), backend.describe({}));
  }
}

TEST(CudaPlugin, RanksOfAGpu) {
  TUTTI_NEEDS_GPU(backend);
  const auto two = select_backend({.device = DeviceChoice::kCuda,
                                   .gpus = {.count = 1},
                                   .ranks_per_gpu = 2,
                                   .plugin_paths = plugin_paths()});
  ASSERT_TRUE(two.ok()) << two.status().message();
  const LegalRanks legal = [] { return std::vector<int>{1, 2, 4}; };
  EXPECT_EQ(backend.choose_ranks(1, legal)->ranks, 1);
  const auto choice = (*two)->choose_ranks(0, legal);
  ASSERT_TRUE(choice.ok()) << choice.status().message();
  EXPECT_EQ(choice->ranks, 2);
  EXPECT_EQ(choice->gpus, 1);
  EXPECT_EQ(choice->left_out, "");
  EXPECT_FALSE((*two)->choose_ranks(1, legal).ok());
  const std::vector<MemoryPool> pools = (*two)->memory_pools(2);
  ASSERT_EQ(pools.size(), 1U);
  EXPECT_EQ(pools[0].ranks, (std::vector<int>{0, 1}));
  EXPECT_GT(pools[0].free, 0);
  const auto one = open_gpus("1");
  const auto refused = (*one)->choose_ranks(2, legal);
  ASSERT_FALSE(refused.ok());
  EXPECT_THAT(refused.status().message(), HasSubstr("‹ranks_per_gpu› 2"));
}

TEST(CudaPlugin, PairsOfGpus) {
  TUTTI_NEEDS_GPU(backend);
  const auto two = open_gpus("2");
  if (!two.ok()) {
    GTEST_SKIP() << "needs two GPUs: " << two.status().message();
  }
  EXPECT_THAT(backend.choose_ranks(1, {})->left_out, HasSubstr("left out: ‹tp› 1 takes 1 GPU"));
  std::vector<PeerResult> told;
  const Status status = test_peers(
      plugin_paths(), peer_pairs({0, 1}), [&](const PeerResult& r) { told.push_back(r); });
  ASSERT_TRUE(status.ok()) << status.message();
  ASSERT_EQ(told.size(), 4U);
  for (size_t i = 0; i < told.size(); i += 2) {
    EXPECT_EQ(told[i].verdict, PeerVerdict::kTrying);
    EXPECT_TRUE(told[i + 1].verdict == PeerVerdict::kOk ||
                told[i + 1].verdict == PeerVerdict::kUnsupported)
        << peer_line(told[i + 1]);
  }
  const auto choice = (*two)->choose_ranks(0, [] { return std::vector<int>{1, 2}; });
  ASSERT_TRUE(choice.ok()) << choice.status().message();
  EXPECT_EQ(choice->ranks, 2);
  EXPECT_THAT((*two)->describe(*choice), HasSubstr("cuda:0"));
  const std::vector<MemoryPool> pools = (*two)->memory_pools(2);
  ASSERT_EQ(pools.size(), 2U);
  EXPECT_EQ(pools[1].ranks, std::vector<int>{1});
}

// A pair that no machine has: the call's error is the verdict, and the process goes on.
TEST(CudaPlugin, APairThatIsNotThere) {
  TUTTI_NEEDS_GPU(backend);
  std::vector<PeerResult> told;
  const Status status = test_peers(
      plugin_paths(), {{.from = 0, .to = 63}}, [&](const PeerResult& r) { told.push_back(r); });
  ASSERT_TRUE(status.ok()) << status.message();
  ASSERT_EQ(told.size(), 2U);
  EXPECT_EQ(told[1].verdict, PeerVerdict::kError);
  EXPECT_THAT(told[1].text, HasSubstr("cudaDeviceCanAccessPeer"));
  EXPECT_TRUE(backend.make_ranks({.ranks = 1}).ok());
}

}  // namespace
}  // namespace tutti::test
