// Fake engines under a supervisor, for one test.
#pragma once
#include <chrono>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>
#include <unistd.h>

#include "supervise/runtime_directory.h"
#include "supervise/supervisor.h"

namespace tutti::testing {

/// Until `done`, for at most half a minute; false if it never was.
inline bool wait_until(const std::function<bool()>& done) {
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(30);
  while (!done()) {
    if (std::chrono::steady_clock::now() >= end) {
      return false;
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  return true;
}

inline std::vector<std::string> this_environment() {
  std::vector<std::string> out;
  for (char** variable = environ; *variable != nullptr; ++variable) {
    out.emplace_back(*variable);
  }
  return out;
}

/// What a fake engine is started with: `arguments` of a spec come first.
inline SupervisorConfig fake_engines(const std::string& program, const std::string& directory) {
  SupervisorConfig config;
  config.program = program;
  config.environment = this_environment();
  config.socket_directory = directory;
  config.rules.first_pause = std::chrono::milliseconds(5);
  config.rules.longest_pause = std::chrono::milliseconds(20);
  config.arguments = [](const EngineSpec& spec, const std::string& socket) {
    std::vector<std::string> arguments = spec.arguments;
    arguments.insert(arguments.end(), {"--name", spec.model, "--socket", socket});
    return arguments;
  };
  config.on_line = [](const EngineSpec&, std::string_view) {};
  return config;
}

/// Below the directory of tests.
inline std::unique_ptr<RuntimeDirectory> make_runtime_directory() {
  auto made = RuntimeDirectory::make(::testing::TempDir());
  return made.ok() ? std::move(made).value() : nullptr;
}

/// Whether there is no such process, or only what is left of one for its parent to see.
inline bool is_dead(pid_t pid) {
  FILE* file = std::fopen(("/proc/" + std::to_string(pid) + "/stat").c_str(), "r");
  if (file == nullptr) {
    return true;
  }
  char text[256] = {};
  const size_t size = std::fread(text, 1, sizeof text - 1, file);
  std::fclose(file);
  const std::string line(text, size);
  const size_t name_end = line.rfind(')');
  return name_end == std::string::npos || line.size() < name_end + 3 || line[name_end + 2] == 'Z';
}

}  // namespace tutti::testing
