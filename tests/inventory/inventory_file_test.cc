// Inventory files: what is written reads back, and what somebody else wrote is refused by name.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "inventory/inventory.h"
#include "unit/loader/checkpoint_files.h"

namespace tutti {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

// Every field has a value.
Inventory full() {
  Inventory i;
  i.taken_at = "2026-11-30T02:22:48Z";
  i.tutti_version = "0.1.0";
  i.host = {.kind = "docker",
            .kernel = "6.8.0",
            .cpus = 208,
            .memory_bytes = int64_t{2} << 40,
            .cgroup_memory_bytes = int64_t{1} << 40,
            .numa = {{.node = 0, .cpus = "0-103", .memory_bytes = int64_t{1} << 40}},
            .virtual_machine = true,
            .cpu_list = "0-103",
            .cpu_quota = 1.5,
            .memory_available_bytes = 7,
            .oom_kills = 2,
            .numa_calls = false,
            .iommu = "translated",
            .acs_redirect = true,
            .interfaces = {{.name = "eth0", .state = "up"}},
            .infiniband = {{.device = "mlx5_0", .port = 1, .state = "ACTIVE", .rate = "400"}}};
  i.shm = {.present = true,
           .size_bytes = 64 << 20,
           .free_bytes = 1 << 20,
           .stale = {{.name = "nccl-x", .bytes = 9637888}},
           .writable = true};
  i.limits = {.memlock_bytes = -1, .nofile = 1024, .stack_bytes = 8 << 20, .processes = 9};
  i.env = {{"CUDA_VISIBLE_DEVICES", ""}, {"NCCL_DEBUG", "INFO"}};
  i.driver = {.version = "580.159.03", .cuda = "13.0", .module = "open", .nvml_error = "none"};
  i.driver.nodes = {{.name = "nvidia0", .error = "Operation not permitted"}};
  i.driver.char_links = true;
  i.driver.fabric_manager = false;
  i.driver.nvswitches = 4;
  i.driver.imex_channels = 1;
  i.driver.peermem = true;
  i.driver.compat = "/compat/libcuda.so.1";
  i.driver.confidential = false;
  i.driver.xids = {{.pci = "0000:18:00", .code = 79}};
  i.libraries = {.nccl = "2.28.9", .cublaslt = "13.1.0", .architectures = "90a"};
  i.counts = {.pci = 8, .nvml = 7, .cuda = 6, .last_good = 8};
  Gpu gpu;
  gpu.index = 0;
  gpu.nvml_index = 1;
  gpu.uuid = "GPU-1";
  gpu.pci = "0000:18:00.0";
  gpu.name = "NVIDIA H200";
  gpu.compute_capability = "9.0";
  gpu.sms = 132;
  gpu.memory_total_bytes = 150754820096;
  gpu.memory_used_bytes = 4096;
  gpu.processes = {{.name = "python3", .bytes = 4096}};
  gpu.mig = true;
  gpu.mig_devices = {{.index = 3,
                      .uuid = "MIG-1",
                      .name = "x",
                      .gpu_instance = 1,
                      .compute_instance = 0,
                      .memory_total_bytes = 2,
                      .memory_used_bytes = 1}};
  gpu.compute_mode = "default";
  gpu.ecc = {.uncorrected = 0, .retired_pending = true};
  gpu.remapped = {.pending = true, .failed = false};
  gpu.recovery_action = "gpu_reset";
  gpu.clock_reasons = {"idle", "sw_power_cap"};
  gpu.power_watts = 75.5;
  gpu.power_limit_watts = 600;
  gpu.power_limit_default_watts = 700;
  gpu.pcie = {.gen = 4, .gen_max = 5, .width = 8, .width_max = 16, .replays = 3};
  gpu.bar1_bytes = int64_t{256} << 30;
  gpu.numa_node = 0;
  gpu.fabric = {.state = "completed", .health = "healthy", .cluster = "00", .clique = 1};
  gpu.mig_pending = true;
  gpu.persistence = true;
  gpu.temperature_celsius = 34;
  gpu.nvlink = {.active = 17, .inactive = 1, .errors = 2};
  gpu.read_bytes_per_second = 4e12;
  gpu.matmul_flops_per_second = 7.5e14;
  i.gpus = {gpu, {}};
  i.gpus[1].nvml_index = 0;
  i.links = {{.a = 0,
              .b = 1,
              .kind = "NV18",
              .p2p = {.read = "ok", .write = "ok", .atomics = "unknown"},
              .data_test = "pass",
              .bytes_per_second = 396.7e9}};
  i.errors = {{.source = "nvml", .text = "x"}};
  return i;
}

std::string refusal(const std::string& text) {
  const Result<Inventory> result = parse_inventory(text, "file.json");
  EXPECT_FALSE(result.ok()) << text;
  EXPECT_THAT(result.status().message(), StartsWith("file.json: ")) << text;
  return result.status().message();
}

// Of the contract in docs/inventory.md.
TEST(InventoryFile, FullFile) {
  const std::string text = to_json(full());
  EXPECT_EQ(
      text,
      R"({"taken_at":"2026-11-30T02:22:48Z","tutti_version":"0.1.0","host":{"kind":"docker",)"
      R"("kernel":"6.8.0","cpus":208,"memory_bytes":2199023255552,)"
      R"("cgroup_memory_bytes":1099511627776,)"
      R"("numa":[{"node":0,"cpus":"0-103","memory_bytes":1099511627776}],)"
      R"("virtual_machine":true,"cpu_list":"0-103","cpu_quota":1.5,"memory_available_bytes":7,)"
      R"("oom_kills":2,"numa_calls":false,"iommu":"translated","acs_redirect":true,)"
      R"("interfaces":[{"name":"eth0","state":"up"}],)"
      R"("infiniband":[{"device":"mlx5_0","port":1,"state":"ACTIVE","rate":"400"}]},)"
      R"("shm":{"present":true,"size_bytes":67108864,"free_bytes":1048576,)"
      R"("stale":[{"name":"nccl-x","bytes":9637888}],"writable":true},)"
      R"("limits":{"memlock_bytes":-1,"nofile":1024,"stack_bytes":8388608,"processes":9},)"
      R"("env":{"CUDA_VISIBLE_DEVICES":"","NCCL_DEBUG":"INFO"},)"
      R"("driver":{"version":"580.159.03","cuda":"13.0","module":"open","nvml_error":"none",)"
      R"("nodes":[{"name":"nvidia0","error":"Operation not permitted"}],"char_links":true,)"
      R"("fabric_manager":false,"nvswitches":4,"imex_channels":1,"peermem":true,)"
      R"("compat":"/compat/libcuda.so.1","confidential":false,)"
      R"("xids":[{"pci":"0000:18:00","code":79}]},)"
      R"("libraries":{"nccl":"2.28.9","cublaslt":"13.1.0","architectures":"90a"},)"
      R"("counts":{"pci":8,"nvml":7,"cuda":6,"last_good":8},)"
      R"("gpus":[{"index":0,"nvml_index":1,"uuid":"GPU-1","pci":"0000:18:00.0",)"
      R"("name":"NVIDIA H200","compute_capability":"9.0","sms":132,)"
      R"("memory_total_bytes":150754820096,"memory_used_bytes":4096,)"
      R"("processes":[{"name":"python3","bytes":4096}],"mig":true,)"
      R"("mig_devices":[{"index":3,"uuid":"MIG-1","name":"x","gpu_instance":1,)"
      R"("compute_instance":0,"memory_total_bytes":2,"memory_used_bytes":1}],)"
      R"("compute_mode":"default","ecc":{"uncorrected":0,"retired_pending":true},)"
      R"("remapped":{"pending":true,"failed":false},"recovery_action":"gpu_reset",)"
      R"("clock_reasons":["idle","sw_power_cap"],"power_watts":75.5,"power_limit_watts":600.0,)"
      R"("power_limit_default_watts":700.0,)"
      R"("pcie":{"gen":4,"gen_max":5,"width":8,"width_max":16,"replays":3},"bar1_bytes":274877906944,)"
      R"("numa_node":0,"fabric":{"state":"completed","health":"healthy","cluster":"00",)"
      R"("clique":1},"mig_pending":true,"persistence":true,"temperature_celsius":34,)"
      R"("nvlink":{"active":17,"inactive":1,"errors":2},"read_bytes_per_second":4000000000000.0,)"
      R"("matmul_flops_per_second":750000000000000.0},)"
      R"({"index":null,"nvml_index":0,"uuid":null,"pci":null,"name":null,)"
      R"("compute_capability":null,"sms":null,"memory_total_bytes":null,"memory_used_bytes":null,)"
      R"("processes":null,"mig":null,"mig_devices":[],"compute_mode":null,)"
      R"("ecc":{"uncorrected":null,"retired_pending":null},"remapped":{"pending":null,"failed":null},)"
      R"("recovery_action":null,"clock_reasons":null,"power_watts":null,)"
      R"("power_limit_watts":null,"power_limit_default_watts":null,)"
      R"("pcie":{"gen":null,"gen_max":null,"width":null,"width_max":null,)"
      R"("replays":null},"bar1_bytes":null,)"
      R"("numa_node":null,"fabric":{"state":null,"health":null,"cluster":null,"clique":null},)"
      R"("mig_pending":null,"persistence":null,"temperature_celsius":null,)"
      R"("nvlink":{"active":null,"inactive":null,"errors":null},)"
      R"("read_bytes_per_second":null,"matmul_flops_per_second":null}],)"
      R"("links":[{"a":0,"b":1,"kind":"NV18",)"
      R"("p2p":{"read":"ok","write":"ok","atomics":"unknown"},"data_test":"pass",)"
      R"("bytes_per_second":396700000000.0}],"errors":[{"source":"nvml","text":"x"}]})");
  const Result<Inventory> back = parse_inventory(text, "x");
  ASSERT_TRUE(back.ok()) << back.status().message();
  EXPECT_EQ(to_json(*back), text);
}

TEST(InventoryFile, AnEmptyObjectKnowsNothing) {
  const Result<Inventory> inventory = parse_inventory("{}", "x");
  ASSERT_TRUE(inventory.ok());
  EXPECT_EQ(to_json(*inventory), to_json(Inventory()));
}

TEST(InventoryFile, AdditionsArePassedOver) {
  EXPECT_TRUE(parse_inventory(R"({"schema": 7, "host": {"colour": [1]},
      "gpus": [{"nvml_index": 0, "later": {"a": null}}]})",
                              "x")
                  .ok());
}

