// Flags that several commands have. CLI11's headers take seconds to compile: only the cli*.cc
// include this.
#pragma once
#include <cmath>
#include <functional>

#include <CLI/CLI.hpp>

#include "apps/options.h"

namespace tutti {

/// More than any prompt, context or count has.
inline constexpr int64_t kMostTokens = int64_t{1} << 40;

/// For CLI::Option::check: what was wanted instead, or nothing.
std::string check_memory(const std::string& text);
std::string check_gpus(const std::string& text);

/// Of every command that loads a model.
void add_model_flags(CLI::App& app, ModelFlags& m, bool positional_required);
void add_load_format(CLI::App& app, ModelFlags& m);

/// A flag for the request parameter of that name. `least`: more than the parameter's own least
/// value.
CLI::Option* add_parameter_flag(CLI::App& app,
                                const char* name,
                                ParameterFlags& flags,
                                double least = -HUGE_VAL);
/// How tokens are chosen.
void add_sampling_flags(CLI::App& app, ParameterFlags& flags);

struct BenchFlags {
  BenchLatencyOptions latency;
  BenchScalingOptions scaling;
  BenchAllReduceOptions all_reduce;
  BenchThroughputOptions throughput;
  BenchServeOptions serve;
};

/// `tutti bench`: `chosen` gets the command to run.
void add_bench(CLI::App& app, BenchFlags& flags, std::function<int()>& chosen);

struct ManageFlags {
  LaunchOptions launch;
  ManageOptions manage;
  KeyOptions key;
};

/// `tutti launch`, `list`, `ps`, `logs`, `terminate`, `key`: `chosen` gets the command to run.
void add_manage(CLI::App& app, ManageFlags& flags, std::function<int()>& chosen);

}  // namespace tutti
