// tutti bench scaling: one model on 1, 2, 4, ... ranks, and where the time goes.
#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iostream>

#include <sys/prctl.h>
#include <unistd.h>

#include "apps/common.h"
#include "apps/machine_inventory.h"
#include "apps/scaling_report.h"
#include "apps/scaling_run.h"
#include "backend/child_process.h"
#include "backend/select.h"
#include "base/log.h"
#include "base/option_names.h"
#include "plan/link_promise.h"

namespace tutti {

namespace {

constexpr int kMostRanks = 8;
constexpr std::string_view kFailed = "failed ";  // before the code and the reason

Hardware hardware_of(const BenchScalingOptions& o) {
  if (o.model.device == "cpu" || !nvidia_device_present("/")) {
    return Hardware::kCpu;
  }
  return o.one_gpu ? Hardware::kOneGpu : Hardware::kGpus;
}

std::vector<int> rank_counts(const BenchScalingOptions& o,
                             Hardware hardware,
                             const Inventory& inventory) {
  if (!o.ranks.empty()) {
    std::vector<int> counts = o.ranks;
    std::sort(counts.begin(), counts.end());
    counts.erase(std::unique(counts.begin(), counts.end()), counts.end());
    return counts;
  }
  const int64_t most =
      hardware == Hardware::kGpus ? std::max<int64_t>(1, inventory.counts.cuda.value_or(1)) : 4;
  std::vector<int> counts;
  for (int ranks = 1; ranks <= std::min<int64_t>(most, kMostRanks); ranks *= 2) {
    counts.push_back(ranks);
  }
  return counts;
}

Status write_file(const std::string& path, const std::string& text) {
  std::ofstream file(path, std::ios::binary);
  file << text;
  file.close();
  return file ? ok_status() : invalid("--svg {}: cannot be written", path);
}

// This command once more, for one number of ranks.
std::vector<std::string> command_for(int ranks) {
  std::ifstream file("/proc/self/cmdline", std::ios::binary);
  std::vector<std::string> command;
  for (std::string word; std::getline(file, word, '\0');) {
    command.push_back(word);
  }
  command.front() = kThisProgram;
  command.insert(command.end(), {"--measure", std::to_string(ranks)});
  return command;
}

StatusCode code_named(std::string_view name) {
  for (int code = static_cast<int>(StatusCode::kInvalidArgument);
       code < static_cast<int>(StatusCode::kInternal);
       ++code) {
    if (name == mapping(static_cast<StatusCode>(code)).name) {
      return static_cast<StatusCode>(code);
    }
  }
  return StatusCode::kInternal;
}

Result<ScalingFigures> measure_in_child(int ranks) {
  constexpr std::chrono::minutes kLimit{60};  // a large model is loaded for minutes
  Result<ScalingFigures> told = error(StatusCode::kInternal, "nothing");
  bool spoke = false;
  const ChildEnd end = run_child(command_for(ranks), kLimit, [&](std::string_view line) {
    if (line.starts_with(kFailed)) {
      const std::string_view rest = line.substr(kFailed.size());
      const size_t blank = rest.find(' ');
      told = Status(code_named(rest.substr(0, blank)),
                    blank == std::string_view::npos ? "" : std::string(rest.substr(blank + 1)));
    } else {
      told = parse_figures(line);
    }
    spoke = true;
    return false;
  });
  if (spoke) {
    return told;
  }
  return error(StatusCode::kDevice,
               "{}",
               end.how == ChildEnd::How::kSignal
                   ? fmt::format("the process that measured was ended by signal {}", end.code)
               : end.how == ChildEnd::How::kTimeout ? std::string("it took more than an hour")
                                                    : std::string("the process that measured told "
                                                                  "nothing"));
}

// The child's part.
int measure_here(const BenchScalingOptions& o) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);  // not to outlive the program that waits for it
  const Result<ScalingFigures> figures = measure_scaling(o, hardware_of(o), o.measure);
  std::string line = figures.ok()
                         ? figures_line(*figures)
                         : fmt::format("{}{} {}",
                                       kFailed,
                                       mapping(figures.status().code()).name,
                                       spell_options(figures.status().message(), &as_flag));
  std::replace(line.begin(), line.end(), '\n', ' ');
  std::printf("%s\n", line.c_str());
  std::fflush(stdout);
  std::_Exit(0);  // without the driver's clean-up: the figures are told
}

Status bench(const BenchScalingOptions& o) {
  set_log_level(LogLevel::kWarn);
  const Hardware hardware = hardware_of(o);
  const Inventory inventory = this_inventory();
  Scaling scaling{.model = display_name(o.model.model),
                  .hardware = hardware,
                  .cpus = inventory.host.cpus.value_or(1),
                  .batch = o.batch,
                  .prompt_tokens = o.prompt_tokens,
                  .new_tokens = o.new_tokens};
  Status first_failure;
  for (const int ranks : rank_counts(o, hardware, inventory)) {
    if (!o.json && isatty(STDERR_FILENO) == 1) {
      std::fprintf(stderr, "measuring %d rank%s\n", ranks, ranks == 1 ? "" : "s");
    }
    Result<ScalingFigures> figures = measure_in_child(ranks);
    if (figures.ok()) {
      scaling.runs.push_back(std::move(figures->run));
      if (figures->link_rate) {
        scaling.measured_bytes_per_second = figures->link_rate;
      }
      continue;
    }
    if (figures.status().code() == StatusCode::kNotFound) {
      return std::move(figures).status();  // no such model: the same for every number of ranks
    }
    first_failure = first_failure.ok() ? figures.status() : first_failure;
    scaling.runs.push_back({.ranks = ranks, .failure = figures.status().message()});
  }
  for (const ScalingRun& run : scaling.runs) {  // the last that ran counts
    if (hardware == Hardware::kGpus && run.ran()) {
      scaling.promised_bytes_per_second = promised_rate(inventory, run.gpus);
    }
  }
  if (std::none_of(scaling.runs.begin(), scaling.runs.end(), [](const ScalingRun& run) {
        return run.ran();
      })) {
    return first_failure;
  }
  if (!o.svg.empty()) {
    TUTTI_RETURN_IF_ERROR(write_file(o.svg, scaling_svg(scaling)));
  }
  std::cout << (o.json ? to_string(scaling_json(scaling)) + "\n" : scaling_text(scaling));
  return ok_status();
}

}  // namespace

int bench_scaling_command(const BenchScalingOptions& options) {
  if (options.measure > 0) {
    set_log_level(LogLevel::kWarn);
    return measure_here(options);
  }
  const Status status = bench(options);
  return status.ok() ? 0 : fail(status);
}

}  // namespace tutti
