// What an inventory may tell.
#include "inventory/privacy.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "inventory/fake_machine.h"

namespace tutti::test {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

TEST(PublicEnvironment, OnlyOursAndNoSecrets) {
  System system;
  const std::map<std::string, std::string> told{
      {"CUDA_VISIBLE_DEVICES", "GPU-8932f937-d72c-4106-c12f-20bd9faed9f6,GPU-00"},
      {"NVIDIA_REQUIRE_CUDA", "cuda>=12.4 brand=tesla,driver>=470,driver<471"},
      {"NVIDIA_DRIVER_CAPABILITIES", "compute,utility"},
      {"NCCL_DEBUG", "INFO"},
      {"TUTTI_HOME", "/srv/tutti"},
  };
  system.environment = told;
  for (const auto& [name, value] : std::map<std::string, std::string>{
           {"PATH", "/usr/bin"},
           {"HF_TOKEN", "x"},
           {"MY_CUDA_X", "1"},
           {"TUTTI_API_KEY", "k"},
           {"TUTTI_auth", "k"},
           {"NCCL_HOSTID", "box7"},
           {"TUTTI_X1", "sk-12"},
           {"TUTTI_X2", "https://ada:pw@mirror/x"},
           {"TUTTI_X3", "9f86d081884c7d659a2feaa0c55ad015"},
           {"TUTTI_X4", "-----BEGIN X-----"},
       }) {
    system.environment[name] = value;
  }
  EXPECT_EQ(public_environment(system), told);
}

TEST(Scrubber, NamesOfHostAndUsersGo) {
  FakeMachine machine;
  machine.system.environment["USER"] = "ada";
  const Scrubber scrubber(machine.system);
  EXPECT_EQ(scrubber.scrub("/home/ada/x:/home/bob/y /Users/eve"), "~/x:~/y ~");
  EXPECT_EQ(scrubber.scrub("/data/ada/m on box7.example.org, box7"),
            "/data/<user>/m on <host>, <host>");
  EXPECT_EQ(scrubber.scrub("adapter box77"), "adapter box77") << "parts of other words";
}

TEST(Scrubber, NobodysNamesStay) {
  FakeMachine machine;
  machine.write("/proc/sys/kernel/hostname", "localhost\n");
  machine.system.environment["USER"] = "root";
  EXPECT_EQ(Scrubber(machine.system).scrub("root at localhost"), "root at localhost");
}

// Whatever a source tells, the written file has none of it.
TEST(Scrubber, AWholeInventory) {
  FakeMachine machine;
  machine.system.environment = {{"USER", "ada"},
                                {"TUTTI_HOME", "/home/ada/.tutti"},
                                {"CUDA_CACHE_PATH", "/scratch/ada/nv on box7"},
                                {"TUTTI_API_KEY", "letmein"}};
  machine.write("/dev/shm/nccl-box7-1", "x");
  CollectOptions options{.system = machine.system,
                         .libraries = {.nvml = {"/home/ada/box7/libnvidia-ml.so.1"}},
                         .cuda_error = "/home/ada/bin/libtutti_cuda.so does not load on box7"};
  const std::string text = to_json(collect_inventory(options));
  for (const char* secret : {"ada", "box7", "letmein"}) {
    EXPECT_THAT(text, Not(HasSubstr(secret)));
  }
  EXPECT_THAT(text, HasSubstr("~/bin/libtutti_cuda.so does not load on <host>"));
}

}  // namespace
}  // namespace tutti::test
