// tutti doctor as a user types it: on this machine, and with a mock as its NVML.
#include <chrono>
#include <cstdio>
#include <cstdlib>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/json.h"
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
  EXPECT_LE(plain.code, 2) << plain.output;
  for (const char* part :
       {"CPUs", "of memory", "driver ", "GPUs ", " checks in ", " skipped", "doctor --dump FILE"}) {
    EXPECT_THAT(plain.output, HasSubstr(part));
  }
}

TEST(Doctor, ItsLinesNameEveryGpuAndWhatIsWrongWithIt) {
  const testing::TempDir folder;
  const Outcome report = run_with_mock(folder, R"({"gpus": [{}, {}, {}, {}, {}, {}, {}, {}]})", "");
  EXPECT_EQ(report.code, 2) << report.output;
  for (const char* part :
       {"28 x NV18", "8, of which CUDA shows", "hidden from this process", "driver.cuda"}) {
    EXPECT_THAT(report.output, HasSubstr(part));
  }
}

Json doctor_json(const testing::TempDir& folder, const std::string& machine) {
  const Outcome run = run_with_mock(folder, machine, "--json");
  Result<Json> json = parse_json(run.output);
  EXPECT_TRUE(json.ok()) << run.output;
  EXPECT_EQ(json->find("schema")->as_int(), 1);
  const std::string severity = json->find("severity")->as_string();
  EXPECT_EQ(run.code, severity == "error" ? 2 : severity == "warning" ? 1 : 0);
  return std::move(json).value();
}

std::string severity_of(const Json& report, const std::string& id) {
  for (const Json& check : report.find("checks")->as_array()) {
    if (check.find("id")->as_string() == id) {
      return check.find("severity")->as_string();
    }
  }
  return "no such check";
}

TEST(Doctor, FaultsThatTheDriverTells) {
  const testing::TempDir folder;
  const Json sick = doctor_json(
      folder,
      R"({"gpus": [{}, {"ecc": 3, "clocks": 64, "fabric": 2, "pcie_width": 8, "recovery": 1,
          "links": 17, "remap_failed": 1, "compute_mode": 2, "persistence": 0}]})");
  const Json sound = doctor_json(folder, R"({"gpus": [{}, {}]})");
  for (const auto& [id, severity] : {std::pair("gpu.ecc", "warning"),
                                     std::pair("gpu.throttle", "warning"),
                                     std::pair("fabric.state", "error"),
                                     std::pair("link.pcie", "warning"),
                                     std::pair("gpu.recovery", "error"),
                                     std::pair("link.nvlink", "warning"),
                                     std::pair("gpu.remap", "error"),
                                     std::pair("gpu.compute_mode", "error"),
                                     std::pair("gpu.persistence", "info")}) {
    EXPECT_EQ(severity_of(sick, id), severity) << id;
    EXPECT_EQ(severity_of(sound, id), "ok") << id;
  }
}

TEST(Doctor, AFileInsteadOfThisMachine) {
  const testing::TempDir folder;
  const Json here = doctor_json(folder, R"({"gpus": [{}, {"ecc": 3}]})");
  folder.write("box.json", to_string(*here.find("inventory")));
  const Outcome run = run_shell(doctor("--json --inventory " + folder.file("box.json")));
  const Result<Json> there = parse_json(run.output);
  ASSERT_TRUE(there.ok()) << run.output;
  EXPECT_EQ(to_string(*there->find("inventory")), to_string(*here.find("inventory")));
  EXPECT_EQ(severity_of(*there, "gpu.ecc"), "warning");
  EXPECT_EQ(severity_of(*there, "server.port"), "skipped");
  for (const Json& check : here.find("checks")->as_array()) {
    const std::string id = check.find("id")->as_string();
    if (id != "server.port") {
      EXPECT_EQ(severity_of(*there, id), check.find("severity")->as_string()) << id;
    }
  }
  const Outcome wrong = run_shell(doctor("--inventory /nowhere.json"));
  EXPECT_EQ(wrong.code, 66) << wrong.output;
  folder.write("odd.json", "{\"gpus\": 3}");
  EXPECT_EQ(run_shell(doctor("--inventory " + folder.file("odd.json"))).code, 64);
}

TEST(Doctor, AModelThatIsNamed) {
  const testing::TempDir folder;
  folder.write("box.json", R"({"host": {"kind": "bare", "memory_bytes": 1000000000000},
      "counts": {"pci": 1, "nvml": 1, "cuda": 1}, "libraries": {"cublaslt": "13.1.0"},
      "gpus": [{"index": 0, "nvml_index": 0, "uuid": "GPU-1", "name": "NVIDIA H200",
                "compute_capability": "9.0", "memory_total_bytes": 150754820096,
                "memory_used_bytes": 0}]})");
  const std::string box = " --json --inventory " + folder.file("box.json");
  const Result<Json> large = parse_json(run_shell(doctor("deepseek-r1" + box)).output);
  ASSERT_TRUE(large.ok());
  EXPECT_EQ(severity_of(*large, "model.files"), "ok");
  EXPECT_EQ(severity_of(*large, "model.fits"), "error");
  const Result<Json> small =
      parse_json(run_shell(doctor("deepseek-r1-distill-qwen-7b" + box)).output);
  ASSERT_TRUE(small.ok());
  EXPECT_EQ(severity_of(*small, "model.fits"), "ok");
  EXPECT_EQ(severity_of(*small, "model.gpus"), "ok");
  const Result<Json> none = parse_json(run_shell(doctor("no-such-model" + box)).output);
  ASSERT_TRUE(none.ok());
  EXPECT_EQ(severity_of(*none, "model.files"), "error");
}

TEST(Doctor, AFileThatCannotBeWritten) {
  const Outcome dump = run_shell(doctor("--dump /nowhere/x.json"));
  EXPECT_EQ(dump.code, 64);
  EXPECT_THAT(dump.output, HasSubstr("--dump /nowhere/x.json: cannot write"));
}

}  // namespace
}  // namespace tutti
