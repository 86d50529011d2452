// tutti doctor as a user types it: on this machine, and with a mock as its NVML.
#include <chrono>
#include <cstdio>
#include <cstdlib>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include "inventory/inventory.h"
#include "unit/loader/checkpoint_files.h"

namespace tutti {
namespace {

using ::testing::HasSubstr;

struct Outcome {
  std::string output;  // both streams
  int code = 0;
};

Outcome run_shell(const std::string& command) {
  Outcome run;
  FILE* pipe = popen((command + " 2>&1").c_str(), "r");
  char buffer[4096];
  size_t got = 0;
  while ((got = std::fread(buffer, 1, sizeof buffer, pipe)) > 0) {
    run.output.append(buffer, got);
  }
  run.code = WEXITSTATUS(pclose(pipe));
  return run;
}

std::string doctor(const std::string& arguments) {
  return std::string(TUTTI_PROGRAM) + " doctor " + arguments;
}

bool has_gpu() {
  return file_exists("/dev/nvidiactl") || file_exists("/dev/dxg");
}

TEST(Doctor, ThisMachine) {
  const auto begin = std::chrono::steady_clock::now();
  const Outcome dump = run_shell(doctor("--dump -"));
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin;
  ASSERT_EQ(dump.code, 0) << dump.output;
  const Result<Inventory> inventory = parse_inventory(dump.output, "dump");
  ASSERT_TRUE(inventory.ok()) << inventory.status().message() << "\n" << dump.output;
  EXPECT_EQ(dump.output, to_json(*inventory) + "\n") << "one line";
  EXPECT_TRUE(inventory->host.kind.has_value());
  EXPECT_GT(inventory->host.memory_bytes.value_or(0), 1 << 28);
  EXPECT_GE(inventory->host.cpus.value_or(0), 1);
  EXPECT_TRUE(inventory->limits.nofile.has_value());
  EXPECT_EQ(inventory->taken_at.value_or("").size(), 20U);
  char host[256] = {};
  gethostname(host, sizeof host - 1);
  if (std::string(host).size() > 4 && std::string(host) != "localhost") {
    EXPECT_EQ(dump.output.find(host), std::string::npos) << "the host's name";
  }
  if (!has_gpu()) {
    EXPECT_EQ(inventory->counts.cuda, std::nullopt);
    EXPECT_FALSE(inventory->errors.empty());
    EXPECT_LT(took.count(), 2.0);
  }
}

// With the mock under the name of the real library.
Outcome run_with_mock(const testing::TempDir& folder,
                      const std::string& machine,
                      const std::string& arguments) {
  folder.write("machine.json", machine);
  const std::string library = MOCK_NVML;
  return run_shell("TUTTI_MOCK_NVML=" + folder.file("machine.json") +
                   " LD_LIBRARY_PATH=" + library.substr(0, library.rfind('/')) +
                   " CUDA_VISIBLE_DEVICES=1 " + doctor(arguments));
}

Outcome dump_with_mock(const testing::TempDir& folder, const std::string& machine) {
  return run_with_mock(folder, machine, "--dump " + folder.file("out.json"));
}

TEST(Doctor, ADriverThatEndsWhoeverAsks) {
  const testing::TempDir folder;
  const Outcome dump = dump_with_mock(folder, R"({"crash": true, "gpus": []})");
  ASSERT_EQ(dump.code, 0) << dump.output;
  const Result<Inventory> inventory = read_inventory(folder.file("out.json"));
  ASSERT_TRUE(inventory.ok()) << inventory.status().message();
  EXPECT_THAT(inventory->driver.nvml_error.value_or(""), HasSubstr("ended by signal 9"));
  EXPECT_EQ(inventory->counts.nvml, std::nullopt);
  EXPECT_GT(inventory->host.memory_bytes.value_or(0), 0);
}

TEST(Doctor, NvmlBySoname) {
  const testing::TempDir folder;
  const Outcome dump = dump_with_mock(folder, R"({"gpus": [{}, {}, {}, {}, {}, {}, {}, {}]})");
  ASSERT_EQ(dump.code, 0) << dump.output;
  EXPECT_EQ(dump.output, "");
  const Result<Inventory> inventory = read_inventory(folder.file("out.json"));
  ASSERT_TRUE(inventory.ok()) << inventory.status().message();
  EXPECT_EQ(inventory->counts.nvml, 8);
  EXPECT_EQ(inventory->links.size(), 28U);
  if (!has_gpu()) {
    EXPECT_EQ(inventory->gpus[1].index, 0);
    EXPECT_EQ(inventory->gpus[0].index, std::nullopt);
  }
}

TEST(Doctor, WithoutDumpItSaysWhatThereIs) {
  const Outcome plain = run_shell(doctor(""));
  EXPECT_EQ(plain.code, 0) << plain.output;
  for (const char* part :
       {"CPUs", "of memory", "driver ", "GPUs ", "Nothing was tested", "doctor --dump FILE"}) {
    EXPECT_THAT(plain.output, HasSubstr(part));
  }
}

TEST(Doctor, ItsLinesNameEveryGpuAndWhatIsWrongWithIt) {
  const testing::TempDir folder;
  const Outcome report = run_with_mock(folder, R"({"gpus": [{}, {}, {}, {}, {}, {}, {}, {}]})", "");
  EXPECT_EQ(report.code, 0) << report.output;
  for (const char* part : {"28 x NV18", "8, of which CUDA shows", "hidden from this process"}) {
    EXPECT_THAT(report.output, HasSubstr(part));
  }
}

TEST(Doctor, AFileThatCannotBeWritten) {
  const Outcome dump = run_shell(doctor("--dump /nowhere/x.json"));
  EXPECT_EQ(dump.code, 64);
  EXPECT_THAT(dump.output, HasSubstr("--dump /nowhere/x.json: cannot write"));
}

}  // namespace
}  // namespace tutti
