// Times the CPU ops on the shapes of real models and compares them with how fast memory can be
// read. Probe and op take turns, and the best pass of each counts, so that another process on the
// machine disturbs both alike.
//
//   op_bench [--isa portable|avx2|avx512] [--threads N] [--filter TEXT] [--seconds S]
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

#include "device/cpu_device.h"
#include "ops/cases_attention.h"
#include "ops/cases_linear.h"
#include "ops/cases_moe.h"
#include "ops/cases_rows.h"
#include "ops/cases_sampling.h"
#include "ops/cpu/bandwidth_probe.h"
#include "ops/cpu/cpu_ops.h"

namespace tutti::test {
namespace {

constexpr int64_t kProbeBytes = int64_t{1} << 30;

struct Options {
  std::optional<CpuIsa> isa;
  int threads = available_cpus();
  std::string filter;
  double seconds = 1.0;  // per case
};

double now() {
  const auto time = std::chrono::steady_clock::now().time_since_epoch();
  return std::chrono::duration<double>(time).count();
}

bool parse_isa(const char* name, Options& options) {
  for (const CpuIsa isa : available_cpu_isas()) {
    if (std::strcmp(name, cpu_isa_name(isa)) == 0) {
      options.isa = isa;
      return true;
    }
  }
  std::fprintf(stderr, "this machine has no %s\n", name);
  return false;
}

bool parse(int argc, char** argv, Options& options) {
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string flag = argv[i];
    const char* value = argv[i + 1];
    if (flag == "--isa" && parse_isa(value, options)) {
      continue;
    }
    if (flag == "--threads") {
      options.threads = std::max(1, std::atoi(value));
    } else if (flag == "--filter") {
      options.filter = value;
    } else if (flag == "--seconds") {
      options.seconds = std::atof(value);
    } else {
      return false;
    }
  }
  return argc % 2 == 1;
}

// Seconds of one call, from a batch of calls long enough for the clock.
double time_batch(PreparedOp& op) {
  constexpr double kBatchSeconds = 0.002;
  int calls = 0;
  const double start = now();
  double end = start;
  while (end - start < kBatchSeconds) {
    op.run();
    ++calls;
    end = now();
  }
  return (end - start) / calls;
}

void run_bench(const OpCase& op_case,
               TestBackend& backend,
               BandwidthProbe& probe,
               const Options& options) {
  PreparedOp op(backend);
  op_case.prepare(op);
  op.run();
  double seconds = 1e30;
  double bandwidth = 0;
  const double start = now();
  do {
    bandwidth = std::max(bandwidth, probe.read());
    const double share = now();
    do {
      seconds = std::min(seconds, time_batch(op));
    } while (now() - share < options.seconds / 10);
  } while (now() - start < options.seconds);
  const double rate = op_case.bytes / seconds;
  std::printf("%-58s %10.3f %9.2f %9.2f %7.2f %9.1f %6.1f %6.0f\n",
              op_case.name.c_str(),
              seconds * 1e3,
              op_case.bytes / 1e6,
              op_case.flops / 1e6,
              rate / 1e9,
              op_case.flops / seconds / 1e9,
              bandwidth / 1e9,
              100 * rate / bandwidth);
  std::fflush(stdout);
}

int run(const Options& options) {
  auto probe = BandwidthProbe::create(options.threads, kProbeBytes);
  if (!probe.ok()) {
    std::fprintf(stderr, "%s\n", probe.status().message().c_str());
    return 1;
  }
  TestBackend backend("cpu", make_cpu_ops({.threads = options.threads, .isa = options.isa}));
  std::vector<OpCase> cases = linear_bench_cases();
  append(cases, row_bench_cases());
  append(cases, sampling_bench_cases());
  append(cases, attention_bench_cases());
  append(cases, moe_bench_cases());
  std::printf("%s, %d threads\n", backend.ops().name(), options.threads);
  std::printf("%-58s %10s %9s %9s %7s %9s %6s %6s\n",
              "case",
              "ms",
              "MB",
              "MFLOP",
              "GB/s",
              "GFLOP/s",
              "probe",
              "% read");
  for (const OpCase& op_case : cases) {
    if (op_case.name.find(options.filter) != std::string::npos) {
      run_bench(op_case, backend, **probe, options);
    }
  }
  return 0;
}

}  // namespace
}  // namespace tutti::test

int main(int argc, char** argv) {
  tutti::test::Options options;
  if (!tutti::test::parse(argc, argv, options)) {
    std::fprintf(stderr,
                 "usage: op_bench [--isa portable|avx2|avx512] [--threads N] [--filter TEXT] "
                 "[--seconds S]\n");
    return 2;
  }
  return tutti::test::run(options);
}
