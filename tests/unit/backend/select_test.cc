// The rules that choose a backend, on made-up machines.
#include "backend/select.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "backend/cuda_plugin.h"
#include "base/file.h"
#include "base/log.h"
#include "unit/loader/checkpoint_files.h"

namespace tutti {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;
using testing::TempDir;

class SelectTest : public ::testing::Test {
 protected:
  void add_device(const std::string& path) {
    const std::string full = root_.file(path);
    std::filesystem::create_directories(std::filesystem::path(full).parent_path());
    root_.write(path, "");
  }

  Result<std::unique_ptr<Backend>> select(DeviceChoice device) {
    return select_backend({.device = device,
                           .cpu = {.threads = 2},
                           .root = root_.path(),
                           .plugin_paths = plugin_paths_});
  }

  // A refusal that says why, and how to go on.
  void expect_broken_gpu(const std::string& cause) {
    for (const DeviceChoice device : {DeviceChoice::kAuto, DeviceChoice::kCuda}) {
      const auto backend = select(device);
      ASSERT_FALSE(backend.ok()) << backend.value()->describe({});
      EXPECT_EQ(backend.status().code(), StatusCode::kUnavailable);
      EXPECT_THAT(backend.status().message(),
                  StartsWith("an NVIDIA GPU is present but cannot be used: "));
      EXPECT_THAT(backend.status().message(), HasSubstr(cause));
      EXPECT_THAT(backend.status().message(), HasSubstr("‹device› cpu"));
    }
    EXPECT_TRUE(select(DeviceChoice::kCpu).ok()) << "asked for the CPU, the GPU does not matter";
  }

  TempDir root_;
  TempDir libraries_;
  std::vector<std::string> plugin_paths_{libraries_.path()};
};

TEST_F(SelectTest, NoDeviceMeansCpu) {
  EXPECT_FALSE(nvidia_device_present(root_.path()));
  const auto backend = select(DeviceChoice::kAuto);
  ASSERT_TRUE(backend.ok());
  EXPECT_EQ((*backend)->describe({}), "cpu (2 threads)");
  EXPECT_TRUE((*backend)->ranks_share_memory());
  const LegalRanks legal = [] { return std::vector<int>{1, 2, 4}; };
  EXPECT_EQ((*backend)->choose_ranks(0, legal)->ranks, 1) << "not as many as CPUs";
  EXPECT_EQ((*backend)->choose_ranks(4, legal)->ranks, 4);
}

TEST_F(SelectTest, CudaWithoutADeviceSaysWhatIsMissing) {
  const auto backend = select(DeviceChoice::kCuda);
  ASSERT_FALSE(backend.ok());
  EXPECT_EQ(backend.status().code(), StatusCode::kUnavailable);
  for (const char* part : {"‹device› cuda",
                           "no NVIDIA GPU",
                           "/dev/nvidia0",
                           "docker run --gpus all",
                           "‹device› cpu"}) {
    EXPECT_THAT(backend.status().message(), HasSubstr(part));
  }
}

TEST_F(SelectTest, EverySignOfADeviceCounts) {
  for (const char* path :
       {"dev/nvidia0", "dev/nvidiactl", "dev/dxg", "proc/driver/nvidia/version"}) {
    const TempDir machine;
    std::filesystem::create_directories(std::filesystem::path(machine.file(path)).parent_path());
    machine.write(path, "");
    EXPECT_TRUE(nvidia_device_present(machine.path())) << path;
  }
}

TEST_F(SelectTest, DeviceWithoutLibrary) {
  add_device("dev/nvidia0");
  expect_broken_gpu("libtutti_cuda.so was not found (looked for " +
                    libraries_.file("libtutti_cuda.so") + ")");
  plugin_paths_.clear();
  expect_broken_gpu("looked for nothing");
}

TEST_F(SelectTest, LibraryThatIsNoLibrary) {
  add_device("dev/nvidiactl");
  libraries_.write("libtutti_cuda.so", "this is text");
  expect_broken_gpu(libraries_.file("libtutti_cuda.so") + " does not load: ");
  // dlerror's own words.
  EXPECT_THAT(select(DeviceChoice::kAuto).status().message(), HasSubstr("file too short"));
  libraries_.write("libtutti_cuda.so", std::string(4096, 'x'));
  EXPECT_THAT(select(DeviceChoice::kAuto).status().message(), HasSubstr("invalid ELF header"));
}

TEST_F(SelectTest, LibraryWithoutTheEntry) {
  add_device("dev/nvidia0");
  plugin_paths_ = {WRONG_PLUGIN_DIRECTORY};
  expect_broken_gpu(
      fmt::format("has no entry {}; it does not belong to this program", kCudaPluginSymbol));
}

TEST_F(SelectTest, TheFirstLibraryFoundIsTheOneUsed) {
  add_device("dev/nvidia0");
  libraries_.write("libtutti_cuda.so", "broken");
  plugin_paths_ = {root_.path(), libraries_.path(), WRONG_PLUGIN_DIRECTORY};
  expect_broken_gpu(libraries_.file("libtutti_cuda.so") + " does not load");
}

TEST(DeviceChoiceTest, Names) {
  EXPECT_EQ(parse_device_choice("auto").value(), DeviceChoice::kAuto);
  EXPECT_EQ(parse_device_choice("cpu").value(), DeviceChoice::kCpu);
  EXPECT_EQ(parse_device_choice("cuda").value(), DeviceChoice::kCuda);
  for (const char* text : {"", "CPU", "gpu", "cuda:0"}) {
    const auto choice = parse_device_choice(text);
    ASSERT_FALSE(choice.ok()) << text;
    EXPECT_EQ(choice.status().message(),
              fmt::format("‹device› {}: wanted auto, cpu or cuda", text));
  }
}

TEST(DeviceChoiceTest, LibrariesAreLookedForBesideTheProgram) {
  const std::vector<std::string> paths = default_plugin_paths();
  ASSERT_EQ(paths.size(), 2U);
  EXPECT_TRUE(is_directory(paths[0]));
  EXPECT_THAT(paths[1], ::testing::EndsWith("/lib/tutti"));
}

}  // namespace
}  // namespace tutti