TEST(InventoryFile, WrongTypesAreNamedByTheirPath) {
  for (const auto& [text, wanted] : std::vector<std::pair<std::string, std::string>>{
           {"[]", "got an array, wanted an object"},
           {"3", "wanted an object"},
           {R"({"gpus": {}})", "gpus: got an object, wanted an array"},
           {R"({"gpus": [1]})", "gpus[0]: got an integer, wanted an object"},
           {R"({"gpus": [null]})", "gpus[0]: got null"},
           {R"({"gpus": [{}, {}, {}, {"pcie": {"gen": "5"}}]})",
            "gpus[3].pcie.gen: got a string, wanted an integer"},
           {R"({"gpus": [{"sms": 1.5}]})",
            "gpus[0].sms: got a number with a fraction or exponent, wanted an integer"},
           {R"({"gpus": [{"sms": 1e300}]})", "gpus[0].sms"},
           {R"({"gpus": [{"sms": -1}]})", "gpus[0].sms: got -1, wanted 0 to 1048576"},
           {R"({"gpus": [{"index": 2097152}]})", "gpus[0].index: got 2097152, wanted 0 to"},
           {R"({"gpus": [{"memory_total_bytes": 9223372036854775807}]})",
            "gpus[0].memory_total_bytes: got 9223372036854775807"},
           {R"({"gpus": [{"mig": 1}]})", "gpus[0].mig: got an integer, wanted true or false"},
           {R"({"gpus": [{"power_watts": -3}]})", "gpus[0].power_watts"},
           {R"({"gpus": [{"clock_reasons": [1]}]})", "gpus[0].clock_reasons[0]"},
           {R"({"gpus": [{"processes": [{"bytes": "1"}]}]})", "gpus[0].processes[0].bytes"},
           {R"({"gpus": [{"fabric": {"state": "up"}}]})", "gpus[0].fabric.state: got \"up\""},
           {R"({"env": []})", "env: got an array, wanted an object"},
           {R"({"env": {"CUDA_X": 1}})", "env.CUDA_X: got an integer, wanted a string"},
           {R"({"host": {"kind": "moon"}})",
            "host.kind: got \"moon\", wanted bare, docker, podman, kubernetes, vm, wsl"},
           {R"({"host": {"cpus": 0}})", "host.cpus: got 0, wanted 1 to 1048576"},
           {R"({"limits": {"nofile": -2}})", "limits.nofile: got -2, wanted at least -1"},
           {R"({"links": [{"kind": "NVx"}]})",
            "links[0].kind: got \"NVx\", wanted NV and a number"},
           {R"({"links": [{"kind": "NV"}]})", "links[0].kind"},
           {R"({"links": [{"data_test": "maybe"}]})", "links[0].data_test"},
           {R"({"errors": [{"text": 4}]})", "errors[0].text"},
       }) {
    EXPECT_THAT(refusal(text), HasSubstr(wanted)) << text;
  }
}

