// An engine without a model: fake_engine BEHAVIOUR --socket PATH. It serves a fake model as an
// engine does, and on the way there or later does what its behaviour says:
//   ready                 serves until SIGTERM
//   deaf                  the same, but SIGTERM does nothing
//   exit:N, signal:N      ends so before it is ready
//   refuse                reports that it cannot ever start, exit code 69
//   fail-once:FILE        ends with exit code 3, but serves if FILE is there, which it makes
//   stuck                 says that it loads, and then nothing
//   silent                is ready, and then gives no sign of life
//   orphan:FILE           writes the number of a child that it leaves behind into FILE, then exits
//   crash-at:N            gets SIGSEGV while it generates the N-th request
#include <atomic>
#include <charconv>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <string>
#include <thread>

#include <unistd.h>

#include "base/wall_clock.h"
#include "http/fake_language_model.h"
#include "serve/http_server.h"
#include "supervise/child_process.h"
#include "supervise/engine_report.h"

namespace {

using namespace tutti;
using Kind = EngineReport::Kind;

int number_in(const std::string& text) {
  return std::atoi(text.substr(text.find(':') + 1).c_str());
}

std::string word_in(const std::string& text) {
  return text.substr(text.find(':') + 1);
}

[[noreturn]] void end_by(int signal) {
  std::signal(signal, SIG_DFL);
  raise(signal);
  std::_Exit(1);
}

volatile std::sig_atomic_t asked_to_end = 0;

[[noreturn]] void stay() {
  while (asked_to_end == 0) {
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  std::_Exit(0);
}

// What does not become ready; returns for the others.
void before_ready(const std::string& behaviour, const ReportWriter& reports) {
  reports.write({.kind = Kind::kPlanning});
  if (behaviour.starts_with("exit:")) {
    std::fprintf(stderr, "last words of %s\n", behaviour.c_str());
    std::_Exit(number_in(behaviour));
  }
  if (behaviour.starts_with("signal:")) {
    std::fprintf(stderr, "no end of line");
    std::fflush(stderr);
    end_by(number_in(behaviour));
  }
  if (behaviour == "refuse") {
    reports.write(
        report_of(Status(StatusCode::kOutOfMemory, "the model does not fit: 9 GB short")));
    std::_Exit(69);
  }
  if (behaviour.starts_with("fail-once:") && !std::ifstream(word_in(behaviour))) {
    std::ofstream(word_in(behaviour)) << "x";
    std::_Exit(3);
  }
  if (behaviour.starts_with("orphan:")) {
    const pid_t child = fork();
    if (child == 0) {
      stay();
    }
    std::ofstream(word_in(behaviour)) << child << std::flush;
    std::_Exit(5);
  }
  reports.write({.kind = Kind::kLoading, .done_bytes = 0, .total_bytes = 100});
  if (behaviour == "stuck") {
    stay();
  }
  reports.write({.kind = Kind::kLoading, .done_bytes = 50, .total_bytes = 100});
  reports.write({.kind = Kind::kWarming});
}

}  // namespace

int main(int argc, char** argv) {
  std::string behaviour = "ready";
  ServerConfig config;
  config.gpus = [] {
    GpuStatus status{.time = "2026-11-30T00:00:00Z"};
    status.gpus.push_back({.index = 0, .uuid = "GPU-fake", .used = true});
    return status;
  };
  testing::FakeLanguageModel::Options options;
  options.id = "fake";
  options.step = std::chrono::milliseconds(2);
  for (int i = 1; i < argc; ++i) {
    const std::string word = argv[i];
    if (word == "--socket" && i + 1 < argc) {
      config.unix_socket = argv[++i];
    } else if (word == "--name" && i + 1 < argc) {
      options.id = argv[++i];
    } else {
      behaviour = word;
    }
  }
  std::signal(SIGPIPE, SIG_IGN);
  std::signal(
      SIGTERM, behaviour == "deaf" ? SIG_IGN : [](int) { asked_to_end = 1; });
  const ReportWriter reports(kReportDescriptor);
  before_ready(behaviour, reports);
  auto model = std::make_shared<testing::FakeLanguageModel>(options);
  auto models = std::make_shared<ServedModels>();
  auto server = HttpServer::start(config, models);
  if (!models->add(model).ok() || !server.ok()) {
    std::fprintf(stderr, "%s\n", server.status().message().c_str());
    return 1;
  }
  std::fprintf(stderr, "fake engine is up\n");
  reports.write({.kind = Kind::kReady,
                 .max_context = model->info().max_context,
                 .created_unix = unix_now(),
                 .description = "a fake"});
  if (behaviour == "silent") {
    stay();
  }
  const size_t crash_at =
      behaviour.starts_with("crash-at:") ? static_cast<size_t>(number_in(behaviour)) : 0;
  for (int i = 0; asked_to_end == 0; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
    if (i % 20 == 0) {
      reports.write({.kind = Kind::kAlive});
    }
    if (crash_at > 0 && model->generations() >= crash_at) {
      std::this_thread::sleep_for(std::chrono::milliseconds(5));  // into its reply
      end_by(SIGSEGV);
    }
  }
  (*server)->drain(std::chrono::seconds(5));
  return 0;
}