TEST(InventoryFile, ImpossibleMachines) {
  for (const auto& [text, wanted] : std::vector<std::pair<std::string, std::string>>{
           {R"({"gpus": [{"nvml_index": 2}, {"nvml_index": 2}]})", "gpus[1].nvml_index: a second"},
           {R"({"gpus": [{"index": 0}, {"index": 0}]})", "gpus[1].index: a second"},
           {R"({"gpus": [{"memory_total_bytes": 5, "memory_used_bytes": 6}]})",
            "gpus[0].memory_used_bytes: got 6"},
           {R"({"gpus": [{"nvml_index": 0}], "links": [{"a": 0, "b": 1}]})",
            "links[0]: no GPU has the nvml_index 1"},
           {R"({"gpus": [{"nvml_index": 0}], "links": [{"a": 0, "b": 0}]})", "with itself"},
       }) {
    EXPECT_THAT(refusal(text), HasSubstr(wanted)) << text;
  }
}

TEST(InventoryFile, DeepAndDoubleAndBroken) {
  refusal(std::string(100000, '['));
  refusal("{\"x\":" + std::string(64, '[') + std::string(64, ']') + "}");
  refusal(R"({"host": {}, "host": {}})");
  refusal("");
  refusal("{\"taken_at\":\"\xff\"}");
}

// Cut anywhere, a file is refused or, never, read as another machine; nothing crashes.
TEST(InventoryFile, TruncatedAnywhere) {
  const std::string text = to_json(full());
  for (size_t length = 0; length < text.size(); ++length) {
    EXPECT_FALSE(parse_inventory(text.substr(0, length), "x").ok()) << length;
  }
}

// One byte changed: read or refused, but never a crash; what is read can be written and read again.
TEST(InventoryFile, AnyByteChanged) {
  const std::string text = to_json(full());
  for (size_t at = 0; at < text.size(); ++at) {
    for (const char c : {'"', '{', '}', '-', '9', 'n'}) {
      std::string changed = text;
      changed[at] = c;
      const Result<Inventory> inventory = parse_inventory(changed, "x");
      if (inventory.ok()) {
        EXPECT_TRUE(parse_inventory(to_json(*inventory), "x").ok()) << at << c;
      }
    }
  }
}

TEST(InventoryFile, TextThatIsNoUtf8) {
  Inventory inventory;
  inventory.env["CUDA_X"] = "a\xff";
  inventory.add_error("x\xc3", "y");
  EXPECT_TRUE(parse_inventory(to_json(inventory), "x").ok());
}

TEST(InventoryFile, FromAFile) {
  const testing::TempDir folder;
  folder.write("good.json", to_json(full()) + "\n");
  folder.write("bad.json", R"({"gpus": 3})");
  EXPECT_TRUE(read_inventory(folder.file("good.json")).ok());
  EXPECT_THAT(read_inventory(folder.file("bad.json")).status().message(),
              StartsWith(folder.file("bad.json") + ": gpus: got"));
  EXPECT_THAT(read_inventory(folder.file("none.json")).status().message(),
              HasSubstr("no such file"));
  EXPECT_FALSE(read_inventory("/dev/zero").ok());
}

}  // namespace
}  // namespace tutti
